"""Histograms of oriented gradients of a face.

P. F. Felzenszwalb et al., "Object Detection with Discriminatively Trained Part-Based Models", TPAMI 2010,
with the cells, the signs and the rounding of dlib, with which OpenFace was trained.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trivalent.features.face.pixels import Picture
from trivalent.features.openface.aligned import SIDE

CELL = 8  # pixels
_CELLS = SIDE // CELL
BLOCKS = _CELLS - 2  # cells that have neighbours on all sides
FEATURES = 31
_DIRECTIONS = np.array(
    [
        *[(1, 0), (0.9397, 0.342), (0.766, 0.6428), (0.5, 0.866), (0.1736, 0.9848)],
        *[(-0.1736, 0.9848), (-0.5, 0.866), (-0.766, 0.6428), (-0.9397, 0.342)],
    ],
    np.float32,
)
_HALF = len(_DIRECTIONS)
_LIMIT, _TINY = np.float32(0.2), np.float32(1e-4)
_TEXTURE = np.float32(0.2357)
# Where two colours have gradients of one length: blue counts, then green, except in the last columns,
# which dlib computes one by one.
_BY_BLOCKS = 104


def fhog(face: Picture) -> NDArray[np.float32]:
    """Describe an aligned face, shape (12, 12, 31) for 112 x 112 pixels in RGB.

    Of each cell: 18 signed orientations, 9 unsigned ones, 4 of texture.
    """
    histogram = _histogram(*_gradients(face))
    signed = np.moveaxis(histogram, 0, -1)
    unsigned = signed[..., :_HALF] + signed[..., _HALF:]
    energy = (unsigned**2).sum(axis=-1, dtype=np.float32)
    blocks = energy[:-1, :-1] + energy[1:, :-1] + energy[:-1, 1:] + energy[1:, 1:]
    norms = 1 / np.sqrt(blocks + _TINY)
    inner = slice(1, -1)
    signed, unsigned = signed[inner, inner], unsigned[inner, inner]
    out = np.zeros((BLOCKS, BLOCKS, FEATURES), np.float32)
    for texture, (down, right) in enumerate([(1, 1), (0, 1), (1, 0), (0, 0)]):
        norm = norms[down : down + BLOCKS, right : right + BLOCKS, None]
        limited = np.minimum(signed * norm, _LIMIT)
        out[..., : 2 * _HALF] += limited
        out[..., 2 * _HALF : 3 * _HALF] += np.minimum(unsigned * norm, _LIMIT)
        out[..., 3 * _HALF + texture] = _TEXTURE * limited.sum(axis=-1)
    out[..., : 3 * _HALF] *= np.float32(0.5)
    return out


def _gradients(face: Picture) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Orientation, 0 to 17, and length of the gradient of each inner pixel, of its strongest colour."""
    levels = face.astype(np.int32)
    across = levels[1:-1, 2:] - levels[1:-1, :-2]
    down = levels[2:, 1:-1] - levels[:-2, 1:-1]
    squares = across**2 + down**2
    blue_first = 2 - squares[:, :_BY_BLOCKS, ::-1].argmax(axis=-1)
    red_first = squares[:, _BY_BLOCKS:].argmax(axis=-1)
    colour = np.concatenate([blue_first, red_first], axis=1)[..., None]
    x, y, square = (
        np.take_along_axis(part, colour, axis=-1)[..., 0].astype(np.float32)
        for part in (across, down, squares)
    )
    along = x[..., None] * _DIRECTIONS[:, 0] + y[..., None] * _DIRECTIONS[:, 1]
    nearest = np.abs(along).argmax(axis=-1)
    negative = np.take_along_axis(along, nearest[..., None], axis=-1)[..., 0] < 0
    return nearest + _HALF * negative, np.sqrt(square)


def _histogram(orientation: NDArray[np.intp], length: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share each pixel's gradient among the four cells around it, shape (18, 14, 14)."""
    place = (np.arange(1, SIDE - 1) + 0.5) / CELL - 0.5
    cell = np.floor(place).astype(int)
    share = place - cell
    side = _CELLS + 2  # one more on each side takes what falls outside
    index = orientation * side * side
    sums = np.zeros(2 * _HALF * side * side)
    for down in (0, 1):
        for right in (0, 1):
            at = index + (cell[:, None] + 1 + down) * side + cell + 1 + right
            vertical, horizontal = (share if one else 1 - share for one in (down, right))
            votes = length * np.outer(vertical, horizontal)
            sums += np.bincount(at.ravel(), votes.ravel(), minlength=len(sums))
    return sums.reshape(-1, side, side)[:, 1:-1, 1:-1].astype(np.float32)


__all__ = ["BLOCKS", "FEATURES", "fhog"]
