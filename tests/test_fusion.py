"""Fusion: any subset of opinions, the rules that none may break, decisions."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trivalent.bundle.decision import Decision, ratio
from trivalent.bundle.fusion import Beside, Opinion, Pool, combine, disagreement, heard, softmax
from trivalent.core.errors import BundleError, UsageError
from trivalent.core.types import LABELS, Modality, Sentiment

TEXT, AUDIO, FACE = Modality
UNIFORM = np.full(3, 1 / 3)
NEGATIVE, NEUTRAL, POSITIVE = np.eye(3) * 0.85 + 0.05


def distributions() -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda p: np.array(p) / sum(p))


def opinions() -> st.SearchStrategy[Opinion]:
    """What experts of any prior, strength and reliability may say."""
    return st.builds(
        lambda p, prior, strength, reliability: heard(
            p, prior=prior, strength=strength, reliability=reliability
        ),
        distributions(),
        distributions(),
        st.floats(0.1, 1.5),
        st.floats(0, 1),
    )


def opinion_sets(least: int = 0) -> st.SearchStrategy[dict[Modality, Opinion]]:
    return st.dictionaries(st.sampled_from(Modality), opinions(), min_size=least)


besides = st.builds(
    lambda polar, ratio_: Beside(polar, polar * ratio_), st.floats(0.05, 1), st.floats(0, 1)
)
rules = st.builds(
    Pool, st.dictionaries(st.sampled_from(Modality), besides), distributions(), st.floats(0, 1)
)
even = st.builds(  # both poles are expected as often: as in the shipped bundles
    lambda beside, side: Pool(beside, np.array([side, 1 - 2 * side, side])),
    st.dictionaries(st.sampled_from(Modality), besides),
    st.floats(0.05, 0.45),
)
checked = settings(max_examples=60, deadline=None)


def say(p: np.ndarray, reliability: float = 1.0) -> Opinion:
    return heard(p, prior=UNIFORM, reliability=reliability)


def valence(p: np.ndarray) -> float:
    return float(p[2] - p[0])


@given(rules, opinion_sets())
@checked
def test_any_subset_gives_a_distribution(rule: Pool, said: dict[Modality, Opinion]) -> None:
    fused = rule.fuse(said)
    assert fused.probabilities.shape == (3,)
    assert np.isclose(fused.probabilities.sum(), 1)
    assert (fused.probabilities > 0).all()
    assert set(fused.weights) == set(fused.effects) == set(said)
    assert 0 <= fused.conflict <= 1
    assert sum(fused.weights.values()) == pytest.approx(1) or set(fused.weights.values()) <= {0.0}


@given(rules)
@checked
def test_no_opinion_gives_the_prior(rule: Pool) -> None:
    fused = rule.fuse({})
    np.testing.assert_allclose(fused.probabilities, rule.prior, atol=1e-9)
    assert (fused.weights, fused.effects, fused.conflict) == ({}, {}, 0.0)


@given(opinions(), st.sampled_from(Modality), st.dictionaries(st.sampled_from(Modality), besides))
@checked
def test_one_modality_alone_gives_its_own_answer(
    said: Opinion, modality: Modality, beside: dict[Modality, Beside]
) -> None:
    fused = Pool(beside).fuse({modality: said})
    np.testing.assert_allclose(fused.probabilities, said.probabilities, atol=1e-9)
    np.testing.assert_allclose(fused.effects[modality], said.probabilities - UNIFORM, atol=1e-9)


@given(distributions(), distributions())
@checked
def test_an_expert_is_moved_from_its_prior_by_bayes(p: np.ndarray, prior: np.ndarray) -> None:
    said = heard(p, prior=prior)
    np.testing.assert_allclose(said.probabilities, p / prior / (p / prior).sum(), atol=1e-9)
    np.testing.assert_allclose(Pool(prior=prior).posterior({TEXT: said}), p, atol=1e-9)


@given(rules, opinion_sets(), st.sampled_from(Modality))
@checked
def test_no_reliability_is_as_good_as_missing(
    rule: Pool, said: dict[Modality, Opinion], modality: Modality
) -> None:
    without = rule.posterior({m: o for m, o in said.items() if m is not modality})
    mute = rule.posterior({**said, modality: say(POSITIVE, 0.0)})
    np.testing.assert_allclose(mute, without, atol=1e-9)


@given(even, opinion_sets(1), st.booleans())
@checked
def test_all_that_lean_one_way_are_not_fused_the_other_way(
    rule: Pool, said: dict[Modality, Opinion], positive: bool
) -> None:
    said = {m: _leaning(o, positive) for m, o in said.items()}
    lean = valence(rule.posterior(said))
    assert lean >= -1e-9 if positive else lean <= 1e-9


def _leaning(opinion: Opinion, positive: bool) -> Opinion:
    p = opinion.probabilities
    return opinion if (valence(p) >= 0) is positive else Opinion(p[::-1], opinion.reliability)


@given(st.dictionaries(st.sampled_from(Modality), besides), opinion_sets(1), st.sampled_from(Sentiment))
@checked
def test_one_label_of_all_is_the_label_unless_their_neutral_counts_little(
    beside: dict[Modality, Beside], said: dict[Modality, Opinion], label: Sentiment
) -> None:
    """With equal exponents and equally frequent classes; a low `neutral` may only move neutral labels."""
    assume(all(o.probabilities.argmax() == label for o in said.values()))
    equal = {m: Beside(b.polar, b.polar) for m, b in beside.items()}
    for rule in (Pool(equal), Pool(beside)) if label is not Sentiment.NEUTRAL else (Pool(equal),):
        fused = rule.posterior(said)
        assert fused[label] >= fused.max() - 1e-9


@given(rules, opinion_sets(1), st.sampled_from(Sentiment), st.floats(0, 3), st.data())
@checked
def test_more_evidence_for_a_class_never_lowers_it(
    rule: Pool, said: dict[Modality, Opinion], label: Sentiment, more: float, data: st.DataObject
) -> None:
    modality = data.draw(st.sampled_from(sorted(said)))
    p = said[modality].probabilities * np.exp(more * (np.arange(3) == label))
    stronger = {**said, modality: Opinion(p / p.sum(), said[modality].reliability)}
    assert rule.posterior(stronger)[label] >= rule.posterior(said)[label] - 1e-9


@given(even, opinion_sets(1))
@checked
def test_what_a_modality_changed_has_the_sign_of_what_it_said(
    rule: Pool, said: dict[Modality, Opinion]
) -> None:
    """Toward the pole that it names; one that says neutral may draw a clear answer back to it."""
    for m, effect in rule.fuse(said).effects.items():
        p = said[m].probabilities
        assert effect.sum() == pytest.approx(0, abs=1e-9)
        if p.argmax() != Sentiment.NEUTRAL:
            assert effect[p.argmax()] >= -1e-9


def test_a_clear_face_beside_plain_words_is_not_outvoted() -> None:
    """Where the neutral of words counts nothing, they only take part by their poles."""
    words = np.array([0.1, 0.8, 0.1])
    rule = Pool({TEXT: Beside(0.5, 0.0), FACE: Beside(0.7, 0.7)})
    fused = rule.posterior({TEXT: say(words), FACE: say(POSITIVE)})
    np.testing.assert_allclose(fused, say(POSITIVE, 0.7).probabilities, atol=1e-9)


def test_hand_worked() -> None:
    rule = Pool({TEXT: Beside(0.5, 0.25), FACE: Beside(0.8, 0.8)}, np.array([0.2, 0.5, 0.3]))
    p, q = np.array([0.2, 0.2, 0.6]), np.array([0.1, 0.4, 0.5])
    # The face counts for .6: the words keep 1 - .6 (1 - .5) = .7 of their poles, .55 of their neutral.
    polar = 0.7 * np.log(0.6 / 0.2) + 0.8 * 0.6 * np.log(0.5 / 0.1)
    flat = 0.55 * np.log(0.2 / np.sqrt(0.12)) + 0.8 * 0.6 * np.log(0.4 / np.sqrt(0.05))
    raw = rule.prior * np.exp([-polar / 2, flat, polar / 2])
    fused = rule.fuse({TEXT: say(p), FACE: say(q, 0.6)})
    np.testing.assert_allclose(fused.probabilities, raw / raw.sum(), atol=1e-9)


def test_disagreement_is_what_the_weaker_side_says() -> None:
    assert disagreement([]) == disagreement([say(POSITIVE)]) == 0
    assert disagreement([say(POSITIVE), say(NEUTRAL)]) == 0
    assert disagreement([say(POSITIVE), say(NEGATIVE)]) == pytest.approx(0.85)
    mild = np.array([0.5, 0.3, 0.2])
    assert disagreement([say(POSITIVE), say(mild), say(NEUTRAL)]) == pytest.approx(0.3)
    assert disagreement([say(POSITIVE), say(NEGATIVE, 0.0)]) == pytest.approx(0)


@given(rules, opinion_sets(2))
@checked
def test_mixed_is_one_rule(rule: Pool, said: dict[Modality, Opinion]) -> None:
    fused = rule.fuse(said)
    assert fused.conflict == disagreement(list(said.values()))
    assert fused.mixed == (fused.conflict >= rule.mixed_above)


def test_disagreement_lowers_confidence() -> None:
    agreed = Pool().posterior({TEXT: say(POSITIVE), FACE: say(POSITIVE)})
    alone = Pool().posterior({TEXT: say(POSITIVE)})
    opposed = Pool().posterior({TEXT: say(POSITIVE), FACE: say(NEGATIVE)})
    assert agreed.max() > alone.max() > opposed.max()


@given(opinion_sets(2), rules)
@checked
def test_order_does_not_matter(said: dict[Modality, Opinion], rule: Pool) -> None:
    first = rule.fuse(said)
    for order in itertools.permutations(said):
        other = rule.fuse({m: said[m] for m in order})
        np.testing.assert_allclose(other.probabilities, first.probabilities, atol=1e-9)
        for m in said:
            np.testing.assert_allclose(other.effects[m], first.effects[m], atol=1e-9)


@given(rules, distributions())
@checked
def test_an_expected_mix_moves_the_odds(rule: Pool, prior: np.ndarray) -> None:
    said = {TEXT: say(POSITIVE), FACE: say(np.array([0.4, 0.4, 0.2]), 0.5)}
    before, after = rule.posterior(said), rule.expecting(prior).posterior(said)
    moved = before / rule.prior * prior
    np.testing.assert_allclose(after, moved / moved.sum(), atol=1e-9)


@given(rules, st.integers(1, 5))
@checked
def test_many_items_at_once_equal_one_by_one(rule: Pool, n: int) -> None:
    rng = np.random.default_rng(n)
    tables = {m: (rng.dirichlet(np.ones(3), size=n), rng.random(n)) for m in Modality}
    together = rule.posterior({m: Opinion(p, r) for m, (p, r) in tables.items()})
    for i in range(n):
        single = rule.posterior({m: Opinion(p[i], float(r[i])) for m, (p, r) in tables.items()})
        np.testing.assert_allclose(together[i], single, atol=1e-9)


@given(rules)
@checked
def test_json_round_trip(rule: Pool) -> None:
    back = Pool.from_dict(json.loads(json.dumps(rule.to_dict())))
    assert back.to_dict() == rule.to_dict()
    said = {TEXT: say(POSITIVE), AUDIO: say(NEGATIVE, 0.5)}
    np.testing.assert_array_equal(back.posterior(said), rule.posterior(said))


@pytest.mark.parametrize(
    "change",
    [
        {"beside": {"text": {"polar": -0.1, "neutral": -0.1}}},
        {"beside": {"text": {"polar": 1.1, "neutral": 1.0}}},
        {"beside": {"text": {"polar": 0.5, "neutral": 0.6}}},
        {"beside": {"text": {"polar": 0.5}}},
        {"beside": {"smell": {"polar": 0.5, "neutral": 0.5}}},
        {"beside": [1.0]},
        {"prior": [0.5, 0.5]},
        {"prior": [0.2, 0.2, 0.2]},
        {"prior": [1.5, -0.5, 0.0]},
        {"mixed_above": None},
        {"mixed_above": -1.0},
        {"mixed_above": float("nan")},
    ],
)
def test_bad_json_is_refused(change: dict[str, object]) -> None:
    data = {**Pool({TEXT: Beside(0.5, 0.2)}).to_dict(), **change}
    with pytest.raises(BundleError, match="expected"):
        Pool.from_dict(data)


@pytest.mark.parametrize("key", ["beside", "prior", "mixed_above"])
def test_an_absent_key_is_refused(key: str) -> None:
    data = Pool().to_dict()
    del data[key]
    with pytest.raises(BundleError, match=key):
        Pool.from_dict(data)


def test_a_pool_of_an_earlier_version_says_what_to_do() -> None:
    earlier = {"kind": "pool", "weights": {"text": 1.0}, "prior": [0.3, 0.4, 0.3], "kappa": 2.0}
    with pytest.raises(BundleError, match="train it again"):
        Pool.from_dict(earlier)


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
