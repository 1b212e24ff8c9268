"""Windows, frames, overlap-add and the output grid: the arithmetic that every measure shares.

Positions called *knots* are counted from 1, as in the papers' reference implementation, since
several measures depend on which of two neighbouring samples is meant.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from trivalent.core.types import FloatArray

FS = 16_000  # every measure is defined at this sampling rate (Hz)
HOP = 160  # samples between two analysis frames: 10 ms

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def hanning(length: int) -> Array:
    """Hann window whose end points are not zero, shape (length,)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1, length + 1) / (length + 1))


def round_half_away(value: FloatArray | float) -> Ints:
    """Round to the nearest integer, halves away from zero (NumPy rounds them to even).

    >>> round_half_away(np.array([0.5, 1.5, 2.4, -0.5, -2.4])).tolist()
    [1, 2, 2, -1, -2]
    """
    number = np.asarray(value, dtype=np.float64)
    return np.trunc(number + np.copysign(0.5, number)).astype(np.int64)


def frame_view(x: Array, length: int, shift: int) -> Array:
    """View of all whole frames, shape (frames, length); empty if x is shorter than one frame."""
    if x.size < length:
        return np.empty((0, length))
    return sliding_window_view(x, length)[::shift]


def blocks(count: int, size: int) -> Iterator[slice]:
    """Cut range(count) into slices of at most `size`, so that memory stays bounded.

    >>> list(blocks(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def blocks_by_length(lengths: Ints, budget: int) -> Iterator[Ints]:
    """Yield the indices of items of similar length, so that padding them to equal length is cheap.

    A block holds at most `budget` samples after padding, but at least one item.

    >>> [block.tolist() for block in blocks_by_length(np.array([5, 2, 50, 3]), 10)]
    [[1, 3], [0], [2]]
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < order.size:
        some = order[start : start + max(1, budget // max(1, int(lengths[order[start]])))]
        fits = np.count_nonzero(lengths[some] * np.arange(1, some.size + 1) <= budget)
        stop = start + max(1, int(fits))
        yield order[start:stop]
        start = stop


def gather(x: Array, starts: Ints, lengths: Ints) -> tuple[Array, NDArray[np.bool_]]:
    """Pieces of `x` from `starts` (counted from 0), padded with zeros to the longest.

    Returns
    -------
    pieces : array of float64, shape (n, longest)
    inside : array of bool, shape (n, longest)
        False on the padding.
    """
    k = np.arange(int(lengths.max(initial=0)))
    inside = k < lengths[:, None]
    index = np.minimum(starts[:, None] + k, x.size - 1)
    return np.where(inside, x[index], 0.0), inside


def overlap_add(out: Array, frames: Array, *, first: int, shift: int) -> None:
    """Add frames (n, length) to `out` in place; frame i starts at sample (first + i) * shift.

    `out` must reach to (first + n - 1) * shift + length rounded up to whole shifts.
    """
    n, length = frames.shape
    parts = -(-length // shift)
    padded = np.zeros((n, parts * shift))
    padded[:, :length] = frames
    for part in range(parts):
        start = (first + part) * shift
        target = out[start : start + n * shift].reshape(n, shift)
        target += padded[:, part * shift : (part + 1) * shift]


def output_grid(samples: int, hop: int) -> Array:
    """Positions (from 1) of the table's rows: half a hop, then every hop, shape (rows,).

    >>> output_grid(500, 160).tolist()
    [80.0, 240.0, 400.0]
    """
    first = (hop + 1) // 2
    return np.arange(first, samples + 1, hop, dtype=np.float64)


def on_grid(knots: Array | NDArray[np.int64], values: Array, grid: Array) -> Array:
    """Interpolate linearly; NaN outside the knots and next to a NaN.

    Written out, because `numpy.interp` treats an infinite neighbour otherwise.

    Parameters
    ----------
    knots : array, shape (m,)
        Increasing positions in samples.
    values : array of float64, shape (m, c)
    grid : array of float64, shape (rows,)

    Returns
    -------
    array of float64, shape (rows, c)
    """
    out = np.full((grid.size, values.shape[1]), np.nan)
    if knots.size == 0:
        return out
    inside = (grid >= knots[0]) & (grid <= knots[-1])
    right = np.searchsorted(knots, grid[inside])  # knots[right - 1] < grid <= knots[right]
    left = np.maximum(right - 1, 0)
    span = np.where(right == left, 1, knots[right] - knots[left])
    share = ((grid[inside] - knots[left]) / span)[:, None]
    with np.errstate(invalid="ignore"):
        bridge = values[left] + (values[right] - values[left]) * share
    # On a knot the neighbour must not matter: (NaN - y) * 0 is not 0.
    out[inside] = np.where(share == 1, values[right], bridge)
    return out
