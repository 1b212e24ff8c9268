"""Verdicts on claims: with no difference they are undecided, with a large one they hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score

from trivalent.lab.measure.metrics import confusion_matrix, scores_of_confusion
from trivalent.lab.measure.verdicts import Estimate, Resamples, Spread, Verdict, figures_of

SEEDS, VIDEOS, EACH = 10, 60, 3


def spread(rng: np.random.Generator, labels, groups, resamples: Resamples, *, right: float, hard) -> Spread:
    """A system right so often: some videos are hard for all systems, and every seed errs anew."""
    chance = np.clip(right + hard[groups], 0, 1)
    seeds, drawn = [], []
    for _ in range(SEEDS):
        hits = rng.random(len(labels)) < chance
        codes = np.where(hits, labels, (labels + rng.integers(1, 3, len(labels))) % 3)
        seeds.append(float(scores_of_confusion(confusion_matrix(labels, codes))["macro_f1"]))
        drawn.append(figures_of(resamples.confusions(labels, codes, classes=3), named={})["macro_f1"])
    return Spread(np.array(seeds), np.mean(drawn, axis=0), resamples.groups)


def verdicts(gain: float, *, rounds: int) -> list[Verdict]:
    rng, found = np.random.default_rng(0), []
    groups = np.repeat(np.arange(VIDEOS), EACH)
    resamples = Resamples([f"video {g}" for g in groups])
    for _ in range(rounds):
        labels, hard = rng.integers(0, 3, len(groups)), rng.normal(0, 0.1, VIDEOS)
        one = spread(rng, labels, groups, resamples, right=0.6 + gain, hard=hard)
        two = spread(rng, labels, groups, resamples, right=0.6, hard=hard)
        found.append((one - two).estimate().verdict)
    return found


def test_without_a_difference_the_verdict_is_undecided():
    assert verdicts(0.0, rounds=100).count(Verdict.UNDECIDED) >= 95


def test_a_large_difference_holds_and_its_opposite_is_refuted():
    assert set(verdicts(0.15, rounds=20)) == {Verdict.HOLDS}
    assert set(verdicts(-0.15, rounds=20)) == {Verdict.REFUTED}


def test_a_difference_that_all_seeds_share_still_meets_the_chance_of_videos():
    """The same lead in every seed, on four videos: nothing is known of a fifth one."""
    few = Spread(np.full(5, 0.53), 0.5 + 0.1 * np.sin(np.arange(1000)), 4)
    none = Spread(np.full(5, 0.5), np.full(1000, 0.5), 4)
    assert (few - none).estimate().verdict is Verdict.UNDECIDED


def test_a_row_beside_itself_is_no_effect():
    one = Spread(np.array([0.4, 0.6]), np.linspace(0, 1, 1000), 9)
    found = (one - one).estimate()
    assert (found.mean, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert found.verdict is Verdict.REFUTED


def test_what_has_no_seed_has_the_interval_of_its_groups():
    found = Spread(np.array([0.5]), np.random.default_rng(0).normal(0.5, 0.02, 1000), 1001).estimate()
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.02, rel=0.1)


def test_the_visible_effect_is_found_four_times_in_five():
    rng, error = np.random.default_rng(1), 0.02
    drawn = rng.normal(0, error, 1000)
    visible = Spread(np.zeros(1), drawn, 1001).estimate().visible
    seen = [
        Spread(np.array([mean]), drawn + mean, 1001).estimate().verdict is Verdict.HOLDS
        for mean in rng.normal(visible, error, 500)
    ]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.05)


codes = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)


@given(codes)
def test_figures_are_those_of_scikit_learn(pairs):
    labels, predicted = np.array(pairs).T
    found = figures_of(confusion_matrix(labels, predicted), named={"negative": 0})
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0))
    own = [recall_score(labels, predicted, labels=[c], average="macro") for c in np.unique(labels)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(own))
    if len(np.unique(labels)) > 1 and set(predicted) <= set(labels):
        assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found["negative_f1"] == pytest.approx(
        f1_score(labels, predicted, labels=[0], average="macro", zero_division=0)
    )


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=40)
)
def test_a_resample_is_as_if_its_groups_were_put_together(rows):
    labels, predicted, groups = np.array(rows).T
    resamples = Resamples([str(g) for g in groups])
    names = np.unique(groups.astype(str))
    for counts, drawn in zip(
        resamples._counts[:5], resamples.confusions(labels, predicted, classes=3)[:5], strict=True
    ):
        times = counts[np.searchsorted(names, groups.astype(str))].astype(int)
        again = np.repeat(np.arange(len(labels)), times)
        assert np.array_equal(drawn, confusion_matrix(labels[again], predicted[again]))


def test_the_line_says_over_what():
    told = Estimate(0.032, -0.039, 0.1, 0.4, 0.1, 10, 180).told()
    assert (
        told
        == "+0.032 [-0.039, +0.100] over 10 seeds and 180 groups, p = 0.4; from 0.100 on it would be seen"
    )
