"""Our own action units beside OpenFace's, unit by unit, and against the expressions of studio pictures.

Usage: python benchmarks/openface_units.py [scales] [--root ../shared]

`scales` prints where each signal begins and is full, by the face pictures of people who train the face
expert: the constants of `trivalent.features.openface.own_units`. Without it, results/openface-units.*
are written: OpenFace's published output on 127 clips (distances are taken from the shapes that OpenFace's
model has for our landmarks, as the landmarks themselves are not stored) and on seven with all landmarks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agreement import of_intensities, of_presences
from results_file import REPOSITORY, Result, Value
from trivalent.features.openface.landmarks import POINTS_68
from trivalent.features.openface.models import ShapeModel, read_models
from trivalent.features.openface.own_units import OWN_UNIT_COLUMNS, PRESENT_FROM, USABLE, own_units, signals
from trivalent.lab.datasets.face_points import Pictures, read_pictures

Array = NDArray[np.float64]
MODELS = "AU_predictors"
POSE = 6  # parameters before those of the shape
MIN_CONFIDENCE = 0.8  # of OpenFace
UNITS = tuple(name.removesuffix("_r") for name in OWN_UNIT_COLUMNS if name.endswith("_r"))
# The units that an expression is made of, after Ekman and Friesen's EMFACS; the studio's six and neutral.
PROTOTYPES: Mapping[str, tuple[int, ...]] = {
    "angry": (4, 5, 7, 17),
    "disgust": (9, 10, 15),
    "fear": (1, 2, 4, 5, 20, 25),
    "happy": (6, 12, 25),
    "sad": (1, 4, 15, 17),
    "surprise": (1, 2, 5, 25, 26),
}
STUDIO = "taiwanese_ntu"


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of several videos: our units (n, 32) and OpenFace's, by the same names, NaN where absent."""

    ours: Array
    theirs: Array
    videos: NDArray[np.str_]

    def pair(self, name: str) -> tuple[Array, Array, NDArray[np.str_]]:
        """One column of both, where both have a value."""
        column = OWN_UNIT_COLUMNS.index(name)
        a, b = self.ours[:, column], self.theirs[:, column]
        both = np.isfinite(a) & np.isfinite(b)
        return a[both], b[both], self.videos[both]


def openface_columns(intensities: Array, presences: Array, names: tuple[list[str], list[str]]) -> Array:
    """Put OpenFace's columns under our names."""
    found = {}
    for values, titles in zip((intensities, presences), names, strict=True):
        found |= {f"au.{title.removeprefix('AU')}": values[:, i] for i, title in enumerate(titles)}
    return np.stack([found[name].astype(np.float64) for name in OWN_UNIT_COLUMNS], axis=1)


def shape_points(parameters: Array, model: ShapeModel) -> Array:
    """Place the 68 points of fitted shapes (n, 34) among 478, shape (n, 478, 3), NaN elsewhere."""
    points = np.full((len(parameters), 478, 3), np.nan)
    points[:, POINTS_68] = model.mean + np.einsum("pak,nk->npa", model.components, parameters)
    return points


def pairs(folder: Path) -> dict[str, Frames]:
    """Frames of the 127 clips, of film and TV (MER) and of a laboratory (IEMOCAP)."""
    with np.load(folder / "train_pairs.npz", allow_pickle=False) as data:
        good = (data["of_success"] == 1) & (data["of_confidence"] >= MIN_CONFIDENCE)
        names = (data["AU_r_names"].tolist(), data["AU_c_names"].tolist())
        shapes = data["blendshapes"].astype(np.float64)
        ours = own_units(
            shapes, shape_points(data["params40"][:, POSE:], read_models(folder / MODELS).shape)
        )
        frames = Frames(
            ours,
            openface_columns(data["of_AU_r"], data["of_AU_c"], names),
            data["video"].astype(np.str_),
        )
        corpora = {"mer": good & data["is_mer"], "iemocap": good & ~data["is_mer"]}
    return {name: Frames(frames.ours[k], frames.theirs[k], frames.videos[k]) for name, k in corpora.items()}


def clips(folder: Path) -> dict[str, Frames]:
    """Frames of the clips with landmarks: a to e of MER, f and g of IEMOCAP."""
    with np.load(folder / "train_pairs.npz", allow_pickle=False) as data:
        names = (data["AU_r_names"].tolist(), data["AU_c_names"].tolist())
    parts: dict[str, list[Frames]] = {"mer_clips": [], "iemocap_clips": []}
    for file in sorted(folder.glob("clip_*.npz")):
        with np.load(file, allow_pickle=False) as data:
            good = data["our_ok"] & data["of_success"] & (data["of_confidence"] >= MIN_CONFIDENCE)
            ours = own_units(data["mp_blendshapes"][good], data["mp_points"][good])
            theirs = openface_columns(data["of_AU_r"][good], data["of_AU_c"][good], names)
            corpus = "iemocap_clips" if "iemocap" in str(data["source"]) else "mer_clips"
        parts[corpus].append(Frames(ours, theirs, np.full(len(ours), file.stem)))
    return {
        corpus: Frames(
            *(np.concatenate([getattr(p, f) for p in found]) for f in ("ours", "theirs", "videos"))
        )
        for corpus, found in parts.items()
    }


