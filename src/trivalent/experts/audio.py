"""The channel of the voice: COVAREP columns of the sound of each utterance."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from trivalent.core.errors import FeatureError, UsageError
from trivalent.core.messages import Message
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import FeatureTable, FloatArray, Modality, Status, Utterance
from trivalent.experts.channel import Begin, Channel, Progress, QualityLimit, Spoken, View
from trivalent.experts.encoder import Encoder
from trivalent.experts.quality import Span, speech_to_noise
from trivalent.experts.readings import Reader, Reading, read_table
from trivalent.features.extractor import Material
from trivalent.features.levels import Level, recording_level
from trivalent.features.registry import extractor
from trivalent.media.sound import AudioTrack

if TYPE_CHECKING:
    from trivalent.speech.recognizer import Speech

OnVoice = Callable[[float, FeatureTable], None]

MIN_VOICED_S = 0.25  # fewer voiced frames than this describe a cough, not a voice
FULL_VOICED_S = 1.0  # from here on the voice counts fully


def read_voice(
    reader: Reader,
    utterances: Sequence[Utterance],
    *,
    audio: AudioTrack | None,
    progress: Progress | None,
    on_voice: OnVoice | None = None,
    voiced: Sequence[Span] = (),
) -> list[Reading]:
    """Classify the voice of utterances from COVAREP columns, one utterance at a time.

    How somebody sounds this time is told from the level of the voice in all utterances.

    `on_voice` is called with the start in seconds and the columns of every utterance; `voiced` is
    where the voice activity detector hears speech.
    """
    if audio is None:
        return [Reading.absent(Message("reason.no_audio")) for _ in utterances]
    tables, spans = [], [(u.start_s, u.end_s) for u in utterances]
    for i, utterance in enumerate(utterances):
        tables.append(_voice_columns(reader, audio.read(utterance.start_s, utterance.end_s)))
        if on_voice:
            on_voice(utterance.start_s, tables[-1])
        if progress:
            progress((i + 1) / len(utterances))
    level, readings = voice_level(reader, tables), []
    for i, table in enumerate(tables):
        ratio_db = speech_to_noise(audio, spans, i, voiced=voiced)
        measured = {} if ratio_db is None else {"snr_db": ratio_db}
        readings.append(_one_voice(reader, table, from_its_start(utterances[i]), measured, level))
    return readings


def voice_level(reader: Reader, tables: Sequence[FeatureTable]) -> Level | None:
    """Measure the level of the voice in all utterances that have one; None if nobody asks for it."""
    heard = [t for t in tables if t.status is Status.OK and voiced_seconds(t) >= MIN_VOICED_S]
    return recording_level(map(reader.level, heard))


def _voice_columns(reader: Reader, samples: FloatArray) -> FeatureTable:
    spec, wanted = reader.spec, extractor(reader.spec.extractor)
    options = reader.options() if isinstance(reader, Encoder) else None
    try:
        return wanted.extract(Material(sound=lambda: samples), options, columns=spec.columns)
    except (FeatureError, UsageError) as error:
        return FeatureTable.absent(
            spec.extractor,
            wanted.version,
            columns=spec.columns,
            reason=error.message,
            status=Status.FAILED,
        )


def from_its_start(utterance: Utterance) -> Utterance:
    """Count the time from the start of an utterance, as the tables of its sound do.

    >>> from trivalent.core.types import Word
    >>> from_its_start(Utterance(0, 2.0, 3.0, "Well", (Word("Well", 2.25, 2.75),))).words
    (Word(text='Well', start_s=0.25, end_s=0.75, probability=None),)
    """
    start_s = utterance.start_s
    words = tuple(replace(w, start_s=w.start_s - start_s, end_s=w.end_s - start_s) for w in utterance.words)
    return replace(utterance, start_s=0.0, end_s=utterance.end_s - start_s, words=words)


def _one_voice(
    reader: Reader,
    table: FeatureTable,
    utterance: Utterance,
    measured: dict[str, float],
    level: Level | None,
) -> Reading:
    if table.status is not Status.OK:
        return Reading.absent(table.reason or Message("reason.no_voice"), status=table.status)
    voiced_s = voiced_seconds(table)
    quality = {"voiced_s": voiced_s, **measured}
    if voiced_s < MIN_VOICED_S:
        return Reading.absent(
            Message("reason.few_voiced", seconds=voiced_s, needed=MIN_VOICED_S), quality=quality
        )
    reliability = min(1.0, voiced_s / FULL_VOICED_S)
    return read_table(
        reader, table, reliability=reliability, quality=quality, level=level, utterance=utterance
    )


def voiced_seconds(table: FeatureTable) -> float:
    """Count the seconds of voiced speech, a row every 10 ms; all of them where no column tells voicing."""
    if "VUV" not in table.columns:
        return float(np.ptp(table.times)) if len(table) else 0.0
    return float(np.nansum(table.column("VUV"))) * 0.01


def _read(reader: Reader, spoken: Spoken, *, options: AnalyzerOptions, begin: Begin) -> View:
    from trivalent.experts.tracks import TrackRecorder

    audio, recorder = spoken.recording.audio, TrackRecorder(spoken.recording.duration_s)
    readings = read_voice(
        reader,
        spoken.speech.utterances,
        audio=audio,
        progress=begin(),
        on_voice=recorder.consider,
        voiced=spoken.speech.spans,
    )
    return View(_where_spoken(readings, spoken.speech), tracks=recorder.tracks(audio))


def _where_spoken(readings: Sequence[Reading], speech: Speech) -> list[Reading]:
    """Take back what was read where the voice activity detector hears nobody, but music perhaps."""
    nobody = Message("reason.no_speech")
    told = [r.opinion is not None or r.features is not None for r in readings]
    return [
        Reading.absent(nobody, quality=r.quality) if read and not _overlaps(u, speech.spans) else r
        for r, read, u in zip(readings, told, speech.utterances, strict=True)
    ]


def _overlaps(utterance: Utterance, spans: Sequence[Span]) -> bool:
    """Tell whether an utterance lies in one of some spans, which are in order."""
    after = bisect_right(spans, utterance.start_s, key=lambda span: span[1])
    return after < len(spans) and spans[after][0] < utterance.end_s


AUDIO = Channel(
    Modality.AUDIO,
    stage="voice",
    read=_read,
    limits=(QualityLimit("snr_db", 5.0),),
)
