"""The journey of one source: decode, find utterances, ask three experts, fuse.

>>> from trivalent import Analyzer                                       # doctest: +SKIP
>>> Analyzer().analyze_text("I love how this turned out.").overall.label  # doctest: +SKIP
'positive'
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivalent.bundle.loading import Bundle, load_bundle
from trivalent.bundle.network import Network
from trivalent.core.analysis import Analysis, KeyFrame, Model, Source, Timing, Track
from trivalent.core.errors import AssetError, InputError, TextError, UsageError
from trivalent.core.messages import Message
from trivalent.core.options import DECIDING, AnalyzerOptions
from trivalent.core.plain_text import plain
from trivalent.core.types import Modality, Status, Utterance
from trivalent.experts.channel import Channel, Progress, Spoken, View
from trivalent.experts.channels import CHANNELS
from trivalent.experts.encoder import Encoder
from trivalent.experts.judge import Judge
from trivalent.experts.readings import Reader, Reading
from trivalent.experts.text import language_notes, read_texts, sign_warnings
from trivalent.features.text import has_words, split_to_fit
from trivalent.media.kinds import Kind, kind_of
from trivalent.speech.language import with_languages

if TYPE_CHECKING:
    from trivalent.speech.transcripts import Transcript

Stages = Callable[[str], Progress]
MAX_TEXT_CHARACTERS = 200_000
MAX_TEXT_BYTES = 4 * MAX_TEXT_CHARACTERS + 4  # in any encoding that is read, with its mark
MAX_SENTENCES = 5_000  # a text of the greatest length has some 2,500; each takes 1 kB of a result
SPEECH = "speech"
#: What is told of a recording in this order; without pictures there is no "face".
STAGES = tuple(dict.fromkeys(("decode", SPEECH, *(c.stage for c in CHANNELS.values()), "fusion")))
READING_SHARE = 0.1  # of the stage "speech": what a channel reads of the words, after they were found


def _quiet(_: str) -> Progress:
    """Stand in for progress bars."""
    return lambda done: None


class Analyzer:
    """Turns recordings and texts into `Analysis` trees; keeps its models loaded.

    Parameters are the fields of `AnalyzerOptions`.

    Raises
    ------
    UsageError
        A modality or threshold is not a valid value.
    BundleError
        The bundle cannot be used.
    """

    def __init__(
        self,
        model: str | Path = AnalyzerOptions.model,
        *,
        modalities: Sequence[str] | None = None,
        thresholds: Sequence[float] | None = None,
        min_confidence: float | None = None,
        prior: Sequence[float] | None = None,
        whisper: str = AnalyzerOptions.whisper,
        language: str = AnalyzerOptions.language,
        face_rate_hz: float = AnalyzerOptions.face_rate_hz,
        audio_track: int | None = None,
        threads: int = AnalyzerOptions.threads,
    ) -> None:
        from trivalent.speech.recognizer import Recognizer

        self.options = AnalyzerOptions(
            os.fspath(model),
            modalities=None if modalities is None else tuple(modalities),
            thresholds=None if thresholds is None else tuple(thresholds),
            min_confidence=min_confidence,
            prior=None if prior is None else tuple(prior),
            whisper=whisper,
            language=language,
            face_rate_hz=face_rate_hz,
            audio_track=audio_track,
            threads=threads,
        )
        self.bundle: Bundle[Any] = load_bundle(model, threads=threads)
        self.readers = _readers(self.bundle)
        self.judge = Judge.of(
            self.bundle,
            modalities=modalities,
            thresholds=thresholds,
            min_confidence=min_confidence,
            prior=prior,
        )
        self.modalities = self.judge.modalities
        self.recognizer = Recognizer(_whisper(self.bundle, whisper), threads=threads, language=language)

    @classmethod
    def of(cls, options: AnalyzerOptions) -> Analyzer:
        """Make the analyzer of some options; raises what the class does."""
        return cls(**options.to_dict())

    def deciding(self, options: AnalyzerOptions) -> Analyzer:
        """Return one with the same models, loaded once, that decides as these options say.

        Raises
        ------
        UsageError
            A threshold or share is not a valid value.
        """
        chosen = {name: getattr(options, name) for name in DECIDING}
        other = copy(self)
        other.options = replace(self.options, **chosen)
        other.judge = Judge.of(self.bundle, modalities=self.options.modalities, **chosen)
        return other

    def analyze(
        self,
        source: str | Path,
        *,
        name: str | None = None,
        kind: str | None = None,
        transcript: str | Path | Transcript | None = None,
        stages: Stages | None = None,
    ) -> Analysis:
        """Analyse a video, a recording or a text file.

        Parameters
        ----------
        source : str or Path
        name : str, optional
            Shown instead of the file's own name.
        kind : str, optional
            text or recording; by default the suffix of `source` tells.
        transcript : str, Path or Transcript, optional
            .srt, .vtt or .txt instead of recognition, or one that was parsed.
        stages : callable, optional
            Called with the name of each stage as it begins (decode, speech, voice, face, fusion; of
            a text speech and fusion alone); returns what is called with its progress in [0, 1].
            What either raises ends the analysis.

        Raises
        ------
        InputError
            The source is absent, unreadable or holds nothing to analyse.
        AssetError
            The recogniser that the bundle was trained with is not on this computer.
        UsageError
            There is no such kind.
        """
        path = Path(source)
        shown, kind = name or path.name, kind or kind_of(path)
        if kind not in list(Kind):
            raise UsageError("decision.source_kind", kind=list(Kind), given=kind)
        if kind == Kind.TEXT:
            text, doubts = _read_text(path, shown)
            analysis = self._analyze_pieces([(shown, text)], stages or _quiet)[0]
            return replace(analysis, warnings=(*doubts, *analysis.warnings))
        analysis = _Journey(self, path, stages or _quiet).run(transcript)
        return replace(analysis, source=replace(analysis.source, name=shown))

    def analyze_text(self, text: str, *, name: str = "text", stages: Stages | None = None) -> Analysis:
        """Analyse a text: as one utterance if it fits the encoder, else sentence by sentence.

        Parameters
        ----------
        text : str
            At most `MAX_TEXT_CHARACTERS`, and `MAX_SENTENCES`.
        name : str
        stages : callable, optional
            As in `analyze`.

        Raises
        ------
        TextError
            The text is empty, too long, or holds no word of the vocabulary.
        UsageError
            The text modality is switched off.
        """
        return self._analyze_pieces([(name, text)], stages or _quiet)[0]

    def analyze_texts(self, texts: Sequence[str]) -> list[Analysis]:
        """Analyse many texts; the order is kept, and each gets what it gets alone."""
        return self._analyze_pieces([(f"text {i + 1}", t) for i, t in enumerate(texts)])

    def _analyze_pieces(self, named: Sequence[tuple[str, str]], stages: Stages = _quiet) -> list[Analysis]:
        if Modality.TEXT not in self.modalities:
            raise UsageError("text.modality_off")
        if Modality.TEXT not in self.readers:
            raise UsageError("text.no_extractor", name=self.bundle.name)
        clock = _Clock()
        with clock.measure(Modality.TEXT):
            utterances: list[Utterance] = []
            owners: list[int] = []
            for i, (_, text) in enumerate(named):
                pieces = _pieces(text)
                owners += [i] * len(pieces)
                own = [Utterance(0, 0.0, 0.0, piece) for piece in pieces]
                utterances += with_languages(own, chosen=self.recognizer.chosen)
            readings = read_texts(self.readers[Modality.TEXT], utterances, progress=stages(SPEECH))
        out = []
        for i, (name, text) in enumerate(named):
            rows = [k for k, owner in enumerate(owners) if owner == i]
            if all(readings[k].status is not Status.OK for k in rows):
                raise TextError("text.not_scored", text=_shorten(text), reason=readings[rows[0]].reason)
            own = [replace(utterances[k], index=n) for n, k in enumerate(rows)]
            views = {Modality.TEXT: [readings[k] for k in rows]}
            warnings: list[str] = [*language_notes(own, views[Modality.TEXT]), *sign_warnings([text])]
            out.append(
                self._assemble(
                    Source(name, "text", None),
                    own,
                    views=views,
                    warnings=warnings,
                    clock=clock,
                    progress=stages("fusion"),
                )
            )
        return out

    def _assemble(
        self,
        source: Source,
        utterances: Sequence[Utterance],
        *,
        views: dict[Modality, list[Reading]],
        warnings: Sequence[str],
        clock: _Clock,
        progress: Progress,
        keyframes: Sequence[KeyFrame] = (),
        tracks: Sequence[Track] = (),
    ) -> Analysis:
        """Fuse the readings and write everything down."""
        with clock.measure("fusion"):
            results = []
            for i, utterance in enumerate(utterances):
                progress(i / len(utterances))
                results.append(self.judge.utterance(utterance, {m: views[m][i] for m in views}))
            overall, notes = self.judge.overall(results)
            progress(1.0)
        repaired = sum(r.repaired for column in views.values() for r in column)
        if repaired:
            warnings = [
                *warnings,
                Message("reason.repaired", count=repaired),
            ]
        return Analysis(
            source,
            Model(self.bundle.name, self.bundle.version, self.bundle.sha256),
            overall,
            tuple(results),
            (*warnings, *notes),
            clock.timing(source.duration_s),
            tuple(keyframes),
            tuple(tracks),
            decided_with=self.judge.terms,
        )


def _readers(bundle: Bundle[Any]) -> dict[Modality, Reader]:
    """Return what reads each modality: experts, or encoders of a network where its features can be made."""
    if not isinstance(bundle.fusion, Network):
        return dict(bundle.experts)
    specs = {m: spec.encoder for m, spec in bundle.fusion.modalities.items()}
    return {m: Encoder(spec) for m, spec in specs.items() if spec.from_recordings}


def _whisper(bundle: Bundle[Any], chosen: str) -> str:
    """Return the size that a network was trained with, unless the user asks for another."""
    trained = bundle.fusion.whisper if isinstance(bundle.fusion, Network) else ""
    return trained if trained and chosen == AnalyzerOptions.whisper else chosen


class _Journey:
    """One recording on its way through the rooms."""

    def __init__(self, analyzer: Analyzer, path: Path, stages: Stages) -> None:
        self.analyzer, self.path, self.stages = analyzer, path, stages
        self.clock = _Clock()
        self.channels = [CHANNELS[modality] for modality in analyzer.modalities]

    def run(self, transcript: str | Path | Transcript | None) -> Analysis:
        from trivalent.speech.heard import open_heard
        from trivalent.speech.transcripts import read_transcript

        given = read_transcript(transcript) if isinstance(transcript, str | Path) else transcript
        with self.clock.measure("decode"):
            recording = open_heard(
                self.path, audio_track=self.analyzer.options.audio_track, progress=self.stages("decode")
            )
        if given is None and recording.audio is not None:
            self._check_recogniser()
        tell = self.stages(SPEECH)
        rest = READING_SHARE if any(c.stage == SPEECH for c in self.channels) else 0.0
        with self.clock.measure("speech"):
            speech = self.analyzer.recognizer.recognize(
                recording.audio,
                duration_s=recording.duration_s,
                transcript=given,
                progress=lambda done: tell((1 - rest) * done),
            )
        spoken = Spoken(recording, speech)
        views = {c.modality: self._read(c, spoken, speech=tell) for c in self.channels}
        readings = {modality: view.readings for modality, view in views.items()}
        return self.analyzer._assemble(
            Source(recording.name, recording.kind, recording.duration_s),
            speech.utterances,
            views=readings,
            warnings=[
                *recording.warnings,  # decoding the pictures may have added to them
                *speech.warnings,
                *(warning for view in views.values() for warning in view.warnings),
                *(doubt for c in self.channels for doubt in c.doubts(readings[c.modality])),
            ],
            clock=self.clock,
            progress=self.stages("fusion"),
            keyframes=[frame for view in views.values() for frame in view.keyframes],
            tracks=[track for view in views.values() for track in view.tracks],
        )

    def _check_recogniser(self) -> None:
        """Refuse to fetch what a bundle alone asks for: it may be a stranger's."""
        from trivalent.speech.weights import is_present

        size = self.analyzer.recognizer.model
        if size != self.analyzer.options.whisper and not is_present(size):
            raise AssetError("whisper.trained_absent", name=self.analyzer.bundle.name, size=size[:40])

    def _read(self, channel: Channel, spoken: Spoken, *, speech: Progress) -> View:
        """Have a channel read; one of the stage "speech" goes on with that stage."""

        def begin() -> Progress:
            if channel.stage != SPEECH:
                return self.stages(channel.stage)
            return lambda done: speech(1 - READING_SHARE * (1 - done))

        reader = self.analyzer.readers.get(channel.modality)
        if reader is None:
            reason = Message("reason.no_extractor", modality=channel.modality)
            return View([Reading.absent(reason, status=Status.FAILED) for _ in spoken.speech.utterances])
        with self.clock.measure(channel.modality):
            return channel.read(reader, spoken, options=self.analyzer.options, begin=begin)


