"""Metrics of three-way classification, as pure functions of labels and predictions.

Every function takes integer codes of shape (n,) or probabilities of shape (n, classes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trivalent.core.errors import DataError
from trivalent.core.types import FloatArray, IntArray, Sentiment
from trivalent.lab.measure.groups import resamples


def confusion_matrix(labels: IntArray, predicted: IntArray, *, classes: int = len(Sentiment)) -> IntArray:
    """Count pairs; rows are true classes, columns predictions.

    Raises
    ------
    DataError
        Shapes differ, nothing was given, or a code is outside 0..classes-1.

    Examples
    --------
    >>> confusion_matrix(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1])).tolist()
    [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.shape != predicted.shape or labels.ndim != 1 or not len(labels):
        raise DataError("statistics.metric_vectors", shape=labels.shape, shape2=predicted.shape)
    both = np.concatenate([labels, predicted])
    if both.min() < 0 or both.max() >= classes:
        raise DataError("statistics.metric_codes", classes=classes - 1, both=both.min(), both2=both.max())
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def accuracy(labels: IntArray, predicted: IntArray) -> float:
    """Share of correct predictions."""
    return float(np.mean(np.asarray(labels) == np.asarray(predicted)))


def scores_of_confusion(confusion: FloatArray | IntArray) -> dict[str, FloatArray]:
    """Return what confusion matrices tell, shape (..., classes, classes), rows true; 0 where undefined.

    Returns
    -------
    dict of str to array
        precision, recall, f1 and support of each class, shape (..., classes); accuracy, macro_f1 over the
        classes that occur in labels or predictions, and balanced_accuracy over those that occur in
        labels, shape (...).
    """
    confusion = np.asarray(confusion).astype(np.float64)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    predicted, support = confusion.sum(-2), confusion.sum(-1)
    recall, f1 = _ratio(hits, support), _ratio(2 * hits, predicted + support)
    occurs = support > 0
    return {
        "precision": _ratio(hits, predicted),
        "recall": recall,
        "f1": f1,
        "support": support,
        "accuracy": _ratio(hits.sum(-1), support.sum(-1)),
        "macro_f1": _ratio(f1.sum(-1), (predicted + support > 0).sum(-1)),
        "balanced_accuracy": _ratio(recall.sum(-1), occurs.sum(-1)),
    }


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.zeros_like(above, np.float64), where=below > 0)


def class_scores(
    labels: IntArray, predicted: IntArray, *, classes: int = len(Sentiment)
) -> dict[str, FloatArray]:
    """Precision, recall, F1 and support per class, 0 where undefined.

    >>> class_scores(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1]))["recall"].tolist()
    [1.0, 1.0, 0.5]
    """
    found = scores_of_confusion(confusion_matrix(labels, predicted, classes=classes))
    return {key: found[key] for key in ("precision", "recall", "f1", "support")}


def macro_f1(labels: IntArray, predicted: IntArray) -> float:
    """Unweighted mean of F1 over the classes that occur in labels or predictions."""
    return float(scores_of_confusion(confusion_matrix(labels, predicted))["macro_f1"])


def weighted_f1(labels: IntArray, predicted: IntArray) -> float:
    """Mean of F1 weighted by class frequency in the labels."""
    scores = class_scores(labels, predicted)
    return float(np.average(scores["f1"], weights=scores["support"]))


def macro_recall(labels: IntArray, predicted: IntArray) -> float:
    """Mean recall over the classes that occur in the labels (balanced accuracy)."""
    return float(scores_of_confusion(confusion_matrix(labels, predicted))["balanced_accuracy"])


def balanced_accuracy(labels: IntArray, predicted: IntArray) -> float:
    """Mean recall over the classes that occur in the labels: `macro_recall` by its other name.

    (Brodersen et al., ICPR 2010.)
    """
    return macro_recall(labels, predicted)


def matthews_correlation(labels: IntArray, predicted: IntArray) -> float:
    """Correlation of labels and predictions as indicator vectors, in [-1, 1] (Gorodkin 2004).

    0 where either is constant, as in scikit-learn: such predictions carry nothing.

    >>> matthews_correlation(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 2]))
    1.0
    >>> matthews_correlation(np.array([0, 1, 2, 2]), np.array([1, 1, 1, 1]))
    0.0
    """
    matrix = confusion_matrix(labels, predicted).astype(float)
    true_n, said_n, n = matrix.sum(1), matrix.sum(0), matrix.sum()
    covariance = np.trace(matrix) * n - true_n @ said_n
    spread = (n**2 - true_n @ true_n) * (n**2 - said_n @ said_n)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def negative_log_likelihood(labels: IntArray, probabilities: FloatArray) -> float:
    """Mean of -ln p(true class)."""
    picked = np.take_along_axis(np.asarray(probabilities), np.asarray(labels)[:, None], 1)
    return float(-np.log(np.clip(picked, 1e-12, 1)).mean())


def brier(labels: IntArray, probabilities: FloatArray) -> float:
    """Mean squared distance between probabilities and the one-hot truth (Brier 1950)."""
    truth = np.eye(probabilities.shape[1])[np.asarray(labels)]
    return float(((probabilities - truth) ** 2).sum(1).mean())


def expected_calibration_error(labels: IntArray, probabilities: FloatArray, *, bins: int = 15) -> float:
    """Top-label ECE with equal-width bins (Guo et al., ICML 2017, eq. 5).

    >>> expected_calibration_error(np.array([0, 1]), np.array([[.8, .2, 0.], [.8, .2, 0.]]), bins=10)
    0.30000000000000004
    """
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == np.asarray(labels)
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = [abs(correct[which == b].sum() - confidence[which == b].sum()) for b in np.unique(which)]
    return float(sum(gaps) / len(correct))


def summarize(labels: IntArray, probabilities: FloatArray) -> dict[str, float]:
    """All headline metrics of one prediction table."""
    predicted = probabilities.argmax(1)
    scores = class_scores(labels, predicted)
    return {
        "n": float(len(labels)),
        "accuracy": accuracy(labels, predicted),
        "macro_f1": macro_f1(labels, predicted),
        "weighted_f1": weighted_f1(labels, predicted),
        "macro_recall": macro_recall(labels, predicted),
        "negative_f1": float(scores["f1"][Sentiment.NEGATIVE]),
        "negative_recall": float(scores["recall"][Sentiment.NEGATIVE]),
        "ece": expected_calibration_error(labels, probabilities),
        "nll": negative_log_likelihood(labels, probabilities),
        "brier": brier(labels, probabilities),
    }


def bootstrap_interval(
    metric: Callable[[IntArray, FloatArray], float],
    labels: IntArray,
    *,
    probabilities: FloatArray,
    groups: Sequence[str],
    rounds: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile interval, resampling whole groups (videos, speakers).

    Items of one video are not independent; resampling single items would give an
    interval that is too narrow.
    """
    drawn = resamples(groups, rounds=rounds, seed=seed)
    values = [metric(labels[rows], probabilities[rows]) for rows in drawn]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
