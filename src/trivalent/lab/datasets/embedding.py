"""Texts to sentence embeddings by a frozen encoder, kept in the cache folder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.assets import cache_folder
from trivalent.core.errors import UsageError
from trivalent.core.files import write_npz_atomic
from trivalent.features.text import encode, pad

log = logging.getLogger(__name__)
_VERSION = "1"  # of what is computed: part of the key
_BATCH = 64


class Encoder(StrEnum):
    """Which encoder."""

    MINILM = "minilm"  # all-MiniLM-L6-v2 as published, 384 columns of length 1


def embed_texts(texts: Sequence[str], *, encoder: str = "minilm") -> NDArray[np.float32]:
    """Embed texts, or read what was computed for the same texts before.

    Tokens beyond the 128th of a text are lost. About 10 ms a sentence on one core.

    Parameters
    ----------
    texts : sequence of str
    encoder : str
        One of `Encoder`.

    Returns
    -------
    array of float32, shape (n, 384)
        Mean over the tokens, scaled to length 1, as its authors use it.

    Raises
    ------
    UsageError
        An unknown encoder.
    AssetError
        Its weights are absent or damaged.
    """
    if encoder not in list(Encoder):
        raise UsageError("benchmark.text_encoder_unknown", encoder=list(Encoder), encoder2=encoder)
    path = _path(texts, encoder)
    found = _read(path, len(texts))
    if found is None:
        found = _minilm(texts)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz_atomic(path, values=found)
    return found


def _path(texts: Sequence[str], encoder: str) -> Path:
    # Lengths keep ("ab", "c") from ("a", "bc").
    digest = hashlib.sha256(f"{encoder} {_VERSION}".encode())
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little") + content)
    return cache_folder() / "features" / "texts" / f"{encoder}-{digest.hexdigest()[:32]}.npz"


def _read(path: Path, count: int) -> NDArray[np.float32] | None:
    """Read a cached table; None if there is none, or only a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as content:
            values: NDArray[np.float32] = content["values"]
    except (OSError, ValueError, KeyError, EOFError):
        return None
    return values if len(values) == count else None


def _minilm(texts: Sequence[str]) -> NDArray[np.float32]:
    import torch

    from trivalent.lab.networks.encoders import DEFAULT
    from trivalent.lab.networks.text import TextClassifier

    network = TextClassifier.pretrained(DEFAULT).eval()
    ids = encode(texts)
    order = np.argsort([len(tokens) for tokens in ids], kind="stable")  # texts of like length together
    found = np.zeros((len(ids), network.head.in_features), np.float32)
    log.info("embedding %d texts", len(ids))
    with torch.inference_mode():
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            table, mask = pad([ids[i] for i in rows])
            pooled = network.pooled(torch.from_numpy(table), torch.from_numpy(mask))
            found[rows] = torch.nn.functional.normalize(pooled, dim=1).numpy()
    return found