class _Clock:
    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.spent: dict[str, float] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.spent[stage] = self.spent.get(stage, 0.0) + time.perf_counter() - start

    def timing(self, duration_s: float | None) -> Timing:
        total = time.perf_counter() - self.started
        factor = total / duration_s if duration_s else None
        return Timing(self.spent, total_s=total, realtime_factor=factor)


def _pieces(text: str) -> list[str]:
    pieces = split_to_fit(_checked_text(text))
    if len(pieces) > MAX_SENTENCES:
        raise TextError("text.many_sentences", max_sentences=MAX_SENTENCES, count=len(pieces))
    return pieces


def _checked_text(text: str) -> str:
    if len(text) > MAX_TEXT_CHARACTERS:
        raise TextError("text.long", max_text_characters=MAX_TEXT_CHARACTERS, count=len(text))
    clean = plain(text)
    if not clean:
        raise TextError("text.empty")
    if not has_words(clean):
        raise TextError("text.only_signs", clean=_shorten(clean))
    return clean


def _read_text(path: Path, shown: str) -> tuple[str, tuple[str, ...]]:
    """Return the words of a file, and what is to be told about them."""
    from trivalent.speech.transcripts import parse_transcript

    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise InputError("text.unreadable", path=path, strerror=error.strerror) from error
    if len(raw) > MAX_TEXT_BYTES:
        raise TextError("text.file_long", max_text_characters=MAX_TEXT_CHARACTERS, shown=shown)
    read = parse_transcript(raw, suffix=".txt", name=shown)
    return read.text, read.warnings


def _shorten(text: str, limit: int = 40) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


__all__ = ["MAX_TEXT_CHARACTERS", "STAGES", "Analyzer"]
