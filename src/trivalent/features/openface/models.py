"""The model files of OpenFace's action units, read from the user's own copy.

A folder `AU_predictors` holds a list of 35 linear models (17 regressions of intensities, 18 classifiers of
presences), a shape model of 68 points and its triangles. They may be used for research that earns no money
only; whoever reads them records their digest in what comes of it.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import FeatureError
from trivalent.core.messages import Message
from trivalent.features.openface.columns import INTENSITIES, PRESENCES

ENVIRONMENT = "TRIVALENT_OPENFACE"
MAIN = "main_dynamic_svms.txt"
DESCRIPTOR = 4702  # values: a histogram of 12 x 12 cells x 31, then a shape of 204 and its 34 parameters
POINTS, COMPONENTS = 68, 34

# Where a copy of OpenFace keeps the folder: as it is told apart, built, or checked out.
_PLACES = (
    ".",
    "AU_predictors",
    "bin/AU_predictors",
    "build/bin/AU_predictors",
    "lib/local/FaceAnalyser/AU_predictors",
)
_INT32, _FLOAT64 = 4, 6  # of OpenCV's types of matrices
_REGRESSIONS, _CLASSIFIERS = {0: False, 1: True}, {4: False, 5: True}  # file type: is it dynamic?
_LONGEST = 16 << 20  # bytes of one file; the largest of OpenFace has 75 kB


@dataclass(frozen=True, eq=False)
class ShapeModel:
    """Linear model of 68 points in space, "point distribution model" (Cootes et al., 1995).

    Attributes
    ----------
    mean : array of float64, shape (68, 3)
        Millimetres; x to the image's right, y down, z away from the camera.
    components : array of float64, shape (68, 3, 34)
        Movement of each point for one unit of each parameter.
    variances : array of float64, shape (34,)
        Of the parameters.
    triangles : array of int, shape (111, 3)
        Of points: the surface of the face.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    variances: NDArray[np.float64]
    triangles: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class UnitModels:
    """35 linear models of action units: intensities in the order of `INTENSITIES`, then presences.

    Attributes
    ----------
    weights : array of float64, shape (4702, 35)
    bias : array of float64, shape (35,)
        Of a descriptor as it is: the mean descriptor is taken off already.
    dynamic : array of bool, shape (35,)
        Whether the median descriptor of the person is taken off, too.
    cutoffs : array of float64, shape (17,)
        Share of frames in which an intensity counts as zero; NaN where the level is not shifted.
    classes : array of float64, shape (18, 2)
        Presence for a score up to 0 and above it. Most score above 0 for *absent*.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    dynamic: NDArray[np.bool_]
    cutoffs: NDArray[np.float64]
    classes: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OpenFaceModels:
    """All that is read, and the SHA-256 of the files in the order of their names."""

    shape: ShapeModel
    units: UnitModels
    sha256: str


def find_models(folder: str | Path | None = None) -> Path | None:
    """Find the folder of the model files in a copy of OpenFace.

    Parameters
    ----------
    folder : str or Path, optional
        The copy, its `bin` or the folder itself; else $TRIVALENT_OPENFACE is asked.

    Returns
    -------
    Path or None
        None where nothing was named.

    Raises
    ------
    FeatureError
        There are no model files in what was named as a folder.
    """
    named = folder or os.environ.get(ENVIRONMENT)
    if not named:
        return None
    root = Path(named).expanduser()
    if folder is None and root.is_file():  # the variable may name the program
        root = root.parent
    for place in _PLACES:
        if (root / place / MAIN).is_file():
            return root / place
    if folder is None:  # a program that was built without them, or elsewhere
        return None
    raise FeatureError("openface.models_absent", folder=root, main=MAIN)


def read_models(folder: Path) -> OpenFaceModels:
    """Read the model files of a folder.

    Raises
    ------
    FeatureError
        A file is absent, damaged, or of another version.
    """
    files = _Files(folder)
    main = dict(files.pairs(MAIN))
    if not {"AUPredictor", "PDM", "Triangulation"} <= set(main):
        raise files.unexpected(MAIN, "openface.want_parts")
    shape = _shape_model(files, main["PDM"], main["Triangulation"])
    return OpenFaceModels(shape, _unit_models(files, main["AUPredictor"]), files.sha256())


class _Files:
    """Reads files of one folder and remembers their bytes for the digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._digests: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        inside = PurePosixPath(name.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts or not inside.parts:
            raise self.unexpected(name, "openface.want_inside")
        path = self.folder / inside
        try:
            with path.open("rb") as stream:
                content = stream.read(_LONGEST + 1)
        except OSError as error:
            raise FeatureError(
                "openface.model_unreadable", path=path, reason=error.strerror or "no access"
            ) from error
        if len(content) > _LONGEST:
            raise self.unexpected(name, "openface.want_size", count=_LONGEST)
        self._digests[str(inside)] = hashlib.sha256(content).digest()
        return content

    def lines(self, name: str) -> list[str]:
        """Read the lines of a text that are no comments; they may end in CR LF."""
        try:
            text = self.read(name).decode("ascii")
        except UnicodeDecodeError as error:
            raise self.unexpected(name, "openface.want_text") from error
        stripped = (line.strip() for line in text.splitlines())
        return [line for line in stripped if line and not line.startswith("#")]

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """Read lines of two words."""
        lines = [line.split(None, 1) for line in self.lines(name)]
        if any(len(words) != 2 for words in lines):
            raise self.unexpected(name, "openface.want_pairs")
        return [(first, second) for first, second in lines]

    def matrices(self, name: str, shapes: Sequence[tuple[int, int]]) -> list[NDArray[np.float64]]:
        """Read matrices out of a text: rows, columns, type, then the values row by row."""
        try:
            values = np.array(" ".join(self.lines(name)).split(), np.float64)
        except ValueError as error:
            raise self.unexpected(name, "openface.want_numbers") from error
        read, start = [], 0
        for shape in shapes:
            head = tuple(values[start : start + 2])
            end = start + 3 + shape[0] * shape[1]
            if head != shape or values[start + 2] not in (_INT32, _FLOAT64) or end > len(values):
                raise self.unexpected(name, "openface.want_matrix", rows=shape[0], columns=shape[1])
            read.append(values[start + 3 : end].reshape(shape))
            start = end
        if start != len(values) or not np.isfinite(values).all():
            raise self.unexpected(name, "openface.want_numbers")
        return read

    def unexpected(self, name: str, code: str, **values: object) -> FeatureError:
        """Say what a file should hold."""
        what = Message(code, **values)
        return FeatureError("openface.model_damaged", name=name[:80], folder=self.folder, what=what)

    def sha256(self) -> str:
        parts = (f"{name}\0".encode() + digest for name, digest in sorted(self._digests.items()))
        return hashlib.sha256(b"".join(parts)).hexdigest()


def _shape_model(files: _Files, name: str, triangulation: str) -> ShapeModel:
    rows = 3 * POINTS
    mean, components, variances = files.matrices(name, [(rows, 1), (rows, COMPONENTS), (1, COMPONENTS)])
    (triangles,) = files.matrices(triangulation, [(111, 3)])
    if not (variances > 0).all():
        raise files.unexpected(name, "openface.want_variances")
    if not ((triangles >= 0) & (triangles < POINTS) & (triangles % 1 == 0)).all():
        raise files.unexpected(triangulation, "openface.want_points", count=POINTS)
    by_axis = components.reshape(3, POINTS, COMPONENTS)
    return ShapeModel(
        np.ascontiguousarray(mean.reshape(3, POINTS).T),
        np.ascontiguousarray(by_axis.swapaxes(0, 1)),
        variances[0],
        triangles.astype(np.int64),
    )


@dataclass(frozen=True, eq=False)
class _Linear:
    """One model: see `UnitModels`."""

    weights: NDArray[np.float64]
    bias: float
    dynamic: bool
    cutoff: float = np.nan
    classes: tuple[float, float] = (np.nan, np.nan)


def _unit_models(files: _Files, listing: str) -> UnitModels:
    models: dict[str, _Linear] = {}
    for name, unit in files.pairs(listing):
        kind, model = _linear(files, name)
        models[f"{unit}_{kind}"] = model
    expected = [*INTENSITIES, *PRESENCES]
    if sorted(models) != sorted(expected):
        lacking = sorted(set(expected) ^ set(models))[:4]
        raise files.unexpected(listing, "openface.want_models", names=lacking)
    ordered = [models[name] for name in expected]
    return UnitModels(
        weights=np.stack([one.weights for one in ordered], axis=1),
        bias=np.array([one.bias for one in ordered]),
        dynamic=np.array([one.dynamic for one in ordered]),
        cutoffs=np.array([one.cutoff for one in ordered[: len(INTENSITIES)]]),
        classes=np.array([one.classes for one in ordered[len(INTENSITIES) :]]),
    )


def _linear(files: _Files, name: str) -> tuple[str, _Linear]:
    """Read a model and its kind: `r` for an intensity, `c` for a presence."""
    content = _Bytes(files.read(name))
    try:
        kind = int(content.take("<i")[0])
        if kind not in _REGRESSIONS | _CLASSIFIERS:
            raise files.unexpected(name, "openface.want_type")
        dynamic = (_REGRESSIONS | _CLASSIFIERS)[kind]
        cutoff = content.take("<d")[0] if kind == 1 else -1.0
        mean, weights = content.matrix(), content.matrix()
        (bias,) = content.take("<d")
        above, below = content.take("<dd") if kind in _CLASSIFIERS else (np.nan, np.nan)
    except (struct.error, ValueError) as error:
        raise files.unexpected(name, "openface.want_whole") from error
    if content.left or mean.size != DESCRIPTOR or weights.size != DESCRIPTOR:
        raise files.unexpected(name, "openface.want_weights", count=DESCRIPTOR)
    if not (np.isfinite(mean).all() and np.isfinite(weights).all() and np.isfinite(bias)):
        raise files.unexpected(name, "openface.want_numbers")
    if not (cutoff == -1 or 0 <= cutoff < 1):
        raise files.unexpected(name, "openface.want_cutoff")
    if kind in _CLASSIFIERS and not {above, below} <= {0, 1}:
        raise files.unexpected(name, "openface.want_classes")
    return ("r" if kind in _REGRESSIONS else "c"), _Linear(
        weights, bias - float(mean @ weights), dynamic, np.nan if cutoff == -1 else cutoff, (below, above)
    )


class _Bytes:
    """Reads a binary file from front to back; little endian."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    @property
    def left(self) -> int:
        return len(self._content) - self._at

    def take(self, form: str) -> tuple[float, ...]:
        values = struct.unpack_from(form, self._content, self._at)
        self._at += struct.calcsize(form)
        return values

    def matrix(self) -> NDArray[np.float64]:
        rows, columns, kind = (int(n) for n in self.take("<iii"))
        size = rows * columns
        if kind != _FLOAT64 or not 0 < size <= self.left // 8:
            raise ValueError("no such matrix")
        values = np.frombuffer(self._content, "<f8", size, self._at)
        self._at += 8 * size
        return values


__all__ = ["ENVIRONMENT", "OpenFaceModels", "ShapeModel", "UnitModels", "find_models", "read_models"]
