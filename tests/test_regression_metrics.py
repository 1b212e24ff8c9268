"""Metrics of continuous scores: their limits, and where conventions part."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trivalent.core.errors import DataError
from trivalent.lab.measure import regression_metrics as rm


def test_pearson_at_its_limits() -> None:
    x = np.array([0.1, 0.2, 0.4])
    assert rm.pearson_correlation(x, 1e-200 * x) == pytest.approx(1)
    assert rm.pearson_correlation(x, -1e200 * x) == pytest.approx(-1)
    assert math.isnan(rm.pearson_correlation(x, np.full(3, 0.7)))


def test_without_zero_there_must_be_something_else() -> None:
    for metric in (rm.accuracy2_without_zero, rm.f1_2_without_zero):
        with pytest.raises(DataError, match="other than 0"):
            metric(np.zeros(2), np.ones(2))


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
