"""Which words moved the text expert: what changes when each is left out.

Occlusion (Zeiler & Fergus, ECCV 2014), of words (Li, Monroe & Jurafsky, "Understanding neural
networks through representation erasure", arXiv:1612.08220, 2016). It asks the model as it is and
needs no gradients. Effects do not add up: two words that say the same cover for each other.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from trivalent.bundle.loading import Expert
from trivalent.core.errors import TextError
from trivalent.core.types import FloatArray, Sentiment
from trivalent.features.text import encode, has_words, pad, split_to_fit, tokenizer

MAX_WORDS = 1000  # of a call: each takes one pass of the network

# Over the kinds of characters: letters and digits, also joined by one sign as in "don't" or "3.5";
# or emoji. Marks belong to what stands before them.
_WORD = re.compile(r"w[wm]*(?:jw[wm]*)*|s[sm]*")
_JOINING = frozenset("'’-_.,:@&")


@dataclass(frozen=True, eq=False)
class WordEffect:
    """What the presence of one word changed.

    Attributes
    ----------
    word : str
        Without the punctuation around it: `text[start:end]`.
    start, end : int
        Offsets in characters of the text.
    effects : array, shape (3,)
        Probabilities of the piece of text less those without the word: above 0 where the word
        speaks for a class. They sum to 0.
    """

    word: str
    start: int
    end: int
    effects: FloatArray


def word_effects(expert: Expert, text: str) -> tuple[WordEffect, ...]:
    """Leave each word out and see what the text expert says then; punctuation stays.

    A text longer than the expert's window is cut at sentences, as in an analysis, and a word is
    left out of its own piece. Where no word of the vocabulary is left, the expert's opinion is its
    prior: the effect of the only word is what it changed about that.

    Parameters
    ----------
    expert : Expert
        That of the modality text.
    text : str
        At most `MAX_WORDS` words; for a recording, that of one utterance.

    Returns
    -------
    tuple of WordEffect
        In order; empty for a text without words.

    Raises
    ------
    TextError
        Too many words.
    """
    spans = find_words(text)
    if len(spans) > MAX_WORDS:
        raise TextError("analysis.occlusion_many_words", max_words=MAX_WORDS, count=len(spans))
    effects: list[list[FloatArray]] = [[] for _ in spans]
    begins, at = [start for start, _ in spans], 0
    for piece in split_to_fit(text):
        whole = _opinion(expert, piece)
        for start, end in find_words(piece):
            # The same words follow in order; one that fits into no window is cut into several.
            at = text.index(piece[start:end], at)
            own = effects[bisect_right(begins, at) - 1]
            own.append(whole - _opinion(expert, piece[:start] + piece[end:]))
            at += end - start
    return tuple(
        WordEffect(text[start:end], start, end, np.mean(own, axis=0))
        for (start, end), own in zip(spans, effects, strict=True)
    )


def find_words(text: str) -> list[tuple[int, int]]:
    """Offsets of the words, without the punctuation around them.

    >>> text = "Don't (ever) pay $3.50... 😀"
    >>> [text[start:end] for start, end in find_words(text)]
    ["Don't", 'ever', 'pay', '3.50', '😀']
    """
    return [found.span() for found in _WORD.finditer("".join(map(_kind, text)))]


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] in "LN":
        return "w"
    if category == "So":
        return "s"
    if category[0] == "M" or category == "Sk" or character == "\u200d":  # accents, skin tones, joiner
        return "m"
    return "j" if character in _JOINING else "."


def _opinion(expert: Expert, text: str) -> FloatArray:
    """Probabilities as in an analysis, shape (3,); equal ones where there is nothing to read."""
    (ids,) = encode([text])
    if not has_words(text) or set(ids[1:-1]) <= {tokenizer().token_to_id("[UNK]")}:
        return np.full(len(Sentiment), 1 / len(Sentiment))
    # Alone: a quantised graph scales its activations over the batch, so that in one the texts shift
    # each other by up to .05, more than most words do; and a batch is no faster.
    return expert.opinion(expert.from_tokens(*pad([ids]))[0], 1.0).probabilities
