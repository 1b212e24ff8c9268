"""From probabilities to labels: thresholds and ratios, found on validation data.

Everything that is *searched* here takes validation probabilities: a rule tuned on the items that it
is then judged on reports its own luck. What was found is applied by `trivalent.bundle.decision`. Abstention
and prediction sets are in `trivalent.lab.decide.abstention` and `trivalent.lab.decide.conformal`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trivalent.bundle.decision import check_table, ratio_rule, threshold_rule
from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import FloatArray, IntArray, Sentiment
from trivalent.lab.measure.metrics import macro_f1

Metric = Callable[[IntArray, IntArray], float]
THRESHOLDS = tuple((np.arange(10, 51) / 100).tolist())  # .10 to .50 in steps of .01
RATIOS = tuple((np.arange(5, 96, 5) / 100).tolist())


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes
    ----------
    thresholds : tuple of float
        One value for `threshold_rule`, one per class for `ratio_rule`.
    score : float
        The metric on the validation items, which it was chosen by (optimistic, therefore).
    baseline : float
        The metric of the plain argmax on the same items.
    """

    thresholds: tuple[float, ...]
    score: float
    baseline: float


def search_threshold(
    probabilities: FloatArray,
    labels: IntArray,
    *,
    of: Sentiment = Sentiment.NEGATIVE,
    grid: Sequence[float] = THRESHOLDS,
    metric: Metric = macro_f1,
) -> Tuned:
    """Find the threshold of one class that maximises a metric on validation items.

    Parameters
    ----------
    probabilities : array, shape (n, 3)
        Of *validation* items.
    labels : int array, shape (n,)
    of : Sentiment
    grid : sequence of float in (0, 1]
    metric : callable
        (labels, predicted) to float, higher is better.

    Returns
    -------
    Tuned
        Of equally good thresholds the middle one: a plateau's centre is farthest from a change.
        The score may lie below the baseline, since no threshold need equal the plain argmax.

    Raises
    ------
    DataError
        Lengths differ or nothing was given.
    UsageError
        The grid is empty or leaves (0, 1].
    """
    p, labels = _items(probabilities, labels)
    if not len(grid):
        raise UsageError("decision.no_thresholds")
    scores = np.array([metric(labels, threshold_rule(p, t, of=of)) for t in grid])
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    # Only the plateau around the first maximum: the middle of two distant maxima may be neither.
    plateau = best[: np.flatnonzero(np.diff(best, append=len(grid) + 1) > 1)[0] + 1]
    chosen = int(plateau[(len(plateau) - 1) // 2])
    return Tuned((float(grid[chosen]),), float(scores[chosen]), metric(labels, p.argmax(1)))


def search_ratios(
    probabilities: FloatArray,
    labels: IntArray,
    *,
    grid: Sequence[float] = RATIOS,
    sweeps: int = 10,
    metric: Metric = macro_f1,
) -> Tuned:
    """Find tau of every class by coordinate search on validation items.

    From the equal tau of the plain argmax, one class after another takes the value of the grid that
    improves the metric most; sweeps go on until none improves. The result is never worse than the
    argmax on these items, and a local optimum in general.

    Parameters
    ----------
    probabilities : array, shape (n, 3)
        Of *validation* items.
    labels : int array, shape (n,)
    grid : sequence of float in (0, 1]
        Relative to 1/3, where the other classes start.
    sweeps : int
        At most this many.
    metric : callable
        (labels, predicted) to float, higher is better.

    Returns
    -------
    Tuned
        Its thresholds fit `trivalent.bundle.decision.ratio`.

    Raises
    ------
    DataError
        Lengths differ or nothing was given.
    UsageError
        The grid leaves (0, 1].
    """
    p, labels = _items(probabilities, labels)
    tau = [1 / p.shape[1]] * p.shape[1]
    best = baseline = metric(labels, p.argmax(1))
    for _ in range(sweeps):
        before = best
        for c in range(len(tau)):
            for value in grid:
                tried = [*tau[:c], float(value), *tau[c + 1 :]]
                score = metric(labels, ratio_rule(p, tried))
                # By more than rounding: otherwise ties would walk away from the argmax.
                if score > best + 1e-12:
                    best, tau = score, tried
        if best == before:
            break
    return Tuned(tuple(tau), float(best), float(baseline))


def _items(probabilities: FloatArray, labels: IntArray) -> tuple[FloatArray, IntArray]:
    p, labels = check_table(probabilities), np.asarray(labels)
    if labels.shape != p.shape[:1] or not len(p):
        raise DataError("decision.labels", shape=labels.shape, count=len(p))
    return p, labels
