"""Clean inputs of the test and training parts, spoiled and put to the experts as in an analysis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import disturbances
from experts import macro_f1
from results_file import Value
from trivalent.bundle.loading import Expert
from trivalent.core.types import FeatureTable, FloatArray, IntArray, Utterance
from trivalent.experts.audio import read_voice
from trivalent.experts.face import read_face
from trivalent.experts.quality import FaceMeasures
from trivalent.experts.readings import Reading
from trivalent.features.face import COLUMNS, NAME, VERSION, FaceExtractor
from trivalent.lab.datasets.faces import FOLDER, read_picture
from trivalent.lab.datasets.ravdess import Take, list_takes
from trivalent.lab.datasets.tabular import TabularData
from trivalent.lab.measure.metrics import bootstrap_interval, expected_calibration_error
from trivalent.media.recording import open_recording
from trivalent.media.sound import AudioTrack
from trivalent.speech.activity import find_speech

RATE = 16_000
LEAST_ANSWERS = 30  # fewer say nothing about macro-F1


@dataclass(frozen=True, eq=False)
class ScoredAnswers:
    """What an expert said.

    Attributes
    ----------
    labels : int array, shape (n,)
    probabilities : array, shape (n, 3)
        NaN where there is no answer.
    groups : array, shape (n,)
        Who is seen or heard, or the dialogue.
    facts : tuple of dict, length n, or empty
        What was measured.
    quality : array, shape (n,)
        The q of each opinion.
    """

    labels: IntArray
    probabilities: FloatArray
    groups: np.ndarray
    facts: tuple[dict[str, float], ...] = ()
    quality: FloatArray = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, readings: Sequence[Reading], labels: IntArray, groups: np.ndarray) -> ScoredAnswers:
        """Gather the opinions of readings."""
        opinions = [r.opinion for r in readings]
        p = [np.full(3, np.nan) if o is None else o.probabilities for o in opinions]
        quality = np.array([0.0 if o is None else o.reliability for o in opinions])
        return cls(labels, np.array(p), groups, tuple(r.quality for r in readings), quality)

    @property
    def known(self) -> np.ndarray:
        """Where there is an answer, shape (n,)."""
        return np.asarray(np.isfinite(self.probabilities).all(1))

    def values(self, fact: str) -> FloatArray:
        """Return a measured fact, shape (n,), NaN where it is not known."""
        return np.array([f.get(fact, np.nan) for f in self.facts])

    def median(self, fact: str) -> float:
        """Median of a measured fact over the samples that have it; NaN if none has."""
        values = self.values(fact)
        return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")

    def take(self, mask: np.ndarray) -> ScoredAnswers:
        """Select samples."""
        facts = tuple(f for f, kept in zip(self.facts, mask, strict=True) if kept)
        kept = (self.labels[mask], self.probabilities[mask], self.groups[mask])
        return ScoredAnswers(*kept, facts, self.quality[mask])

    def scored(self, rounds: int) -> dict[str, Value]:
        """Macro-F1 and ECE of what was answered, with intervals, and the share that was not."""
        known = self.known
        out = {"n": Value(float(len(known))), "no_answer": Value(float(1 - known.mean()))}
        if known.sum() < LEAST_ANSWERS:
            return out
        y, p, groups = self.labels[known], self.probabilities[known], self.groups[known]
        for name, metric in (("macro_f1", macro_f1), ("ece", expected_calibration_error)):
            low, high = bootstrap_interval(metric, y, probabilities=p, groups=groups, rounds=rounds)
            out[name] = Value(metric(y, p), low, high)
        return out


def together(parts: Sequence[ScoredAnswers]) -> ScoredAnswers:
    """Join answers, in order."""
    return ScoredAnswers(
        np.concatenate([a.labels for a in parts]),
        np.concatenate([a.probabilities for a in parts]),
        np.concatenate([a.groups for a in parts]),
        sum((a.facts for a in parts), ()),
        np.concatenate([a.quality for a in parts]),
    )


def seeded(*parts: object) -> np.random.Generator:
    """Random numbers that belong to one sample and one disturbance."""
    return np.random.default_rng(np.frombuffer(":".join(map(str, parts)).encode(), np.uint8))


@dataclass(frozen=True, eq=False)
class Voice:
    """One take of RAVDESS with the silence around its speech, which lies at samples `speech`."""

    take: Take
    samples: FloatArray
    speech: tuple[int, int]

    @property
    def trimmed(self) -> FloatArray:
        """The speech alone."""
        return self.samples[slice(*self.speech)]


def voices(root: Path, actors: Sequence[int], *, every: int = 1) -> list[Voice]:
    """Read one in `every` takes, with where their speech lies, as for the training of the voice expert.

    The takes are in the order of emotions, sentences and then actors: an odd `every` meets them all.
    """
    found = []
    for take, path in [pair for pair in list_takes(root) if pair[0].actor in actors][::every]:
        audio = open_recording(path).audio
        if audio is None:
            continue
        spans = find_speech(audio) or [(0.0, audio.duration_s)]
        speech = (round(spans[0][0] * RATE), round(spans[-1][1] * RATE))
        found.append(Voice(take, audio.read().astype(np.float64), speech))
    return found


def noisy(
    voice: Voice, kind: str, snr_db: float | None, *, crowd: dict[int, list[FloatArray]]
) -> AudioTrack:
    """Mix a take with noise of a kind; None leaves it clean."""
    if snr_db is None:
        return AudioTrack(np.rint(voice.samples * 32767).astype(np.int16))
    rng, size = seeded(kind, snr_db, voice.take.stem), len(voice.samples)
    if kind == "babble":
        others = {actor: said for actor, said in crowd.items() if actor != voice.take.actor}
        noise = disturbances.babble(others, size, rng)
    else:
        noise = disturbances.white_noise(size, rng)
    return disturbances.mixed(voice.samples, noise, speech=voice.speech, snr_db=snr_db)


def crowd_of(takes: Sequence[Voice]) -> dict[int, list[FloatArray]]:
    """Speech by actor, for babble."""
    crowd: dict[int, list[FloatArray]] = {}
    for voice in takes:
        crowd.setdefault(voice.take.actor, []).append(voice.trimmed)
    return crowd


def hear(expert: Expert, takes: Sequence[Voice], tracks: Iterator[AudioTrack]) -> ScoredAnswers:
    """Put takes to the voice expert as utterances of a recording."""
    readings = []
    for voice, track in zip(takes, tracks, strict=True):
        utterance = Utterance(0, voice.speech[0] / RATE, voice.speech[1] / RATE)
        heard = find_speech(track)
        readings += read_voice(expert, [utterance], audio=track, progress=None, voiced=heard)
    labels = np.array([int(voice.take.label or 0) for voice in takes])
    return ScoredAnswers.of(readings, labels, np.array([voice.take.actor for voice in takes]))


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture: its row in the data, and a face of `face_px` pixels."""

    row: int
    name: str
    label: int
    group: str
    image: disturbances.Image
    face_px: float


