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
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.loading import ExpertSpec, Inputs
from trivalent.core.errors import UsageError
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import FeatureTable, Status
from trivalent.experts.audio import MIN_VOICED_S, voiced_seconds
from trivalent.experts.face import frames_within
from trivalent.features.extractor import Material, Need
from trivalent.features.face import FACE, LONGEST_SIDE_PX, FaceOptions
from trivalent.features.pooling import columns_of, pool
from trivalent.features.registry import extractor
from trivalent.lab.datasets.voice_pooling import VOICE_POOLING
from trivalent.media.recording import Recording, open_recording
from trivalent.speech.activity import find_speech
from trivalent.speech.recognizer import SIZES, Recognizer

VERSION = 1  # raise it when what is stored changes while the extractors' versions do not
WORDS = "words"
WORD_COLUMNS = ("end_s", "words", "probability")


@dataclass(frozen=True)
class Extraction:
    """An extractor with all that its result depends on, besides the recording.

    Attributes
    ----------
    extractor : str
        Its name, or `words`.
    version : str
    options : mapping
        As JSON; `columns` are those that are computed, else all.
    given : optional
        The same options as the extractor takes them.
    """

    extractor: str
    version: str
    options: Mapping[str, Any] = field(default_factory=dict)
    given: Any = None

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
    return _columns("covarep", columns)


def face(rate_hz: float = FaceOptions.face_rate_hz) -> Extraction:
    """Blendshapes, pose, gaze and emotions of the largest face, `rate_hz` times a second."""
    options = {"rate_hz": rate_hz, "max_side": LONGEST_SIDE_PX}
    return Extraction(FACE.name, FACE.version, options, FaceOptions(face_rate_hz=rate_hz))


def needed(spec: ExpertSpec) -> Extraction:
    """Return what `pooled` needs: of the face all columns, which other experts then share."""
    return (
        face() if spec.extractor == FACE.name else _columns(spec.extractor, columns_of(pooled_names(spec)))
    )


def _columns(name: str, columns: Sequence[str] | None) -> Extraction:
    found = extractor(name)
    return Extraction(name, found.version, {"columns": list(columns or found.columns)})


def words(model: str = AnalyzerOptions.whisper) -> Extraction:
    """Words as a Whisper model hears them, a row for each utterance.

    Raises
    ------
    UsageError
        There is no such model.
    """
    if model not in SIZES:
        raise UsageError("whisper.size", sizes=list(SIZES), name=model)
    return Extraction(WORDS, "1", {"model": model})


class LazyRecording:
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
        compute = _words if extraction.extractor == WORDS else _computed
        table = compute(self, extraction)
        facts = {"recording_s": self.recording.duration_s, "extent_s": list(map(float, self.extent))}
        return replace(table, meta={**table.meta, **facts})


def _absent(extraction: Extraction, columns: Sequence[str], reason: str) -> FeatureTable:
    return FeatureTable.absent(extraction.extractor, extraction.version, columns=columns, reason=reason)


def _computed(source: LazyRecording, extraction: Extraction) -> FeatureTable:
    """Let an extractor work on the speech and on all pictures of a recording."""
    wanted, recording = extractor(extraction.extractor), source.recording
    columns = extraction.options.get("columns", wanted.columns)
    if Need.SOUND in wanted.needs and recording.audio is None:
        return _absent(extraction, columns, "the recording has no audio track")
    if Need.PICTURES in wanted.needs and recording.kind != "video":
        return _absent(extraction, columns, "the recording has no video track")
    material = Material(pictures=recording.frames, path=source.path)
    if recording.audio is not None:
        material = replace(material, sound=partial(recording.audio.read, *source.extent))
    table = wanted.extract(material, extraction.given, columns=columns)
    start_s = source.extent[0] if Need.SOUND in wanted.needs else 0.0
    return replace(table, times=table.times + start_s)


def _words(source: LazyRecording, extraction: Extraction) -> FeatureTable:
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
    if Need.PICTURES in extractor(table.extractor).needs:
        table, _ = frames_within(table, *table.meta["extent_s"], rate_hz=table.meta["rate_hz"])
    elif voiced_seconds(table) < MIN_VOICED_S:
        return nothing
    if not len(table):
        return nothing
    row = pool(table, names)
    return nothing if (~np.isfinite(row)).mean() > spec.max_missing else row
