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

VERSION = 2  # raise it when what is stored changes while the extractors' versions do not


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
        ]
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
        """Compute the features of a modality, a row for each sample; a row of NaN lacks it.

        `meta` gets `recording_s`, and a list with one entry for each row: `end_s`, `texts`, and
        `reasons` why the modality is absent, empty where it is not.

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
        values = np.full((len(utterances), len(spec.pooling)), np.nan)
        for i, reading in enumerate(view.readings):
            if reading.features is not None:
                values[i] = reading.features
        meta: dict[str, Any] = {
            "recording_s": self.recording.duration_s,
            "end_s": [float(u.end_s) for u in utterances],
            "texts": [u.text for u in utterances],
            "reasons": [str(r.reason or "") if r.features is None else "" for r in view.readings],
        }
        times = np.array([u.start_s for u in utterances], np.float64)
        return FeatureTable(spec.extractor, spec.version, spec.pooling, times, values, meta=meta)

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


def whole(speech: Speech) -> Speech:
    """Join all utterances to one, from the first to the last.

    >>> parts = (Utterance(0, 1.0, 2.0, "Well"), Utterance(1, 3.0, 4.0, "done."))
    >>> whole(Speech(parts, "en")).utterances
    (Utterance(index=0, start_s=1.0, end_s=4.0, text='Well done.', words=(), spoken=True),)
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


__all__ = ["Cut", "Extraction", "FeaturePlan", "LazyRecording", "whole"]
