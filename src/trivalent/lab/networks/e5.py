"""multilingual-e5-small (Wang et al., 2024) from its 4-bit file, its vocabulary cut to those served.

Four fifths of its weights are the vectors of 250,000 pieces of words in a hundred languages. Kept are those
that the texts at hand use, the commonest of the scripts served, and every single character, so that no word
of theirs is lost; a text made of kept pieces is cut as before.
"""

from __future__ import annotations

import json
import struct
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from trivalent.core.assets import asset_path
from trivalent.core.types import FloatArray
from trivalent.features.text import Vocabulary, normalize, stored_vocabulary

WEIGHTS, PIECES = "e5-small/e5-small-q4.bin", "e5-small/tokenizer.json"
COMMON = 60_000  # pieces are numbered by how common they are in all languages
SCRIPTS = frozenset({"LATIN", "CJK", "ARABIC", "DEVANAGARI"})
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_BLOCK, _BYTES = 32, 18  # values of a block, and the bytes of its scale and its nibbles
_WORD = "emb.word"
_LAYER = {  # of the file: of transformers
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_PARTS = {"w": "weight", "b": "bias"}


def prune(texts: Iterable[str]) -> bytes:
    """Write the tokenizer with the pieces that texts, and the scripts served, need; always the same.

    Raises
    ------
    AbsentAssetError
        The published tokenizer is not on this machine.
    """
    content = json.loads(asset_path(PIECES).read_text(encoding="utf-8"))
    pieces: list[list[Any]] = content["model"]["vocab"]
    whole = stored_vocabulary(asset_path(PIECES).read_bytes()).tokenizer
    used = set()
    for encoding in whole.encode_batch_fast([normalize(text) for text in texts]):
        used.update(encoding.ids)
    kept = [
        i
        for i, (piece, _) in enumerate(pieces)
        if piece in _SPECIAL
        or i in used
        or len(piece.lstrip("▁")) <= 1
        or (i < COMMON and _scripts(piece) <= SCRIPTS)
    ]
    number = {old: new for new, old in enumerate(kept)}
    content["model"]["vocab"] = [[pieces[i][0], round(pieces[i][1], 5)] for i in kept]
    for token in content["added_tokens"]:
        token["id"] = number[token["id"]]
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _scripts(piece: str) -> set[str]:
    return {unicodedata.name(c, "?").split()[0] for c in piece if c.isalpha()}


def load_e5(vocabulary: Vocabulary) -> tuple[nn.Module, int]:
    """Build the encoder with the vectors of a vocabulary that `prune` made; these do not learn.

    Raises
    ------
    AbsentAssetError
        The weights are not on this machine.
    """
    from transformers import BertConfig, BertModel

    path = asset_path(WEIGHTS)
    published = json.loads(asset_path(PIECES).read_text(encoding="utf-8"))["model"]["vocab"]
    numbers = {piece: i for i, (piece, _) in enumerate(published)}
    own = vocabulary.tokenizer
    rows = np.array([numbers[cast(str, own.id_to_token(i))] for i in range(own.get_vocab_size())])
    sizes, tensors = _tensors(path)
    config = BertConfig(
        vocab_size=len(rows),
        hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["feed_forward"],
        max_position_embeddings=sizes["positions"],
        type_vocab_size=sizes["types"],
        layer_norm_eps=1e-12,
    )
    encoder = cast(nn.Module, BertModel(config, add_pooling_layer=False))
    expected = encoder.state_dict()
    state = {_name(name): torch.from_numpy(values) for name, values in tensors.items()}
    state[_name(_WORD)] = _rows(tensors[_WORD], rows, width=sizes["hidden"])
    shaped = {name: state[name].reshape(value.shape) for name, value in expected.items() if name in state}
    unexpected = encoder.load_state_dict(shaped, strict=False)
    assert not unexpected.missing_keys, unexpected.missing_keys  # noqa: S101 - the file is hash-checked
    # A table of which a text changes few rows: learnt, it costs a third of a step and forgets the rest.
    encoder.get_parameter("embeddings.word_embeddings.weight").requires_grad_(False)
    return encoder, config.hidden_size


def _name(name: str) -> str:
    """Translate a tensor's name.

    >>> _name("l3.aln.w"), _name("emb.pos")
    ('encoder.layer.3.attention.output.LayerNorm.weight', 'embeddings.position_embeddings.weight')
    """
    first, *rest = name.split(".")
    if first == "emb":
        kind = {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings"}
        return f"embeddings.{kind.get(rest[0], 'LayerNorm')}.{_PARTS[rest[1]] if rest[1:] else 'weight'}"
    return f"encoder.layer.{first[1:]}.{_LAYER[rest[0]]}.{_PARTS[rest[1]]}"


def _rows(values: FloatArray, rows: np.ndarray[Any, Any], *, width: int) -> Tensor:
    return torch.from_numpy(values.reshape(-1, width)[rows])


def _tensors(path: Path) -> tuple[dict[str, int], dict[str, FloatArray]]:
    """Read all tensors, flat, in float32."""
    raw = path.read_bytes()
    assert raw[:4] == b"E5S1"  # noqa: S101 - the file is hash-checked
    names = ("hidden", "layers", "heads", "feed_forward", "vocabulary", "positions", "types")
    sizes = dict(zip(names, struct.unpack_from("<7i", raw, 8), strict=True))
    at = 8 + 28 + 8  # and the epsilon, and the size of a block
    (pieces,) = struct.unpack_from("<i", raw, at)
    (blob,) = struct.unpack_from("<Q", raw, at + 20)
    at += 28 + 4 * (pieces + 1) + 4 * pieces + blob
    _, charmap = struct.unpack_from("<iI", raw, at)
    at += 8 + charmap
    (count,) = struct.unpack_from("<i", raw, at)
    at += 4
    found = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", raw, at)
        name = raw[at + 2 : at + 2 + length].decode("ascii")
        _, values, offset, size = struct.unpack_from("<BIQQ", raw, at + 2 + length)
        at += 2 + length + 21
        found[name] = _values(raw[offset : offset + size], values)
    return sizes, found


def _values(raw: bytes, count: int) -> FloatArray:
    """Read one tensor: plain if four bytes a value, else blocks of a scale and nibbles (Q4_0)."""
    if len(raw) == 4 * count:
        return np.frombuffer(raw, "<f4").copy()
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, _BYTES)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(np.float32) - 8
    return (nibbles * scale).reshape(-1)[:count]
