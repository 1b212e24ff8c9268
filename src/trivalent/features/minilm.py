"""Sentence vectors of MiniLM-L6; a bundle's text expert takes its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trivalent.core.messages import Message
from trivalent.core.types import FeatureTable, FloatArray
from trivalent.features.extractor import Encoder, Inputs, Material, Need, choose_columns
from trivalent.features.text import TOKENS, encode, normalize, pad, split_to_fit

COLUMNS: tuple[str, ...] = tuple(f"minilm_{i}" for i in range(384))
_BATCH = 32


@dataclass(frozen=True)
class MiniLMOptions:
    """None."""


class MiniLM:
    """One vector per utterance; one longer than the encoder's window is the mean of its pieces."""

    name = "minilm"
    version = "1"
    columns = COLUMNS
    needs = frozenset({Need.WORDS})
    graphs: Mapping[Inputs, tuple[str, ...]] = {Inputs.TOKENS: TOKENS}
    options = MiniLMOptions

    def extract(
        self,
        material: Material,
        options: MiniLMOptions | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> FeatureTable:
        """Encode the utterances that have words; rows at their starts."""
        columns = choose_columns(columns, COLUMNS)
        encoder = material.encoder()
        utterances = [u for u in material.words() if normalize(u.text)]
        if not utterances:
            return FeatureTable.absent(
                self.name, self.version, columns=columns, reason=Message("reason.no_words")
            )
        owned = [
            (i, ids) for i, u in enumerate(utterances) for ids in encode(split_to_fit(normalize(u.text)))
        ]
        owners = np.array([i for i, _ in owned])
        lengths = np.array([len(ids) for _, ids in owned], float)
        vectors = _embed(encoder, [ids for _, ids in owned])
        masks = [owners == i for i in range(len(utterances))]
        values = np.stack([np.average(vectors[rows], axis=0, weights=lengths[rows]) for rows in masks])
        meta = {"texts": [u.text for u in utterances], "end_s": [u.end_s for u in utterances]}
        times = np.array([u.start_s for u in utterances])
        return FeatureTable(self.name, self.version, COLUMNS, times, values, meta=meta).select(columns)


def _embed(encoder: Encoder, pieces: Sequence[list[int]]) -> FloatArray:
    """Encode token ids in batches of similar length; shape (pieces, 384)."""
    vectors = np.empty((len(pieces), len(COLUMNS)))
    order = np.argsort([len(ids) for ids in pieces], kind="stable")
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        vectors[rows] = encoder(*pad([pieces[i] for i in rows]))
    return vectors


MINILM = MiniLM()
