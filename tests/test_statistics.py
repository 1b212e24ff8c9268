"""Intervals over seeds and paired tests: against scipy, by formula, and by their error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trivalent.core.errors import DataError, UsageError
from trivalent.lab.measure.metrics import accuracy
from trivalent.lab.measure.statistics import paired_bootstrap, paired_t, seed_interval, wilcoxon

checked = settings(max_examples=60, deadline=None)
values = st.floats(0, 1).map(lambda x: round(x, 4))
several = st.lists(values, min_size=2, max_size=12)
paired = st.lists(st.tuples(values, values), min_size=2, max_size=12)


def test_interval_by_hand() -> None:
    """t(.975, 2 degrees) = 4.3027; values 1 2 3 have deviation 1."""
    found = seed_interval([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


@given(paired)
@settings(max_examples=15, deadline=None)  # with ties, SciPy tries all signs
def test_wilcoxon_equals_scipy_and_is_symmetric(items: list[tuple[float, float]]) -> None:
    a, b = (np.array(v) for v in zip(*items, strict=True))
    found = wilcoxon(a, b)
    d = (a - b).round(12)
    if d.any():
        assert found.p_value == pytest.approx(stats.wilcoxon(d).pvalue)
    else:
        assert found.p_value == 1
    assert wilcoxon(b, a).p_value == pytest.approx(found.p_value)
    assert math.isnan(found.low)


def test_wilcoxon_by_enumeration() -> None:
    """All sign patterns of the ranks 1 to 5: W+ of + + + + - (rank 2) is 13."""
    d = np.array([0.03, 0.05, 0.01, 0.04, -0.02])
    sums = [sum(r for r, s in zip(range(1, 6), f"{k:05b}", strict=True) if s == "1") for k in range(32)]
    expected = 2 * sum(w >= 13 for w in sums) / 32
    assert wilcoxon(d, np.zeros(5)).p_value == pytest.approx(expected)


def test_tied_differences_are_ties_despite_rounding() -> None:
    a, b = [0.66, 0.68, 0.71, 0.9], [0.65, 0.67, 0.70, 0.91]
    assert wilcoxon(a, b).p_value == pytest.approx(stats.wilcoxon([1, 1, 1, -1]).pvalue)


def test_equal_differences() -> None:
    same = paired_t([0.5, 0.6], [0.5, 0.6])
    assert (same.difference, same.p_value) == (0, 1)
    shifted = paired_t([2.0, 3.0], [1.0, 2.0])
    assert (shifted.p_value, shifted.low, shifted.high) == (0, 1, 1)


@pytest.mark.parametrize("x", [[], [0.5], [0.5, math.nan], [[0.5, 0.5]]])
def test_too_few_seeds(x: list[float]) -> None:
    with pytest.raises(DataError, match="two or more seeds"):
        seed_interval(x)
    for test in (paired_t, wilcoxon):
        with pytest.raises(DataError, match="two or more seeds"):
            test(x, x)


def test_unpaired_values_and_impossible_levels() -> None:
    with pytest.raises(DataError, match=r"got \(2,\) and \(3,\); run both with the same seeds"):
        paired_t([1, 2], [1, 2, 3])
    with pytest.raises(UsageError, match="level between 0 and 1, got 95"):
        seed_interval([1, 2], level=95)


def correct(labels: np.ndarray, p: np.ndarray) -> float:
    return accuracy(labels, p.argmax(1))


def systems(seed: int, gain: float, n: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two systems with equal skill but for `gain` on the first's true logit."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    truth = np.eye(3)[labels]
    shared = 0.5 * truth + rng.normal(size=(n, 3))
    return labels, shared + gain * truth, shared + 0.3 * rng.normal(size=(n, 3))


GROUPS = [f"speaker {i // 6}" for i in range(240)]


def test_bootstrap_finds_a_difference_and_none() -> None:
    labels, better, worse = systems(0, 1.0)
    found = paired_bootstrap(correct, labels, first=better, second=worse, groups=GROUPS, rounds=300)
    assert found.difference == pytest.approx(correct(labels, better) - correct(labels, worse))
    assert 0 < found.low < found.difference < found.high
    assert found.p_value == pytest.approx(2 / 301)
    assert found.n == 40
    turned = paired_bootstrap(correct, labels, first=worse, second=better, groups=GROUPS, rounds=300)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    same = paired_bootstrap(correct, labels, first=worse, second=worse, groups=GROUPS, rounds=50)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_bootstrap_matches_the_normal_approximation() -> None:
    """Every item its own group, the difference of two means: deviation of d / sqrt(n)."""
    labels, a, b = systems(3, 0.2)
    d = (a.argmax(1) == labels).astype(float) - (b.argmax(1) == labels)
    found = paired_bootstrap(
        correct, labels, first=a, second=b, groups=[str(i) for i in range(240)], rounds=2000
    )
    half = 1.96 * d.std() / math.sqrt(240)
    assert found.low == pytest.approx(d.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(d.mean() + half, abs=0.15 * half)


def test_bootstrap_rejects_equals_at_about_its_level() -> None:
    rejected = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels = rng.integers(3, size=120)
        a, b = (np.eye(3)[labels] + rng.normal(size=(120, 3)) for _ in range(2))
        found = paired_bootstrap(
            correct, labels, first=a, second=b, groups=GROUPS[:120], rounds=99, seed=seed
        )
        rejected += found.p_value < 0.05
    assert rejected <= 9  # expected 3, P(more than 9) < .001


def test_bootstrap_keeps_groups_whole_and_is_reproducible() -> None:
    labels = np.arange(12) % 3
    groups = ["b", "a", "c"] * 4  # interleaved
    seen: list[np.ndarray] = []

    def spy(rows: np.ndarray, p: np.ndarray) -> float:
        seen.append(p[:, 0].astype(int))
        return 0.0

    index = np.repeat(np.arange(12.0)[:, None], 3, axis=1)
    paired_bootstrap(spy, labels, first=index, second=index, groups=groups, rounds=20, seed=4)
    for rows in seen:
        counts = np.bincount(rows, minlength=12)
        assert all(len({counts[i] for i in range(12) if groups[i] == g}) == 1 for g in "abc")
    twice = [
        paired_bootstrap(
            correct,
            *systems(0, 0.1)[:1],
            first=systems(0, 0.1)[1],
            second=systems(0, 0.1)[2],
            groups=GROUPS,
            rounds=30,
            seed=seed,
        )
        for seed in (0, 0, 1)
    ]
    assert twice[0] == twice[1]
    assert twice[0] != twice[2]


def test_bootstrap_of_other_items_is_refused() -> None:
    labels, a, b = systems(0, 0.1)
    with pytest.raises(DataError, match="got 240, 240, 239 and 240"):
        paired_bootstrap(correct, labels, first=a, second=b[1:], groups=GROUPS)
