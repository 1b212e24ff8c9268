"""What an installed expert makes of your own recordings: its answers, and the encodings behind them.

The encoding is what the graph gives besides its answer, as far as it does: the sentence vector of words; of
pooled statistics these themselves; of frames the mean and the deviation of each channel.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trivalent.bundle.encoder import EncoderSpec
from trivalent.bundle.fusion import Pool, floored_log
from trivalent.bundle.loading import Bundle, Expert, Inputs, load_pool, open_bundle
from trivalent.core.types import LABELS, FeatureTable, FloatArray, Modality, Utterance
from trivalent.experts.encoder import UNTIMED, Encoder
from trivalent.features.frames import frames
from trivalent.features.levels import Level
from trivalent.features.text import encode, normalize, pad, split_to_fit
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.own_features import OwnFeatures
from trivalent.lab.datasets.recordings import Cut, Extraction, FeaturePlan
from trivalent.lab.experts.own_adapter import Heard
from trivalent.speech.transcripts import Transcript

GRAPH = "graph"  # option of an encoder: which expert answered


def plan_for(bundle: str, modality: Modality, features: OwnFeatures) -> FeaturePlan:
    """Say what is extracted so that `hear` can ask the expert of a bundle: its own inputs, by utterance.

    Parameters
    ----------
    bundle : str
        Installed name, or path.
    modality : Modality
    features : OwnFeatures
        How words are found.
    """
    spec = load_pool(bundle).experts[modality].spec
    whisper = features.whisper if features.recognize else ""
    if spec.takes is Inputs.TOKENS:
        return FeaturePlan({modality: features.words()}, whisper, Cut.UTTERANCES)
    if spec.takes is Inputs.POOLED:
        encoder = EncoderSpec(spec.extractor, spec.extractor_version, spec.pooling)
        return FeaturePlan({modality: encoder}, whisper, Cut.UTTERANCES)
    told = [f"log_p.{label}" for label in LABELS]
    told += [f"{channel}.{what}" for what in ("mean", "std") for channel in spec.channels]
    files = open_bundle(bundle)
    mark = json.dumps([spec.to_dict(), files.sha256(spec.model)], sort_keys=True)
    options = {GRAPH: hashlib.sha256(mark.encode()).hexdigest()}
    encoder = EncoderSpec(spec.extractor, spec.extractor_version, tuple(told), options)
    return _FramesPlan({modality: encoder}, whisper, Cut.UTTERANCES, bundle=bundle)


@dataclass(frozen=True, eq=False)
class _FramesPlan(FeaturePlan):
    """The answers of a bundle's experts over frames, which are too many to be kept."""

    bundle: str = ""

    def extractions(self, transcript: Transcript | None = None) -> dict[Modality, Extraction]:
        return {
            m: _FramesExtraction(m, encoder, self.cut, self.whisper, transcript, bundle=self.bundle)
            for m, encoder in self.encoders.items()
        }


@dataclass(frozen=True, eq=False)
class _FramesExtraction(Extraction):
    """Of one modality."""

    bundle: str = ""

    def reader(self) -> Encoder:
        return _FramesReader(_loaded(self.bundle).experts[self.modality])


class _FramesReader(Encoder):
    """Asks an expert about the frames of each utterance."""

    def __init__(self, expert: Expert) -> None:
        spec = expert.spec
        columns = tuple(f"{column}.mean" for column in spec.columns)  # those of the tables
        super().__init__(EncoderSpec(spec.extractor, spec.extractor_version, columns))
        self._expert = expert

    def level(self, table: FeatureTable) -> Level | None:
        return self._expert.level(table)

    def from_table(
        self, table: FeatureTable, level: Level | None = None, utterance: Utterance = UNTIMED
    ) -> tuple[FloatArray | None, int]:
        p, _ = self._expert.from_table(table, level)
        if p is None:
            return None, len(self.spec.pooling)
        x = self._expert.normalize_frames(frames(table, self._expert.spec.channels, level=level))
        return np.concatenate([floored_log(p), x.mean(0), x.std(0)]), 0


@lru_cache(maxsize=1)
def _loaded(bundle: str) -> Bundle[Pool]:
    return load_pool(bundle, threads=1)


def hear(expert: Expert, data: Dataset, modality: Modality) -> tuple[Heard, Dataset]:
    """Ask an expert about the utterances that have its modality.

    Parameters
    ----------
    expert : Expert
    data : Dataset
        Utterances, with the features of `plan_for`.
    modality : Modality

    Returns
    -------
    heard : Heard
    recordings : Dataset
        Those with such an utterance, in the order of `heard`; without features.
    """
    block = data.features[modality]
    rows = np.flatnonzero(block.present)
    if expert.spec.takes is Inputs.TOKENS:
        said = [_read(expert, (data.texts or ())[i]) for i in rows]
        log_p, encodings = np.array([p for p, _ in said]), np.array([vector for _, vector in said])
    elif expert.spec.takes is Inputs.POOLED:
        encodings = expert.normalize_pooled(block.values[rows]).astype(float)
        log_p = floored_log(expert.calibrate(expert.run(encodings)))
    else:
        log_p, encodings = block.values[rows, : len(LABELS)], block.values[rows, len(LABELS) :]
    names = [name.rpartition("#")[0] for name in data.ids[rows].tolist()]
    _, first, owners = np.unique(names, return_index=True, return_inverse=True)
    seconds = np.maximum(data.seconds[rows], 1e-3)
    shares = seconds / np.bincount(owners, seconds)[owners]
    recordings = data.take(rows[first])
    return Heard(log_p, encodings, owners, shares, recordings.labels), recordings


def _read(expert: Expert, text: str) -> tuple[FloatArray, FloatArray]:
    """Return log-probabilities and sentence vector, the means of the pieces of a long text."""
    pieces = encode(split_to_fit(normalize(text)))
    lengths = [len(piece) for piece in pieces]
    p = [expert.from_tokens(*pad([piece]))[0] for piece in pieces]
    vectors = [expert.embed(*pad([piece]))[0] for piece in pieces]
    return floored_log(np.average(p, axis=0, weights=lengths)), np.average(vectors, axis=0, weights=lengths)


__all__ = ["GRAPH", "hear", "plan_for"]
