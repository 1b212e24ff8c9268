"""What can be said of a claim: that it holds, that it is refuted, or that these data cannot tell.

A figure of a trained system has two sources of chance: another seed would have trained another network, and
other videos or speakers might have been in the test part. Their variances add up:

    s^2 = var(over seeds) / seeds + var(over resamples of groups of the mean over seeds),

with degrees of freedom after Welch and Satterthwaite (Biometrika 34, 1947). The first is Student's over
seeds; the second a bootstrap by whole groups (Efron & Tibshirani 1993), for which all rows of a test part
meet the same resamples, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from trivalent.core.types import FloatArray, IntArray
from trivalent.lab.measure.metrics import confusion_matrix, scores_of_confusion

ROUNDS = 1000
LEAST_EFFECT = 0.01  # a smaller difference makes none to a user: a claim of one is refuted
LEVEL, POWER = 0.95, 0.8


class Verdict(StrEnum):
    """On a claim that one row lies above another."""

    HOLDS = "holds"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    UNTESTABLE = "cannot be tested"


@dataclass(frozen=True, eq=False)
class Spread:
    """One figure of one row.

    Attributes
    ----------
    seeds : array, shape (seeds,)
        On the whole test part; one value of what has no seed.
    resampled : array, shape (rounds,)
        Mean over seeds on each resample of the groups.
    groups : int
        Videos, dialogues or speakers of the test part.
    """

    seeds: FloatArray
    resampled: FloatArray
    groups: int

    @classmethod
    def mean(cls, spreads: Sequence[Spread]) -> Spread:
        """Average a figure over several rows, or over test parts that were resampled each by itself."""
        seeds = np.mean(np.broadcast_arrays(*(s.seeds for s in spreads)), axis=0)
        return cls(seeds, np.mean([s.resampled for s in spreads], axis=0), min(s.groups for s in spreads))

    def __sub__(self, other: Spread) -> Spread:
        return Spread(
            self.seeds - other.seeds, self.resampled - other.resampled, min(self.groups, other.groups)
        )

    def estimate(self) -> Estimate:
        """Put both sources of chance together."""
        n = len(self.seeds)
        over_seeds = float(self.seeds.var(ddof=1)) / n if n > 1 else 0.0
        over_groups = float(self.resampled.var())
        total, mean = over_seeds + over_groups, float(self.seeds.mean())
        if total < 1e-18:  # constants, or a row beside itself
            return Estimate(mean, mean, mean, float(abs(mean) < 1e-9), 0.0, n, self.groups)
        parts = [(over_seeds, n - 1), (over_groups, self.groups - 1)]
        freedom = total**2 / sum(v**2 / max(1, df) for v, df in parts if v > 0)
        error, t = float(np.sqrt(total)), stats.t(freedom)
        half = float(t.ppf((1 + LEVEL) / 2)) * error
        return Estimate(
            mean,
            mean - half,
            mean + half,
            float(2 * t.sf(abs(mean) / error)),
            half + float(t.ppf(POWER)) * error,
            n,
            self.groups,
        )


@dataclass(frozen=True)
class Estimate:
    """A figure, or a difference of two, with its 95 % interval over seeds and groups.

    Attributes
    ----------
    mean, low, high : float
    p_value : float
        Two-sided, of a difference of zero.
    visible : float
        The difference that an interval from such data would tell from zero four times in five.
    seeds, groups : int
    """

    mean: float
    low: float
    high: float
    p_value: float
    visible: float
    seeds: int
    groups: int

    @property
    def verdict(self) -> Verdict:
        """On the claim that the difference is above zero.

        It holds if the whole interval lies above zero, and is refuted if the whole interval lies below
        `LEAST_EFFECT`.

        >>> Estimate(0.05, 0.01, 0.09, 0.02, 0.06, 10, 180).verdict
        <Verdict.HOLDS: 'holds'>
        >>> Estimate(0.03, -0.04, 0.10, 0.4, 0.1, 10, 180).verdict
        <Verdict.UNDECIDED: 'undecided'>
        """
        if self.low > 0:
            return Verdict.HOLDS
        return Verdict.REFUTED if self.high < LEAST_EFFECT else Verdict.UNDECIDED

    def told(self) -> str:
        """Say it in a line."""
        over = f"{self.seeds} seeds and {self.groups} groups" if self.seeds > 1 else f"{self.groups} groups"
        return (
            f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}] over {over}, p = {self.p_value:.2g}; "
            f"from {self.visible:.3f} on it would be seen"
        )


class Resamples:
    """The resamples of a test part, the same for every row.

    Parameters
    ----------
    groups : sequence of str, length n
        Video or speaker of each sample.
    """

    def __init__(self, groups: Sequence[str] | NDArray[np.str_]) -> None:
        names, self._group = np.unique(np.asarray(groups), return_inverse=True)
        # Of their own for every part, so that chance of one part is not that of another.
        rng = np.random.default_rng(crc32("\n".join(names.tolist()).encode("utf-8", "surrogatepass")))
        drawn = rng.integers(len(names), size=(ROUNDS, len(names)))
        self._counts = np.stack([np.bincount(d, minlength=len(names)) for d in drawn]).astype(np.float64)

    @property
    def groups(self) -> int:
        """How many there are."""
        return self._counts.shape[1]

    def confusions(self, labels: IntArray, codes: IntArray, *, classes: int) -> FloatArray:
        """Return the confusion matrix of every resample, shape (rounds, classes, classes)."""
        labels, codes = np.asarray(labels), np.asarray(codes)
        whole = confusion_matrix(labels, codes, classes=classes)  # which checks both
        cells = np.zeros((self.groups, whole.size))
        np.add.at(cells, (self._group, labels * classes + codes), 1)
        return (self._counts @ cells).reshape(-1, classes, classes)


def figures_of(confusion: FloatArray, *, named: Mapping[str, int]) -> dict[str, FloatArray]:
    """Return what a confusion matrix tells.

    Parameters
    ----------
    confusion : array, shape (..., classes, classes)
    named : mapping of str to int
        Classes whose F1 and recall are asked for, by the name in front.

    Returns
    -------
    dict of str to array, shape (...)
        accuracy, macro_f1, balanced_accuracy, NAME_f1, NAME_recall.
    """
    scores = scores_of_confusion(confusion)
    found = {key: scores[key] for key in ("accuracy", "macro_f1", "balanced_accuracy")}
    for name, code in named.items():
        found |= {f"{name}_{key}": scores[key][..., code] for key in ("f1", "recall")}
    return found


__all__ = ["LEAST_EFFECT", "Estimate", "Resamples", "Spread", "Verdict", "figures_of"]
