"""Compare OpenFace's columns that are no action units with the program's, column by column.

Usage: python benchmarks/openface_columns.py [--root ../shared]

Reads reference/openface of the root: clips with the columns of OpenFace 2.2 (its CLNF landmarks) and our
478 landmarks, and its model files. Writes results/openface-columns.{json,md} and, of our
formulas on the program's own values, results/openface-formulas.{json,md}.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agreement import correlation
from results_file import REPOSITORY, Result
from trivalent.features.face.geometry import METADATA, CanonicalFace
from trivalent.features.face.graphs import TaskArchive
from trivalent.features.openface.gaze import gaze
from trivalent.features.openface.landmarks import landmarks_68
from trivalent.features.openface.models import ShapeModel, read_models
from trivalent.features.openface.placed import PlacedFace
from trivalent.features.openface.pose import Camera, head_pose, landmarks_3d
from trivalent.features.openface.row import FACE_COLUMNS, face_columns
from trivalent.features.openface.shape import PROJECTION, Fit, fit_shape, rotation_of

Array = NDArray[np.float64]
CLIPS = (
    "clip_a",
    "clip_b",
    "clip_c",
    "clip_d",
    "clip_e",
)  # films; in the others faces have 41 and 47 pixels
LEAST_CONFIDENCE = 0.85
LARGEST_YAW = np.radians(45)
EXE = {  # arrays of a clip in the order of FACE_COLUMNS
    **{"exe_gaze": 8, "exe_eye2d": 112, "exe_eye3d": 168, "exe_pose": 6},
    **{"exe_xy68": 136, "exe_lm3d": 204, "exe_params": 40},
}
GROUPS = {  # rows of the table: columns that are compared together
    **{name: (name,) for name in FACE_COLUMNS if name.startswith(("gaze", "pose"))},
    **{f"eye_lmk_{axis} (iris)": (f"eye_lmk_{axis}", range(8), range(28, 36)) for axis in "xyXYZ"},
    **{f"eye_lmk_{axis} (lids)": (f"eye_lmk_{axis}", range(8, 20), range(36, 48)) for axis in "xyXYZ"},
    **{axis: (axis, range(68)) for axis in "xyXYZ"},
    **{f"p_{name}": (f"p_{name}",) for name in ("scale", "rx", "ry", "rz", "tx", "ty", "0", "1", "2")},
    "p_3 to p_33": ("p", range(3, 34)),
}


@dataclass(frozen=True)
class Compared:
    """Rows of the same frames, shape (frames, 674): the program's, ours with model files, and without."""

    program: Array
    models: Array
    landmarks: Array
    errors: dict[str, float]  # of our formulas on the program's own values, the largest
    ms_per_row: float


def members(group: str) -> list[int]:
    """Places of a group's columns in a row."""
    stem, *numbers = GROUPS[group]
    names = [f"{stem}_{n}" for some in numbers for n in some] or [stem]
    return [FACE_COLUMNS.index(name) for name in names]


def compare(folder: Path) -> Compared:
    """Compute all rows of the reference clips."""
    shape = read_models(folder / "AU_predictors").shape
    canonical = CanonicalFace.from_bytes(TaskArchive().read(METADATA))
    program, models, landmarks, taken, errors = [], [], [], [], {}
    for clip, camera, i in frames(folder):
        row = program_row(clip, i)
        for name, error in formula_errors(row, camera, shape).items():
            errors[name] = max(error, errors.get(name, 0.0))
        points = clip["mp_points"][i].astype(np.float64)
        fit = fit_shape(shape, landmarks_68(points), prior=PROJECTION)
        start = time.process_time()
        models.append(face_columns(points, PlacedFace.from_fit(fit), camera))
        taken.append(time.process_time() - start)
        landmarks.append(face_columns(points, PlacedFace.from_mesh(points, canonical), camera))
        program.append(row)
    rows = (np.array(some) for some in (program, models, landmarks))
    return Compared(*rows, errors=errors, ms_per_row=1000 * float(np.median(taken)))


def frames(folder: Path) -> Iterator[tuple[dict[str, Array], Camera, int]]:
    """Give clip, camera and number of each frame in which both found a face that is not turned far."""
    for name in CLIPS:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as data:
            clip = {key: data[key] for key in (*EXE, "exe_ok", "exe_conf", "our_ok", "mp_points")}
            height, width = data["frame_size"].tolist()
        sure = clip["exe_ok"] & clip["our_ok"] & (clip["exe_conf"] > LEAST_CONFIDENCE)
        front = np.abs(clip["exe_params"][:, 2]) < LARGEST_YAW
        for i in np.flatnonzero(sure & front):
            yield clip, Camera.of(width, height), int(i)


