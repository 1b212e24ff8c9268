"""Metrics of continuous scores: against scipy and scikit-learn, by loops, and where conventions part."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from trivalent.core.errors import DataError
from trivalent.lab.measure import regression_metrics as rm

sklearn = pytest.importorskip("sklearn.metrics", reason="needs the extra train")

# Sixths and halves: what annotators' means look like, so that zeros and ties are common.
score = st.integers(-18, 18).map(lambda k: k / 6) | st.floats(-3.6, 3.6)
pairs = st.lists(st.tuples(score, score), min_size=1, max_size=30)
checked = settings(max_examples=80, deadline=None)


def split(items: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    a, b = zip(*items, strict=True)
    return np.array(a), np.array(b)


def decimal_class(x: float, rule: str) -> int:
    """Clip to [-3, 3] and round exactly; Decimal's HALF_UP is away from zero."""
    return int(Decimal(min(3.0, max(-3.0, x))).quantize(Decimal(1), rounding=rule))


@given(pairs)
@checked
def test_equal_to_independent_implementations(items: list[tuple[float, float]]) -> None:
    truth, said = split(items)
    assert rm.mean_absolute_error(truth, said) == pytest.approx(sklearn.mean_absolute_error(truth, said))
    for ours, rule in (
        (rm.accuracy7_half_even, ROUND_HALF_EVEN),
        (rm.accuracy7_half_away, ROUND_HALF_UP),
    ):
        right = [decimal_class(t, rule) == decimal_class(p, rule) for t, p in items]
        assert ours(truth, said) == pytest.approx(sum(right) / len(right))
    for accuracy, f1, kept, positive in (
        (rm.accuracy2_non_negative, rm.f1_2_non_negative, items, lambda x: x >= 0),
        (
            rm.accuracy2_without_zero,
            rm.f1_2_without_zero,
            [(t, p) for t, p in items if t != 0],
            lambda x: x > 0,
        ),
    ):
        if not kept:
            with pytest.raises(DataError, match="other than 0"):
                accuracy(truth, said)
            continue
        y, z = [positive(t) for t, _ in kept], [positive(p) for _, p in kept]
        assert accuracy(truth, said) == pytest.approx(sklearn.accuracy_score(y, z))
        theirs = sklearn.f1_score(y, z, average="weighted", zero_division=0)
        assert f1(truth, said) == pytest.approx(theirs)


@given(st.lists(st.tuples(score, score), min_size=3, max_size=30))
@checked
def test_pearson_equals_scipy(items: list[tuple[float, float]]) -> None:
    truth, said = split(items)
    assume(truth.std() > 1e-3 and said.std() > 1e-3)
    assert rm.pearson_correlation(truth, said) == pytest.approx(stats.pearsonr(truth, said).statistic)


def test_pearson_at_its_limits() -> None:
    x = np.array([0.1, 0.2, 0.4])
    assert rm.pearson_correlation(x, 1e-200 * x) == pytest.approx(1)
    assert rm.pearson_correlation(x, -1e200 * x) == pytest.approx(-1)
    assert math.isnan(rm.pearson_correlation(x, np.full(3, 0.7)))


def test_where_the_conventions_part() -> None:
    truth, said = np.array([0.5, 2.5, 0.0, -1.0]), np.array([0.0, 2.0, -0.2, 0.0])
    assert rm.accuracy7_half_even(truth, said) == 3 / 4  # 0 2 0 -1 against 0 2 0 0
    assert rm.accuracy7_half_away(truth, said) == 1 / 4  # 1 3 0 -1 against 0 2 0 0
    assert rm.accuracy2_non_negative(truth, said) == 2 / 4  # + + + - against + + - +
    assert rm.accuracy2_without_zero(truth, said) == 2 / 3  # + + - against - + -
    # F1 of + 2/3 (one of two found), of - 2/3 (one of two right), supports 2 and 1
    assert rm.f1_2_without_zero(truth, said) == pytest.approx(2 / 3)


def test_predictions_beyond_the_scale_are_clipped() -> None:
    assert rm.accuracy7_half_even(np.array([3.0, -3.0]), np.array([9.0, -3.7])) == 1


def test_summary_names_every_metric() -> None:
    truth, said = np.array([0.5, 2.5, 0.0, -1.0]), np.array([0.0, 2.0, -0.2, 0.0])
    summary = rm.summarize_scores(truth, said)
    assert summary.pop("mae") == rm.mean_absolute_error(truth, said)
    assert summary.pop("pearson") == rm.pearson_correlation(truth, said)
    for name, value in summary.items():
        assert value == getattr(rm, name)(truth, said)
    zeros = rm.summarize_scores(np.zeros(3), np.array([-1.0, 0.0, 1.0]))
    assert math.isnan(zeros["f1_2_without_zero"])
    assert zeros["accuracy2_non_negative"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("truth", "said", "message"),
    [
        ([], [], "non-empty"),
        ([1.0], [1.0, 2.0], r"got \(1,\) and \(2,\)"),
        ([1.0, math.nan], [1.0, 2.0], "expected finite scores, got 1 that are not"),
        ([1.0, 1.0], [math.inf, math.nan], "got 2"),
    ],
)
def test_what_is_no_pair_of_scores(truth: list[float], said: list[float], message: str) -> None:
    for metric in (rm.mean_absolute_error, rm.accuracy7_half_even, rm.f1_2_without_zero):
        with pytest.raises(DataError, match=message):
            metric(np.array(truth), np.array(said))
