"""How well confidence tells right from wrong: calibration by class, and risk against coverage.

`expected_calibration_error` (top label), `brier` and `negative_log_likelihood` are in
`trivalent.lab.measure.metrics` and are the same functions here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import FloatArray
from trivalent.lab.measure.metrics import (
    IntArray,
    brier,
    expected_calibration_error,
    negative_log_likelihood,
)

__all__ = [
    "RiskCoverage",
    "brier",
    "classwise_calibration_error",
    "expected_calibration_error",
    "negative_log_likelihood",
    "reliability",
    "Reliability",
    "risk_coverage",
]


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram: `confidence` and `frequency` are means per bin, NaN where `count` is 0."""

    confidence: FloatArray
    frequency: FloatArray
    count: IntArray

    @property
    def error(self) -> float:
        """Gap between confidence and frequency, weighted by count: the ECE."""
        used = self.count > 0
        gaps = np.abs(self.confidence[used] - self.frequency[used])
        return float(np.average(gaps, weights=self.count[used]))


def reliability(confidence: FloatArray, correct: NDArray[np.bool_], *, bins: int = 15) -> Reliability:
    """Bin confidences with equal width, bin m holding ((m-1)/M, m/M] (Guo et al., ICML 2017, eq. 1-2).

    Parameters
    ----------
    confidence : array, shape (n,), in [0, 1]
    correct : array of bool, shape (n,)
        Whether what was announced with that confidence came true.

    Raises
    ------
    DataError
        Shapes differ, nothing was given, or a confidence is outside [0, 1].
    """
    confidence, correct = _pair(confidence, correct)
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    divisor = np.where(count > 0, count, np.nan)
    return Reliability(
        np.bincount(which, weights=confidence, minlength=bins) / divisor,
        np.bincount(which, weights=correct, minlength=bins) / divisor,
        count,
    )


def classwise_calibration_error(labels: IntArray, probabilities: FloatArray, *, bins: int = 15) -> float:
    """Mean over classes of the ECE of p_c as a forecast of "the label is c".

    (Nixon et al., CVPR workshops 2019, "static calibration error"; Kull et al., NeurIPS 2019, eq. 2.)
    It sees what the top-label ECE hides: a rare class whose probability is never the largest.

    >>> p = np.array([[.8, .2, 0.], [.8, .2, 0.]])
    >>> round(classwise_calibration_error(np.array([0, 1]), p, bins=10), 6)
    0.2
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, float)
    if probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise DataError("calibration.uncertainty_shape", count=len(labels), shape=probabilities.shape)
    classes = range(probabilities.shape[1])
    return float(np.mean([reliability(probabilities[:, c], labels == c, bins=bins).error for c in classes]))


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """The share of errors among the k most confident answers, k = 1..n.

    Attributes
    ----------
    coverage : array, shape (n,)
        k / n.
    risk : array, shape (n,)
        Errors among those k, as a share.
    """

    coverage: FloatArray
    risk: FloatArray

    @property
    def area(self) -> float:
        """AURC: mean risk over the coverages; 0 is perfect, lower is better."""
        return float(self.risk.mean())

    def at(self, coverage: float) -> float:
        """Risk at the smallest coverage that is at least the one asked for."""
        return float(self.risk[np.searchsorted(self.coverage, min(coverage, 1.0) - 1e-12)])


def risk_coverage(confidence: FloatArray, correct: NDArray[np.bool_]) -> RiskCoverage:
    """Order answers by confidence and tell the risk at every coverage (Geifman & El-Yaniv, NeurIPS 2017).

    Answers with equal confidence have no order: within a tie the errors are spread evenly, which
    is the mean over all orders, so that the result does not depend on the order of the rows.

    Parameters
    ----------
    confidence : array, shape (n,), in [0, 1]
    correct : array of bool, shape (n,)

    Raises
    ------
    DataError
        Shapes differ, nothing was given, or a confidence is outside [0, 1].

    Examples
    --------
    >>> curve = risk_coverage(np.array([.9, .8, .7, .6]), np.array([True, True, False, True]))
    >>> curve.risk.round(3).tolist(), round(curve.area, 4)
    ([0.0, 0.0, 0.333, 0.25], 0.1458)
    """
    confidence, correct = _pair(confidence, correct)
    order = np.argsort(-confidence, kind="stable")
    _, block = np.unique(-confidence[order], return_inverse=True)
    wrong = (~correct[order]).astype(float)
    shared = np.bincount(block, weights=wrong) / np.bincount(block)
    taken = np.arange(1, len(wrong) + 1)
    return RiskCoverage(taken / len(wrong), np.cumsum(shared[block]) / taken)


def _pair(confidence: FloatArray, correct: NDArray[np.bool_]) -> tuple[FloatArray, NDArray[np.bool_]]:
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, bool)
    if confidence.shape != correct.shape or confidence.ndim != 1 or not len(correct):
        raise DataError("calibration.uncertainty_vectors", shape=confidence.shape, shape2=correct.shape)
    if not ((confidence >= 0) & (confidence <= 1 + 1e-9)).all():
        raise DataError("calibration.uncertainty_confidences")
    return confidence, correct
