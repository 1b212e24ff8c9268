"""Metrics of continuous sentiment in [-3, 3], in each convention found in the literature.

Papers on CMU-MOSI and CMU-MOSEI report "Acc-7", "Acc-2" and "F1" without saying which rule they
follow; the numbers differ by points. Here every rule has its own name:

Acc-7, Acc-5, F1-7, F1-5
    scores are clipped to [-3, 3], or to [-2, 2], and rounded, ties to even (`numpy.round`, what most
    public code does) or ties away from zero (0.5 to 1, -2.5 to -3). F1 is of ties to even, the mean of
    the classes by support.
Acc-2, F1-2
    negative against non-negative (score < 0 or >= 0, on all samples; Zadeh et al. 2018), or
    negative against positive (samples annotated 0 left out; Tsai et al., ACL 2019).

All take annotated and predicted scores of shape (n,) and raise `DataError` on unequal, empty or
non-finite vectors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trivalent.core.errors import DataError
from trivalent.core.types import SCALE, FloatArray, IntArray
from trivalent.lab.measure.metrics import class_scores

_LIMIT, _LIMIT_5 = SCALE, 2.0


def mean_absolute_error(truth: FloatArray, predicted: FloatArray) -> float:
    """Mean of |truth - predicted|.

    >>> mean_absolute_error(np.array([0.0, 2.0]), np.array([1.0, -1.0]))
    2.0
    """
    truth, predicted = _pair(truth, predicted)
    return float(np.abs(truth - predicted).mean())


def pearson_correlation(truth: FloatArray, predicted: FloatArray) -> float:
    """Pearson's r; NaN where either vector is constant, for which it is undefined.

    >>> round(pearson_correlation(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0])), 6)
    1.0
    """
    truth, predicted = _pair(truth, predicted)
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    # Scaled first, so that squares of tiny or huge values neither vanish nor overflow.
    a, b = (v / np.abs(v).max() for v in (truth - truth.mean(), predicted - predicted.mean()))
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1))


def accuracy7_half_even(truth: FloatArray, predicted: FloatArray) -> float:
    """Seven-class accuracy, ties rounded to even.

    >>> accuracy7_half_even(np.array([0.5, 1.5]), np.array([0.2, 1.6]))
    1.0
    """
    return _accuracy(truth, predicted, np.rint, _LIMIT)


def accuracy7_half_away(truth: FloatArray, predicted: FloatArray) -> float:
    """Seven-class accuracy, ties rounded away from zero.

    >>> accuracy7_half_away(np.array([0.5, 1.5]), np.array([0.2, 1.6]))
    0.5
    """
    return _accuracy(truth, predicted, _half_away, _LIMIT)


def accuracy5_half_even(truth: FloatArray, predicted: FloatArray) -> float:
    """Five-class accuracy, -2 and below to 2 and above, ties rounded to even.

    >>> accuracy5_half_even(np.array([3.0, 1.5]), np.array([2.2, 0.6]))
    0.5
    """
    return _accuracy(truth, predicted, np.rint, _LIMIT_5)


def accuracy5_half_away(truth: FloatArray, predicted: FloatArray) -> float:
    """Five-class accuracy, ties rounded away from zero.

    >>> accuracy5_half_away(np.array([3.0, 0.5]), np.array([2.2, 0.4]))
    0.5
    """
    return _accuracy(truth, predicted, _half_away, _LIMIT_5)


def f1_7(truth: FloatArray, predicted: FloatArray) -> float:
    """Support-weighted mean of the F1 of the seven classes, ties rounded to even."""
    return _weighted_f1(*(_steps(x, np.rint, _LIMIT) + 3 for x in _pair(truth, predicted)))


def f1_5(truth: FloatArray, predicted: FloatArray) -> float:
    """Support-weighted mean of the F1 of the five classes, ties rounded to even."""
    return _weighted_f1(*(_steps(x, np.rint, _LIMIT_5) + 2 for x in _pair(truth, predicted)))


def accuracy2_non_negative(truth: FloatArray, predicted: FloatArray) -> float:
    """Two-class accuracy, score < 0 against score >= 0, on all samples.

    >>> accuracy2_non_negative(np.array([-1.0, 0.0, 2.0]), np.array([-0.1, -0.1, 0.0]))
    0.6666666666666666
    """
    truth, predicted = _pair(truth, predicted)
    return float(np.mean((truth >= 0) == (predicted >= 0)))


def accuracy2_without_zero(truth: FloatArray, predicted: FloatArray) -> float:
    """Two-class accuracy, score > 0 or not, on samples whose annotation is not 0.

    A prediction of exactly 0 counts as negative, as in the public code.

    >>> accuracy2_without_zero(np.array([-1.0, 0.0, 2.0]), np.array([-0.1, -0.1, 0.0]))
    0.5
    """
    truth, predicted = _without_zero(truth, predicted)
    return float(np.mean((truth > 0) == (predicted > 0)))


def f1_2_non_negative(truth: FloatArray, predicted: FloatArray) -> float:
    """Support-weighted mean of the two F1, score < 0 against score >= 0, on all samples."""
    truth, predicted = _pair(truth, predicted)
    return _weighted_f1((truth >= 0).astype(int), (predicted >= 0).astype(int))


def f1_2_without_zero(truth: FloatArray, predicted: FloatArray) -> float:
    """Support-weighted mean of the two F1, score > 0 or not, on samples whose annotation is not 0."""
    truth, predicted = _without_zero(truth, predicted)
    return _weighted_f1((truth > 0).astype(int), (predicted > 0).astype(int))


def summarize_scores(truth: FloatArray, predicted: FloatArray) -> dict[str, float]:
    """All of the above by name.

    A data set whose annotations are all 0 has NaN for the metrics that leave those out.
    """
    some = bool((np.asarray(truth) != 0).any())
    nan = float("nan")
    return {
        "mae": mean_absolute_error(truth, predicted),
        "pearson": pearson_correlation(truth, predicted),
        "accuracy7_half_even": accuracy7_half_even(truth, predicted),
        "accuracy7_half_away": accuracy7_half_away(truth, predicted),
        "accuracy5_half_even": accuracy5_half_even(truth, predicted),
        "accuracy5_half_away": accuracy5_half_away(truth, predicted),
        "f1_7": f1_7(truth, predicted),
        "f1_5": f1_5(truth, predicted),
        "accuracy2_non_negative": accuracy2_non_negative(truth, predicted),
        "accuracy2_without_zero": accuracy2_without_zero(truth, predicted) if some else nan,
        "f1_2_non_negative": f1_2_non_negative(truth, predicted),
        "f1_2_without_zero": f1_2_without_zero(truth, predicted) if some else nan,
    }


Rounded = Callable[[FloatArray], FloatArray]


def _accuracy(truth: FloatArray, predicted: FloatArray, rounded: Rounded, limit: float) -> float:
    truth, predicted = _pair(truth, predicted)
    return float(np.mean(_steps(truth, rounded, limit) == _steps(predicted, rounded, limit)))


def _steps(x: FloatArray, rounded: Rounded, limit: float) -> IntArray:
    # Annotations are clipped too: a mean of annotators never leaves the scale, a shifted copy may.
    return rounded(np.clip(x, -limit, limit)).astype(np.int64)


def _half_away(x: FloatArray) -> FloatArray:
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


def _weighted_f1(truth: IntArray, predicted: IntArray) -> float:
    scores = class_scores(truth, predicted, classes=int(max(truth.max(), predicted.max())) + 1)
    return float(np.average(scores["f1"], weights=scores["support"]))


def _pair(truth: FloatArray, predicted: FloatArray) -> tuple[FloatArray, FloatArray]:
    truth, predicted = np.asarray(truth, float), np.asarray(predicted, float)
    if truth.shape != predicted.shape or truth.ndim != 1 or not len(truth):
        raise DataError("statistics.regression_vectors", shape=truth.shape, shape2=predicted.shape)
    if not (np.isfinite(truth).all() and np.isfinite(predicted).all()):
        bad = int((~(np.isfinite(truth) & np.isfinite(predicted))).sum())
        raise DataError("statistics.regression_finite", bad=bad)
    return truth, predicted


def _without_zero(truth: FloatArray, predicted: FloatArray) -> tuple[FloatArray, FloatArray]:
    truth, predicted = _pair(truth, predicted)
    kept = truth != 0
    if not kept.any():
        raise DataError("statistics.regression_all_zero")
    return truth[kept], predicted[kept]
