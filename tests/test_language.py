"""Languages of few words: telegraphic English, names, emoji, mixtures, scripts, keys hit at random."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivalent.bundle.loading import load_pool
from trivalent.core.messages import Message
from trivalent.core.types import UNTOLD, Modality, Utterance, Word
from trivalent.experts.text import language_notes, language_problem, read_texts
from trivalent.speech.language import ENOUGH, SURE, is_gibberish, tongues, with_languages
from trivalent.speech.whisper import made_up

TELEGRAPHIC = (
    "Worst airline ever. Delayed flight, lost luggage, zero compensation, unhelpful crew.",
    "Great acting, superb soundtrack, stunning visuals.",
    "Brilliant! Superb! Outstanding performance",
    "Friendly staff, spotless rooms, delicious breakfast",
    "Poor quality, late delivery, rude support",
)


@pytest.mark.parametrize("text", TELEGRAPHIC)
def test_telegraphic_english_is_english(text: str) -> None:
    (tongue,) = tongues([text])
    assert tongue.code == "en"
    assert tongue.probability > SURE


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("C'est vraiment nul.", "fr"),
        ("Película horrible, no la recomiendo", "es"),
        ("Das schmeckt scheußlich", "de"),
        ("Che bella giornata oggi", "it"),
        ("Não gostei nada do filme", "pt"),
        ("Bardzo mi się podobało", "pl"),
        ("呵呵，真是谢谢你啊", "zh"),
        ("我非常喜歡這部電影", "zh"),
        ("الفيلم كان رائعا جدا", "ar"),
        ("फिल्म बहुत अच्छी थी", "hi"),
        ("ありがとう、先生", "ja"),
        ("감사합니다", "ko"),
        ("Очень хорошо", "ru"),
    ],
)
def test_few_words_of_other_languages_are_told(text: str, code: str) -> None:
    (tongue,) = tongues([text])
    assert tongue.code == code
    assert tongue.probability > SURE


@pytest.mark.parametrize("text", ["nul", "Berlin", "wo ai ni", "yaar bahut accha tha", "bom dia"])
def test_single_words_names_and_romanised_texts_prove_little(text: str) -> None:
    (tongue,) = tongues([text])
    assert tongue.probability < SURE


@pytest.mark.parametrize("text", ["Great!", "Terrible.", "No", "Oh my god", "Hey Ross", "Maria Rossi"])
def test_short_english_and_names_count_fully(text: str) -> None:
    (tongue,) = tongues([text])
    assert tongue.code == "en"
    assert tongue.probability >= ENOUGH


def test_nothing_to_tell() -> None:
    assert [tongue.code for tongue in tongues(["😀😀", "12345", "", "@user https://t.co/x", "um"])] == [
        None
    ] * 5
    assert tongues([]) == []


def test_the_others_are_what_a_piece_is_expected_in() -> None:
    said = ["Buenos días a todos, muchas gracias por venir.", "No.", "Estoy muy contento con el resultado."]
    assert [tongue.code for tongue in tongues(said)] == ["es"] * 3
    assert tongues(["No."])[0].code == "en"
    mixed = [
        "Thank you all for coming to the dinner.",
        "Estoy muy contento con el resultado.",
        "I am fine too.",
    ]
    assert [tongue.code for tongue in tongues(mixed)] == ["en", "es", "en"]
    assert {tongue.code for tongue in tongues(mixed, chosen="fr")} == {"fr"}


@pytest.mark.parametrize("text", ["asdfgh qwerty", "sdlkfj wqpeoi xcvbnz", "hjkl;"])
def test_gibberish_is_told(text: str) -> None:
    assert is_gibberish(text)


@pytest.mark.parametrize(
    "text",
    [
        *TELEGRAPHIC,
        "Sooooo goooood!!!",
        "Ahhhhh",
        "ok",
        "hahahaha",
        "rhythms",
        "Das schmeckt scheußlich",
        "你好",
        "",
    ],
)
def test_words_are_no_gibberish(text: str) -> None:
    assert not is_gibberish(text)


def test_real_sentences(real_data: Path) -> None:
    from trivalent.lab.datasets.text import load_corpus

    parts = {"en": ("meld", "sst5"), "zh": ("cped",), "de": ("xlmt_de",), "fr": ("xlmt_fr",)}
    for code, corpora in parts.items():
        texts = [t for name in corpora for t in load_corpus(name, "val", root=real_data).texts[:250]]
        told = [tongues([text])[0] for text in texts]
        assert sum(t.code in (code, None) for t in told) > 0.9 * len(told), code
        refused = sum(t.code not in (code, None) and t.probability >= SURE for t in told)
        assert refused <= 0.03 * len(told), code
        assert sum(map(is_gibberish, texts)) <= 0.01 * len(texts), code


def test_readings_of_several_languages() -> None:
    said = ["What a lovely evening!", "Das Essen war leider ganz kalt.", "qsdfgj hjklm wxcvb", "Awful."]
    utterances = with_languages([Utterance(i, 0, 0, text) for i, text in enumerate(said)])
    readings = read_texts(load_pool("default").experts[Modality.TEXT], utterances)
    assert [r.opinion is not None for r in readings] == [True, False, False, True]
    notes = language_notes(utterances, readings)
    assert [note.values["reason"].code for note in notes] == ["reason.language_other", "reason.gibberish"]
    assert language_problem(Utterance(0, 0, 0, "hello", language=UNTOLD)) == Message(
        "reason.language_unknown"
    )


def test_what_was_made_up_is_told_by_stretch() -> None:
    def said(text: str, probability: float) -> list[Word]:
        return [Word(word, 0, 1, probability) for word in text.split()]

    happy = "I am really happy this year."
    heard = [
        said(happy, 0.96),
        said(happy, 0.65),
        said(happy, 0.9),
        said("so it is is it", 0.5),
        said("no", 0.1),
    ]
    assert made_up(heard) == [False, True, False, True, False]
