"""Sentence vectors of MiniLM and GloVe word vectors side by side, for a network that reads both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trivalent.core.types import FeatureTable
from trivalent.features.extractor import Inputs, Material, Need, choose_columns
from trivalent.features.glove import COLUMNS as WORD
from trivalent.features.glove import GLOVE, GloVeOptions, open_vectors
from trivalent.features.minilm import COLUMNS as SENTENCE
from trivalent.features.minilm import MINILM

NAME = "sentence_glove"
COLUMNS: tuple[str, ...] = (*SENTENCE, *WORD)


class SentenceGloVe:
    """The rows of both: one of a sentence has nothing of a word, and one of a word nothing of a sentence.

    A mean leaves out what is not there: it is that of each by itself.
    """

    name = NAME
    version = f"{MINILM.version}.{GLOVE.version}"
    columns = COLUMNS
    needs = frozenset({Need.WORDS})
    graphs: Mapping[Inputs, tuple[str, ...]] = {Inputs.POOLED: COLUMNS}
    options = GloVeOptions

    def extract(
        self,
        material: Material,
        options: GloVeOptions | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> FeatureTable:
        """Encode the utterances and look up their words; an utterance's row comes before its words'."""
        available = (*SENTENCE, *open_vectors(options).columns)
        chosen = choose_columns(columns, available)
        sentences, words = MINILM.extract(material), GLOVE.extract(material, options)
        if not len(sentences) + len(words):
            return FeatureTable.absent(
                self.name, self.version, columns=chosen, reason=sentences.reason or "", meta=words.meta
            )
        values = np.full((len(sentences) + len(words), len(available)), np.nan)
        values[: len(sentences), : len(SENTENCE)] = sentences.values
        values[len(sentences) :, len(SENTENCE) :] = words.values
        times = np.concatenate([sentences.times, words.times])
        order = np.argsort(times, kind="stable")
        return FeatureTable(
            self.name, self.version, available, times[order], values[order], meta=words.meta
        ).select(chosen)


SENTENCE_GLOVE = SentenceGloVe()
