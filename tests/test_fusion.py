"""Fusion: any subset of opinions, weights, conflict, decisions."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trivalent.bundle.decision import Decision, ratio
from trivalent.bundle.fusion import Opinion, Pool, combine, softmax
from trivalent.core.errors import BundleError, UsageError
from trivalent.core.types import LABELS, Modality, Sentiment

TEXT, AUDIO, FACE = Modality
UNIFORM = np.full(3, 1 / 3)
NEGATIVE, NEUTRAL, POSITIVE = np.eye(3) * 0.85 + 0.05
ALL = {m: 1.0 for m in Modality}


def distributions() -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda p: np.array(p) / sum(p))


def opinion_sets(least: int = 0) -> st.SearchStrategy[dict[Modality, Opinion]]:
    opinions = st.builds(Opinion, distributions(), distributions(), st.floats(0, 1))
    return st.dictionaries(st.sampled_from(Modality), opinions, min_size=least)


rules = st.builds(
    Pool,
    st.fixed_dictionaries({m: st.floats(0, 1.5) for m in Modality}),
    distributions(),
    st.floats(0, 1),
    st.floats(0, 4),
    st.floats(0, 1),
)
checked = settings(max_examples=60, deadline=None)


def say(p: np.ndarray, quality: float = 1.0) -> Opinion:
    return Opinion(p, UNIFORM, quality)


@given(rules, opinion_sets())
@checked
def test_any_subset_gives_a_distribution(rule: Pool, opinions: dict[Modality, Opinion]) -> None:
    fused = rule.fuse(opinions)
    assert fused.probabilities.shape == (3,)
    assert np.isclose(fused.probabilities.sum(), 1)
    assert (fused.probabilities > 0).all()
    assert set(fused.weights) == set(fused.effects) == set(opinions)
    total = sum(rule.weights[m] * o.reliability for m, o in opinions.items())
    assert 0 <= fused.conflict <= np.log2(3)
    if total > 1e-6 and (rule.beside_words > 1e-6 or TEXT not in opinions):
        assert np.isclose(sum(fused.weights.values()), 1)


@given(rules)
@checked
def test_no_opinion_gives_the_prior(rule: Pool) -> None:
    fused = rule.fuse({})
    np.testing.assert_allclose(fused.probabilities, rule.prior, atol=1e-9)
    assert (fused.weights, fused.effects, fused.conflict, fused.mixed) == ({}, {}, 0.0, False)


@given(rules, opinion_sets(1))
@checked
def test_opinions_of_no_quality_give_the_prior(rule: Pool, opinions: dict[Modality, Opinion]) -> None:
    mute = {m: Opinion(o.probabilities, o.prior, 0.0) for m, o in opinions.items()}
    fused = rule.fuse(mute)
    np.testing.assert_allclose(fused.probabilities, rule.prior, atol=1e-9)
    assert set(fused.weights.values()) == {0.0}
    assert not fused.mixed


@given(distributions(), distributions())
@checked
def test_one_trusted_expert_speaks_for_itself(p: np.ndarray, prior: np.ndarray) -> None:
    """Under its own prior, an expert at weight 1 is passed on unchanged; else Bayes moves it."""
    rule = Pool(ALL, prior)
    np.testing.assert_allclose(rule.posterior({TEXT: Opinion(p, prior)}), p, atol=1e-9)
    moved = Pool(ALL, UNIFORM).posterior({TEXT: Opinion(p, prior)})
    np.testing.assert_allclose(moved, p / prior / (p / prior).sum(), atol=1e-9)


def test_hand_worked() -> None:
    rule = Pool({TEXT: 1.0, FACE: 0.5}, UNIFORM, beside_words=0.5, kappa=0.0)
    p, q = np.array([0.2, 0.2, 0.6]), np.array([0.1, 0.4, 0.5])
    raw = p * q ** (0.5 * 0.5 * 0.8)
    fused = rule.fuse({TEXT: say(p), FACE: say(q, 0.8)})
    np.testing.assert_allclose(fused.probabilities, raw / raw.sum(), atol=1e-9)
    np.testing.assert_allclose(list(fused.weights.values()), [1 / 1.2, 0.2 / 1.2])
    # Without words the face counts at its own weight.
    alone = q**0.4 / (q**0.4).sum()
    np.testing.assert_allclose(rule.posterior({FACE: say(q, 0.8)}), alone, atol=1e-9)


def test_conflict_is_the_jensen_shannon_divergence() -> None:
    distance = pytest.importorskip("scipy.spatial.distance")
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.2, 0.6])
    fused = Pool(ALL, UNIFORM).fuse({TEXT: say(p), FACE: say(q)})
    assert fused.conflict == pytest.approx(distance.jensenshannon(p, q, base=2) ** 2)


@given(opinion_sets(2), rules)
@checked
def test_order_does_not_matter(opinions: dict[Modality, Opinion], rule: Pool) -> None:
    first = rule.fuse(opinions)
    for order in itertools.permutations(opinions):
        other = rule.fuse({m: opinions[m] for m in order})
        np.testing.assert_allclose(other.probabilities, first.probabilities, atol=1e-9)
        assert other.conflict == pytest.approx(first.conflict, abs=1e-9)
        for m in opinions:
            np.testing.assert_allclose(other.effects[m], first.effects[m], atol=1e-9)


@given(rules, opinion_sets(1))
@checked
def test_effect_is_the_difference(rule: Pool, opinions: dict[Modality, Opinion]) -> None:
    fused = rule.fuse(opinions)
    for m in opinions:
        without = rule.fuse({k: o for k, o in opinions.items() if k != m})
        np.testing.assert_allclose(fused.effects[m], fused.probabilities - without.probabilities, atol=1e-9)
        assert fused.effects[m].sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("kappa", [0.0, 1.0, 4.0])
def test_disagreement_lowers_confidence(kappa: float) -> None:
    rule = Pool(ALL, UNIFORM, kappa=kappa)
    agreed = rule.fuse({TEXT: say(POSITIVE), FACE: say(POSITIVE)})
    alone = rule.fuse({TEXT: say(POSITIVE)})
    opposed = rule.fuse({TEXT: say(POSITIVE), FACE: say(NEGATIVE)})
    assert agreed.conflict < 1e-9 < opposed.conflict
    assert agreed.probabilities.max() > alone.probabilities.max() > opposed.probabilities.max()


def test_kappa_widens_only_what_conflicts() -> None:
    """With unequal weights the words still win, but less surely the larger kappa is."""
    weights = {TEXT: 1.0, FACE: 0.3}
    sure = [
        Pool(weights, UNIFORM, kappa=k).posterior({TEXT: say(POSITIVE), FACE: say(NEGATIVE)})
        for k in (0, 1, 4)
    ]
    assert [p.argmax() for p in sure] == [2, 2, 2]
    assert sure[0][2] > sure[1][2] > sure[2][2] > 1 / 3
    together = [
        Pool(weights, UNIFORM, kappa=k).posterior({TEXT: say(POSITIVE), FACE: say(POSITIVE)})
        for k in (0, 4)
    ]
    np.testing.assert_allclose(*together, atol=1e-9)


@given(opinion_sets(2))
@checked
def test_mixed_only_for_opposed_opinions(opinions: dict[Modality, Opinion]) -> None:
    fused = Pool(ALL, UNIFORM, mixed_above=0.0).fuse(opinions)
    said = {int(o.probabilities.argmax()) for o in opinions.values() if o.reliability > 0}
    assert fused.mixed == ({0, 2} <= said)


def test_mixed_needs_conflict_and_opposition() -> None:
    rule = Pool(ALL, UNIFORM, mixed_above=0.2)
    assert rule.fuse({TEXT: say(POSITIVE), FACE: say(NEGATIVE)}).mixed
    assert not rule.fuse({TEXT: say(POSITIVE), FACE: say(NEUTRAL)}).mixed
    assert not rule.fuse({TEXT: say(POSITIVE), FACE: say(NEGATIVE, 0.0)}).mixed
    mild = say(np.array([0.36, 0.33, 0.31])), say(np.array([0.31, 0.33, 0.36]))
    assert not rule.fuse({TEXT: mild[0], FACE: mild[1]}).mixed
    # An expert without weight in the bundle cannot be one side of it.
    deaf = Pool({TEXT: 1.0, FACE: 0.0}, UNIFORM, mixed_above=0.2)
    assert not deaf.fuse({TEXT: say(POSITIVE), FACE: say(NEGATIVE)}).mixed


def test_different_priors_are_no_conflict() -> None:
    """Two experts that learnt nothing, under different class mixes, do not disagree."""
    one, two = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.2, 0.7])
    fused = Pool(ALL, UNIFORM).fuse({TEXT: Opinion(one, one), FACE: Opinion(two, two)})
    assert fused.conflict == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(fused.probabilities, UNIFORM, atol=1e-9)


@given(rules, st.integers(1, 5))
@checked
def test_many_items_at_once_equal_one_by_one(rule: Pool, n: int) -> None:
    rng = np.random.default_rng(n)
    tables = {m: rng.dirichlet(np.ones(3), size=n) for m in Modality}
    together = rule.posterior({m: Opinion(p, UNIFORM) for m, p in tables.items()})
    for i in range(n):
        single = rule.posterior({m: Opinion(p[i], UNIFORM) for m, p in tables.items()})
        np.testing.assert_allclose(together[i], single, atol=1e-9)


@given(rules)
@checked
def test_json_round_trip(rule: Pool) -> None:
    back = Pool.from_dict(json.loads(json.dumps(rule.to_dict())))
    assert back.to_dict() == rule.to_dict()
    opinions = {TEXT: say(POSITIVE), AUDIO: say(NEGATIVE, 0.5)}
    np.testing.assert_array_equal(back.posterior(opinions), rule.posterior(opinions))


@pytest.mark.parametrize(
    "change",
    [
        {"weights": {"text": -0.1}},
        {"weights": {"smell": 1.0}},
        {"weights": [1.0]},
        {"prior": [0.5, 0.5]},
        {"prior": [0.2, 0.2, 0.2]},
        {"prior": [1.5, -0.5, 0.0]},
        {"kappa": None},
        {"kappa": -1.0},
        {"beside_words": float("nan")},
    ],
)
def test_bad_json_is_refused(change: dict[str, object]) -> None:
    data = {**Pool(ALL, UNIFORM).to_dict(), **change}
    with pytest.raises(BundleError, match="expected"):
        Pool.from_dict(data)


@pytest.mark.parametrize("key", ["weights", "prior", "beside_words", "kappa", "mixed_above"])
def test_an_absent_key_is_refused(key: str) -> None:
    data = Pool(ALL, UNIFORM).to_dict()
    del data[key]
    with pytest.raises(BundleError, match=key):
        Pool.from_dict(data)


@given(distributions(), st.tuples(*[st.floats(0.05, 1)] * 3))
@checked
def test_decision_is_the_argmax_of_ratios(p: np.ndarray, tau: tuple[float, float, float]) -> None:
    verdict = Decision(ratio(tau)).decide(p)
    ratios = [float(a) / b for a, b in zip(p, tau, strict=True)]
    chosen = LABELS.index(verdict.label)
    assert ratios[chosen] == max(ratios)
    assert verdict.confidence == p[chosen]
    assert not verdict.abstained
    np.testing.assert_array_equal(verdict.probabilities, p)


@given(distributions(), st.floats(0.05, 1))
@checked
def test_equal_thresholds_are_the_argmax(p: np.ndarray, tau: float) -> None:
    assume(np.sort(p)[2] - np.sort(p)[1] > 1e-9)
    assert Decision(ratio((tau, tau, tau))).decide(p).label == Sentiment(int(p.argmax())).label


def test_abstention() -> None:
    p = np.array([0.2, 0.3, 0.5])
    assert Decision(ratio(), 0.51).decide(p).abstained
    assert not Decision(ratio(), 0.5).decide(p).abstained


@pytest.mark.parametrize(
    "thresholds", [(0, 0.5, 0.5), (0.5, 0.5), (1.1, 1, 1), (float("nan"), 1, 1), (-1, 1, 1)]
)
def test_bad_thresholds(thresholds: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match=r"expected three thresholds in \(0, 1\]"):
        ratio(thresholds)


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan")])
def test_bad_confidence(confidence: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        Decision(ratio(), confidence)


@given(st.lists(st.tuples(distributions(), st.floats(0, 100)), min_size=1, max_size=6))
@checked
def test_a_recording_is_the_mean_weighted_by_duration(parts: list[tuple[np.ndarray, float]]) -> None:
    probabilities, durations = [p for p, _ in parts], [d for _, d in parts]
    assume(sum(durations) == 0 or sum(durations) > 1e-3)
    mean = combine(probabilities, durations)
    assert mean.sum() == pytest.approx(1)
    total = sum(durations)
    shares = [d / total if total else 1 / len(parts) for d in durations]
    expected = sum(p * share for p, share in zip(probabilities, shares, strict=True))
    np.testing.assert_allclose(mean, expected, atol=1e-9)
    np.testing.assert_allclose(combine(probabilities[::-1], durations[::-1]), mean, atol=1e-9)


def test_softmax() -> None:
    scipy = pytest.importorskip("scipy.special")
    x = np.random.default_rng(0).normal(size=(4, 3)) * 300
    np.testing.assert_allclose(softmax(x), scipy.softmax(x, axis=-1), atol=1e-12)