class Photographer:
    """Puts pictures to a face expert as recordings of one frame each."""

    def __init__(self) -> None:
        self.extractor = FaceExtractor()

    def look(self, expert: Expert, image: disturbances.Image) -> Reading:
        """Classify one picture."""
        seen = self.extractor.observe(image)
        measures = FaceMeasures()
        if seen is None:
            table = FeatureTable.absent(NAME, VERSION, columns=COLUMNS, reason="no face")
        else:
            measures.consider(0.0, image, seen)
            table = FeatureTable(NAME, VERSION, COLUMNS, np.zeros(1), seen.row()[None])
        table.meta["rate_hz"] = 1.0
        return read_face(expert, [Utterance(0, 0.0, 1.0)], table=table, measures=measures)[0]


def portraits(
    photographer: Photographer, data: TabularData, rows: np.ndarray, *, root: Path
) -> list[Portrait]:
    """Read pictures and the size of their faces."""
    found = []
    for row in rows.tolist():
        image = read_picture(root / FOLDER / str(data.ids[row]))
        seen = photographer.extractor.observe(image)
        if seen is not None:
            face_px = float((seen.box[2:] * image.shape[1::-1]).max())
            of_whom = (int(data.labels[row]), str(data.groups[row]))
            found.append(Portrait(row, str(data.ids[row]), *of_whom, image, face_px))
    return found


def changed(portrait: Portrait, kind: str, strength: float | None) -> disturbances.Image:
    """Spoil a picture; None leaves it clean."""
    if strength is None:
        return portrait.image
    if kind == "blur":
        return disturbances.blurred(portrait.image, portrait.face_px, strength)
    if kind == "dark":
        return disturbances.darkened(portrait.image, strength, seeded(strength, portrait.name))
    return disturbances.far_away(portrait.image, portrait.face_px, strength)
