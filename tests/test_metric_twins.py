"""One tester for every metric of the lab: against scikit-learn, SciPy or its definition, on drawn answers.

A metric without a line here fails; cases by hand, bounds and refusals lie beside (`test_metrics.py`,
`test_regression_metrics.py`, `test_statistics.py`, `test_uncertainty.py`).
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trivalent.lab.measure import metrics, regression_metrics, statistics, uncertainty

sk = pytest.importorskip("sklearn.metrics", reason="needs the extra train")

CLASSES = [0, 1, 2]
BINS = (2, 7, 15, 20)


def columns(rows: list[tuple[Any, ...]]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def off_the_edges(answers: tuple[np.ndarray, np.ndarray]) -> bool:
    """A probability on the very edge of a bin may fall to either side by rounding."""
    at = np.multiply.outer(BINS, answers[1])
    return bool((abs(at - at.round()) > 1e-9).all())


def table(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(3, size=n), rng.dirichlet(np.ones(3), size=n)


# What is drawn, as the metrics' own arguments.
codes = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)
# Sixths and halves: what annotators' means look like, so that zeros and ties are common.
score = st.integers(-18, 18).map(lambda k: k / 6) | st.floats(-3.6, 3.6)
scores = st.lists(st.tuples(score, score), min_size=1, max_size=30)
# Coarse confidences, so that ties are common; few, because the definition walks through all their orders.
answers = st.lists(
    st.tuples(st.sampled_from([0.2, 0.4, 0.6, 0.8, 0.95]), st.booleans()), min_size=1, max_size=5
)
seed = st.floats(0, 1).map(lambda x: round(x, 4))
seeds = st.lists(seed, min_size=2, max_size=12).filter(lambda x: len(set(x)) > 1)
pairs = st.lists(st.tuples(seed, seed), min_size=2, max_size=9)

CODES, SCORES, ANSWERS, PAIRS = (drawn.map(columns) for drawn in (codes, scores, answers, pairs))
ROWS = st.builds(table, st.integers(0, 10_000), st.integers(1, 60))
BINNED = ROWS.filter(off_the_edges)
NOT_ALL_ZERO = scores.filter(lambda items: any(t != 0 for t, _ in items)).map(columns)
VARYING = (
    st.lists(st.tuples(score, score), min_size=3, max_size=30)
    .map(columns)
    .filter(lambda a: min(x.std() for x in a) > 1e-3)
)
DIFFERING = PAIRS.filter(lambda a: np.std(a[0] - a[1]) > 1e-6)
SEEDS = seeds.map(lambda x: (x,))


# What is expected, slowly and by its definition.
def by_sklearn(name: str, **options: Any) -> Callable[..., Any]:
    return lambda y, z: getattr(sk, name)(y, z, **options)


def recall_of_present(y: np.ndarray, z: np.ndarray) -> float:
    return float(sk.recall_score(y, z, labels=np.unique(y), average="macro", zero_division=0))


def class_scores(y: np.ndarray, z: np.ndarray) -> dict[str, np.ndarray]:
    found = sk.precision_recall_fscore_support(y, z, labels=CLASSES, zero_division=0)
    return dict(zip(("precision", "recall", "f1", "support"), found, strict=True))


def brier(y: np.ndarray, p: np.ndarray) -> float:
    return float(np.mean([sum((q - (c == t)) ** 2 for c, q in enumerate(p[i])) for i, t in enumerate(y)]))


def gap(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    """Guo et al., eq. 5, bin by bin: bin m holds confidences in ((m-1)/M, m/M]."""
    total = 0.0
    for m in range(1, bins + 1):
        inside = [i for i, c in enumerate(confidence) if (m - 1) / bins < c <= m / bins]
        total += abs(sum(bool(right[i]) - confidence[i] for i in inside)) / len(right)
    return total


def top_label_gap(y: np.ndarray, p: np.ndarray, bins: int) -> float:
    return gap(p.max(1), p.argmax(1) == y, bins)


def mean_gap_of_classes(y: np.ndarray, p: np.ndarray, bins: int) -> float:
    return float(np.mean([gap(p[:, c], y == c, bins) for c in CLASSES]))


def in_steps(metric: Callable[..., float], rule: str, limit: float) -> Callable[..., float]:
    """Clip and round exactly; Decimal's HALF_UP is away from zero."""

    def rounded(x: float) -> int:
        return int(Decimal(min(limit, max(-limit, float(x)))).quantize(Decimal(1), rounding=rule))

    return lambda t, p: metric([*map(rounded, t)], [*map(rounded, p)])


def without_zero(metric: Callable[..., float]) -> Callable[..., float]:
    return lambda t, p: metric(t[t != 0] > 0, p[t != 0] > 0)


def non_negative(metric: Callable[..., float]) -> Callable[..., float]:
    return lambda t, p: metric(t >= 0, p >= 0)


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> tuple[Any, ...]:
    """Mean over all orders of ties of the share that is wrong among the k surest."""
    every = range(len(right))
    orders = [
        order
        for order in itertools.permutations(every)
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order))
    ]
    risk = [np.mean([np.mean(~right[list(o[: k + 1])]) for o in orders]) for k in every]
    return risk, np.arange(1, len(right) + 1) / len(right), np.mean(risk)


