"""What is extracted of a labelled recording: by the extractors of an analysis, with its settings.

A recording is one sample. As an analysis looks at utterances, which begin and end with speech,
the voice and the face of a sample are those from its first to its last word; without speech,
those of the whole recording.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.loading import ExpertSpec, Inputs
from trivalent.core.errors import UsageError
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import FeatureTable, Status
from trivalent.experts.audio import MIN_VOICED_S, voiced_seconds
from trivalent.experts.face import frames_within
from trivalent.extract import FACE_RATE_HZ, LONGEST_SIDE_PX
from trivalent.features import extractor_columns, extractor_version
from trivalent.features.pooling import pool
from trivalent.lab.datasets.voice_pooling import VOICE_POOLING
from trivalent.media.recording import Recording, open_recording
from trivalent.media.sound import SAMPLE_RATE
from trivalent.speech.activity import find_speech
from trivalent.speech.recognizer import SIZES, Recognizer

if TYPE_CHECKING:
    from trivalent.features.face import FaceExtractor

VERSION = 1  # raise it when what is stored changes while the extractors' versions do not
WORDS = "words"
WORD_COLUMNS = ("end_s", "words", "probability")


@dataclass(frozen=True)
class Extraction:
    """An extractor with all that its result depends on, besides the recording.

    Attributes
    ----------
    extractor : str
        covarep, face or words.
    version : str
    options : mapping
        As JSON.
    """

    extractor: str
    version: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def key(self, sha256: str) -> str:
        """Address of the result for a recording, 64 hexadecimal digits.

        >>> one, other = Extraction("x", "1", {"b": 2, "a": 1}), Extraction("x", "1", {"a": 1, "b": 2})
        >>> one.key("0") == other.key("0"), one.key("0") == one.key("1")
        (True, False)
        """
        content = [VERSION, sha256, self.extractor, self.version, dict(self.options)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def voice(columns: Sequence[str] | None = None) -> Extraction:
    """COVAREP columns from the first to the last word; all 74 by default."""
    chosen = list(columns or extractor_columns("covarep"))
    return Extraction("covarep", extractor_version("covarep"), {"columns": chosen})


def face(rate_hz: float = FACE_RATE_HZ) -> Extraction:
    """Blendshapes, pose, gaze and emotions of the largest face, `rate_hz` times a second."""
    options = {"rate_hz": rate_hz, "max_side": LONGEST_SIDE_PX}
    return Extraction("face", extractor_version("face"), options)


def words(model: str = AnalyzerOptions.whisper) -> Extraction:
    """Words as a Whisper model hears them, a row for each utterance.

    Raises
    ------
    UsageError
        There is no such model.
    """
    if model not in SIZES:
        raise UsageError(f"expected a Whisper size ({', '.join(SIZES)}), got {model!r}; choose one of them")
    return Extraction(WORDS, "1", {"model": model})


class Source:
    """A recording that is opened when it is first needed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def recording(self) -> Recording:
        """The recording, its sound decoded."""
        return open_recording(self.path)

    @cached_property
    def extent(self) -> tuple[float, float]:
        """Start of the first and end of the last word, or of the whole recording, in seconds."""
        audio = self.recording.audio
        spans = [] if audio is None else find_speech(audio)
        return (spans[0][0], spans[-1][1]) if spans else (0.0, self.recording.duration_s)

    def extract(self, extraction: Extraction) -> FeatureTable:
        """Compute a table; `meta` gets `recording_s` and `extent_s`.

        Raises
        ------
        InputError, FeatureError
            The recording cannot be decoded, or the extractor fails on it.
        """
        compute = {"covarep": _voice, "face": _face, WORDS: _words}[extraction.extractor]
        table = compute(self, extraction)
        facts = {"recording_s": self.recording.duration_s, "extent_s": list(map(float, self.extent))}
        return replace(table, meta={**table.meta, **facts})


def _absent(extraction: Extraction, columns: Sequence[str], reason: str) -> FeatureTable:
    return FeatureTable.absent(extraction.extractor, extraction.version, columns=columns, reason=reason)


def _voice(source: Source, extraction: Extraction) -> FeatureTable:
    from trivalent.features.covarep import covarep

    columns = extraction.options["columns"]
    if source.recording.audio is None:
        return _absent(extraction, columns, "the recording has no audio track")
    start_s, end_s = source.extent
    table = covarep(source.recording.audio.read(start_s, end_s), SAMPLE_RATE, columns=columns)
    return replace(table, times=table.times + start_s)


def _face(source: Source, extraction: Extraction) -> FeatureTable:
    if source.recording.kind != "video":
        return _absent(extraction, extractor_columns("face"), "the recording has no video track")
    rate_hz = extraction.options["rate_hz"]
    frames = source.recording.frames(rate_hz=rate_hz, max_side=extraction.options["max_side"])
    table = _face_extractor().extract(frames)
    return replace(table, meta={**table.meta, "rate_hz": rate_hz})


def _words(source: Source, extraction: Extraction) -> FeatureTable:
    recording = source.recording
    if recording.audio is None:
        return _absent(extraction, WORD_COLUMNS, "the recording has no audio track")
    speech = _recognizer(extraction.options["model"]).recognize(
        recording.audio, duration_s=recording.duration_s
    )
    meta = {"language": speech.language, "texts": [u.text for u in speech.utterances if u.text.strip()]}
    spoken = [u for u in speech.utterances if u.text.strip()]
    if not spoken:
        return replace(_absent(extraction, WORD_COLUMNS, "no words"), meta=meta)
    values = [
        (
            u.end_s,
            len(u.words),
            np.mean([np.nan if w.probability is None else w.probability for w in u.words]),
        )
        for u in spoken
    ]
    times = np.array([u.start_s for u in spoken])
    return FeatureTable(WORDS, extraction.version, WORD_COLUMNS, times, np.array(values, float), meta=meta)


@lru_cache(maxsize=1)
def _face_extractor() -> FaceExtractor:
    from trivalent.features.face import FaceExtractor

    return FaceExtractor()


@lru_cache(maxsize=1)
def _recognizer(model: str) -> Recognizer:
    return Recognizer(model, threads=1)


def spoken_text(table: FeatureTable) -> str:
    """Join the words of a table of `words`; empty where an analysis would not score them."""
    return " ".join(table.meta["texts"]) if table.meta.get("language") == "en" else ""


def pooled_names(spec: ExpertSpec) -> tuple[str, ...]:
    """Statistics that stand for an expert's modality: its own, or `VOICE_POOLING` if it takes frames.

    Empty for text.
    """
    return VOICE_POOLING if spec.inputs is Inputs.FRAMES else spec.pooling


def pooled(table: FeatureTable, spec: ExpertSpec) -> NDArray[np.float64]:
    """Pool a table of `voice` or `face` to `pooled_names(spec)`, shape (statistics,).

    All NaN where an analysis would have no opinion: nothing there, hardly any voice, or too many
    statistics without a value.
    """
    names = pooled_names(spec)
    nothing = np.full(len(names), np.nan)
    if table.status is not Status.OK:
        return nothing
    if table.extractor == "face":
        table, _ = frames_within(table, *table.meta["extent_s"], rate_hz=table.meta["rate_hz"])
    elif voiced_seconds(table) < MIN_VOICED_S:
        return nothing
    if not len(table):
        return nothing
    row = pool(table, names)
    return nothing if (~np.isfinite(row)).mean() > spec.max_missing else row
