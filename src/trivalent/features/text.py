"""Words to token ids: the text side of every expert, shared by training and runtime.

An expert has one vocabulary: the English one of MiniLM-L6 (Wang et al., NeurIPS 2020), uncased, or its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trivalent.core.assets import asset_path
from trivalent.core.plain_text import plain
from trivalent.features.signs import spell_signs

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENS = ("ids", "mask")  # what `pad` returns, and a graph takes
MAX_TOKENS = 128

_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])[\"')\]]*\s+|\n{2,}")


def normalize(text: str) -> str:
    r"""Put a text as the tokenizer takes it: plain, with words for signs; the tokenizer lower-cases.

    >>> normalize("so\x00  good\n"), normalize("ter\u00adrible 😡")
    ('so good', 'terrible so angry')
    """
    return " ".join(spell_signs(plain(text)).split())


def has_words(text: str) -> bool:
    """Tell whether any letter, digit or emoji carries meaning.

    >>> has_words("?!... --"), has_words("ok"), has_words("😀")
    (False, True, True)
    """
    return any(unicodedata.category(c)[0] in "LN" or unicodedata.category(c) == "So" for c in text)


def split_sentences(text: str) -> list[str]:
    """Cut a text at sentence ends and blank lines.

    >>> split_sentences("It works. Does it? Yes!")
    ['It works.', 'Does it?', 'Yes!']
    """
    return [s.strip() for s in _SENTENCE_END.split(text) if s and s.strip()]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A tokenizer, built when it is first asked, and its tokens that stand for no word.

    Attributes
    ----------
    build : callable
        Makes the tokenizer.
    unknown, mask : str
        What stands for a word that it lacks, and for one that is hidden.
    special : int
        Ids up to this one are marks, not words.
    """

    build: Callable[[], Tokenizer]
    unknown: str
    mask: str
    special: int

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer."""
        return self.build()

    @property
    def unknown_id(self) -> int:
        """Id of a word that it lacks."""
        return self._id(self.unknown)

    @property
    def mask_id(self) -> int:
        """Id of a hidden word."""
        return self._id(self.mask)

    def _id(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        assert found is not None, token  # noqa: S101 - of vocabularies that we wrote
        return found


def _wordpiece() -> Tokenizer:
    """Build the uncased WordPiece tokenizer from the verified vocabulary."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    lines = asset_path("minilm_vocab.txt").read_text(encoding="utf-8").split("\n")
    vocab = {token: i for i, token in enumerate(lines) if token}
    built = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))  # noqa: S106 - a token of the vocabulary
    built.normalizer = normalizers.BertNormalizer(lowercase=True)
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    built.decoder = decoders.WordPiece()
    built.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    return built


ENGLISH = Vocabulary(_wordpiece, unknown="[UNK]", mask="[MASK]", special=103)


def stored_vocabulary(content: bytes) -> Vocabulary:
    """Read the vocabulary that an expert brings: a tokenizer of sentence pieces, as JSON.

    Its marks are those of XLM-R (Conneau et al., ACL 2020).
    """

    def build() -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_buffer(content)

    return Vocabulary(build, unknown="<unk>", mask="<mask>", special=3)


def tokenizer() -> Tokenizer:
    """Return the tokenizer of the English vocabulary."""
    return ENGLISH.tokenizer


def encode(
    texts: Sequence[str], *, max_tokens: int = MAX_TOKENS, vocabulary: Vocabulary = ENGLISH
) -> list[list[int]]:
    """Turn texts into token ids between the marks of start and end; longer ones lose their end.

    >>> encode(["great"])
    [[101, 2307, 102]]
    """
    out = []
    for encoding in vocabulary.tokenizer.encode_batch([normalize(t) for t in texts]):
        ids = encoding.ids
        out.append(ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]])
    return out


def pad(ids: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Stack id lists into a rectangle.

    Returns
    -------
    ids, mask : int64 arrays, shape (batch, longest)
        The mask is 1 on tokens and 0 on padding.
    """
    width = max(map(len, ids), default=0)
    table = np.zeros((len(ids), width), np.int64)
    mask = np.zeros((len(ids), width), np.int64)
    for row, tokens in enumerate(ids):
        table[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return table, mask


def split_to_fit(text: str, *, max_tokens: int = MAX_TOKENS) -> list[str]:
    """Cut a text into pieces that fit the encoder: whole if it fits, else sentence by sentence.

    A sentence that is itself too long is cut between words, and a word beside its signs, should it hold
    as many as a list without blanks.
    """
    text = text.strip()
    if len(text) < 20 * max_tokens and _fits(text, max_tokens):
        return [text] if text else []
    pieces: list[str] = []
    for sentence in split_sentences(text):
        pieces += [sentence] if _fits(sentence, max_tokens) else _cut_words(sentence, max_tokens)
    return pieces


def _fits(text: str, max_tokens: int) -> bool:
    return len(tokenizer().encode(normalize(text)).ids) <= max_tokens


def _cut_words(sentence: str, max_tokens: int) -> list[str]:
    pieces: list[str] = []
    current: list[str] = []
    used = 2  # [CLS] and [SEP]
    for word in sentence.split():
        cost = _cost(word)
        if current and used + cost > max_tokens:
            pieces.append(" ".join(current))
            current, used = [], 2
        if used + cost > max_tokens:
            *whole, word = _cut_word(word, max_tokens - 2)
            pieces += whole
            cost = _cost(word)
        current.append(word)
        used += cost
    return [*pieces, " ".join(current)] if current else pieces


def _cost(word: str) -> int:
    return max(1, len(tokenizer().encode(word, add_special_tokens=False).ids))


def _cut_word(word: str, room: int) -> list[str]:
    """Cut what has no blanks where the tokenizer does, at signs, into pieces of at most `room` tokens."""
    encoding = tokenizer().encode(word, add_special_tokens=False)
    parts = encoding.word_ids
    cuts, first, begin = [0], 0, 0
    for i, part in enumerate(parts):
        if i and part != parts[i - 1]:
            begin = i
        if i - first >= room and begin > first:
            first = begin
            cuts.append(encoding.offsets[begin][0])
    return [word[a:b] for a, b in zip(cuts, [*cuts[1:], len(word)], strict=True)]
