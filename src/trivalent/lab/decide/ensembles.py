"""Several classifiers to one: votes, weighted votes, seeds, stacking.

A stack is an array of shape (members, n, 3): the probabilities that each member gives to each item.
Whatever is *fitted* here (weights, the stacking model) takes validation items.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from trivalent.bundle.fusion import softmax
from trivalent.core.errors import DataError, MissingExtraError, UsageError
from trivalent.core.types import FloatArray, IntArray
from trivalent.lab.measure.metrics import macro_f1

_FLOOR = 1e-6  # of probabilities in logarithms: no member may be so sure that others cannot answer
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


@dataclass(frozen=True, eq=False)
class SeedEnsemble:
    """Runs of one recipe with different seeds, as one classifier.

    Attributes
    ----------
    probabilities : array, shape (n, 3)
        Their mean.
    disagreement : array, shape (n,)
        Entropy of the mean minus mean entropy, in bits: what the seeds disagree about, 0 where all
        runs say the same (mutual information; Houlsby et al. 2011).
    agreement : array, shape (n,)
        Share of runs whose argmax is that of the mean.
    """

    probabilities: FloatArray
    disagreement: FloatArray
    agreement: FloatArray


def seed_ensemble(stack: FloatArray) -> SeedEnsemble:
    """Average runs with different seeds (deep ensemble; Lakshminarayanan et al., NeurIPS 2017).

    Parameters
    ----------
    stack : array, shape (seeds, n, 3)

    Raises
    ------
    DataError
        The stack has another shape.
    """
    stack = _stack(stack)
    mean = stack.mean(0)
    disagreement = np.maximum(0.0, _entropy(mean) - _entropy(stack).mean(0))
    return SeedEnsemble(mean, disagreement, (stack.argmax(2) == mean.argmax(1)).mean(0))


@dataclass(frozen=True, eq=False)
class Stacking:
    """A fitted stacking model.

    Attributes
    ----------
    coefficients : array, shape (3, members * 3)
        Of the members' log-probabilities, member by member.
    intercept : array, shape (3,)
        Minus infinity for a class without a fitted item.
    out_of_fold : array, shape (n, 3)
        Cross-fitted probabilities of the validation items: judge and calibrate with these, since the
        model has seen the items that it was fitted on.
    folds : int array, shape (n,)
        Fold of each validation item.
    """

    coefficients: FloatArray
    intercept: FloatArray
    out_of_fold: FloatArray
    folds: IntArray

    def predict(self, stack: FloatArray) -> FloatArray:
        """Probabilities of new items, shape (n, 3).

        Raises
        ------
        DataError
            The stack has another shape or number of members.
        """
        features = _log_features(_stack(stack))
        if features.shape[1] != self.coefficients.shape[1]:
            members = self.coefficients.shape[1] // len(self.intercept)
            raise DataError("decision.ensemble_members", members=members, count=len(stack))
        return softmax(features @ self.coefficients.T + self.intercept)


def fit_stacking(
    stack: FloatArray,
    labels: IntArray,
    *,
    groups: Sequence[str] | None = None,
    folds: int = 5,
    strength: float = 1.0,
    balanced: bool = False,
    seed: int = 0,
) -> Stacking:
    """Fit multinomial logistic regression on validation log-probabilities (Wolpert 1992).

    The final model is fitted on all items; `out_of_fold` comes from models that did not see the item
    nor, with `groups`, its video or speaker.

    Parameters
    ----------
    stack : array, shape (members, n, 3)
        Of *validation* items: on training items the members look better than they are.
    labels : int array, shape (n,)
    groups : sequence of str, length n, optional
        Kept whole in a fold.
    folds : int
        2 or more; stratified by label.
    strength : float
        Inverse of the L2 penalty, as scikit-learn's `C`.
    balanced : bool
        Weight classes by 1 / count.
    seed : int
        Of the folds.

    Raises
    ------
    DataError
        The stack does not fit the labels, there is one class only, or fewer items or groups than folds.
    UsageError
        `folds` is below 2 or `strength` is not positive.
    MissingExtraError
        scikit-learn is not installed.
    """
    stack, labels = _stack(stack), np.asarray(labels)
    _fits(stack, labels)
    if folds < 2 or not strength > 0:
        raise UsageError("decision.ensemble_folds", folds=folds, strength=strength)
    if len(np.unique(labels)) < 2:
        raise DataError("decision.ensemble_one_class", labels=labels[0])
    which = _folds(labels, groups, folds, seed)
    features = _log_features(stack)
    held_out = np.empty((len(labels), stack.shape[2]))
    for fold in range(folds):
        seen, new = which != fold, which == fold
        if len(np.unique(labels[seen])) < 2:
            raise DataError("decision.ensemble_class_folds")
        w, b = _regression(features[seen], labels[seen], stack.shape[2], strength, balanced)
        held_out[new] = softmax(features[new] @ w.T + b)
    w, b = _regression(features, labels, stack.shape[2], strength, balanced)
    return Stacking(w, b, held_out, which)


def _regression(
    features: FloatArray, labels: IntArray, classes: int, strength: float, balanced: bool
) -> tuple[FloatArray, FloatArray]:
    """Coefficients (classes, d) and intercept (classes,), also where a class has no item."""
    model = _sklearn("linear_model").LogisticRegression(
        C=strength, class_weight="balanced" if balanced else None, max_iter=2000
    )
    model.fit(features, labels)
    w, b = np.zeros((classes, features.shape[1])), np.full(classes, -np.inf)
    if len(model.classes_) == 2:
        # Two classes: one row, the log-odds of the second.
        w[model.classes_[1]], b[model.classes_] = model.coef_[0], [0.0, model.intercept_[0]]
    else:
        w[model.classes_], b[model.classes_] = model.coef_, model.intercept_
    return w, b


def _folds(labels: IntArray, groups: Sequence[str] | None, folds: int, seed: int) -> IntArray:
    selection = _sklearn("model_selection")
    keys = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if len(keys) != len(labels):
        raise DataError("decision.ensemble_groups", count=len(labels), count2=len(keys))
    if len(np.unique(keys)) < folds:
        raise DataError("decision.ensemble_few_items", folds=folds, count=len(np.unique(keys)))
    kind = selection.StratifiedKFold if groups is None else selection.StratifiedGroupKFold
    if groups is None and np.unique(labels, return_counts=True)[1].max() < folds:
        kind = selection.KFold  # too few of every class to stratify
    which = np.empty(len(labels), np.int64)
    splitter = kind(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Some folds lack a class then, which the fit allows for.
        warnings.filterwarnings("ignore", message="The least populated class")
        splits = list(splitter.split(labels, labels, None if groups is None else keys))
    for fold, (_, held_out) in enumerate(splits):
        which[held_out] = fold
    return which


def _sklearn(module: str) -> Any:
    try:
        import sklearn.linear_model
        import sklearn.model_selection
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "train") from error
    return getattr(sklearn, module)


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


def _log_features(stack: FloatArray) -> FloatArray:
    """Log-probabilities side by side, shape (n, members * classes)."""
    return np.log(np.clip(stack, _FLOOR, 1)).transpose(1, 0, 2).reshape(stack.shape[1], -1)


def _entropy(p: FloatArray) -> FloatArray:
    return -(p * np.log2(np.clip(p, 1e-12, 1))).sum(-1)
