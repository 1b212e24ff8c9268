"""Average features over segments or words, weighted by the time that they share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.errors import DataError

Array = NDArray[np.float64]
_BLOCK = 64  # columns at a time: bounds the memory of the running integral


def average_over(intervals: Array, features: NDArray[Any], *, spans: Array) -> tuple[Array, Array]:
    """Average a track over spans of time.

    A track is constant within each of its intervals; its mean over a span weights every
    interval by the time that both share. Computed from the running integral, so that the cost
    does not depend on how long the spans are.

    Parameters
    ----------
    intervals : array of float64, shape (n, 2)
        Start and end in seconds, in order and without overlap.
    features : array of numbers, shape (n, d)
        NaN and infinity count as no value.
    spans : array of float64, shape (m, 2)
        In any order; they may overlap.

    Returns
    -------
    means : array of float64, shape (m, d)
        NaN where a column has no value within a span.
    covered : array of float64, shape (m,)
        Share of each span that intervals cover, 0 to 1.

    Raises
    ------
    DataError
        Intervals that go back or overlap, spans that end before they start, or shapes that
        do not fit.

    Examples
    --------
    >>> means, covered = average_over(
    ...     np.array([[0.0, 1], [1, 2]]), np.array([[1.0], [4]]), spans=np.array([[0.5, 2], [3, 4]])
    ... )
    >>> means.ravel().tolist(), covered.tolist()
    ([3.0, nan], [1.0, 0.0])
    """
    _check(intervals, features, spans)
    means = np.full((len(spans), features.shape[1]), np.nan)
    length = spans[:, 1] - spans[:, 0]
    if not len(intervals):
        return means, np.zeros(len(spans))
    # Knots: every start and end; the rate is zero within gaps.
    knots = intervals.ravel()
    duration = intervals[:, 1] - intervals[:, 0]
    for first in range(0, features.shape[1], _BLOCK):
        block = np.asarray(features[:, first : first + _BLOCK], np.float64)
        known = np.isfinite(block)
        amount = _integral(np.where(known, block, 0.0) * duration[:, None], knots, spans)
        time = _integral(known * duration[:, None], knots, spans)
        some = time > 1e-9
        means[:, first : first + _BLOCK][some] = amount[some] / time[some]
    shared = _integral(duration[:, None], knots, spans)[:, 0]
    covered = np.divide(shared, length, out=np.zeros(len(spans)), where=length > 0)
    return means, np.clip(covered, 0, 1)


def _integral(pieces: Array, knots: Array, spans: Array) -> Array:
    """Integral over each span, shape (m, d); `pieces` (n, d) are the integrals over the intervals."""
    running = np.zeros((len(knots), pieces.shape[1]))
    running[1::2] = np.cumsum(pieces, axis=0)
    running[2::2] = running[1:-1:2]
    return _at(spans[:, 1], knots, running) - _at(spans[:, 0], knots, running)


def _at(times: Array, knots: Array, running: Array) -> Array:
    right = np.clip(np.searchsorted(knots, times, side="right"), 1, len(knots) - 1)
    left = right - 1
    width = knots[right] - knots[left]
    share = np.divide(
        times - knots[left], width, out=(times >= knots[right]).astype(float), where=width > 0
    )
    return running[left] + np.clip(share, 0, 1)[:, None] * (running[right] - running[left])


def _check(intervals: Array, features: NDArray[Any], spans: Array) -> None:
    if (
        intervals.shape != (len(features), 2)
        or features.ndim != 2
        or spans.ndim != 2
        or spans.shape[1] != 2
    ):
        raise DataError(
            f"expected intervals (n, 2), features (n, d) and spans (m, 2), "
            f"got {intervals.shape}, {features.shape} and {spans.shape}"
        )
    if not (np.isfinite(intervals).all() and np.isfinite(spans).all()):
        raise DataError("expected finite times, got NaN or infinity; drop those rows")
    if (np.diff(intervals.ravel()) < 0).any():
        row = int(np.flatnonzero(np.diff(intervals.ravel()) < 0)[0] + 1) // 2
        raise DataError(
            f"expected intervals that follow each other, got {intervals[row].tolist()} in row {row}; "
            "sort them and cut their overlaps"
        )
    if (spans[:, 1] < spans[:, 0]).any():
        row = int(np.flatnonzero(spans[:, 1] < spans[:, 0])[0])
        raise DataError(
            f"expected spans that end after their start, got {spans[row].tolist()} in row {row}"
        )
