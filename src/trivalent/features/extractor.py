"""What an extractor is: named, versioned columns out of the words, the sound or the pictures of something.

The analyzer, `trivalent extract`, the lab's cache of features and the trial of a stranger's bundle all
call the same objects, which they ask for by name (`trivalent.features.registry`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import FeatureError, UsageError
from trivalent.core.types import FeatureTable, FloatArray, Utterance

if TYPE_CHECKING:
    from trivalent.features.face import FaceObservation


class Need(StrEnum):
    """What an extractor asks a `Material` for."""

    WORDS = "words"
    SOUND = "sound"
    PICTURES = "pictures"


class Inputs(StrEnum):
    """What the graph of a bundle's expert takes of an extractor."""

    POOLED = "pooled"  # one vector: statistics of columns (`trivalent.features.pooling`)
    FRAMES = "frames"  # channels of COVAREP columns in steps of 20 ms (`trivalent.features.frames`)
    TOKENS = "tokens"  # ids of MiniLM's vocabulary and their mask (`trivalent.features.text`)


class TimedImage(Protocol):
    """A picture: time in seconds and an RGB image."""

    @property
    def time_s(self) -> float:
        """Seconds from the start of the recording."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """RGB, uint8, shape (h, w, 3)."""


class Pictures(Protocol):
    """Streams the pictures of a recording in the order of time."""

    def __call__(self, *, rate_hz: float, max_side: int) -> Generator[TimedImage, None, None]:
        """Yield at most `rate_hz` a second, the longer side shrunk to `max_side` pixels."""


OnFace = Callable[[float, NDArray[np.uint8], "FaceObservation"], None]
Encoder = Callable[[NDArray[np.int64], NDArray[np.int64]], FloatArray]


def _without(part: str) -> Callable[..., Never]:
    def ask(**_: Any) -> Never:
        raise FeatureError("extract.no_part", part=part)

    return ask


@dataclass(frozen=True, eq=False)
class Material:
    """What an extractor works on: a recording, a text, or a stretch of one.

    Each part is opened when an extractor asks for it, not sooner; asking for one that is not there
    raises an error.

    Attributes
    ----------
    words : callable
        Utterances with their words and the times of these.
    sound : callable
        Samples at 16 kHz, mono, shape (n,).
    pictures : Pictures
    video : callable
        Path of a video file, for a program of the user's own.
    encoder : callable
        A function of padded token ids and their mask, shape (n, tokens), to sentence vectors (n, 384).
    path : Path
        Of the source; what it is, its bytes tell.
    on_face : callable, optional
        To be told of each face that is found: time in seconds, image, observation.
    threads : int
        That an extractor may use.
    """

    words: Callable[[], Sequence[Utterance]] = field(default=_without("words"))
    sound: Callable[[], FloatArray] = field(default=_without("sound"))
    pictures: Pictures = field(default=_without("pictures"))
    video: Callable[[], Path] = field(default=_without("pictures"))
    encoder: Callable[[], Encoder] = field(default=_without("words"))
    path: Path = Path()
    on_face: OnFace | None = None
    threads: int = 1


@runtime_checkable
class Extractor(Protocol):
    """One way to turn words, sound or pictures into a `FeatureTable`.

    Attributes
    ----------
    name, version : str
        A bundle states both; the version rises when any number changes.
    columns : tuple of str
        Of its tables, with default options.
    needs : set of Need
        What it asks a `Material` for. One that needs pictures has the option `face_rate_hz`, and tells
        the rate in `meta["rate_hz"]` of its tables.
    graphs : mapping
        What the graph of a bundle's expert may take of it, and of which columns. Empty where no bundle
        can rely on it, as on a program of the user's own.
    options : type
        A frozen dataclass: every field has a default, and a `help` (and `metavar`) in its metadata.
    """

    name: str
    version: str
    columns: tuple[str, ...]
    needs: frozenset[Need]
    graphs: Mapping[Inputs, tuple[str, ...]]
    options: type[Any]

    def extract(
        self, material: Material, options: Any = None, *, columns: Sequence[str] | None = None
    ) -> FeatureTable:
        """Compute a table.

        Parameters
        ----------
        material : Material
        options : optional
            An instance of `self.options`; its defaults if None.
        columns : sequence of str, optional
            Only these, in this order (`choose_columns`).

        Returns
        -------
        FeatureTable
            Without rows, status `missing` and a reason where there is nothing.

        Raises
        ------
        UsageError
            An option or column that cannot be, told before anything is opened.
        FeatureError
            It fails on this material.
        """


def defaults(extractor: Extractor) -> dict[str, Any]:
    """Names of an extractor's options with their defaults."""
    return {one.name: one.default for one in fields(extractor.options)}


def choose_columns(columns: Sequence[str] | None, available: Sequence[str]) -> tuple[str, ...]:
    """Return the columns to keep; None means all that are available.

    Raises
    ------
    UsageError
        A column is unknown or comes twice, or there is none.

    Examples
    --------
    >>> choose_columns(["VUV", " F0"], ("F0", "VUV"))
    ('VUV', 'F0')
    """
    if columns is None:
        return tuple(available)
    names = tuple(name.strip() for name in columns)
    for name in names:
        if name not in available:
            near = difflib.get_close_matches(name, available, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(available[:8])}, ..."
            raise UsageError("extract.column", count=len(available), name=name, hint=hint)
    if not names or len(set(names)) < len(names):
        raise UsageError("extract.distinct", chosen=", ".join(names) or "none")
    return names


__all__ = [
    "Encoder",
    "Extractor",
    "Inputs",
    "Material",
    "Need",
    "OnFace",
    "Pictures",
    "TimedImage",
    "choose_columns",
    "defaults",
]
