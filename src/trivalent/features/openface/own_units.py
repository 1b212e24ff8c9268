"""Our own action units: intensities and presences out of blendshapes and landmarks, by formulas alone.

What an action unit is: P. Ekman and W. V. Friesen, "Facial Action Coding System", 1978. A blendshape of
the ARKit kind that MediaPipe estimates is mostly one of them on one side of a face: `browInnerUp` is
unit 1, `mouthSmile` 12, `mouthFrown` 15, `mouthShrugLower` 17 (C. Grishchenko et al., "Blendshapes
GHUM", 2023, arXiv:2309.05782). Where MediaPipe's blendshape is silent or a landmark says it better, the
formula has a distance in the head's own axes and in widths of the eyes' outer corners.

Neither OpenFace's files nor its output had a part in the numbers here. Its published output was looked
at to choose between two formulas for units 6, 15 and 25, and to say which units can be used in place of
OpenFace's: `USABLE`. `benchmarks/openface_units.py` has the comparison.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trivalent.features.face.columns import BLENDSHAPES

Array = NDArray[np.float64]

# A signal is the mean of a blendshape's left and right side, or one of `_distances`. A unit is the mean
# of its signals, each of them scaled as `SCALES` says and kept in [0, 1], times `MOST`.
_FORMULAS: Mapping[int, tuple[str, ...]] = {
    1: ("browInnerUp", "inner_over_outer_brow"),  # the inner part rises, the outer one stays
    2: ("browOuterUp",),
    4: ("browDown",),
    5: ("eyeWide",),
    6: ("mouthSmile", "cheekPuff"),  # `cheekSquint` is silent; `cheekPuff`, though weak, follows the cheeks
    7: ("eyeSquint",),
    9: ("brow_to_nose",),  # `noseSneer` is silent
    10: ("mouthUpperUp",),
    12: ("mouthSmile",),
    14: ("mouthDimple",),
    15: ("mouthFrown", "mouthRollLower"),  # rather than `mouthFrown` alone: by comparison
    17: ("mouthShrugLower",),
    20: ("mouthStretch",),
    25: ("lips_parted", "mouthLowerDown"),
    26: ("jawOpen",),
    45: ("eyeBlink",),
}
SIGNALS = tuple(dict.fromkeys(name for names in _FORMULAS.values() for name in names))
MOST = 5.0  # the scale of FACS' five grades, as OpenFace writes it
PRESENT_FROM = 1.0  # its first grade, a trace

# Where a signal begins and where it is full: the 75th percentile of neutral faces (mean of the two
# collections) and the 99th of all, over the face pictures of people who train the face expert.
# `python benchmarks/openface_units.py scales` prints them.
SCALES: Mapping[str, tuple[float, float]] = {
    "browInnerUp": (0.105, 0.848),
    "inner_over_outer_brow": (-0.0684, -0.0441),
    "browOuterUp": (0.0772, 0.771),
    "browDown": (0.231, 0.82),
    "eyeWide": (0.011, 0.12),
    "mouthSmile": (0.0141, 0.956),
    "cheekPuff": (5.1e-05, 0.002),
    "eyeSquint": (0.445, 0.79),
    "brow_to_nose": (-0.238, -0.2),
    "mouthUpperUp": (0.0027, 0.848),
    "mouthDimple": (0.0268, 0.163),
    "mouthFrown": (0.00784, 0.361),
    "mouthRollLower": (0.0368, 0.438),
    "mouthShrugLower": (0.135, 0.816),
    "mouthStretch": (0.0131, 0.52),
    "lips_parted": (0.0502, 0.354),
    "mouthLowerDown": (0.0108, 0.804),
    "jawOpen": (0.0444, 0.562),
    "eyeBlink": (0.236, 0.661),
}

OWN_UNIT_COLUMNS: tuple[str, ...] = (
    *(f"au.{unit:02d}_r" for unit in _FORMULAS),
    *(f"au.{unit:02d}_c" for unit in _FORMULAS),
)
# Units that follow OpenFace's with r >= .5 over the frames of many videos; the others are what their
# formula says and no substitute for OpenFace's column of that number.
USABLE: tuple[str, ...] = ("au.06_r", "au.12_r")

_RIGHT_EYE, _LEFT_EYE = (33, 133), (263, 362)  # outer and inner corner; the subject's right, seen left
_UNDER_NOSE = 2
_INNER_BROWS, _BROW_MIDDLES = (107, 336), (105, 334)
_NOSE_ROOT = 168
_INNER_LIPS = (13, 14)


def own_units(blendshapes: NDArray[np.floating], points: NDArray[np.floating]) -> Array:
    """Compute the action units of faces, each by itself.

    Parameters
    ----------
    blendshapes : array, shape (n, 52)
        Activations in [0, 1] in the order of `BLENDSHAPES`.
    points : array, shape (n, 478, 3)
        Landmarks of the same faces, in pixels: x right, y down, z away from the camera.

    Returns
    -------
    array, shape (n, 32)
        In the order of `OWN_UNIT_COLUMNS`: intensities in [0, 5], then presences, 0 or 1, which are 1
        where the intensity is 1 or more. NaN where a face has no value or no extent.

    Examples
    --------
    >>> smile = np.zeros((1, 52))
    >>> smile[0, [BLENDSHAPES.index(f"mouthSmile{side}") for side in ("Left", "Right")]] = 1.0
    >>> units = own_units(smile, np.random.default_rng(0).normal(size=(1, 478, 3)))
    >>> units[0, [OWN_UNIT_COLUMNS.index(name) for name in ("au.12_r", "au.12_c", "au.45_r")]].tolist()
    [5.0, 1.0, 0.0]
    """
    found = signals(blendshapes, points)
    scaled = {}
    for name, (begin, full) in SCALES.items():
        scaled[name] = np.clip((found[name] - begin) / (full - begin), 0.0, 1.0)
    means = [np.mean([scaled[name] for name in names], axis=0) for names in _FORMULAS.values()]
    intensities = MOST * np.stack(means, axis=1)
    presences = np.where(np.isnan(intensities), np.nan, intensities >= PRESENT_FROM)
    return np.concatenate([intensities, presences], axis=1)


def signals(blendshapes: NDArray[np.floating], points: NDArray[np.floating]) -> dict[str, Array]:
    """Compute what the formulas are made of, not scaled yet, each of shape (n,); see `own_units`."""
    values = np.asarray(blendshapes, np.float64)
    distances = _distances(np.asarray(points, np.float64))
    return {
        name: distances[name] if name in distances else _of_both_sides(values, name) for name in SIGNALS
    }


def _of_both_sides(blendshapes: Array, name: str) -> Array:
    """Mean of a blendshape's left and right side, or the one that has no sides."""
    sides = [i for i, column in enumerate(BLENDSHAPES) if column in (name, f"{name}Left", f"{name}Right")]
    return np.asarray(blendshapes[:, sides].mean(axis=1))


