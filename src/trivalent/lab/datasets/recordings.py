"""What is extracted of a labelled recording: the features that an analysis of it would see.

The utterances are found as in an analysis, and the channels of `trivalent.experts` read them: what a
network is trained on and what it is given later come from the same code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.encoder import EncoderSpec
from trivalent.core.errors import UsageError
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import FeatureTable, Modality, Utterance
from trivalent.experts.channel import Spoken
from trivalent.experts.channels import CHANNELS
from trivalent.experts.encoder import Encoder
from trivalent.media.recording import Recording
from trivalent.speech.activity import find_speech
from trivalent.speech.heard import open_heard
from trivalent.speech.recognizer import SIZES, Recognizer, Speech, wordless
from trivalent.speech.transcripts import Transcript
from trivalent.speech.utterances import windows

VERSION = 3  # raise it when what is stored changes while the extractors' versions do not


class Cut(StrEnum):
    """What a sample is."""

    WHOLE = "whole"  # a recording, from its first to its last utterance
    UTTERANCES = "utterances"  # an utterance, with the label of its recording


@dataclass(frozen=True, eq=False)
class Extraction:
    """A modality's encoder with all else that its features depend on, besides the recording.

    Attributes
    ----------
    modality : Modality
    encoder : EncoderSpec
    cut : Cut
    whisper : str
        Size that writes down what is said; empty where nobody listens.
    transcript : Transcript, optional
        What was said; Whisper is then not asked.
    glove_file : Path, optional
        Vectors of the user's, whose sha256 the encoder names.
    """

    modality: Modality
    encoder: EncoderSpec
    cut: Cut = Cut.WHOLE
    whisper: str = ""
    transcript: Transcript | None = None
    glove_file: Path | None = None

    def reader(self) -> Encoder:
        """Return what makes features of the tables of utterances."""
        return Encoder(self.encoder, glove_file=self.glove_file)

    def key(self, sha256: str) -> str:
        """Address of the result for a recording, 64 hexadecimal digits."""
        spec, given = self.encoder, self.transcript
        said = self.whisper if given is None else [asdict(cue) for cue in given.cues]
        content = [
            VERSION,
            sha256,
            self.modality,
            [spec.extractor, spec.version, list(spec.pooling), dict(spec.options)],
            self.cut,
            said,
        ] + ([spec.steps.to_dict()] if spec.steps else [])
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class FeaturePlan:
    """What is extracted of every recording.

    Attributes
    ----------
    encoders : mapping of Modality to EncoderSpec
    whisper : str
        Size that writes down what is said where no transcript is given; empty: nothing is.
    cut : Cut
    glove_file : Path, optional
        Vectors that an encoder names; else those that $TRIVALENT_GLOVE names.

    Raises
    ------
    UsageError
        There is no such Whisper size.
    """

    encoders: Mapping[Modality, EncoderSpec] = field(default_factory=dict)
    whisper: str = AnalyzerOptions.whisper
    cut: Cut = Cut.WHOLE
    glove_file: Path | None = None

    def __post_init__(self) -> None:
        if self.whisper and self.whisper not in SIZES:
            raise UsageError("whisper.size", sizes=list(SIZES), name=self.whisper)

    def extractions(self, transcript: Transcript | None = None) -> dict[Modality, Extraction]:
        """Return what is extracted of a recording with such a transcript."""
        return {
            m: Extraction(m, encoder, self.cut, self.whisper, transcript, self.glove_file)
            for m, encoder in self.encoders.items()
        }


class LazyRecording:
    """A recording that is opened when it is first needed, and listened to once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._speech: dict[tuple[Transcript | None, str], Speech] = {}

    @cached_property
    def recording(self) -> Recording:
        """The recording, its sound decoded."""
        return open_heard(self.path)

    def extract(self, extraction: Extraction) -> FeatureTable:
        """Compute the features of a modality; `Extracted` takes the table apart.

        It has a row for each sample, of NaN where it lacks the modality; of sequences a row for each step.

        Raises
        ------
        InputError, FeatureError
            The recording cannot be decoded, the transcript lies outside it, or the extractor fails.
        """
        speech = self._cut(extraction)
        view = CHANNELS[extraction.modality].read(
            extraction.reader(),
            Spoken(self.recording, speech),
            options=AnalyzerOptions(threads=1),
            begin=lambda: _quiet,
        )
        spec, utterances = extraction.encoder, speech.utterances
        absent = np.full((0 if spec.steps else 1, len(spec.statistics)), np.nan)
        found = [absent if r.features is None else np.atleast_2d(r.features) for r in view.readings]
        starts, counts = [float(u.start_s) for u in utterances], [len(rows) for rows in found]
        meta: dict[str, Any] = {
            "recording_s": self.recording.duration_s,
            "end_s": [float(u.end_s) for u in utterances],
            "texts": [u.text for u in utterances],
            "reasons": [str(r.reason or "") if r.features is None else "" for r in view.readings],
        } | ({"start_s": starts, "steps": counts} if spec.steps else {})
        return FeatureTable(
            spec.extractor,
            spec.version,
            spec.statistics,
            np.repeat(starts, counts),
            np.concatenate([absent[:0], *found]),
            meta=meta,
        )

    def _cut(self, extraction: Extraction) -> Speech:
        key = (extraction.transcript, extraction.whisper)
        if key not in self._speech:
            self._speech[key] = self._listen(*key)
        speech = self._speech[key]
        return whole(speech) if extraction.cut is Cut.WHOLE else speech

    def _listen(self, transcript: Transcript | None, whisper: str) -> Speech:
        recording = self.recording
        if transcript is None and not whisper:
            spans = [] if recording.audio is None else find_speech(recording.audio)
            length = recording.duration_s
            utterances = wordless(spans, length) if spans else windows(length)
            return Speech(utterances, None, spans=tuple(spans))
        return _recognizer(whisper or AnalyzerOptions.whisper).recognize(
            recording.audio, duration_s=recording.duration_s, transcript=transcript
        )