def interval(x: list[float], level: float) -> tuple[float, ...]:
    low, high = stats.t.interval(level, len(x) - 1, loc=np.mean(x), scale=stats.sem(x))
    return (np.mean(x), np.std(x, ddof=1), low, high, len(x))


def paired_t(a: np.ndarray, b: np.ndarray, level: float) -> tuple[float, ...]:
    theirs = stats.ttest_rel(a, b)
    inside = theirs.confidence_interval(level)
    return ((a - b).mean(), theirs.pvalue, inside.low, inside.high)


def wilcoxon(a: np.ndarray, b: np.ndarray) -> float:
    d = (a - b).round(12)
    return float(stats.wilcoxon(d).pvalue) if d.any() else 1.0


class Metric(NamedTuple):
    """A metric's draws, its independent twin, what of its result is compared, and the options of both."""

    drawn: st.SearchStrategy[tuple[Any, ...]]
    twin: Callable[..., Any]
    taken: Callable[[Any], Any] = lambda result: result
    options: tuple[dict[str, Any], ...] = ({},)


EVERY_BINS = tuple({"bins": b} for b in BINS)
LEVELS = tuple({"level": x} for x in (0.8, 0.95, 0.99))
ACCURACY = by_sklearn("accuracy_score")
F1_2 = by_sklearn("f1_score", average="weighted", zero_division=0)
METRICS = {
    "confusion_matrix": Metric(CODES, by_sklearn("confusion_matrix", labels=CLASSES)),
    "accuracy": Metric(CODES, by_sklearn("accuracy_score")),
    "class_scores": Metric(CODES, class_scores),
    "macro_f1": Metric(CODES, by_sklearn("f1_score", average="macro", zero_division=0)),
    "weighted_f1": Metric(CODES, by_sklearn("f1_score", average="weighted", zero_division=0)),
    "macro_recall": Metric(CODES, recall_of_present),
    "balanced_accuracy": Metric(CODES, recall_of_present),
    "matthews_correlation": Metric(CODES, by_sklearn("matthews_corrcoef")),
    "negative_log_likelihood": Metric(ROWS, by_sklearn("log_loss", labels=CLASSES)),
    "brier": Metric(ROWS, brier),
    "expected_calibration_error": Metric(BINNED, top_label_gap, options=EVERY_BINS),
    "mean_absolute_error": Metric(SCORES, by_sklearn("mean_absolute_error")),
    "pearson_correlation": Metric(VARYING, lambda t, p: stats.pearsonr(t, p).statistic),
    "accuracy7_half_even": Metric(SCORES, in_steps(ACCURACY, ROUND_HALF_EVEN, 3.0)),
    "accuracy7_half_away": Metric(SCORES, in_steps(ACCURACY, ROUND_HALF_UP, 3.0)),
    "accuracy5_half_even": Metric(SCORES, in_steps(ACCURACY, ROUND_HALF_EVEN, 2.0)),
    "accuracy5_half_away": Metric(SCORES, in_steps(ACCURACY, ROUND_HALF_UP, 2.0)),
    "f1_7": Metric(SCORES, in_steps(F1_2, ROUND_HALF_EVEN, 3.0)),
    "f1_5": Metric(SCORES, in_steps(F1_2, ROUND_HALF_EVEN, 2.0)),
    "accuracy2_non_negative": Metric(SCORES, non_negative(by_sklearn("accuracy_score"))),
    "accuracy2_without_zero": Metric(NOT_ALL_ZERO, without_zero(by_sklearn("accuracy_score"))),
    "f1_2_non_negative": Metric(SCORES, non_negative(F1_2)),
    "f1_2_without_zero": Metric(NOT_ALL_ZERO, without_zero(F1_2)),
    "classwise_calibration_error": Metric(BINNED, mean_gap_of_classes, options=EVERY_BINS),
    "reliability": Metric(
        BINNED.map(lambda a: (a[1].max(1), a[1].argmax(1) == a[0])), gap, attrgetter("error"), EVERY_BINS
    ),
    "risk_coverage": Metric(ANSWERS, risk_coverage, attrgetter("risk", "coverage", "area")),
    "seed_interval": Metric(SEEDS, interval, attrgetter("mean", "deviation", "low", "high", "n"), LEVELS),
    "paired_t": Metric(DIFFERING, paired_t, attrgetter("difference", "p_value", "low", "high"), LEVELS),
    "wilcoxon": Metric(PAIRS, wilcoxon, attrgetter("p_value")),
}
# Put together from the others, or drawn at random: tested by what they mean.
COMPOSED = {
    "summarize",
    "summarize_scores",
    "scores_of_confusion",
    "bootstrap_interval",
    "paired_bootstrap",
}


OURS = {
    name: function
    for module in (metrics, regression_metrics, statistics, uncertainty)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
}


def test_every_metric_has_a_twin() -> None:
    assert set(OURS) - COMPOSED == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_equals_its_twin(name: str, data: st.DataObject) -> None:
    metric = METRICS[name]
    arguments, options = data.draw(metric.drawn), data.draw(st.sampled_from(metric.options))
    ours = metric.taken(OURS[name](*arguments, **options))
    theirs = metric.twin(*arguments, **options)
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        ours, theirs = tuple(ours[key] for key in theirs), tuple(theirs.values())
    one = not isinstance(theirs, tuple)
    for found, expected in zip((ours,) if one else ours, (theirs,) if one else theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