def program_row(clip: dict[str, Array], i: int) -> Array:
    """Put the program's own values into the order of `FACE_COLUMNS`."""
    parts = [clip[key][i].T.ravel() if key == "exe_xy68" else clip[key][i] for key in EXE]
    return np.concatenate(parts).astype(np.float64)


def formula_errors(row: Array, camera: Camera, shape: ShapeModel) -> dict[str, float]:
    """Compute what follows from others of the program's own values; the largest difference to its own."""
    ends = np.cumsum(list(EXE.values()))[:-1]
    looks, _, eyes, pose, points, space, parameters = np.split(row, ends)
    fit = Fit(shape, parameters[0], rotation_of(parameters[1:4]), parameters[4:6], parameters[6:])
    face = PlacedFace.from_fit(fit)
    head = head_pose(face, camera).columns
    irises = eyes.reshape(3, 2, 28)[:, :, :8].mean(axis=2).T  # the middle of OpenFace's ring
    own = landmarks_3d(face, camera)
    found = {
        "x, y from p: px": face.points.T.ravel() - points,
        "X, Y, Z from p: mm": own.T.ravel() - space,
        "pose_T from p: mm": head[:3] - pose[:3],
        "pose_R from p: rad": head[3:] - pose[3:],
        "gaze from eye_lmk, X to Z, pose: 1": gaze(irises, own, rotation_of(pose[3:])) - looks,
    }
    return {name: float(np.abs(difference).max()) for name, difference in found.items()}


def write(compared: Compared) -> None:
    """Write both tables."""
    count = len(compared.program)
    data = f"{len(CLIPS)} film clips, {count} frames; OpenFace 2.2 with CLNF landmarks"
    result = Result("openface-columns", data)
    result.caveats = [
        "r: mean of the columns of a row; r_min: the least. Five people: where a column hardly moves (the "
        "pitch, pose_Rx) r depends on the clips; over more of them it is .80 with model files.",
        "mae, bias: mm, rad or 1 as the column, pixels as shares of the distance between the outer corners "
        "of the eyes; `own` is with the shape model of the model files, `bare` without model files.",
        "The reference is OpenFace with another detector of landmarks than its default, which we lack.",
    ]
    for group in GROUPS:
        result.add(group, **agreement(compared, members(group)))
    result.write()
    formulas = Result("openface-formulas", data)
    formulas.caveats = [
        "The largest error of what follows from others of the program's own values, in millionths of the "
        "unit; the program keeps its values as float32.",
        "ms: CPU time of the 674 columns of a face, the fit of the shape model not counted.",
    ]
    for name, error in compared.errors.items():
        formulas.add(name, largest_error_millionths=1e6 * error)
    formulas.add("all columns but action units", ms=compared.ms_per_row)
    formulas.write()


def agreement(compared: Compared, columns: list[int]) -> dict[str, float]:
    """Compare a group of columns, with and without model files."""
    figures = {}
    pixels = FACE_COLUMNS[columns[0]].startswith(("x_", "y_", "eye_lmk_x", "eye_lmk_y", "p_t"))
    unit = eye_distances(compared.program)[:, None] if pixels else 1.0
    for name, ours in (("own", compared.models), ("bare", compared.landmarks)):
        if np.isfinite(ours[:, columns]).all():
            off = (ours[:, columns] - compared.program[:, columns]) / unit
            rs = [correlation(ours[:, i], compared.program[:, i]) for i in columns]
            figures |= {f"r_{name}": float(np.mean(rs)), f"r_min_{name}": min(rs)}
            figures |= {f"mae_{name}": float(np.abs(off).mean()), f"bias_{name}": float(off.mean())}
    return figures


def eye_distances(rows: Array) -> Array:
    """Pixels between the outer corners of the eyes, shape (frames,)."""
    x, y = ([FACE_COLUMNS.index(f"{axis}_{corner}") for corner in (36, 45)] for axis in "xy")
    return np.hypot(np.diff(rows[:, x])[:, 0], np.diff(rows[:, y])[:, 0])


def main() -> None:
    """Compare, write, and print what the formulas miss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared")
    folder = parser.parse_args().root / "reference" / "openface"
    if not folder.is_dir():
        sys.exit(f"expected reference clips in {folder}, found none; give --root")
    compared = compare(folder)
    write(compared)
    print(compared.errors, f"{compared.ms_per_row:.2f} ms")


if __name__ == "__main__":
    main()
