"""Average features over segments or words, weighted by the time that they share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from trivalent.core.errors import DataError

Array = NDArray[np.float64]


def average_over(intervals: Array, features: NDArray[Any], *, spans: Array) -> tuple[Array, Array]:
    """Average a track over spans of time.

    A track is constant within each of its intervals; its mean over a span weights every
    interval by the time that both share. The weights are a sparse matrix with a row for each
    span, so that the cost is one pass over the cells that the spans touch.

    Parameters
    ----------
    intervals : array of float64, shape (n, 2)
        Start and end in seconds, in order and without overlap; see `tidy`.
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
    weights = shared_time(intervals, spans)
    known = np.isfinite(features)
    shared = np.asarray(weights.sum(axis=1)).ravel()
    if known.all():
        amount = weights @ features
        time = np.broadcast_to(shared[:, None], amount.shape)
    else:
        amount, time = weights @ np.where(known, features, 0), weights @ known.astype(features.dtype)
    means = np.full(amount.shape, np.nan)
    np.divide(amount, time, out=means, where=time > 1e-9)
    length = spans[:, 1] - spans[:, 0]
    covered = np.divide(shared, length, out=np.zeros(len(spans)), where=length > 0)
    return means, np.clip(covered, 0, 1)


def shared_time(intervals: Array, spans: Array) -> csr_array:
    """Seconds that each span shares with each interval, sparse, shape (m, n)."""
    first = np.searchsorted(intervals[:, 1], spans[:, 0], side="right")
    last = np.searchsorted(intervals[:, 0], spans[:, 1], side="left")
    counts = np.maximum(last - first, 0)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    row = np.repeat(np.arange(len(spans)), counts)
    # The i-th entry of a row is the i-th interval after its first.
    column = np.arange(bounds[-1]) - bounds[row] + first[row]
    start = np.maximum(intervals[column, 0], spans[row, 0])
    end = np.minimum(intervals[column, 1], spans[row, 1])
    return csr_array((np.maximum(end - start, 0), column, bounds), shape=(len(spans), len(intervals)))


def tidy(intervals: Array, features: NDArray[Any]) -> tuple[Array, NDArray[Any], int]:
    """Put a track in order and cut overlaps: an interval ends where the next one starts.

    Returns
    -------
    intervals, features : arrays
        Ordered by start.
    repaired : int
        Intervals that were moved or shortened by more than a millisecond.
    """
    order = np.argsort(intervals[:, 0], kind="stable")
    ordered = intervals[order].astype(np.float64)
    before = ordered.copy()
    ordered[:-1, 1] = np.minimum(ordered[:-1, 1], ordered[1:, 0])
    changed = (order != np.arange(len(order))) | (np.abs(ordered - before) > 1e-3).any(axis=1)
    return ordered, features[order], int(changed.sum())


def _check(intervals: Array, features: NDArray[Any], spans: Array) -> None:
    if (
        intervals.shape != (len(features), 2)
        or features.ndim != 2
        or spans.ndim != 2
        or spans.shape[1] != 2
    ):
        raise DataError(
            "csd.alignment_shapes", shape=intervals.shape, shape2=features.shape, shape3=spans.shape
        )
    if not (np.isfinite(intervals).all() and np.isfinite(spans).all()):
        raise DataError("csd.alignment_finite")
    if (np.diff(intervals.ravel()) < 0).any():
        row = int(np.flatnonzero(np.diff(intervals.ravel()) < 0)[0] + 1) // 2
        raise DataError("csd.alignment_order", intervals=intervals[row].tolist(), row=row)
    if (spans[:, 1] < spans[:, 0]).any():
        row = int(np.flatnonzero(spans[:, 1] < spans[:, 0])[0])
        raise DataError("csd.alignment_spans", spans=spans[row].tolist(), row=row)
