"""What a channel is: all that the program knows about one modality of a recording.

Reports and texts call a channel by its modality; the bundle has its expert.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from trivalent.core.analysis import KeyFrame, Track
from trivalent.core.messages import Message
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import Modality
from trivalent.experts.readings import Reader, Reading

if TYPE_CHECKING:
    from trivalent.media.recording import Recording
    from trivalent.speech.recognizer import Speech

Progress = Callable[[float], None]
Begin = Callable[[], Progress]


@dataclass(frozen=True, eq=False)
class Spoken:
    """What every channel reads from: a recording, and the utterances in it."""

    recording: Recording
    speech: Speech


@dataclass(frozen=True, eq=False)
class View:
    """What a channel saw: a reading of each utterance, and what it noticed on the way."""

    readings: list[Reading]
    warnings: list[str] = field(default_factory=list)
    keyframes: Sequence[KeyFrame] = ()
    tracks: Sequence[Track] = ()


class Read(Protocol):
    """Reads all utterances; `begin` begins the channel's stage and takes its progress in [0, 1]."""

    def __call__(  # noqa: D102 - as the class says
        self, reader: Reader, spoken: Spoken, *, options: AnalyzerOptions, begin: Begin
    ) -> View: ...


@dataclass(frozen=True)
class QualityLimit:
    """From where down on an expert is not to be relied on.

    That is where macro-F1 has lost half of its margin over the constant answer, out of fold on the
    training parts (RAVDESS actors 1 to 16 in white noise and babble, training people of the face
    pictures), as found by `python benchmarks/robustness.py limits`.

    Attributes
    ----------
    fact : str
        Name of the measured fact; see `experts.quality`.
    least : float
        What is wrong then tells the message `doubt.<fact>`, with the median of the utterances concerned.
    """

    fact: str
    least: float


@dataclass(frozen=True)
class Channel:
    """One modality of a recording.

    Attributes
    ----------
    modality : Modality
    stage : str
        Under which its progress is told; `speech` is what remains of finding the words.
    read : callable
    limits : tuple of QualityLimit
    """

    modality: Modality
    stage: str
    read: Read
    limits: tuple[QualityLimit, ...] = ()

    def doubts(self, readings: Sequence[Reading]) -> list[Message]:
        """Say what is too bad to rely on, of the readings of all utterances."""
        quality = [r.quality for r in readings if r.opinion is not None]
        found = []
        for limit in self.limits:
            low = [f[limit.fact] for f in quality if f.get(limit.fact, np.inf) < limit.least]
            if low:
                value = max(0.0, float(np.median(low)))
                code = f"doubt.{limit.fact}"
                found.append(Message(code, value=value, count=len(low), total=len(readings)))
        return found
