"""When to give no label: a threshold on confidence, chosen on validation data.

An answer is kept when its confidence reaches the threshold, `min_confidence` of
`trivalent.bundle.decision.Decision`. Selective classification: Geifman & El-Yaniv, NeurIPS 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import FloatArray


@dataclass(frozen=True)
class Abstention:
    """A threshold and what it does on the validation items: share answered, share of those right.

    `accuracy` is NaN where correctness was not given.
    """

    threshold: float
    coverage: float
    accuracy: float

    def keeps(self, confidence: FloatArray) -> NDArray[np.bool_]:
        """Tell which answers are given, shape (n,)."""
        return np.asarray(confidence) >= self.threshold


def abstain_for_coverage(
    confidence: FloatArray, coverage: float, *, correct: NDArray[np.bool_] | None = None
) -> Abstention:
    """Find the highest threshold that still answers the wanted share of validation items.

    Parameters
    ----------
    confidence : array, shape (n,)
        Probability of the answer given, on *validation* items.
    coverage : float
        In (0, 1]. With tied confidences more may be answered, never fewer.
    correct : bool array, shape (n,), optional
        For the accuracy to report.

    Raises
    ------
    DataError
        Lengths differ, nothing was given, or a confidence is NaN.
    UsageError
        `coverage` is not in (0, 1].

    Examples
    --------
    >>> abstain_for_coverage(np.array([.9, .5, .7, .6]), .5).threshold
    0.7
    """
    if not 0 < coverage <= 1:
        raise UsageError("decision.abstention_coverage", coverage=coverage)
    confidence, right = _checked(confidence, correct)
    # Less a hair: .55 * 20 is 11.000000000000002, which asks for 11 answers and not for 12.
    needed = max(1, int(np.ceil(coverage * len(confidence) - 1e-9)))
    return _measured(float(np.sort(confidence)[::-1][needed - 1]), confidence, right)


def abstain_for_accuracy(
    confidence: FloatArray, correct: NDArray[np.bool_], *, accuracy: float
) -> Abstention:
    """Find the threshold that answers most validation items with the wanted accuracy.

    Accuracy need not grow with the threshold, so that all are looked at. The accuracy on new items
    will be lower on average: the threshold was chosen for being met here.

    Parameters
    ----------
    confidence : array, shape (n,)
        Probability of the answer given, on *validation* items.
    correct : bool array, shape (n,)
    accuracy : float
        In (0, 1].

    Raises
    ------
    DataError
        No threshold reaches the accuracy, lengths differ, nothing was given, or a confidence is NaN.
    UsageError
        `accuracy` is not in (0, 1].

    Examples
    --------
    >>> found = abstain_for_accuracy(np.array([.9, .8, .7, .6]), np.array([1, 1, 0, 1]) > 0, accuracy=.9)
    >>> found.threshold, found.coverage
    (0.8, 0.5)
    """
    if not 0 < accuracy <= 1:
        raise UsageError("decision.abstention_accuracy", accuracy=accuracy)
    confidence, right = _checked(confidence, correct)
    order = np.argsort(-confidence, kind="stable")
    kept = np.arange(1, len(order) + 1)
    shares = np.cumsum(right[order]) / kept
    # A threshold cannot part equal confidences: only the last of a tie is a place to cut.
    cut = np.append(np.diff(confidence[order]) != 0, True)
    met = np.flatnonzero(cut & (shares >= accuracy - 1e-12))
    if not len(met):
        raise DataError("decision.abstention_unreachable", accuracy=accuracy, shares=shares[cut].max())
    return _measured(float(confidence[order[met[-1]]]), confidence, right)


def _measured(threshold: float, confidence: FloatArray, correct: FloatArray) -> Abstention:
    kept = confidence >= threshold
    return Abstention(threshold, float(kept.mean()), float(correct[kept].mean()))


def _checked(confidence: FloatArray, correct: NDArray[np.bool_] | None) -> tuple[FloatArray, FloatArray]:
    """Confidence and correctness as floats; NaN for the latter where it was not given."""
    confidence = np.asarray(confidence, float)
    right = np.full(confidence.shape, np.nan) if correct is None else np.asarray(correct, float)
    if confidence.shape != right.shape or confidence.ndim != 1 or not len(confidence):
        raise DataError("decision.abstention_vectors", shape=confidence.shape, shape2=right.shape)
    if np.isnan(confidence).any():
        raise DataError("decision.abstention_nan")
    return confidence, right
