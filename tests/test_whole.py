"""When a whole recording is called mixed: properties of the rule, and how it is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import analyses as factory
from trivalent.bundle.decision import Decision, ratio
from trivalent.bundle.fusion import combine
from trivalent.core.analysis import Evidence, Overall, UtteranceResult, Verdict
from trivalent.core.texts import Language
from trivalent.core.types import LABELS, Modality, Status
from trivalent.experts.whole import PARTS_SHARE, TIE_MARGIN, mixed_by, shares_of, whole
from trivalent.report.renderer import Renderer
from trivalent.report.view import verdict_badge, verdict_view
from trivalent.report.wording import Wording

DISTRIBUTIONS = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda x: np.array(x) / sum(x))
PARTS = st.lists(st.tuples(DISTRIBUTIONS, st.floats(0.3, 15)), min_size=1, max_size=12)
DECISION = Decision(ratio())
Part = tuple[np.ndarray, float]


def utterances(parts: list[Part], *, least: float = 0.0) -> list[UtteranceResult]:
    """One after the other, each of so many seconds."""
    ends = np.cumsum([length for _, length in parts])
    decide = replace(DECISION, min_confidence=least).decide
    heard = {Modality.TEXT: Evidence(Status.OK, None, np.full(3, 1 / 3), 1.0)}
    return [
        UtteranceResult(i, end - length, end, "", decide(p), heard)
        for i, ((p, length), end) in enumerate(zip(parts, ends, strict=True))
    ]


def judged(parts: list[Part], *, least: float = 0.0) -> Overall:
    mean = combine([p for p, _ in parts], [length for _, length in parts])
    return whole(DECISION.decide(mean), utterances(parts, least=least))


@given(PARTS, st.randoms())
def test_the_order_of_the_utterances_does_not_matter(
    parts: list[Part], random: np.random.Generator
) -> None:
    shuffled = random.sample(parts, len(parts))
    first, second = judged(parts), judged(shuffled)
    assert first.mixed_by == second.mixed_by
    np.testing.assert_allclose(first.shares, second.shares)


@given(PARTS)
def test_negative_and_positive_count_alike(parts: list[Part]) -> None:
    assume(all(np.diff(np.sort(p))[1] > 1e-6 for p, _ in parts))  # of two equals the first is the label
    found, mirrored = judged(parts), judged([(p[::-1], length) for p, length in parts])
    assert found.mixed_by == mirrored.mixed_by
    assert found.valence == pytest.approx(-mirrored.valence)


@given(DISTRIBUTIONS, st.floats(0.3, 15))
def test_one_utterance_has_no_parts(p: np.ndarray, length: float) -> None:
    assert judged([(p, length)]).mixed_by != "parts"


@given(PARTS, st.floats(0, 1))
def test_shares_are_of_the_time_that_is_decided(parts: list[Part], least: float) -> None:
    total = sum(length for _, length in parts)
    decided = sum(length for p, length in parts if p.max() >= least)
    shares = judged(parts, least=least).shares
    assert shares is not None
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(decided / total)


@given(PARTS)
def test_what_nobody_decides_has_no_parts(parts: list[Part]) -> None:
    assert judged(parts, least=1.0).mixed_by != "parts"


@given(PARTS, st.integers(0, 11), st.floats(0.3, 15))
def test_more_of_the_smaller_side_keeps_it_mixed(parts: list[Part], at: int, more_s: float) -> None:
    """As long as it is the smaller one: the other must keep its share."""
    found = judged(parts)
    assume(found.mixed_by == "parts" and found.shares is not None)
    negative, _, positive = found.shares
    side = 0 if negative < positive else 2
    more = [*parts, (np.roll([0.9, 0.05, 0.05], side), more_s)]
    shares = judged(more).shares
    assume(shares is not None and shares[2 - side] >= PARTS_SHARE)
    assert judged(more).mixed_by == "parts"


@given(DISTRIBUTIONS)
def test_a_tie_is_of_the_two_most_probable(p: np.ndarray) -> None:
    first, second, _ = sorted(p, reverse=True)
    assume(abs(first - second - TIE_MARGIN) > 1e-6)
    best, worst = LABELS[p.argmax()], LABELS[p.argmin()]
    assert (mixed_by(p, np.eye(3)[1], label=best) == "tie") == (first - second < TIE_MARGIN)
    assert worst == best or mixed_by(p, np.eye(3)[1], label=worst) is None, "thresholds chose it"


def test_sentences_of_a_text_count_equally() -> None:
    good, bad = np.array([0.05, 0.05, 0.9]), np.array([0.9, 0.05, 0.05])
    found = shares_of([replace(u, start_s=0.0, end_s=0.0) for u in utterances([(good, 9), (bad, 1)])])
    assert found.tolist() == [0.5, 0.0, 0.5]


def test_what_rests_on_nothing_is_no_tie() -> None:
    verdict = DECISION.decide(np.full(3, 1 / 3))
    assert whole(verdict, ()).mixed_by is None
    unheard = replace(utterances([(np.full(3, 1 / 3), 2.0)])[0], modalities={})
    assert whole(verdict, [unheard]).mixed_by is None


# -- how it is told -----------------------------------------------------------------------


def test_a_mixed_whole_is_calm() -> None:
    """34/32/34 is no big green "Positive", and mixed recordings are not called mixed signals."""
    seen = verdict_view(factory.tie(), Wording())
    assert (seen.kind, seen.headline) == ("mixed", "Mixed")
    assert seen.sure == "A near tie of negative 34 % and positive 34 %"
    assert seen.valence == "Valence 0.00 (−1 to +1)"
    parts = verdict_view(factory.mixed(), Wording())
    assert parts.sure == "50 % of it negative and 50 % positive; on the whole leaning positive at 48 %"
    html = Renderer().verdict(factory.tie())
    assert "tv-seal tv-mixed" in html
    assert "tv-seal tv-positive" not in html


@pytest.mark.parametrize("language", Language)
def test_mixed_wholes_and_mixed_signals_have_names_of_their_own(language: Language) -> None:
    say = Wording(language)
    named = verdict_badge(factory.tie().overall, say)
    assert named.words == say("common.mixed_whole") != say("common.mixed")
    assert say.headline(factory.tie().overall) not in map(say.headline, map(_plain, LABELS))


def test_unsure_comes_first() -> None:
    """Who asked for a confidence is told that it was not reached."""
    overall = replace(factory.tie().overall, abstained=True)
    assert (Wording().headline(overall), verdict_badge(overall, Wording()).kind) == (
        "Unsure",
        "lean negative",
    )


def _plain(label: str) -> Verdict:
    return Verdict(label, 1.0, np.array([label == k for k in LABELS], float))