def figures(frames: Frames, unit: str, *, interval: bool) -> dict[str, Value | float]:
    """Compare one unit."""
    presences = frames.pair(f"{unit}_c")[:2]
    return of_intensities(*frames.pair(f"{unit}_r"), interval=interval) | of_presences(*presences)


def separation(pictures: Pictures, unit: str) -> float | None:
    """Area under the ROC curve of studio pictures whose expression has the unit, against the others."""
    studio = pictures.sources == STUDIO
    having = [name for name, units in PROTOTYPES.items() if int(unit.removeprefix("au.")) in units]
    truth = np.isin(pictures.emotions[studio], having)
    if not truth.any():
        return None
    column = OWN_UNIT_COLUMNS.index(f"{unit}_r")
    ranks = _ranks(own_units(pictures.blendshapes[studio], pictures.points[studio])[:, column])
    n, m = int(truth.sum()), int((~truth).sum())
    return float((ranks[truth].sum() - n * (n + 1) / 2) / (n * m))


def _ranks(values: Array) -> Array:
    """Ranks from one; equal values share their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[place])


def scales(pictures: Pictures) -> dict[str, tuple[float, float]]:
    """Where each signal begins and is full: percentile 75 of neutral faces, 99 of all."""
    chosen = pictures.training
    found = signals(pictures.blendshapes[chosen], pictures.points[chosen])
    neutral, sources = pictures.emotions[chosen] == "neutral", pictures.sources[chosen]

    def rest(x: Array) -> float:
        own = [x[neutral & (sources == source)] for source in np.unique(sources)]
        return float(np.mean([np.percentile(values, 75) for values in own]))

    return {name: (rest(x), float(np.percentile(x, 99))) for name, x in found.items()}


def compare(pictures: Pictures, folder: Path) -> Result:
    """Make the table."""
    corpora = {**pairs(folder), **clips(folder)}
    sizes = "; ".join(
        f"{k} {len(v.ours)} frames of {len(np.unique(v.videos))} videos" for k, v in corpora.items()
    )
    result = Result(
        "openface-units", f"frames with OpenFace's success and confidence >= {MIN_CONFIDENCE}: {sizes}"
    )
    for unit in UNITS:
        row: dict[str, Value | float] = {}
        for corpus, frames in corpora.items():
            for name, value in figures(frames, unit, interval=corpus == "mer").items():
                row[f"{corpus}_{name}"] = value
        area = separation(pictures, unit)
        if area is not None:
            row["studio_auc"] = area
        usable = "usable" if f"{unit}_r" in USABLE else ""
        result.add(unit, notes={"usable": usable}, **row)
    result.caveats = [
        "r, concordance (ccc), r within videos (each less its own mean), r of the videos' means; share of "
        f"frames with the same presence and its macro-F1 (ours: intensity of {PRESENT_FROM:g} or more). "
        "Brackets: 95 % bootstrap interval over videos.",
        "mer, iemocap: 127 clips of film and TV and of a laboratory, for which not our landmarks are "
        "stored but the shape that OpenFace's model has for them: units 1, 9 and 25 take their distances "
        "from it. mer_clips, iemocap_clips: five and two other clips, with all landmarks.",
        "IEMOCAP's faces are about 45 pixels wide and turned by 20 to 50 degrees.",
        "usable: r of at least .5 by frame on mer and on mer_clips. The others are what their formula "
        "says, and no substitute for OpenFace's column of that number.",
        "studio_auc: area under the ROC curve between posed expressions whose prototype has the unit and "
        "the others; no output of OpenFace is in it. Some of these pictures set the scales, which change "
        "no order but where they clip.",
        "Units 6, 15 and 25 were chosen between two formulas by such tables, unit 1 by studio_auc; nothing "
        "was fitted to OpenFace.",
    ]
    return result


def main() -> None:
    """Print the scales, or write the comparison and print the correlations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["scales"])
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared")
    arguments = parser.parse_args()
    pictures = read_pictures(arguments.root / "data")
    if arguments.what:
        for name, (begin, full) in scales(pictures).items():
            print(f'    "{name}": ({begin:.3g}, {full:.3g}),')
        return
    folder = arguments.root / "reference" / "openface"
    if not (folder / "train_pairs.npz").is_file():
        sys.exit(f"expected train_pairs.npz and clip_*.npz in {folder}, found none; give --root")
    result = compare(pictures, folder)
    result.write()
    for row in result.rows:
        print(row.name, {k: round(v.mean, 2) for k, v in row.metrics.items()})


if __name__ == "__main__":
    main()
