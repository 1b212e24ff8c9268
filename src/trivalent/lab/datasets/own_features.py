"""Which features of your own recordings a network is trained on: `features` of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from trivalent.bundle.encoder import GLOVE_SHA256, EncoderSpec
from trivalent.bundle.loading import load_pool
from trivalent.core.assets import sha256_of
from trivalent.core.errors import UsageError
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import Modality
from trivalent.features.glove import COLUMNS, GloVe
from trivalent.features.glove import NAME as GLOVE
from trivalent.features.minilm import COLUMNS as SENTENCE
from trivalent.features.openface.columns import MOSEI_COLUMNS
from trivalent.features.openface.columns import NAME as OPENFACE
from trivalent.features.registry import extractor
from trivalent.features.sentence_glove import NAME as SENTENCE_GLOVE
from trivalent.features.steps import StepKind, Steps
from trivalent.features.tokens import COLUMNS as TOKEN
from trivalent.features.tokens import LONGEST
from trivalent.features.tokens import NAME as TOKENS
from trivalent.lab.datasets.recordings import Cut, FeaturePlan
from trivalent.lab.datasets.voice_pooling import VOICE_POOLING
from trivalent.lab.named_choices import check_known

SENTENCES = "minilm"
BOTH = "both"
TEXTS = (SENTENCES, GLOVE, BOTH, TOKENS)
STATISTICS, MEANS = "statistics", "means"
VOICES = (STATISTICS, MEANS)
BLENDSHAPES = "blendshapes"
FACES = (BLENDSHAPES, OPENFACE)
STEPS = (StepKind.WORDS, StepKind.FRAMES)
_LEVEL = "MCEP_0"  # depends on the gain; statistics take its changes alone
_POSE = ("pose_pitch", "pose_yaw", "pose_roll")
_TOLD = ("face_id", "timestamp", "confidence", "success")  # by OpenFace beside what it measures


@dataclass(frozen=True)
class OwnFeatures:
    """What is extracted of your own recordings, and what a sample is.

    Attributes
    ----------
    text : str
        minilm: sentence vectors; glove: the mean of word vectors; both: the two side by side; tokens: their
        ids, for a network that reads them itself.
    audio : str
        statistics: those of pitch, voicing and spectrum that do not depend on the gain; means: of all 74
        columns of COVAREP, with the toolbox's zeros, as in CMU-MOSEI.
    face : str
        blendshapes: the statistics of the default bundle's expert; openface: means of OpenFace's columns,
        as in CMU-MOSEI; those that need its model files only where the user has them.
    glove_file : str
        Word vectors as a text file; those of the installed package if empty.
    recognize : bool
        Whether what is said is written down where no transcript is given.
    whisper : str
        Size of the model that does so; sizes without `.en` tell the language, too.
    steps : str
        Empty: one vector for each sample. words, frames: voice and face as sequences with a step for each
        word, or for equal spans of time; glove with a step for each word, minilm as one vector. Statistics
        of the voice are then columns of pitch, voicing and spectrum, those of the face blendshapes,
        emotions and pose.
    rate_hz : float
        Of frames; of the face no more than pictures are looked at (5).
    most : int
        Steps of the longest sequence; see `trivalent.features.steps.Steps`.
    cut : str
        whole: a sample is a recording; utterances: an utterance with the label of its recording.
    workers : int
        Processes that extract.

    Raises
    ------
    UsageError
        An unknown choice, of which the nearest is named, fewer than one worker, or word vectors that
        nothing uses.
    FeatureError
        A rate or number of steps is out of bounds.
    """

    text: str = SENTENCES
    audio: str = STATISTICS
    face: str = BLENDSHAPES
    glove_file: str = ""
    recognize: bool = True
    whisper: str = AnalyzerOptions.whisper
    steps: str = ""
    rate_hz: float = 5.0
    most: int = 100
    cut: str = Cut.WHOLE
    workers: int = 1

    def __post_init__(self) -> None:
        check_known("text of features", self.text, TEXTS)
        check_known("audio of features", self.audio, VOICES)
        check_known("face of features", self.face, FACES)
        check_known("cut of features", self.cut, Cut)
        if self.steps:
            check_known("steps of features", self.steps, STEPS)
            self._cut(())  # so that the numbers are checked
        if self.workers < 1:
            raise UsageError("dataset.cache_workers", workers=self.workers)
        if self.glove_file and self.text not in (GLOVE, BOTH):
            raise UsageError("own.glove_unused", text=self.text)
        FeaturePlan(whisper=self.whisper)  # so that the size is checked

    def plan(self, modalities: Sequence[Modality] = tuple(Modality)) -> FeaturePlan:
        """Say what is extracted for these modalities.

        Raises
        ------
        FeatureError, AssetError
            The word vectors cannot be read.
        """
        makers: dict[Modality, Callable[[], EncoderSpec]] = {
            Modality.TEXT: self.words,
            Modality.AUDIO: self._voice,
            Modality.FACE: _face if self.face == BLENDSHAPES else _openface,
        }
        encoders = {m: self._stepped(m, make()) for m, make in makers.items() if m in modalities}
        whisper = self.whisper if self.recognize else ""
        return FeaturePlan(encoders, whisper, Cut(self.cut), self.vectors)

    @property
    def reads_words(self) -> str:
        """Name of the extractor of words."""
        return SENTENCE_GLOVE if self.text == BOTH else self.text

    @property
    def vectors(self) -> Path | None:
        """The file of word vectors, if it is the user's own."""
        return Path(self.glove_file) if self.glove_file else None

    def words(self) -> EncoderSpec:
        """Say how the features of words are made.

        Raises
        ------
        FeatureError, AssetError
            The word vectors cannot be read.
        """
        if self.text == SENTENCES:
            return _encoder(SENTENCES, _means(SENTENCE))
        if self.text == TOKENS:
            return replace(_encoder(TOKENS, ()), steps=Steps(StepKind.ROWS, TOKEN, most=LONGEST))
        before = SENTENCE if self.text == BOTH else ()
        if not self.glove_file:
            return _encoder(self.reads_words, _means((*before, *COLUMNS)))
        glove = GloVe.from_text_file(self.glove_file)
        told = {GLOVE_SHA256: sha256_of(Path(self.glove_file))}
        return _encoder(self.reads_words, _means((*before, *glove.columns)), told)

    def _stepped(self, modality: Modality, pooled: EncoderSpec) -> EncoderSpec:
        """Make sequences of what would be pooled, where they are asked for."""
        if not self.steps or (modality is Modality.TEXT and self.text in (SENTENCES, BOTH, TOKENS)):
            return pooled
        columns = pooled.columns
        if modality is Modality.AUDIO and self.audio == STATISTICS:
            columns = tuple(c for c in columns if c != _LEVEL)
        if modality is Modality.FACE and self.face == BLENDSHAPES:
            columns = (*columns, *_POSE)
        return replace(pooled, pooling=(), steps=self._cut(columns, modality))

    def _cut(self, columns: tuple[str, ...], modality: Modality | None = None) -> Steps:
        # The table of words has a row for each of them.
        kind = StepKind.ROWS if modality is Modality.TEXT else StepKind(self.steps)
        # No more steps of the face than pictures are looked at.
        rate_hz = (
            min(self.rate_hz, AnalyzerOptions.face_rate_hz) if modality is Modality.FACE else self.rate_hz
        )
        return Steps(kind, columns, rate_hz if kind is StepKind.FRAMES else 0.0, self.most)

    def _voice(self) -> EncoderSpec:
        if self.audio == STATISTICS:
            return _encoder("covarep", VOICE_POOLING)
        return _encoder("covarep", _means(extractor("covarep").columns), {"strict": True})


def _means(columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{column}.mean" for column in columns)


def _openface() -> EncoderSpec:
    return _encoder(OPENFACE, _means([name for name in MOSEI_COLUMNS if name not in _TOLD]))


@cache
def _face() -> EncoderSpec:
    """Statistics of the default bundle's expert."""
    spec = load_pool(AnalyzerOptions.model).experts[Modality.FACE].spec
    return _encoder(spec.extractor, spec.pooling)


def _encoder(name: str, pooling: tuple[str, ...], options: dict[str, Any] | None = None) -> EncoderSpec:
    return EncoderSpec(name, extractor(name).version, pooling, options or {})


__all__ = ["OwnFeatures"]
