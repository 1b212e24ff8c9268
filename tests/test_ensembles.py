"""Votes against loops, weights against all of the grid, stacking against scikit-learn and leaks."""

from __future__ import annotations

import itertools
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="needs the extra train")
from sklearn.linear_model import LogisticRegression

from trivalent.core.errors import DataError, MissingExtraError, UsageError
from trivalent.lab.decide.ensembles import (
    fit_stacking,
    hard_vote,
    search_weights,
    seed_ensemble,
    soft_vote,
    vote_shares,
)
from trivalent.lab.measure.metrics import accuracy, macro_f1, negative_log_likelihood

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


def test_seeds_by_hand() -> None:
    stack = np.array([[[1.0, 0, 0], [0.6, 0.3, 0.1]], [[0, 1.0, 0], [0.6, 0.3, 0.1]]])
    found = seed_ensemble(stack)
    np.testing.assert_allclose(found.probabilities, [[0.5, 0.5, 0], [0.6, 0.3, 0.1]])
    np.testing.assert_allclose(found.disagreement, [1, 0], atol=1e-9)  # one bit
    np.testing.assert_allclose(found.agreement, [0.5, 1])


@given(st.integers(0, 10_000))
@checked
def test_the_mean_of_seeds_is_no_worse_than_their_mean(seed: int) -> None:
    """Jensen: the NLL of the mean never exceeds the mean NLL."""
    stack, labels = members(seed)
    found = seed_ensemble(stack)
    single = [negative_log_likelihood(labels, p) for p in stack]
    assert negative_log_likelihood(labels, found.probabilities) <= np.mean(single) + 1e-12
    assert (found.disagreement >= 0).all()
    assert (found.disagreement <= np.log2(3)).all()


def features(stack: np.ndarray) -> np.ndarray:
    return np.concatenate([np.log(p) for p in stack], axis=1)


def test_stacking_equals_scikit_learn() -> None:
    stack, labels = members(0, 300)
    fitted = fit_stacking(stack, labels, strength=0.5)
    theirs = LogisticRegression(C=0.5, max_iter=2000).fit(features(stack), labels)
    new, _ = members(1, 50)
    np.testing.assert_allclose(fitted.predict(new), theirs.predict_proba(features(new)), atol=1e-6)
    for fold in range(5):
        own = fitted.folds == fold
        model = LogisticRegression(C=0.5, max_iter=2000).fit(features(stack[:, ~own]), labels[~own])
        expected = model.predict_proba(features(stack[:, own]))
        np.testing.assert_allclose(fitted.out_of_fold[own], expected, atol=1e-6)


def test_stacking_beats_its_members_on_new_items() -> None:
    """The first member is good but shifted to negative, as after training with weights."""
    stack, labels = members(0, 2000)
    stack = stack * np.array([[5.0, 1, 1], [1, 1, 1], [1, 1, 1]])[:, None]
    stack = stack / stack.sum(2, keepdims=True)
    fitted = fit_stacking(stack[:, :1000], labels[:1000])
    truth = labels[1000:]
    stacked = negative_log_likelihood(truth, fitted.predict(stack[:, 1000:]))
    assert stacked < min(negative_log_likelihood(truth, p) for p in stack[:, 1000:])
    assert stacked < negative_log_likelihood(truth, soft_vote(stack[:, 1000:]))
    # Cross-fitting foretells it.
    foretold = negative_log_likelihood(labels[:1000], fitted.out_of_fold)
    assert foretold == pytest.approx(stacked, abs=0.06)


def test_cross_fitting_does_not_leak() -> None:
    """Members that know nothing: out of fold no better than chance, in sample better."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=60)
    stack = rng.dirichlet(np.ones(3), size=(12, 60))
    fitted = fit_stacking(stack, labels, strength=100.0)
    chance = np.log(3)
    assert negative_log_likelihood(labels, fitted.predict(stack)) < 0.8 * chance
    assert negative_log_likelihood(labels, fitted.out_of_fold) > chance


def test_groups_stay_whole_and_folds_are_stratified() -> None:
    stack, labels = members(0, 90)
    groups = [f"speaker {i % 18}" for i in range(90)]
    fitted = fit_stacking(stack, labels, groups=groups, folds=3)
    for name in set(groups):
        assert len({f for f, g in zip(fitted.folds, groups, strict=True) if g == name}) == 1
    single = fit_stacking(stack, labels, folds=3)
    for c in range(3):
        sizes = np.bincount(single.folds[labels == c], minlength=3)
        assert np.ptp(sizes) <= 1
    again = fit_stacking(stack, labels, folds=3)
    np.testing.assert_array_equal(single.out_of_fold, again.out_of_fold)
    other = fit_stacking(stack, labels, folds=3, seed=1)
    assert (single.folds != other.folds).any()


def test_balanced_stacking_answers_the_rare_class_more_often() -> None:
    stack, labels = members(3, 900, (0.8, 0.8))
    rows = np.flatnonzero((labels != 0) | (np.arange(900) % 6 == 0))
    plain, even = (
        fit_stacking(stack[:, rows], labels[rows], balanced=b).out_of_fold.argmax(1) for b in (False, True)
    )
    assert (even == 0).sum() > (plain == 0).sum()


@pytest.mark.parametrize("present", [(0, 1), (0, 2), (1, 2)])
def test_a_class_without_items_has_no_probability(present: tuple[int, int]) -> None:
    stack, labels = members(0, 120)
    rows = np.isin(labels, present)
    fitted = fit_stacking(stack[:, rows], labels[rows])
    p = fitted.predict(stack)
    (absent,) = {0, 1, 2} - set(present)
    assert (p[:, absent] == 0).all()
    np.testing.assert_allclose(p.sum(1), 1)
    theirs = LogisticRegression(max_iter=2000).fit(features(stack[:, rows]), labels[rows])
    np.testing.assert_allclose(p[:, present], theirs.predict_proba(features(stack)), atol=1e-6)


@pytest.mark.parametrize("weights", [[1, 2], [1, -1, 1], [0, 0, 0], [1, np.nan, 1], [[1, 1, 1]]])
def test_weights_that_do_not_fit(weights: list) -> None:
    with pytest.raises(UsageError, match="expected 3 weights of 0 or more, not all 0"):
        soft_vote(members(0)[0], weights=weights)


def test_what_cannot_be_combined() -> None:
    stack, labels = members(0, 12)
    for function in (soft_vote, hard_vote, seed_ensemble):
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


def test_what_cannot_be_stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, labels = members(0, 12)
    with pytest.raises(UsageError, match="2 or more folds"):
        fit_stacking(stack, labels, folds=1)
    with pytest.raises(UsageError, match="positive strength"):
        fit_stacking(stack, labels, strength=0)
    with pytest.raises(DataError, match="two classes or more to fit, got only 1"):
        fit_stacking(stack, np.ones(12, int))
    with pytest.raises(DataError, match="group for each of 12 items, got 2"):
        fit_stacking(stack, labels, groups=["a", "b"])
    with pytest.raises(DataError, match="5 or more items or groups for as many folds, got 2"):
        fit_stacking(stack, labels, groups=["a", "b"] * 6)
    with pytest.raises(DataError, match="two classes or more in every fold"):
        fit_stacking(stack, np.array([0] * 11 + [1]), folds=2)
    with pytest.raises(DataError, match="stack of 3 members, got 2"):
        fit_stacking(stack, labels, folds=2).predict(stack[:2])
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MissingExtraError, match="scikit-learn"):
        fit_stacking(stack, labels, folds=2)
