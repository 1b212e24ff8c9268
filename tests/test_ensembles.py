"""Votes against loops, weights against all of the grid, stacking against scikit-learn and leaks."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.core.errors import DataError, UsageError
from trivalent.lab.decide.ensembles import (
    hard_vote,
    search_weights,
    soft_vote,
    vote_shares,
)
from trivalent.lab.measure.metrics import accuracy, macro_f1

checked = settings(max_examples=40, deadline=None)


def members(
    seed: int, n: int = 60, skills: tuple[float, ...] = (1.5, 1.0, 0.5)
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    logits = np.array([s * np.eye(3)[labels] + rng.normal(size=(n, 3)) for s in skills])
    p = np.exp(logits)
    return p / p.sum(2, keepdims=True), labels


weightings = st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any)


@given(st.integers(0, 10_000), weightings)
@checked
def test_votes_equal_loops(seed: int, weights: list[int]) -> None:
    stack, _ = members(seed, 15)
    soft = soft_vote(stack, weights=weights)
    shares = vote_shares(stack, weights=weights)
    hard = hard_vote(stack, weights=weights)
    for i in range(15):
        mean = sum(w * stack[m, i] for m, w in enumerate(weights)) / sum(weights)
        np.testing.assert_allclose(soft[i], mean)
        votes: Counter[int] = Counter({0: 0, 1: 0, 2: 0})
        for m, w in enumerate(weights):
            votes[int(stack[m, i].argmax())] += w
        np.testing.assert_allclose(shares[i], [votes[c] / sum(weights) for c in range(3)])
        most = [c for c in range(3) if votes[c] == max(votes.values())]
        assert hard[i] == max(most, key=lambda c: mean[c])


def test_scale_of_weights_and_equal_weights() -> None:
    stack, _ = members(0)
    np.testing.assert_allclose(soft_vote(stack), stack.mean(0))
    np.testing.assert_allclose(soft_vote(stack, weights=[2, 2, 2]), stack.mean(0))
    np.testing.assert_allclose(soft_vote(stack, weights=[0, 5, 0]), stack[1])
    np.testing.assert_array_equal(hard_vote(stack[:1]), stack[0].argmax(1))


def test_a_tie_of_votes_does_not_go_to_the_lowest_code() -> None:
    stack = np.array([[[0.4, 0.35, 0.25]], [[0.0, 0.1, 0.9]]])
    assert vote_shares(stack).tolist() == [[0.5, 0.0, 0.5]]
    assert hard_vote(stack).tolist() == [2]


@given(st.integers(0, 10_000), st.sampled_from([soft_vote, vote_shares]))
@settings(max_examples=15, deadline=None)
def test_no_weights_of_the_grid_are_better(seed: int, vote) -> None:
    stack, labels = members(seed)
    found = search_weights(stack, labels, step=0.25, vote=vote)
    grid = [w for w in itertools.product(range(5), repeat=3) if sum(w) == 4]
    assert len(grid) == 15
    scores = [macro_f1(labels, vote(stack, weights=w).argmax(1)) for w in grid]
    equal = macro_f1(labels, vote(stack, weights=[1, 1, 1]).argmax(1))
    assert found.score == pytest.approx(max(*scores, equal))
    assert found.baseline == equal
    assert found.weights.sum() == pytest.approx(1)
    assert macro_f1(labels, vote(stack, weights=found.weights).argmax(1)) == pytest.approx(found.score)


def test_a_useless_member_gets_little_weight() -> None:
    stack, labels = members(0, 800, (2.0, 0.0))
    found = search_weights(stack, labels, metric=accuracy)
    assert found.weights[0] >= 0.7
    assert found.score > found.baseline


def test_equals_stay_equal() -> None:
    stack, labels = members(0)
    found = search_weights(stack[[0, 0, 0]], labels)
    np.testing.assert_allclose(found.weights, 1 / 3)


@pytest.mark.parametrize("weights", [[1, 2], [1, -1, 1], [0, 0, 0], [1, np.nan, 1], [[1, 1, 1]]])
def test_weights_that_do_not_fit(weights: list) -> None:
    with pytest.raises(UsageError, match="expected 3 weights of 0 or more, not all 0"):
        soft_vote(members(0)[0], weights=weights)


def test_what_cannot_be_combined() -> None:
    stack, labels = members(0, 12)
    for function in (soft_vote, hard_vote):
        with pytest.raises(DataError, match=r"got \(12, 3\)"):
            function(stack[0])
    with pytest.raises(DataError, match=r"got \(3, 0, 3\)"):
        soft_vote(stack[:, :0])
    with pytest.raises(DataError, match=r"each of 12 items, got \(11,\)"):
        search_weights(stack, labels[1:])
    with pytest.raises(UsageError, match=r"step in \(0, 1\]"):
        search_weights(stack, labels, step=0)
    with pytest.raises(UsageError, match="at most 200000 combinations"):
        search_weights(np.repeat(stack, 4, axis=0), labels, step=0.05)
