"""What each word did to the text expert's answer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bundles import write_bundle
from trivalent.bundle.loading import Expert, load_bundle
from trivalent.core.errors import TextError
from trivalent.core.types import Modality, Sentiment
from trivalent.experts.occlusion import MAX_WORDS, find_words, word_effects
from trivalent.features.text import encode, has_words, pad

TEXTS = st.text(max_size=60) | st.lists(
    st.sampled_from(["good", "bad.", "isn't", "(why)", "😀", "👩🏽‍🚀", "naïve", "e\u0301", "...", "3.5%"]),
    max_size=12,
).map(" ".join)


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> Expert:
    bundle = load_bundle(write_bundle(tmp_path_factory.mktemp("bundle"), modalities=["text"]), threads=1)
    return bundle.experts[Modality.TEXT]


@pytest.fixture(scope="module")
def trained() -> Expert:
    return load_bundle("default", threads=1).experts[Modality.TEXT]


def probabilities(expert: Expert, text: str) -> np.ndarray:
    return expert.opinion(expert.from_tokens(*pad(encode([text])))[0], 1.0).probabilities


@settings(deadline=None)
@given(TEXTS)
@example("tail\x1cof\x85 controls\u2028here")
@example('"It works." "Does it?"\n\n\'Yes!\'')
def test_of_any_text(expert: Expert, text: str) -> None:
    found = word_effects(expert, text)
    assert all(text[e.start : e.end] == e.word for e in found)
    assert [(e.start, e.end) for e in found] == find_words(text)
    assert bool(found) == has_words(text)
    for e in found:
        assert e.effects.sum() == pytest.approx(0, abs=1e-9)
        assert has_words(e.word)
        assert not any(c.isspace() for c in e.word)
    again = word_effects(expert, text)
    assert all(np.array_equal(a.effects, b.effects) for a, b in zip(found, again, strict=True))


@settings(deadline=None)
@given(st.text(max_size=40))
def test_words_follow_each_other_and_hold_every_letter(text: str) -> None:
    spans = find_words(text)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    inside = {i for start, end in spans for i in range(start, end)}
    assert not any(has_words(c) for i, c in enumerate(text) if i not in inside)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't (ever) pay $3.50... 😀", ["Don't", "ever", "pay", "3.50", "😀"]),
        ("good—bad, well-known and/or U.S.", ["good", "bad", "well-known", "and", "or", "U.S"]),
        ("👩🏽‍🚀ok", ["👩🏽‍🚀", "ok"]),
        ("  ", []),
        ("?!", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in find_words(text)] == words


def test_an_effect_is_the_difference_to_the_text_without_the_word(expert: Expert) -> None:
    text = "It is (really) good, yes."
    whole = probabilities(expert, text)
    for e in word_effects(expert, text):
        without = probabilities(expert, text[: e.start] + text[e.end :])
        np.testing.assert_allclose(e.effects, whole - without, atol=1e-7)


@pytest.mark.parametrize("text", ["Great", " Great! ", "(Great...)", "Great \u16a0"])
def test_the_only_word_is_compared_with_equal_classes(expert: Expert, text: str) -> None:
    first = word_effects(expert, text)[0]
    np.testing.assert_allclose(first.effects, probabilities(expert, text) - 1 / 3, atol=1e-7)


def test_words_outside_the_vocabulary_have_no_effect(expert: Expert) -> None:
    assert [e.effects.tolist() for e in word_effects(expert, "\u16a0 \u16b1")] == [[0, 0, 0]] * 2


def test_a_long_text_is_taken_piece_by_piece(expert: Expert) -> None:
    sentence = 'She said "this part was really good".'
    found = word_effects(expert, " ".join([sentence] * 40))
    assert len(found) == 7 * 40
    alone = word_effects(expert, sentence)
    for e, same in zip(found, alone * 40, strict=True):
        np.testing.assert_allclose(e.effects, same.effects, atol=1e-7)


@pytest.mark.parametrize(
    "text",
    [
        "\tnever  ends\n" * 130,
        '("It\u00a0works!")  \u2028 Does it?\n\n\n' * 60,
        "supercalifragilistic-" * 80,
    ],
)
def test_offsets_in_long_texts(expert: Expert, text: str) -> None:
    found = word_effects(expert, text)
    assert [(e.word, e.start, e.end) for e in found] == [(text[a:b], a, b) for a, b in find_words(text)]


def test_too_many_words_are_refused(expert: Expert) -> None:
    with pytest.raises(TextError, match="at most 1,000 words to explain, got 1,001"):
        word_effects(expert, "word " * (MAX_WORDS + 1))


def test_the_trained_expert_points_at_the_words_that_carry_feeling(trained: Expert) -> None:
    for text, word, label in [
        ("The food was horrible and the room was small.", "horrible", Sentiment.NEGATIVE),
        ("What a wonderful way to spend an evening.", "wonderful", Sentiment.POSITIVE),
    ]:
        strongest = max(word_effects(trained, text), key=lambda e: e.effects[label])
        assert strongest.word == word
        assert strongest.effects[label] > 0.15


def test_the_vocabulary_is_read_alone(trained: Expert) -> None:
    """In a batch, a quantised graph answers a little differently."""
    text = "It is the most beautiful scene I have seen this year."
    whole, e = probabilities(trained, text), word_effects(trained, text)[4]
    assert e.word == "beautiful"
    assert np.array_equal(e.effects, whole - probabilities(trained, text[: e.start] + text[e.end :]))
