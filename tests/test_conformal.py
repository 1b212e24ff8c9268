"""Prediction sets: coverage on exchangeable data, exactly; sets by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.core.errors import DataError, UsageError
from trivalent.lab.decide.conformal import Score, fit_conformal

alphas = st.sampled_from([0.05, 0.1, 0.2, 0.25, 0.5])


def items(seed: int, n: int, *, honest: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Coarse probabilities (so that ties occur), and labels drawn from them or from anything."""
    rng = np.random.default_rng(seed)
    p = np.round(rng.dirichlet(np.ones(3), size=n), 1 + seed % 3) + 1e-3
    p = p / p.sum(1, keepdims=True)
    own = (rng.random((n, 1)) > p.cumsum(1)).sum(1).clip(max=2)
    return p, own if honest else rng.choice(3, size=n, p=[0.1, 0.2, 0.7])


@given(
    st.integers(0, 10_000),
    st.integers(2, 40),
    alphas,
    st.sampled_from(Score),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_coverage_holds_for_exchangeable_items(
    seed: int, n: int, alpha: float, score: Score, honest: bool, by_class: bool
) -> None:
    """Leave each of n items out in turn: (1 - alpha) n of them are covered, by counting alone.

    That the left-out item is equally likely to be any of the n is what exchangeability means, so
    that this *is* the theorem, and holds for every data set and model, not just on average.
    """
    p, labels = items(seed, n, honest=honest)
    covered = np.array(
        [
            fit_conformal(
                np.delete(p, i, 0),
                np.delete(labels, i),
                alpha=alpha,
                score=score,
                class_conditional=by_class,
            ).sets(p[i : i + 1])[0, labels[i]]
            for i in range(n)
        ]
    )
    assert covered.sum() >= (1 - alpha) * n - 1e-9
    if by_class:
        for c in np.unique(labels):
            own = covered[labels == c]
            assert own.sum() >= (1 - alpha) * len(own) - 1e-9


@pytest.mark.parametrize(("score", "seed"), [("lac", None), ("aps", 5), ("aps", None)])
@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_coverage_is_not_far_above_what_was_asked(score: str, seed: int | None, alpha: float) -> None:
    """Without ties it lies in [1 - alpha, 1 - alpha + 1/(n + 1)]; unrandomised APS covers more."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), size=20_000)
    labels = (rng.random((20_000, 1)) > p.cumsum(1)).sum(1).clip(max=2)
    rule = fit_conformal(p[:10_000], labels[:10_000], alpha=alpha, score=score, seed=seed)
    sets = rule.sets(p[10_000:], seed=seed)
    coverage = sets[np.arange(10_000), labels[10_000:]].mean()
    assert coverage > 1 - alpha - 0.02
    assert coverage < 1 - alpha + 0.02
    assert rule.calibrated_on.tolist() == [10_000] * 3


def test_a_rare_class_needs_its_own_limit() -> None:
    """A model that never believes in negative: covered at large, but not where it matters."""
    rng = np.random.default_rng(1)
    labels = rng.choice(3, size=4000, p=[0.05, 0.5, 0.45])
    logits = 3 * np.eye(3)[labels] * (labels > 0)[:, None] + rng.normal(size=(4000, 3)) - [3, 0, 0]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    seen, new = slice(0, 2000), slice(2000, 4000)
    negative = labels[new] == 0
    held = {
        by_class: fit_conformal(p[seen], labels[seen], class_conditional=by_class).sets(p[new])
        for by_class in (False, True)
    }
    assert held[False][np.arange(2000), labels[new]].mean() > 0.87
    assert held[False][negative, 0].mean() < 0.5
    assert held[True][negative, 0].mean() > 0.8


def test_by_hand() -> None:
    """Three items, alpha 1/4: the limit is the third of the scores .2 .5 .4, for LAC .5."""
    p = np.array([[0.8, 0.1, 0.1], [0.3, 0.5, 0.2], [0.1, 0.3, 0.6]])
    labels = np.array([0, 1, 2])
    rule = fit_conformal(p, labels, alpha=0.25)
    assert rule.limits.tolist() == pytest.approx([0.5] * 3)
    new = np.array([[0.5, 0.5, 0.0], [0.4, 0.35, 0.25], [0.9, 0.1, 0.0]])
    assert rule.sets(new).tolist() == [[True, True, False], [False] * 3, [True, False, False]]
    # APS: masses .8, .5, .6, limit .8; new masses .5 1 1, .4 .75 1, .9 1 1.
    rule = fit_conformal(p, labels, alpha=0.25, score="aps")
    assert rule.limits.tolist() == pytest.approx([0.8] * 3)
    assert rule.sets(new).tolist() == [[True, False, False], [True, True, False], [False] * 3]


def test_too_few_items_exclude_nothing() -> None:
    p, labels = items(0, 8)
    assert np.isinf(fit_conformal(p, labels, alpha=0.1).limits).all()  # nine are needed
    p, labels = items(0, 9)
    assert np.isfinite(fit_conformal(p, labels, alpha=0.1).limits).all()
    rule = fit_conformal(p, np.zeros(9, int), alpha=0.1, class_conditional=True)
    assert rule.calibrated_on.tolist() == [9, 0, 0]
    assert rule.sets(p)[:, 1:].all()


def test_lower_alpha_gives_larger_sets() -> None:
    p, labels = items(2, 300)
    for score in Score:
        small, large = (fit_conformal(p, labels, alpha=a, score=score).sets(p) for a in (0.3, 0.05))
        assert (large >= small).all()
        assert large.sum() > small.sum()


def test_random_sets_are_reproducible() -> None:
    p, labels = items(2, 300)
    rule = fit_conformal(p, labels, score="aps", seed=1)
    np.testing.assert_array_equal(rule.sets(p, seed=2), rule.sets(p, seed=2))
    assert (rule.sets(p, seed=2) != rule.sets(p, seed=3)).any()
    with pytest.raises(UsageError, match="expected a seed for randomised sets"):
        rule.sets(p)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha between 0 and 1, got 0"),
        ({"alpha": 1.0}, "got 1"),
        ({"score": "raps"}, "score of lac, aps, got 'raps'"),
        ({"seed": 1}, "expected no seed for LAC"),
    ],
)
def test_what_cannot_be_asked(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit_conformal(*items(0, 5), **options)


def test_what_cannot_be_calibrated() -> None:
    p, labels = items(0, 5)
    with pytest.raises(DataError, match=r"got \(5, 3\) and \(4,\)"):
        fit_conformal(p, labels[1:])
    with pytest.raises(DataError, match=r"got \(0, 3\)"):
        fit_conformal(p[:0], labels[:0])
    with pytest.raises(DataError, match=r"labels 0\.\.2, got 3\.\.3"):
        fit_conformal(p, np.full(5, 3))
    with pytest.raises(DataError, match=r"shape \(n, 3\), got \(5, 2\)"):
        fit_conformal(p, labels).sets(p[:, :2])