def _distances(points: Array) -> dict[str, Array]:
    """Measure faces in widths of their eyes' outer corners, whichever way the head is turned."""
    width, down = _width(points), _down(points)

    def apart(first: int, second: int) -> Array:
        return np.asarray(np.linalg.norm(points[:, first] - points[:, second], axis=1) / width)

    def height(indices: tuple[int, int]) -> Array:
        return np.asarray(-(points[:, indices].mean(axis=1) * down).sum(axis=1) / width)

    return {
        "inner_over_outer_brow": height(_INNER_BROWS) - height(_BROW_MIDDLES),
        "brow_to_nose": -np.mean([apart(i, _NOSE_ROOT) for i in _INNER_BROWS], axis=0),
        "lips_parted": apart(*_INNER_LIPS),
    }


def _width(points: Array) -> Array:
    """Distance of the outer corners of the eyes, shape (n,); NaN instead of zero."""
    width = np.linalg.norm(points[:, _LEFT_EYE[0]] - points[:, _RIGHT_EYE[0]], axis=1)
    return np.where(width > 0, width, np.nan)


def _down(points: Array) -> Array:
    """Direction from between the eyes to below the nose, across the line of the eyes, shape (n, 3)."""
    right, left = points[:, _RIGHT_EYE].mean(axis=1), points[:, _LEFT_EYE].mean(axis=1)
    across = left - right
    down = points[:, _UNDER_NOSE] - (left + right) / 2
    power = (across**2).sum(axis=1, keepdims=True)
    down = down - across * (down * across).sum(axis=1, keepdims=True) / np.where(power > 0, power, np.nan)
    length = np.linalg.norm(down, axis=1, keepdims=True)
    return np.asarray(down / np.where(length > 0, length, np.nan))


__all__ = ["MOST", "OWN_UNIT_COLUMNS", "PRESENT_FROM", "SCALES", "USABLE", "own_units", "signals"]
