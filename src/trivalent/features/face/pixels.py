"""Pictures resized, turned and turned grey, with NumPy and SciPy alone.

The levels are those of OpenCV (`INTER_AREA`, `INTER_LINEAR`, `warpAffine` with processors that multiply and
add in one step, `RGB2GRAY`), whose rounding is therefore followed; a mean that lies halfway between two
levels may round to the other one.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

_LUMA = np.array([9798, 19235, 3735])  # of red, green and blue, in 1/32768
_STRIP = 32  # rows that are warped at a time: what is computed for them stays in the cache

_HALFWAY = 0.4998  # so far from a level, the last bits of float32 decide between it and the next

Picture = NDArray[np.uint8]  # shape (h, w, 3), RGB
# Of each pixel of the result along one side: the pixels before and after it, and their weights in 1/2048.
_Taps = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32], NDArray[np.int32]]


def averaged(image: Picture, size: tuple[int, int]) -> Picture:
    """Resize; a pixel is the mean of what it covers, so that nothing aliases.

    Parameters
    ----------
    image : array of uint8, shape (h, w, 3)
    size : (int, int)
        Width and height of the result.
    """
    height, width = image.shape[:2]
    if width < size[0] or height < size[1]:
        return _blended(image, _overlapped(width, size[0]), _overlapped(height, size[1]))
    sums = _covered(height, size[1]) @ image.reshape(height, -1).astype(np.float32)
    sums = sums.reshape(size[1], width, 3).swapaxes(0, 1).reshape(width, -1)
    sums = (_covered(width, size[0]) @ sums).reshape(size[0], size[1], 3).swapaxes(0, 1)
    if (width, height) == (2 * size[0], 2 * size[1]):  # the only case in which halves are rounded up
        return ((sums.astype(np.int32) + 2) >> 2).astype(np.uint8)
    return np.rint(sums * np.float32(size[0] * size[1] / (width * height))).astype(np.uint8)


def interpolated(image: Picture, size: tuple[int, int]) -> Picture:
    """Enlarge, bilinearly between the centres of the pixels; otherwise as `averaged`."""
    return _blended(
        image,
        _neighbours(image.shape[1], size[0], ends=True),
        _neighbours(image.shape[0], size[1], ends=False),
    )


def warped(image: Picture, source: NDArray[np.float64], side: int) -> Picture:
    """Cut a square out of a picture through an affine map, bilinearly.

    Parameters
    ----------
    image : array of uint8, shape (h, w, 3)
    source : array, shape (2, 3)
        Maps a pixel (x, y) of the result to the image. Outside the image, its border is repeated.
    side : int
        Of the result.
    """
    corners = source @ np.array([[0, side, 0, side], [0, 0, side, side], [1, 1, 1, 1]])
    (first_x, first_y), (last_x, last_y) = (
        np.clip(ends, 0, np.array(image.shape[1::-1]) - 1).astype(int)
        for ends in (corners.min(axis=1) - 1, corners.max(axis=1) + 2)
    )
    part = image[first_y : last_y + 1, first_x : last_x + 1]
    packed = np.zeros((*part.shape[:2], 4), np.uint8)  # so that one index fetches all colours
    packed[..., :3] = part
    pixels, width = packed.view(np.uint32).ravel(), part.shape[1]

    def fetched(index: NDArray[np.intp]) -> NDArray[np.float32]:
        colours = pixels.take(index).view(np.uint8).reshape(*index.shape, 4)
        return np.moveaxis(colours[..., :3], -1, 0).astype(np.float32, order="C")

    m = source.astype(np.float32)
    along = np.arange(side, dtype=np.float32)
    out = np.empty((side, side, 3), np.uint8)
    for start in range(0, side, _STRIP):
        rows = slice(start, start + _STRIP)
        x, y = (_fused(along, m[k, 0], m[k, 1] * along[rows, None] + m[k, 2]) for k in (0, 1))
        left, right, dx = _around(x, first_x, last_x, image.shape[1])
        top, bottom, dy = _around(y, first_y, last_y, image.shape[0])
        around = [row + column for row in (top * width, bottom * width) for column in (left, right)]
        a, b, c, d = (fetched(index) for index in around)
        mixed = _between(_between(a, b, dx), _between(c, d, dx), dy)
        levels = np.rint(mixed)
        out[rows] = np.moveaxis(levels, 0, -1)
        mixed -= levels
        near = (np.abs(mixed, out=mixed) > _HALFWAY).any(axis=0)
        a, b, c, d = (fetched(index[near]) for index in around)
        upper, lower = _fused(b - a, dx[near], a), _fused(d - c, dx[near], c)
        out[rows][near] = np.rint(_fused(lower - upper, dy[near], upper)).T
    return out


def grey(image: Picture) -> NDArray[np.uint8]:
    """Luma (Rec. 601) of a picture, shape (h, w)."""
    return ((image @ _LUMA + (1 << 14)) >> 15).astype(np.uint8)


def _around(
    places: NDArray[np.float32], first: int, last: int, size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the pixels before and after each place, as numbers from `first`, and how far it is between."""
    places = places.clip(0, size - 1)
    before = places.astype(np.intp)
    share = places - before.astype(np.float32)
    before -= first
    return before, np.minimum(before + 1, last - first), share