@dataclass(frozen=True, eq=False)
class Extracted:
    """What was extracted of a recording: one entry for each sample.

    Attributes
    ----------
    values : list of array, shape (d,) or (steps, d)
        NaN, or without a step, of a sample that lacks the modality.
    reasons : list of str
        Why it does, empty where it does not.
    starts, ends : list of float
        Seconds.
    texts : list of str
    recording_s : float
    """

    values: list[NDArray[np.float64]]
    reasons: list[str]
    starts: list[float]
    ends: list[float]
    texts: list[str]
    recording_s: float

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, table: FeatureTable) -> Extracted:
        """Take a table of `LazyRecording.extract` apart."""
        meta = table.meta
        starts, values = table.times.tolist(), list(table.values.astype(np.float64, copy=False))
        if "steps" in meta:
            starts = meta["start_s"]
            values = np.split(table.values, np.cumsum(meta["steps"], dtype=np.intp)[:-1])
        return cls(values, meta["reasons"], starts, meta["end_s"], meta["texts"], meta["recording_s"])


def whole(speech: Speech) -> Speech:
    """Join all utterances to one, from the first to the last.

    >>> parts = (Utterance(0, 1.0, 2.0, "Well"), Utterance(1, 3.0, 4.0, "done."))
    >>> [(u.start_s, u.end_s, u.text) for u in whole(Speech(parts, "en")).utterances]
    [(1.0, 4.0, 'Well done.')]
    """
    parts = speech.utterances
    if len(parts) < 2:
        return speech
    joined = Utterance(
        0,
        parts[0].start_s,
        parts[-1].end_s,
        " ".join(part.text for part in parts if part.text),
        tuple(word for part in parts for word in part.words),
        any(part.spoken for part in parts),
    )
    return replace(speech, utterances=(joined,))


@lru_cache(maxsize=1)
def _recognizer(model: str) -> Recognizer:
    return Recognizer(model, threads=1)


def _quiet(done: float) -> None:
    """Tell nobody: the bar counts recordings."""


__all__ = ["Cut", "Extracted", "Extraction", "FeaturePlan", "LazyRecording", "whole"]
