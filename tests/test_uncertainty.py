"""Calibration by class, and risk against coverage: by naive loops and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.core.errors import DataError
from trivalent.lab.measure.uncertainty import (
    classwise_calibration_error,
    expected_calibration_error,
    reliability,
    risk_coverage,
)

checked = settings(max_examples=60, deadline=None)
# Coarse, so that ties are common.
answers = st.lists(st.tuples(st.sampled_from([0.2, 0.4, 0.6, 0.8, 0.95]), st.booleans()), min_size=1)


def table(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(3, size=n), rng.dirichlet(np.ones(3), size=n)


@given(st.integers(0, 10_000), st.integers(1, 60))
@checked
def test_the_diagram_gives_the_top_label_error(seed: int, n: int) -> None:
    labels, p = table(seed, n)
    diagram = reliability(p.max(1), p.argmax(1) == labels)
    assert diagram.error == pytest.approx(expected_calibration_error(labels, p))
    assert diagram.count.sum() == n
    assert np.isnan(diagram.confidence[diagram.count == 0]).all()


def test_top_label_error_hides_a_rare_class() -> None:
    """Class 0 is announced at .3 and never comes; the top label is right as often as announced."""
    p = np.tile([0.3, 0.1, 0.6], (10, 1))
    labels = np.array([1] * 4 + [2] * 6)
    assert expected_calibration_error(labels, p) == pytest.approx(0)
    assert classwise_calibration_error(labels, p) == pytest.approx((0.3 + 0.3 + 0) / 3)


@given(answers, st.integers(0, 100))
@checked
def test_the_order_of_rows_does_not_matter(items: list[tuple[float, bool]], seed: int) -> None:
    confidence, correct = (np.array(v) for v in zip(*items, strict=True))
    rows = np.random.default_rng(seed).permutation(len(items))
    a, b = risk_coverage(confidence, correct), risk_coverage(confidence[rows], correct[rows])
    np.testing.assert_allclose(a.risk, b.risk)
    assert a.risk[-1] == pytest.approx(1 - correct.mean())


def test_by_hand() -> None:
    correct = np.array([True, False, True, True])
    curve = risk_coverage(np.array([0.9, 0.8, 0.7, 0.6]), correct)
    np.testing.assert_allclose(curve.risk, [0, 1 / 2, 1 / 3, 1 / 4])
    assert curve.area == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert curve.at(0.5) == pytest.approx(1 / 2)
    assert curve.at(0.51) == pytest.approx(1 / 3)
    assert curve.at(0.0) == 0
    assert curve.at(1.0) == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    ("confidence", "correct", "message"),
    [
        ([], [], "non-empty"),
        ([0.5], [True, False], r"got \(1,\) and \(2,\)"),
        ([1.5], [True], "probabilities, not logits"),
        ([np.nan], [True], r"in \[0, 1\]"),
    ],
)
def test_what_is_refused(confidence: list[float], correct: list[bool], message: str) -> None:
    for function in (risk_coverage, reliability):
        with pytest.raises(DataError, match=message):
            function(np.array(confidence), np.array(correct, bool))


def test_probabilities_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(2, classes\), got \(3, 3\)"):
        classwise_calibration_error(np.array([0, 1]), np.full((3, 3), 1 / 3))