def _between(
    a: NDArray[np.float32], b: NDArray[np.float32], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    """As `_fused(b - a, share, a)`, but in place and therefore fast, and rounded twice."""
    b -= a
    b *= share
    b += a
    return b


def _fused(
    a: NDArray[np.float32], b: np.float32 | NDArray[np.float32], c: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Multiply and add with one rounding: in float64 the product of two float32 is exact."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


@lru_cache(64)
def _covered(size: int, wanted: int) -> csr_array:
    """How much of each of `size` pixels each of `wanted` covers, shape (wanted, size)."""
    edges = np.arange(wanted + 1) * (size / wanted)
    columns = np.floor(edges[:-1, None]).astype(int) + np.arange(int(np.ceil(size / wanted)) + 1)
    covered = np.minimum(columns + 1, edges[1:, None]) - np.maximum(columns, edges[:-1, None])
    rows = np.broadcast_to(np.arange(wanted)[:, None], columns.shape)
    kept = (columns < size) & (covered > 1e-9)
    return csr_array((covered[kept].astype(np.float32), (rows[kept], columns[kept])), shape=(wanted, size))


def _overlapped(size: int, wanted: int) -> _Taps:
    """Along a side that grows: the one or two pixels that a smaller one covers."""
    first = np.floor(np.arange(wanted) * (1 / (wanted / size))).astype(int)
    share = (np.arange(1, wanted + 1) - (first + 1) * (wanted / size)).astype(np.float32)
    return _taps(first, np.where(share > 0, share - np.floor(share), 0), size)


def _neighbours(size: int, wanted: int, *, ends: bool) -> _Taps:
    """Return the two pixels around each centre; `ends` has what lies outside them count as the last one."""
    places = ((np.arange(wanted) + 0.5) * (1 / (wanted / size)) - 0.5).astype(np.float32)
    first = np.floor(places).astype(int)
    share = places - first.astype(np.float32)
    outside = ends & ((first < 0) | (first >= size - 1))
    return _taps(first, np.where(outside, np.float32(0), share), size)


def _taps(first: NDArray[np.int_], share: NDArray[np.float32], size: int) -> _Taps:
    weights = (np.rint(part * np.float32(2048)).astype(np.int32) for part in (1 - share, share))
    return first.clip(0, size - 1), (first + 1).clip(0, size - 1), *weights


def _blended(image: Picture, columns: _Taps, rows: _Taps) -> Picture:
    """Mix neighbours, in whole numbers."""
    left, right, *across = columns
    top, bottom, *down = rows
    levels = image.astype(np.int32)
    mixed = (levels[:, left] * across[0][:, None] + levels[:, right] * across[1][:, None]) >> 4
    upper, lower = ((w[:, None, None] * mixed[r]) >> 16 for w, r in zip(down, (top, bottom), strict=True))
    return ((upper + lower + 2) >> 2).astype(np.uint8)
