"""What a difference is worth: intervals over seeds, and paired tests between systems.

Two sources of chance are kept apart. Over *seeds* (same test set, training repeated):
`seed_interval`, `paired_t`, `wilcoxon`. Over *test items* (one trained pair, other speakers might
have been drawn): `bootstrap_interval` and `paired_bootstrap`, both by whole groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import FloatArray, IntArray
from trivalent.lab.measure.groups import resamples
from trivalent.lab.measure.metrics import bootstrap_interval

__all__ = [
    "PairedTest",
    "SeedInterval",
    "bootstrap_interval",
    "paired_bootstrap",
    "paired_t",
    "seed_interval",
    "wilcoxon",
]


@dataclass(frozen=True)
class SeedInterval:
    """Mean over seeds with its interval; `deviation` is the sample deviation (n - 1)."""

    mean: float
    low: float
    high: float
    deviation: float
    n: int


@dataclass(frozen=True)
class PairedTest:
    """Outcome of a paired test of first minus second.

    `p_value` is two-sided; `low` and `high` bound the difference where the test gives bounds, NaN
    where it does not; `n` counts pairs (seeds) or groups (bootstrap).
    """

    method: str
    difference: float
    low: float
    high: float
    p_value: float
    n: int


def seed_interval(
    values: Sequence[float] | FloatArray,
    *,
    level: float = 0.95,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> SeedInterval:
    """Mean over seeds with Student's t-interval.

    Parameters
    ----------
    values : array, shape (n,)
        One metric, one value per seed; at least two.
    level : float
    limits : tuple of float
        Least and greatest value of the metric, at which the interval is cut: Student's t does not
        know them, and with two or three seeds reaches far beyond.

    Raises
    ------
    DataError
        Fewer than two values, or one that is not finite.
    UsageError
        `level` is not in (0, 1).

    Examples
    --------
    >>> found = seed_interval([0.61, 0.63, 0.65])
    >>> f"{found.mean:.2f} ({found.low:.2f} to {found.high:.2f})"
    '0.63 (0.58 to 0.68)'
    >>> seed_interval([0.2, 0.6], limits=(0, 1)).high
    1.0
    """
    x = _several(values)
    mean, deviation, half = _t_half_width(x, level)
    low, high = (float(np.clip(mean + side * half, *limits)) for side in (-1, 1))
    return SeedInterval(mean, low, high, deviation, len(x))


def paired_t(
    first: Sequence[float] | FloatArray, second: Sequence[float] | FloatArray, *, level: float = 0.95
) -> PairedTest:
    """Student's paired t-test over seeds, both systems having run with the same ones.

    Differences that are all equal leave no chance to estimate: p is 1 if they are 0, else 0.

    Raises
    ------
    DataError
        Lengths differ, fewer than two pairs, or a value that is not finite.

    Examples
    --------
    >>> found = paired_t([.64, .66, .65, .67], [.61, .62, .63, .63])
    >>> round(found.difference, 4), round(found.p_value, 4)
    (0.0325, 0.0065)
    """
    d = _differences(first, second)
    mean, deviation, half = _t_half_width(d, level)
    if deviation > 0:
        t = mean / (deviation / np.sqrt(len(d)))
        p = float(2 * stats.t.sf(abs(t), len(d) - 1))
    else:
        p = float(mean == 0)
    return PairedTest("paired t", mean, mean - half, mean + half, p, len(d))


def wilcoxon(first: Sequence[float] | FloatArray, second: Sequence[float] | FloatArray) -> PairedTest:
    """Wilcoxon's signed-rank test over seeds (Wilcoxon 1945); `difference` is the median one.

    Zero differences are dropped; without any other, p is 1. With n pairs p cannot fall below
    2^(1-n): six seeds are needed for p < .05.

    Raises
    ------
    DataError
        Lengths differ, fewer than two pairs, or a value that is not finite.

    Examples
    --------
    >>> wilcoxon([.64, .66, .65, .67, .68, .66], [.61, .62, .63, .63, .63, .65]).p_value
    0.03125
    """
    # Rounded, so that .66 - .65 and .68 - .67 tie as they should.
    d = _differences(first, second).round(12)
    p = float(stats.wilcoxon(d).pvalue) if d.any() else 1.0
    return PairedTest("Wilcoxon", float(np.median(d)), float("nan"), float("nan"), p, len(d))


def paired_bootstrap(
    metric: Callable[[IntArray, Any], float],
    labels: IntArray,
    *,
    first: FloatArray | IntArray,
    second: FloatArray | IntArray,
    groups: Sequence[str],
    rounds: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> PairedTest:
    """Bootstrap the difference of two systems on the same items, resampling whole groups.

    (Efron & Tibshirani 1993, ch. 16; Koehn, EMNLP 2004.) Both systems are judged on the same
    resample, so that what makes an item hard for both cancels.

    Parameters
    ----------
    metric : callable
        (labels (n,), what a system said) to float, higher is better.
    first, second : array, shape (n, ...)
        What the two systems said: probabilities or decisions.
    groups : sequence of str, length n
        Video or speaker of each item.

    Returns
    -------
    PairedTest
        Percentile interval of first minus second. The p-value is twice the smaller share of
        resamples on one side of 0, (1 + count) / (1 + rounds), at most 1.

    Raises
    ------
    DataError
        Lengths differ or nothing was given.
    """
    labels, one, two = np.asarray(labels), np.asarray(first), np.asarray(second)
    keys = np.asarray(groups)
    if not len(labels) or not len(labels) == len(one) == len(two) == len(keys):
        raise DataError(
            "statistics.items", count=len(labels), count2=len(one), count3=len(two), count4=len(keys)
        )
    values = np.empty(rounds)
    for i, rows in enumerate(resamples(groups, rounds=rounds, seed=seed)):
        values[i] = metric(labels[rows], one[rows]) - metric(labels[rows], two[rows])
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    # One is added, as the observed difference is itself a draw: p is never 0.
    tail = (1 + min((values <= 0).sum(), (values >= 0).sum())) / (1 + rounds)
    difference = metric(labels, one) - metric(labels, two)
    return PairedTest(
        "paired bootstrap by group",
        float(difference),
        float(low),
        float(high),
        float(min(1.0, 2 * tail)),
        len(np.unique(keys)),
    )


def _t_half_width(x: FloatArray, level: float) -> tuple[float, float, float]:
    if not 0 < level < 1:
        raise UsageError("statistics.level", level=level)
    # Equal values have deviation 0; computed, rounding would leave some 1e-17.
    deviation = float(x.std(ddof=1)) if np.ptp(x) > 0 else 0.0
    half = float(stats.t.ppf((1 + level) / 2, len(x) - 1)) * deviation / np.sqrt(len(x))
    return float(x.mean()), deviation, half


def _several(values: Sequence[float] | FloatArray) -> FloatArray:
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or len(x) < 2 or not np.isfinite(x).all():
        raise DataError("statistics.seeds", found=np.array2string(x, threshold=6))
    return x


def _differences(first: Sequence[float] | FloatArray, second: Sequence[float] | FloatArray) -> FloatArray:
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise DataError("statistics.paired", shape=a.shape, shape2=b.shape)
    return _several(a - b)
