"""Decision rules against loops, searches against all they could have tried, and abstention."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.bundle.decision import Decision, ratio, ratio_rule, threshold_rule
from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import LABELS, Sentiment
from trivalent.lab.decide.abstention import Abstention, abstain_for_accuracy, abstain_for_coverage
from trivalent.lab.decide.thresholds import (
    RATIOS,
    THRESHOLDS,
    search_ratios,
    search_threshold,
)
from trivalent.lab.measure.metrics import accuracy, macro_f1

checked = settings(max_examples=40, deadline=None)
levels = st.floats(0.01, 1)


def items(seed: int, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities under which negative is rare and rarely the most probable."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, size=n, p=[0.15, 0.5, 0.35])
    logits = 1.2 * np.eye(3)[labels] + rng.normal(size=(n, 3)) + [-1, 0.4, 0]
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True), labels


@given(st.integers(0, 10_000), levels, st.sampled_from(Sentiment))
@checked
def test_threshold_rule_equals_a_loop(seed: int, threshold: float, of: Sentiment) -> None:
    p, _ = items(seed, 20)
    expected = []
    for row in p.tolist():
        others = [c for c in range(3) if c != of]
        expected.append(of if row[of] >= threshold else max(others, key=lambda c: row[c]))
    assert threshold_rule(p, threshold, of=of).tolist() == expected


@given(st.integers(0, 10_000), st.tuples(levels, levels, levels))
@checked
def test_ratio_rule_is_the_rule_of_the_bundle(seed: int, tau: tuple[float, float, float]) -> None:
    p, _ = items(seed, 20)
    expected = [LABELS.index(Decision(ratio(tau)).decide(row).label) for row in p]
    assert ratio_rule(p, tau).tolist() == expected
    np.testing.assert_array_equal(ratio_rule(p, (0.4, 0.4, 0.4)), p.argmax(1))


def test_rules_by_hand() -> None:
    p = np.array([[0.25, 0.35, 0.40], [0.60, 0.30, 0.10]])
    assert threshold_rule(p, 0.25).tolist() == [0, 0]
    assert threshold_rule(p, 0.61).tolist() == [2, 1]
    assert threshold_rule(p, 0.35, of=Sentiment.NEUTRAL).tolist() == [1, 0]
    assert ratio_rule(p, (1, 0.5, 0.6)).tolist() == [1, 0]  # .25 .7 .67 and .6 .6 .17: first of equals


@given(st.integers(0, 10_000), st.sampled_from(Sentiment))
@checked
def test_no_threshold_of_the_grid_is_better(seed: int, of: Sentiment) -> None:
    p, labels = items(seed)
    found = search_threshold(p, labels, of=of)
    scores = {t: macro_f1(labels, threshold_rule(p, t, of=of)) for t in THRESHOLDS}
    assert found.score == max(scores.values()) == scores[found.thresholds[0]]
    assert found.baseline == macro_f1(labels, p.argmax(1))


def test_the_grid_is_the_published_one() -> None:
    assert THRESHOLDS[0] == 0.1
    assert THRESHOLDS[-1] == 0.5
    np.testing.assert_allclose(np.diff(THRESHOLDS), 0.01)


def test_the_middle_of_a_plateau_is_chosen() -> None:
    """Negative has .3 where it is true and .2 elsewhere: thresholds .21 to .30 are all perfect."""
    p = np.array([[0.3, 0.3, 0.4], [0.2, 0.5, 0.3], [0.2, 0.3, 0.5]])
    found = search_threshold(p, np.array([0, 1, 2]))
    assert found.thresholds == (0.25,)
    assert found.score == 1


def test_of_two_plateaus_the_first_is_taken_whole() -> None:
    p, labels = items(0, 10)
    values = iter([1, 1, 0, 1, 1, 0.5])
    found = search_threshold(
        p,
        labels,
        grid=(0.1, 0.2, 0.3, 0.4, 0.5),
        metric=lambda y, z: next(values),
    )
    assert found.thresholds == (0.1,)
    assert found.baseline == 0.5


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_ratios_are_a_coordinate_optimum(seed: int) -> None:
    p, labels = items(seed)
    found = search_ratios(p, labels, sweeps=100)
    assert found.score == pytest.approx(macro_f1(labels, ratio_rule(p, found.thresholds)))
    assert found.score >= found.baseline
    for c, value in itertools.product(range(3), RATIOS):
        tried = [*found.thresholds]
        tried[c] = value
        assert macro_f1(labels, ratio_rule(p, tried)) <= found.score + 1e-9
    ratio(found.thresholds)  # fits a bundle


def test_search_finds_what_helps_the_rare_class() -> None:
    p, labels = items(1, 600)
    for found in (search_threshold(p, labels), search_ratios(p, labels)):
        assert found.score > found.baseline + 0.02
    assert search_threshold(p, labels).thresholds[0] < 0.4


def test_ratios_of_a_perfect_model_stay_equal() -> None:
    labels = np.arange(9) % 3
    found = search_ratios(np.eye(3)[labels] * 0.7 + 0.1, labels)
    assert found.thresholds == (1 / 3, 1 / 3, 1 / 3)


def test_any_metric_may_be_maximised() -> None:
    p, labels = items(2, 200)
    found = search_ratios(p, labels, metric=accuracy)
    assert found.baseline == accuracy(labels, p.argmax(1))
    assert found.score == accuracy(labels, ratio_rule(p, found.thresholds))


def test_what_cannot_be_decided() -> None:
    p, labels = items(0, 5)
    with pytest.raises(UsageError, match=r"threshold in \(0, 1\], got 0"):
        threshold_rule(p, 0)
    with pytest.raises(UsageError, match=r"got 1\.2"):
        ratio_rule(p, (0.3, 0.3, 1.2))
    with pytest.raises(UsageError, match="expected 3 values of tau, got 2"):
        ratio_rule(p, (0.3, 0.3))
    with pytest.raises(UsageError, match="thresholds to search, got none"):
        search_threshold(p, labels, grid=())
    with pytest.raises(DataError, match=r"shape \(n, 3\), got \(5, 2\)"):
        threshold_rule(p[:, :2], 0.3)
    for search in (search_threshold, search_ratios):
        with pytest.raises(DataError, match=r"got \(4,\) labels for 5"):
            search(p, labels[1:])
        with pytest.raises(DataError, match="one or more validation items"):
            search(p[:0], labels[:0])


# Abstention; coarse confidences, so that ties are common.
answers = st.lists(st.tuples(st.sampled_from([0.4, 0.5, 0.6, 0.8, 0.9]), st.booleans()), min_size=1)


def outcome(confidence: np.ndarray, correct: np.ndarray, threshold: float) -> tuple[float, float]:
    kept = confidence >= threshold
    return float(kept.mean()), float(correct[kept].mean())


@given(answers, st.floats(0.01, 1))
@checked
def test_coverage_is_reached_by_the_highest_threshold(pairs: list, coverage: float) -> None:
    confidence, correct = (np.array(v) for v in zip(*pairs, strict=True))
    found = abstain_for_coverage(confidence, coverage, correct=correct)
    assert (found.coverage, found.accuracy) == outcome(confidence, correct, found.threshold)
    assert found.coverage >= coverage - 1e-9
    for t in confidence[confidence > found.threshold]:
        assert outcome(confidence, correct, t)[0] < coverage
    assert np.isnan(abstain_for_coverage(confidence, coverage).accuracy)
    np.testing.assert_array_equal(found.keeps(confidence), confidence >= found.threshold)


@given(answers, st.floats(0.01, 1))
@checked
def test_accuracy_is_reached_with_the_largest_coverage(pairs: list, wanted: float) -> None:
    confidence, correct = (np.array(v) for v in zip(*pairs, strict=True))
    possible = [outcome(confidence, correct, t) for t in np.unique(confidence)]
    enough = [c for c, a in possible if a >= wanted - 1e-12]
    if not enough:
        with pytest.raises(DataError, match=r"got at most 0\.\d+"):
            abstain_for_accuracy(confidence, correct, accuracy=wanted)
        return
    found = abstain_for_accuracy(confidence, correct, accuracy=wanted)
    assert found.coverage == max(enough)
    assert (found.coverage, found.accuracy) == outcome(confidence, correct, found.threshold)


def test_equal_confidences_are_kept_or_dropped_together() -> None:
    """The first of the two at .6 is right: a cut between them would seem to reach 1."""
    confidence, correct = np.array([0.9, 0.6, 0.6, 0.5]), np.array([True, True, False, True])
    found = abstain_for_accuracy(confidence, correct, accuracy=1.0)
    assert (found.threshold, found.coverage, found.accuracy) == (0.9, 0.25, 1.0)


def test_rounding_asks_for_no_extra_answer() -> None:
    assert abstain_for_coverage(np.arange(20) / 20, 0.55).coverage == 0.55


def test_a_threshold_fits_a_bundle() -> None:
    p, labels = items(3, 100)
    correct = p.argmax(1) == labels
    found = abstain_for_accuracy(p.max(1), correct, accuracy=0.8)
    rule = Decision(ratio(), found.threshold)
    kept = [not rule.decide(row).abstained for row in p]
    assert np.mean(kept) == found.coverage


def test_what_cannot_be_abstained() -> None:
    one = np.array([0.5])
    for coverage in (0, 1.5):
        with pytest.raises(UsageError, match=r"coverage in \(0, 1\]"):
            abstain_for_coverage(one, coverage)
    with pytest.raises(UsageError, match=r"accuracy in \(0, 1\], got 0"):
        abstain_for_accuracy(one, one > 0, accuracy=0)
    with pytest.raises(DataError, match=r"got \(1,\) and \(2,\)"):
        abstain_for_accuracy(one, np.array([True, False]), accuracy=0.5)
    with pytest.raises(DataError, match="got NaN"):
        abstain_for_coverage(np.array([np.nan]), 0.5)
    with pytest.raises(DataError, match="non-empty"):
        abstain_for_coverage(np.array([]), 0.5)
    assert Abstention(0.5, 1.0, 1.0).keeps(np.array([0.5, 0.4])).tolist() == [True, False]
