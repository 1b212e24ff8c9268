"""The journey of one source: decode, find utterances, ask three experts, fuse.

>>> from trivalent import Analyzer                                       # doctest: +SKIP
>>> Analyzer().analyze_text("I love how this turned out.").overall.label  # doctest: +SKIP
'positive'
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.loading import Bundle, load_bundle
from trivalent.core.analysis import Analysis, KeyFrame, Model, Source, Timing, Track
from trivalent.core.errors import InputError, TextError, UsageError
from trivalent.core.types import FeatureTable, Modality, Utterance
from trivalent.experts.judge import Judge
from trivalent.experts.quality import FaceMeasures, doubts
from trivalent.experts.readings import (
    Progress,
    Reading,
    language_problem,
    read_face,
    read_texts,
    read_voice,
)
from trivalent.features.text import has_words, normalize, pack
from trivalent.media.kinds import is_text
from trivalent.speech.language import looks_english

if TYPE_CHECKING:
    from trivalent.features.face import FaceObservation
    from trivalent.speech.transcripts import Transcript

Stages = Callable[[str], Progress]
MAX_TEXT_CHARACTERS = 200_000
MAX_TEXT_BYTES = 4 * MAX_TEXT_CHARACTERS + 4  # in any encoding that is read, with its mark
MAX_SENTENCES = 5_000  # a text of the greatest length has some 2,500; each takes 1 kB of a result
WORDS_SHARE = 0.1  # of the stage "speech": reading the words, after they were found


def _quiet(_: str) -> Progress:
    """Stand in for progress bars."""
    return lambda done: None


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
        if modalities is not None and not modalities:
            raise UsageError(f"expected modalities among {','.join(Modality)}, got none")
        self.bundle: Bundle = load_bundle(model, threads=threads)
        self.judge = Judge.of(
            self.bundle, modalities=modalities, thresholds=thresholds, min_confidence=min_confidence
        )
        self.modalities = self.judge.modalities
        self.face_rate_hz = face_rate_hz
        self.threads = threads
        from trivalent.speech.recognizer import Recognizer

        self.recognizer = Recognizer(whisper, threads=threads)

    def analyze(
        self,
        source: str | Path,
        *,
        name: str | None = None,
        transcript: str | Path | Transcript | None = None,
        stages: Stages | None = None,
    ) -> Analysis:
        """Analyse a video, a recording or a text file.

        Parameters
        ----------
        source : str or Path
        name : str, optional
            Shown instead of the file's own name, and its suffix tells a text from a recording.
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
        """
        path = Path(source)
        shown = name or path.name
        if is_text(shown):
            return self._analyze_pieces([(shown, _read_text(path, shown))], stages or _quiet)[0]
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
            raise UsageError(
                "expected the modality text for a text, got it switched off; add it to --modalities"
            )
        clock = _Clock()
        with clock.measure("text"):
            utterances, owners = [], []
            for i, (_, text) in enumerate(named):
                pieces = _pieces(text)
                owners += [i] * len(pieces)
                utterances += [Utterance(0, 0.0, 0.0, piece) for piece in pieces]
            expert = self.bundle.experts[Modality.TEXT]
            readings = read_texts(expert, utterances, progress=stages("speech"))
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
                f"{repaired} pooled features could not be computed and were set to their mean",
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
        )


class _Journey:
    """One recording on its way through the rooms."""

    def __init__(self, analyzer: Analyzer, path: Path, stages: Stages) -> None:
        self.analyzer, self.path, self.stages = analyzer, path, stages
        self.clock = _Clock()
        self.warnings: list[str] = []
        self.keyframes: list[KeyFrame] = []
        self.tracks: tuple[Track, ...] = ()

    def run(self, transcript: str | Path | Transcript | None) -> Analysis:
        from trivalent.media.recording import open_recording
        from trivalent.speech.transcripts import read_transcript

        clock = self.clock
        given = read_transcript(transcript) if isinstance(transcript, str | Path) else transcript
        with clock.measure("decode"):
            self.recording = open_recording(self.path, progress=self.stages("decode"))
        recording, tell = self.recording, self.stages("speech")
        with clock.measure("speech"):
            self.speech = self.analyzer.recognizer.recognize(
                recording.audio,
                duration_s=recording.duration_s,
                transcript=given,
                progress=lambda done: tell((1 - WORDS_SHARE) * done),
            )
        self.utterances = self.speech.utterances
        self.warnings += self.speech.warnings
        views: dict[Modality, list[Reading]] = {}
        if Modality.TEXT in self.analyzer.modalities:
            with clock.measure("text"):
                views[Modality.TEXT] = self._words(lambda done: tell(1 - WORDS_SHARE * (1 - done)))
        tell(1.0)
        if Modality.AUDIO in self.analyzer.modalities:
            with clock.measure("audio"):
                views[Modality.AUDIO] = self._voices()
        if Modality.FACE in self.analyzer.modalities:
            with clock.measure("face"):
                views[Modality.FACE] = self._faces()
        for readings in views.values():
            self.warnings += doubts(
                [r.facts for r in readings if r.opinion is not None], len(self.utterances)
            )
        return self.analyzer._assemble(
            Source(recording.name, recording.kind, recording.duration_s),
            self.utterances,
            views=views,
            # Decoding the pictures may have added to the recording's warnings.
            warnings=[*recording.warnings, *self.warnings],
            clock=clock,
            progress=self.stages("fusion"),
            keyframes=self.keyframes,
            tracks=self.tracks,
        )

    def _words(self, progress: Progress) -> list[Reading]:
        problem = language_problem(self.utterances, self.speech.language)
        if problem is not None:
            self.warnings.append(f"text not used: {problem}")
            return [Reading.absent(problem) for _ in self.utterances]
        expert = self.analyzer.bundle.experts[Modality.TEXT]
        return read_texts(expert, self.utterances, progress=progress)

    def _voices(self) -> list[Reading]:
        from trivalent.experts.tracks import TrackRecorder

        audio, recorder = self.recording.audio, TrackRecorder(self.recording.duration_s)
        readings = read_voice(
            self.analyzer.bundle.experts[Modality.AUDIO],
            self.utterances,
            audio=audio,
            progress=self.stages("voice"),
            on_voice=recorder.consider,
            voiced=self.speech.spans,
        )
        self.tracks = recorder.tracks(audio)
        return readings

    def _faces(self) -> list[Reading]:
        from trivalent.experts.keyframes import KeyFrames
        from trivalent.features.face import FaceExtractor

        expert = self.analyzer.bundle.experts[Modality.FACE]
        if self.recording.kind != "video":
            reason = "the recording has no video track"
            return [Reading.absent(reason) for _ in self.utterances]
        keyframes, measures = KeyFrames(self.utterances), FaceMeasures()
        extractor = FaceExtractor(threads=self.analyzer.threads)

        def see(time_s: float, image: NDArray[np.uint8], face: FaceObservation) -> None:
            keyframes.consider(time_s, image, face)
            measures.consider(time_s, image, face)

        frames = self.recording.frames(
            rate_hz=self.analyzer.face_rate_hz, max_side=1280, progress=self.stages("face")
        )
        with closing(frames):  # the file too, should an error stop the extractor between two frames
            table: FeatureTable = extractor.extract(frames, on_face=see)
        table.meta["rate_hz"] = self.analyzer.face_rate_hz
        self.warnings += table.meta.get("warnings", [])
        self.keyframes = keyframes.chosen()
        return read_face(expert, self.utterances, table=table, measures=measures)


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
    pieces = pack(_checked_text(text))
    if len(pieces) > MAX_SENTENCES:
        raise TextError(
            f"expected a text of at most {MAX_SENTENCES:,} sentences, got {len(pieces):,}; "
            "split it into parts"
        )
    return pieces


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


def _read_text(path: Path, shown: str) -> str:
    from trivalent.speech.transcripts import parse_transcript

    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"expected a readable text file, got {path}: {error.strerror}; check the path"
        ) from error
    if len(raw) > MAX_TEXT_BYTES:
        raise TextError(
            f"expected a text of at most {MAX_TEXT_CHARACTERS:,} characters, got more in {shown}; "
            "split it into parts"
        )
    return parse_transcript(raw, suffix=".txt", name=shown).text


def _shorten(text: str, limit: int = 40) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


__all__ = ["MAX_TEXT_CHARACTERS", "Analyzer"]
