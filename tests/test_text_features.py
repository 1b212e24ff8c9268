"""Texts to token ids: against the published vocabulary, and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer

from trivalent.core.assets import asset_path
from trivalent.features.text import (
    MAX_TOKENS,
    encode,
    has_words,
    normalize,
    pad,
    split_sentences,
    split_to_fit,
    tokenizer,
)

CLS, SEP, UNK = 101, 102, 100
texts = st.text(max_size=80)


def reference_wordpiece(word: str, vocab: dict[str, int]) -> list[int]:
    """Greedy longest match first: the algorithm of the BERT paper's released code."""
    ids, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocab:
                ids.append(vocab[piece])
                start = end
                break
        else:
            return [UNK]
    return ids


@pytest.fixture(scope="module")
def vocab() -> dict[str, int]:
    lines = asset_path("minilm_vocab.txt").read_text(encoding="utf-8").split("\n")
    return {token: i for i, token in enumerate(lines) if token}


@given(st.lists(st.from_regex(r"[a-z]{1,12}", fullmatch=True), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_tokens_equal_the_reference(words: list[str]) -> None:
    lines = asset_path("minilm_vocab.txt").read_text(encoding="utf-8").split("\n")
    vocab = {token: i for i, token in enumerate(lines) if token}
    expected = [i for word in words for i in reference_wordpiece(word, vocab)]
    assert encode([" ".join(words)]) == [[CLS, *expected, SEP]]


def test_the_ready_made_tokenizer_agrees() -> None:
    bert = BertWordPieceTokenizer(str(asset_path("minilm_vocab.txt")), lowercase=True)
    samples = [
        "Naïve café, isn't it?!",
        "SO good...",
        "$3.50 — unbelievably cheap",
        "你好 world",
        "#win @user",
    ]
    assert encode(samples) == [bert.encode(sample).ids for sample in samples]


def test_vocabulary(vocab: dict[str, int]) -> None:
    assert (vocab["[CLS]"], vocab["[SEP]"], vocab["[UNK]"], vocab["[MASK]"]) == (CLS, SEP, UNK, 103)
    assert len(vocab) == tokenizer().get_vocab_size() == 30522


def test_special_tokens_in_a_text_are_plain_text() -> None:
    (ids,) = encode(["[CLS] hello [SEP]"])
    assert ids.count(SEP) == 1
    assert ids.count(CLS) == 1


@given(st.lists(texts, max_size=6), st.integers(3, 20))
@settings(max_examples=40, deadline=None)
def test_encode_keeps_frame_and_limit(batch: list[str], limit: int) -> None:
    ids = encode(batch, max_tokens=limit)
    assert len(ids) == len(batch)
    for one, text in zip(ids, batch, strict=True):
        assert one[0] == CLS
        assert one[-1] == SEP
        assert len(one) <= limit
        assert encode([text], max_tokens=limit) == [one]


@given(st.lists(st.lists(st.integers(1, 9), max_size=6), max_size=5))
@settings(max_examples=40, deadline=None)
def test_pad_is_undone_by_its_mask(ids: list[list[int]]) -> None:
    table, mask = pad(ids)
    assert table.shape == mask.shape == (len(ids), max(map(len, ids), default=0))
    assert table.dtype == mask.dtype == np.int64
    assert [row[m == 1].tolist() for row, m in zip(table, mask, strict=True)] == ids


@given(texts)
@settings(max_examples=60, deadline=None)
def test_normalize_is_idempotent(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert once == once.strip()
    assert "\n" not in once


def test_has_words() -> None:
    assert not has_words("?!... -- ,")
    assert not has_words("")
    assert all(map(has_words, ("a", "7", "好", "😀", "...ok")))


def test_sentences() -> None:
    parts = split_sentences('He said "no." Then he left...  Really?! Yes')
    assert parts == ['He said "no.', "Then he left...", "Really?!", "Yes"]
    assert split_sentences("one\n\ntwo") == ["one", "two"]
    assert split_sentences("3.5 is not two sentences") == ["3.5 is not two sentences"]
    assert split_sentences("  ") == []


@given(st.lists(st.from_regex(r"[a-z]{1,9}[.!?]?", fullmatch=True), max_size=150), st.integers(6, 20))
@settings(max_examples=30, deadline=None)
def test_pack_loses_no_word_and_fits(words: list[str], limit: int) -> None:
    text = " ".join(words)
    pieces = split_to_fit(text, max_tokens=limit)
    assert "".join(pieces).replace(" ", "") == "".join(words)
    for piece in pieces:
        if len(piece.split()) > 1:  # a single word may be longer than the window
            assert len(tokenizer().encode(normalize(piece)).ids) <= limit


def test_pack_leaves_a_short_text_whole() -> None:
    assert split_to_fit("It works. Does it? Yes!") == ["It works. Does it? Yes!"]
    assert split_to_fit("   ") == []
    long = "This is a sentence. " * 60
    assert all(len(ids) <= MAX_TOKENS for ids in encode(split_to_fit(long), max_tokens=10_000))
