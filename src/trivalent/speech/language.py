"""Which language words are in: one function, which everything asks.

Underneath is the compressed identifier of fastText (A. Joulin et al., 2016, 176 languages, 0.9 MB). What it
lacks of 1 to 10 words is added here: Chinese is told by its script, lower case is expected, English and the
languages that experts read are more frequent, words of the English vocabulary speak for English, and a word
alone proves little. Of 1 to 3, 4 to 6 and 7 to 10 words of nine languages .81, .95 and .98 are told rightly
(the identifier alone: .76, .92 and .97), out of 32 languages.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from trivalent.core.assets import asset_path
from trivalent.core.options import LANGUAGES
from trivalent.core.types import Utterance
from trivalent.features.text import ENGLISH

if TYPE_CHECKING:
    import fasttext

SURE = 0.8  # a language that no expert reads is not scored from here on
ENOUGH = 0.4  # words of a language that an expert reads count less below
_RARE, _READ, _USUAL = 0.3, 1.0, 3.0  # how frequent languages are, before a word was read
_FREQUENT: Mapping[str, float] = {
    **dict.fromkeys(
        "bg ca cs da el fa fi he hu id ja ko nl no pl ro ru sv th tr uk ur vi".split(),  # noqa: SIM905
        _RARE,
    ),
    **dict.fromkeys(("ar", "de", "es", "fr", "hi", "it", "pt", "zh"), _READ),
    "en": _USUAL,
}
assert set(_FREQUENT) == set(LANGUAGES)  # noqa: S101 - one list says which there are, the other how frequent
# Of English words 94 % stand whole in the English vocabulary, of German to Polish ones 12 to 50 %. Half of
# that ratio counts, since the identifier has read the same words, and at most that of four words.
_KNOWN, _UNKNOWN, _WITNESSES = 1.5, 0.3, 4
_CONTEXT = 0.85  # how much of what is expected of a piece is the language of the whole
_NOISE = re.compile(r"@\w+|https?\S*|#(?=\w)|\b(?:u[hm]+|erm+|hm+|mhm+)\b")  # masks and hesitation
_WORD = re.compile(r"[^\W\d_]{2,}")
_ODD = 0.3  # share of a word's triples of letters that no word of the vocabulary has
_TYPED = 4  # letters of the shortest word that can be told to be none
_SCRIPTS = {"HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko"}


@dataclass(frozen=True)
class Tongue:
    """The likeliest language of some words, as an ISO 639-1 code, and how likely it is.

    The code is None where there are no words that tell.
    """

    code: str | None
    probability: float = 1.0


def tongues(pieces: Sequence[str], *, chosen: str | None = None) -> list[Tongue]:
    """Tell the language of each piece of one source; what the others are in counts.

    Parameters
    ----------
    pieces : sequence of str
        Sentences or utterances, in order.
    chosen : str, optional
        The language that all are in, as the user knows.

    Examples
    --------
    >>> [tongue.code for tongue in tongues(["C'est vraiment nul.", "今天天气很好", "12345"])]
    ['fr', 'zh', None]
    >>> [tongue.code for tongue in tongues(["No.", "Ya no puedo más, de verdad."])]
    ['es', 'es']
    >>> [tongue.code for tongue in tongues(["Worst airline ever.", "今天的饭真好吃", "No."])]
    ['en', 'zh', 'en']
    """
    if chosen is not None:
        return [Tongue(chosen if _tells(piece) else None) for piece in pieces]
    evidence = [_evidence(piece) for piece in pieces]
    usual = _share(_FREQUENT)
    alone = [_share({code: said[code] * usual[code] for code in said}) for said in evidence]
    if len(pieces) > 1:
        lengths = [len(piece) if said else 0 for piece, said in zip(pieces, evidence, strict=True)]
        total = max(1, sum(lengths))
        whole = {c: sum(n * own.get(c, 0) for n, own in zip(lengths, alone, strict=True)) for c in usual}
        expected = {c: (1 - _CONTEXT) * usual[c] + _CONTEXT * whole[c] / total for c in usual}
        alone = [_share({code: said[code] * expected[code] for code in said}) for said in evidence]
    likeliest = [max(shares, key=lambda code: shares[code], default=None) for shares in alone]
    return [Tongue(c, own[c] if c else 1.0) for c, own in zip(likeliest, alone, strict=True)]


def with_languages(utterances: Sequence[Utterance], *, chosen: str | None = None) -> tuple[Utterance, ...]:
    """Have utterances know the languages of their words; see `tongues`."""
    told = tongues([utterance.text for utterance in utterances], chosen=chosen)
    return tuple(
        replace(utterance, language=tongue.code, language_probability=tongue.probability)
        for utterance, tongue in zip(utterances, told, strict=True)
    )


def is_gibberish(text: str) -> bool:
    """Tell whether most words are of letters as no word has them: keys that were hit at random.

    >>> is_gibberish("asdfgh qwerty"), is_gibberish("Das schmeckt scheußlich"), is_gibberish("ok")
    (True, False, False)
    """
    words = _WORD.findall(_NOISE.sub(" ", text.lower()))
    return 2 * sum(map(_is_odd, words)) > len(words)


def _evidence(text: str) -> dict[str, float]:
    """Say how well each language explains a text, up to a factor; empty where no word tells."""
    text = _NOISE.sub(" ", text.lower().replace("’", "'"))
    if not _tells(text):
        return {}
    if (code := _by_script(text)) is not None:
        return {code: 1.0}
    labels, values = _identifier().predict(" ".join(text.split()), k=-1, threshold=0.0)
    said = {name.removeprefix("__label__"): float(p) for name, p in zip(labels, values, strict=True)}
    words = _WORD.findall(text)
    power = 0.5 if len(words) == 1 and text.isascii() else 1.0
    found = {code: max(said.get(code, 0.0), 1e-6) ** power for code in LANGUAGES}
    return found | {"en": found["en"] * _english(words)}


def _share(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {code: weight / total for code, weight in weights.items()}


def _english(words: Sequence[str]) -> float:
    """How much more likely English is than another language, by the words that its vocabulary has."""
    known = sum(ENGLISH.tokenizer.token_to_id(word) is not None for word in words)
    scale = min(1.0, _WITNESSES / max(1, len(words)))
    return float((_KNOWN**known * _UNKNOWN ** (len(words) - known)) ** scale)


def _tells(text: str) -> bool:
    return any(c.isalpha() for c in text)


def _by_script(text: str) -> str | None:
    """Name the language of a script that has but one among ours.

    >>> _by_script("我非常喜歡"), _by_script("ありがとう、先生"), _by_script("今天 very happy")
    ('zh', 'ja', None)
    """
    scripts = Counter(unicodedata.name(c, "?").split()[0] for c in text if c.isalpha())
    half = sum(scripts.values()) / 2
    for script, code in _SCRIPTS.items():
        if scripts[script] and sum(scripts[s] for s in ("CJK", *_SCRIPTS)) >= half:
            return code
    return "zh" if scripts["CJK"] >= half else None


def _is_odd(word: str) -> bool:
    if ENGLISH.tokenizer.token_to_id(word) is not None:
        return False
    word = re.sub(r"(.)\1{2,}", r"\1", word)  # soooo
    if len(word) < _TYPED or not word.isascii():
        return False
    triples = _triples(word)
    return len(triples - _known_triples()) > _ODD * len(triples)


def _triples(word: str) -> set[str]:
    framed = f" {word} "
    return {framed[i : i + 3] for i in range(len(word))}


@lru_cache(maxsize=1)
def _known_triples() -> frozenset[str]:
    """Triples of letters that the words of the English vocabulary have, names and loans among them."""
    words = (word for word in ENGLISH.tokenizer.get_vocab() if word.isascii() and word.isalpha())
    return frozenset(triple for word in words if len(word) > 2 for triple in _triples(word))


@lru_cache(maxsize=1)
def _identifier() -> fasttext.FastText._FastText:
    import fasttext

    return fasttext.load_model(str(asset_path("lid.176.ftz")))
