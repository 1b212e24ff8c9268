"""Words as token ids of MiniLM's vocabulary: what a network reads that trains its sentence encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trivalent.core.messages import Message
from trivalent.core.types import FeatureTable
from trivalent.features.extractor import Inputs, Material, Need, choose_columns
from trivalent.features.text import encode, normalize

NAME, VERSION = "tokens", "1"
COLUMNS = ("token",)
LONGEST = 256  # tokens of an utterance; MiniLM was trained on no longer texts


@dataclass(frozen=True)
class TokenOptions:
    """None."""


class Tokens:
    """A row for every token of an utterance, its marks included; a longer one loses its end.

    Ids are below 2^24, so that single precision holds them exactly. Times are spread evenly over the
    utterance.
    """

    name = NAME
    version = VERSION
    columns = COLUMNS
    needs = frozenset({Need.WORDS})
    graphs: Mapping[Inputs, tuple[str, ...]] = {Inputs.POOLED: COLUMNS}
    options = TokenOptions

    def extract(
        self,
        material: Material,
        options: TokenOptions | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> FeatureTable:
        """Cut the words into tokens."""
        columns = choose_columns(columns, COLUMNS)
        utterances = [u for u in material.words() if normalize(u.text)]
        if not utterances:
            return FeatureTable.absent(
                self.name, self.version, columns=columns, reason=Message("reason.no_words")
            )
        ids = encode([u.text for u in utterances], max_tokens=LONGEST)
        times = [
            np.linspace(u.start_s, u.end_s, len(own), endpoint=False)
            for u, own in zip(utterances, ids, strict=True)
        ]
        values = np.concatenate(ids).astype(np.float64)[:, None]
        return FeatureTable(self.name, self.version, columns, np.concatenate(times), values)


TOKENS = Tokens()
