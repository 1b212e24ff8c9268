"""Several classifiers to one: votes, with equal, given or searched weights.

A stack is an array of shape (members, n, 3): the probabilities that each member gives to each item.
Weights are searched on validation items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import FloatArray, IntArray
from trivalent.lab.measure.metrics import macro_f1

_MOST_WEIGHTS = 200_000


def soft_vote(stack: FloatArray, *, weights: Sequence[float] | FloatArray | None = None) -> FloatArray:
    """Mean of the members' probabilities, shape (n, 3).

    Parameters
    ----------
    stack : array, shape (members, n, 3)
    weights : sequence of float, length members, optional
        Not negative; their sum does not matter.

    Raises
    ------
    DataError
        The stack has another shape.
    UsageError
        Weights do not fit.

    Examples
    --------
    >>> stack = np.array([[[.6, .3, .1]], [[.2, .3, .5]]])
    >>> soft_vote(stack).round(2).tolist(), soft_vote(stack, weights=[1, 3]).round(2).tolist()
    ([[0.4, 0.3, 0.3]], [[0.3, 0.3, 0.4]])
    """
    stack = _stack(stack)
    return np.tensordot(_weights(weights, len(stack)), stack, axes=1)


def vote_shares(stack: FloatArray, *, weights: Sequence[float] | FloatArray | None = None) -> FloatArray:
    """Share of (weighted) votes that each class gets, every member voting for its argmax; (n, 3)."""
    stack = _stack(stack)
    votes = np.eye(stack.shape[2])[stack.argmax(2)]  # (members, n, 3)
    return np.tensordot(_weights(weights, len(stack)), votes, axes=1)


def hard_vote(stack: FloatArray, *, weights: Sequence[float] | FloatArray | None = None) -> IntArray:
    """Class with most (weighted) votes, shape (n,); the soft vote decides between equals.

    Parameters and errors as for `soft_vote`.

    Examples
    --------
    >>> stack = np.array([[[.9, .1, 0.]], [[.4, .6, 0.]], [[.4, .6, 0.]]])
    >>> hard_vote(stack).tolist(), soft_vote(stack).argmax(1).tolist()
    ([1], [0])
    """
    shares = vote_shares(stack, weights=weights)
    tied = shares >= shares.max(1, keepdims=True) - 1e-9
    return np.where(tied, soft_vote(stack, weights=weights), -1.0).argmax(1)


@dataclass(frozen=True, eq=False)
class FoundWeights:
    """Weights (members,) that sum to 1, their score on validation, and that of equal weights."""

    weights: FloatArray
    score: float
    baseline: float


def search_weights(
    stack: FloatArray,
    labels: IntArray,
    *,
    step: float = 0.1,
    vote: Callable[..., FloatArray] = soft_vote,
    metric: Callable[[IntArray, IntArray], float] = macro_f1,
) -> FoundWeights:
    """Try all weights on a grid of the simplex, on validation items.

    Parameters
    ----------
    stack : array, shape (members, n, 3)
        Of *validation* items.
    labels : int array, shape (n,)
    step : float
        Weights are multiples of it; 1 / step is rounded to a whole number.
    vote : callable
        `soft_vote` or `vote_shares`; the class with the largest value is predicted.
    metric : callable
        (labels, predicted) to float, higher is better.

    Returns
    -------
    FoundWeights
        Of equally good weights the most even ones, which lean on no member without need. Equal
        weights are always tried, so that the score is never below the baseline.

    Raises
    ------
    DataError
        The stack has another shape or does not fit the labels.
    UsageError
        `step` is not in (0, 1] or gives too many combinations.
    """
    stack, labels = _stack(stack), np.asarray(labels)
    _fits(stack, labels)
    if not 0 < step <= 1:
        raise UsageError("decision.ensemble_step", step=step)
    parts, members = round(1 / step), len(stack)
    if comb(parts + members - 1, members - 1) > _MOST_WEIGHTS:
        raise UsageError(
            "decision.ensemble_many_weights", most_weights=_MOST_WEIGHTS, members=members, step=step
        )
    equal = np.full(members, 1 / members)
    baseline = metric(labels, vote(stack, weights=equal).argmax(1))
    best, score, spread = equal, baseline, 0.0
    for counts in _compositions(parts, members):
        weights = np.array(counts) / parts
        unevenness = float(((weights - equal) ** 2).sum())
        found = metric(labels, vote(stack, weights=weights).argmax(1))
        if found > score + 1e-12 or (found >= score - 1e-12 and unevenness < spread):
            best, score, spread = weights, found, unevenness
    return FoundWeights(best, float(score), float(baseline))


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Yield all ways to write `total` as an ordered sum of `parts` counts."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def _stack(stack: FloatArray) -> FloatArray:
    p = np.asarray(stack, float)
    if p.ndim != 3 or 0 in p.shape:
        raise DataError("decision.ensemble_stack", shape=p.shape)
    return p


def _fits(stack: FloatArray, labels: IntArray) -> None:
    if labels.shape != stack.shape[1:2]:
        raise DataError("decision.ensemble_labels", shape=stack.shape[1], shape2=labels.shape)


def _weights(weights: Sequence[float] | FloatArray | None, members: int) -> FloatArray:
    w = np.ones(members) if weights is None else np.asarray(weights, float)
    if w.shape != (members,) or not (w >= 0).all() or not 0 < w.sum() < np.inf:
        raise UsageError("decision.ensemble_weights", members=members, weights=w.tolist())
    return w / w.sum()
