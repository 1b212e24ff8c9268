"""The journey of one source: decode, find utterances, ask three experts, fuse.

>>> from trivalent import Analyzer                                       # doctest: +SKIP
>>> Analyzer().analyze_text("I love how this turned out.").overall.label  # doctest: +SKIP
'positive'
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from trivalent.analysis import (
    Analysis,
    Evidence,
    KeyFrame,
    Model,
    Source,
    Timing,
    UtteranceResult,
)
from trivalent.bundle import Bundle, load_bundle
from trivalent.errors import InputError, TextError, UsageError
from trivalent.experts import Progress, Reading, language_problem, read_face, read_texts, read_voice
from trivalent.features.text import has_words, normalize, pack
from trivalent.fusion import DecisionRule, combine
from trivalent.language import looks_english
from trivalent.types import LABELS, FeatureTable, Modality, Status, Utterance

Stages = Callable[[str], Progress]
MAX_TEXT_CHARACTERS = 200_000
TEXT_SUFFIXES = frozenset({".txt", ".md", ".text"})


class Analyzer:
    """Turns recordings and texts into `Analysis` trees; keeps its models loaded.

    Parameters
    ----------
    model : str or Path
        Name of an installed bundle, a folder or a .zip.
    modalities : sequence of str, optional
        Which to use; all that the bundle has by default.
    thresholds : three floats, optional
        Decision thresholds for negative, neutral, positive: the label is argmax p / tau.
    min_confidence : float, optional
        Abstain below this confidence.
    whisper : str
        Speech recogniser: tiny.en (in the package's dependencies), base, small, ...
    face_rate_hz : float
        Frames looked at per second.
    threads : int
        Threads of each model.

    Raises
    ------
    UsageError
        A modality or threshold is not a valid value.
    BundleError
        The bundle cannot be used.
    """

    def __init__(
        self,
        model: str | Path = "default",
        *,
        modalities: Sequence[str] | None = None,
        thresholds: Sequence[float] | None = None,
        min_confidence: float | None = None,
        whisper: str = "tiny.en",
        face_rate_hz: float = 5.0,
        threads: int = 2,
    ) -> None:
        self.bundle: Bundle = load_bundle(model, threads=threads)
        self.modalities = _chosen(modalities, self.bundle)
        self.decision = _decision(self.bundle.decision, thresholds, min_confidence)
        self.face_rate_hz = face_rate_hz
        self.threads = threads
        from trivalent.speech import Recognizer

        self.recognizer = Recognizer(whisper, threads=threads)

    def analyze(
        self, source: str | Path, *, transcript: str | Path | None = None, stages: Stages | None = None
    ) -> Analysis:
        """Analyse a video, a recording or a text file.

        Raises
        ------
        InputError
            The source is absent, unreadable or holds nothing to analyse.
        """
        path = Path(source)
        if path.suffix.lower() in TEXT_SUFFIXES:
            return self.analyze_text(_read_text(path), name=path.name)
        return _Journey(self, path, stages).run(transcript)

    def analyze_text(self, text: str, *, name: str = "text") -> Analysis:
        """Analyse a text: as one utterance if it fits the encoder, else sentence by sentence.

        Raises
        ------
        TextError
            The text is empty, too long, or holds no word of the vocabulary.
        UsageError
            The text modality is switched off.
        """
        return self._analyze_pieces([(name, text)])[0]

    def analyze_texts(self, texts: Sequence[str]) -> list[Analysis]:
        """Analyse many texts in batches; the order is kept."""
        return self._analyze_pieces([(f"text {i + 1}", t) for i, t in enumerate(texts)])

    def _analyze_pieces(self, named: Sequence[tuple[str, str]]) -> list[Analysis]:
        if Modality.TEXT not in self.modalities:
            raise UsageError(
                "expected the modality text for a text, got it switched off; add it to --modalities"
            )
        clock = _Clock()
        with clock.measure("text_s"):
            utterances, owners = [], []
            for i, (_, text) in enumerate(named):
                pieces = pack(_checked_text(text))
                owners += [i] * len(pieces)
                utterances += [Utterance(0, 0.0, 0.0, piece) for piece in pieces]
            readings = read_texts(self.bundle.experts[Modality.TEXT], utterances)
        out = []
        for i, (name, text) in enumerate(named):
            rows = [k for k, owner in enumerate(owners) if owner == i]
            if all(readings[k].opinion is None for k in rows):
                raise TextError(
                    f"expected English words, got {_shorten(text)!r}: {readings[rows[0]].reason}"
                )
            own = [replace(utterances[k], index=n) for n, k in enumerate(rows)]
            views = {Modality.TEXT: [readings[k] for k in rows]}
            warnings = (
                [] if looks_english(text) else ["the text does not look English; do not rely on the result"]
            )
            out.append(
                self._assemble(Source(name, "text", None), own, views=views, warnings=warnings, clock=clock)
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
        keyframes: Sequence[KeyFrame] = (),
    ) -> Analysis:
        """Fuse the readings and write everything down."""
        with clock.measure("fusion_s"):
            results = [
                self._utterance(u, {m: views[m][i] for m in views}) for i, u in enumerate(utterances)
            ]
            durations = [u.duration_s for u in utterances]
            overall = self.decision.decide(combine([r.verdict.probabilities for r in results], durations))
        heard = any(e.status is Status.OK for r in results for e in r.modalities.values())
        if not heard:
            overall = replace(overall, abstained=True)
            warnings = [*warnings, "no modality could be used: the probabilities are only the prior"]
        repaired = sum(r.repaired for column in views.values() for r in column)
        if repaired:
            warnings = [
                *warnings,
                f"{repaired} pooled features could not be computed and were set to their mean",
            ]
        return Analysis(
            source,
            Model(self.bundle.name, self.bundle.version, self.bundle.sha256),
            overall,
            tuple(results),
            tuple(warnings),
            clock.timing(source.duration_s),
            tuple(keyframes),
        )

    def _utterance(self, utterance: Utterance, readings: dict[Modality, Reading]) -> UtteranceResult:
        fused = self.bundle.fusion.fuse(
            {m: r.opinion for m, r in readings.items() if r.opinion is not None}
        )
        verdict = self.decision.decide(fused.probabilities)
        if not fused.weights:
            verdict = replace(verdict, abstained=True)
        modalities = {}
        for m in Modality:
            reading = readings.get(m) or self._unused(m)
            modalities[m] = Evidence(
                reading.status,
                reading.reason,
                None if reading.opinion is None else reading.opinion.probabilities,
                fused.weights.get(m, 0.0),
                fused.effects.get(m),
                reading.facts,
            )
        return UtteranceResult(
            utterance.index,
            utterance.start_s,
            utterance.end_s,
            utterance.text,
            verdict,
            modalities,
            fused.conflict,
            fused.mixed,
        )

    def _unused(self, modality: Modality) -> Reading:
        if modality not in self.bundle.experts:
            return Reading.absent(f"the bundle {self.bundle.name!r} has no {modality} expert")
        if modality not in self.modalities:
            return Reading.absent("switched off", status=Status.OFF)
        return Reading.absent("the source is a text")


class _Journey:
    """One recording on its way through the rooms."""

    def __init__(self, analyzer: Analyzer, path: Path, stages: Stages | None) -> None:
        self.analyzer, self.path = analyzer, path
        self.stages: Stages = stages or (lambda _: _ignore)
        self.clock = _Clock()

    def run(self, transcript: str | Path | None) -> Analysis:
        from trivalent.media import open_recording
        from trivalent.transcripts import read_transcript

        analyzer, clock = self.analyzer, self.clock
        given = None if transcript is None else read_transcript(Path(transcript))
        with clock.measure("decode_s"):
            self.recording = open_recording(self.path, progress=self.stages("decode"))
        recording = self.recording
        with clock.measure("speech_s"):
            speech = analyzer.recognizer.recognize(
                recording.audio,
                duration_s=recording.duration_s,
                transcript=given,
                progress=self.stages("speech"),
            )
        self.utterances = speech.utterances
        warnings = list(speech.warnings)
        views: dict[Modality, list[Reading]] = {}
        if Modality.TEXT in analyzer.modalities:
            with clock.measure("text_s"):
                views[Modality.TEXT] = self._words(speech.language, warnings)
        if Modality.AUDIO in analyzer.modalities:
            with clock.measure("audio_s"):
                expert = analyzer.bundle.experts[Modality.AUDIO]
                views[Modality.AUDIO] = read_voice(
                    expert, self.utterances, audio=recording.audio, progress=self.stages("voice")
                )
        keyframes: list[KeyFrame] = []
        if Modality.FACE in analyzer.modalities:
            with clock.measure("face_s"):
                views[Modality.FACE], keyframes = self._faces(warnings)
        # Decoding the pictures may have added to the recording's warnings.
        warnings = [*recording.warnings, *warnings]
        return analyzer._assemble(
            Source(recording.name, recording.kind, recording.duration_s),
            self.utterances,
            views=views,
            warnings=warnings,
            clock=clock,
            keyframes=keyframes,
        )

    def _words(self, language: str | None, warnings: list[str]) -> list[Reading]:
        problem = language_problem(self.utterances, language)
        if problem is not None:
            warnings.append(f"text not used: {problem}")
            return [Reading.absent(problem) for _ in self.utterances]
        return read_texts(self.analyzer.bundle.experts[Modality.TEXT], self.utterances)

    def _faces(self, warnings: list[str]) -> tuple[list[Reading], list[KeyFrame]]:
        from trivalent.features.face import FaceExtractor
        from trivalent.keyframes import KeyFrames

        expert = self.analyzer.bundle.experts[Modality.FACE]
        if self.recording.kind != "video":
            reason = "the recording has no video track"
            return [Reading.absent(reason) for _ in self.utterances], []
        keyframes = KeyFrames(self.utterances)
        frames = self.recording.frames(
            rate_hz=self.analyzer.face_rate_hz, max_side=1280, progress=self.stages("face")
        )
        table: FeatureTable = FaceExtractor(threads=self.analyzer.threads).extract(
            frames, on_face=keyframes.consider
        )
        table.meta["rate_hz"] = self.analyzer.face_rate_hz
        warnings += table.meta.get("warnings", [])
        return read_face(expert, self.utterances, table=table), keyframes.chosen()


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
        return Timing(**self.spent, total_s=total, realtime_factor=factor)


def _ignore(_: float) -> None:
    """Stand in for a progress bar."""


def _chosen(names: Sequence[str] | None, bundle: Bundle) -> tuple[Modality, ...]:
    if names is None:
        return tuple(m for m in Modality if m in bundle.experts)
    known = [str(m) for m in Modality]
    wrong = [n for n in names if n not in known]
    if wrong or not names:
        raise UsageError(f"expected modalities among {','.join(known)}, got {','.join(wrong) or 'none'}")
    lacking = [n for n in names if Modality(n) not in bundle.experts]
    if lacking:
        raise UsageError(
            f"expected modalities of the bundle {bundle.name!r}, which has no {','.join(lacking)}"
        )
    return tuple(m for m in Modality if m in names)


def _decision(
    default: DecisionRule, thresholds: Sequence[float] | None, min_confidence: float | None
) -> DecisionRule:
    if thresholds is not None and len(thresholds) != len(LABELS):
        raise UsageError(f"expected {len(LABELS)} thresholds ({','.join(LABELS)}), got {len(thresholds)}")
    return DecisionRule(
        default.thresholds if thresholds is None else (thresholds[0], thresholds[1], thresholds[2]),
        default.min_confidence if min_confidence is None else min_confidence,
    )


def _checked_text(text: str) -> str:
    clean = normalize(text) if len(text) <= MAX_TEXT_CHARACTERS else text
    if len(text) > MAX_TEXT_CHARACTERS:
        raise TextError(
            f"expected a text of at most {MAX_TEXT_CHARACTERS:,} characters, got {len(text):,}; "
            "split it into parts"
        )
    if not clean:
        raise TextError("expected a text with words, got an empty one; write at least one word")
    if not has_words(clean):
        raise TextError(
            f"expected a text with words, got only signs {_shorten(clean)!r}; write at least one word"
        )
    return text if len(clean) == len(text) else clean


def _read_text(path: Path) -> str:
    from trivalent.transcripts import parse_transcript

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"expected a readable text file, got {path}: {error.strerror}; check the path"
        ) from error
    return parse_transcript(raw, suffix=".txt", name=path.name).text


def _shorten(text: str, limit: int = 40) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


__all__ = ["MAX_TEXT_CHARACTERS", "Analyzer"]
