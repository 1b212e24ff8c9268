"""multilingual-e5-small from four bits a weight: values, names and the vocabulary that is cut to texts."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from trivalent.core.assets import find
from trivalent.features.text import encode, stored_vocabulary
from trivalent.lab.experts.text_task import _weights_of
from trivalent.lab.networks.e5 import PIECES, _values, prune


def test_a_block_of_nibbles() -> None:
    scale = np.array([0.5], "<f2").tobytes()
    nibbles = bytes((high << 4) | low for low, high in zip(range(16), range(15, -1, -1), strict=True))
    values = _values(scale + nibbles, 32)
    np.testing.assert_array_equal(values[:16], (np.arange(16) - 8) / 2)
    np.testing.assert_array_equal(values[16:], (np.arange(15, -1, -1) - 8) / 2)
    np.testing.assert_array_equal(_values(np.array([1.5, -2], "<f4").tobytes(), 2), [1.5, -2])


def test_a_corpus_may_lack_a_class() -> None:
    weights = _weights_of(np.array([30, 0, 30]), "sqrt")
    np.testing.assert_allclose(weights, [1, 0, 1])


@pytest.mark.skipif(find(PIECES) is None, reason="the published tokenizer is not installed")
def test_a_text_of_kept_pieces_is_cut_as_before() -> None:
    texts = ["我非常喜欢这部电影，但是结局太让人失望了", "C'est vraiment nul.", "शुक्रिया 😀"]
    written = prune(texts)
    assert written == prune(texts)
    own = stored_vocabulary(written)
    pieces = [piece for piece, _ in json.loads(written)["model"]["vocab"]]
    assert len(pieces) == own.tokenizer.get_vocab_size() < 90_000
    assert [own.tokenizer.encode(t).tokens for t in texts[1:2]] == [
        ["<s>", "▁C", "'", "est", "▁vraiment", "▁nul", ".", "</s>"]
    ]
    assert all(own.unknown_id not in ids for ids in encode(texts, vocabulary=own))
