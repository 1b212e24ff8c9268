"""The vocabulary shared by every room: labels, modalities, feature tables, analyses.

No other module spells label numbers or modality names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import FeatureError, UsageError

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]


class Sentiment(IntEnum):
    """Three-way valence; the codes are the column order of every probability array."""

    NEGATIVE = 0
    NEUTRAL = 1
    POSITIVE = 2

    @property
    def label(self) -> str:
        """Lower-case name, as written in JSON.

        >>> Sentiment(2).label
        'positive'
        """
        return self.name.lower()


LABELS: tuple[str, ...] = tuple(s.label for s in Sentiment)
SCALE = 3.0  # annotated sentiment lies in [-3, 3]
FLOOR_DB = -90.0  # of a track's energy: about one step of 16-bit sound; digital silence has none


class Modality(StrEnum):
    """The three channels of an utterance."""

    TEXT = "text"
    AUDIO = "audio"
    FACE = "face"


class Status(StrEnum):
    """State of a modality or a feature table; everything but OK carries a reason."""

    OK = "ok"
    MISSING = "missing"  # the input does not contain it
    FAILED = "failed"  # it is there but could not be computed
    OFF = "off"  # the user switched it off


_BAND = 1 / 6 + 1e-6  # scores are stored with rounding


class LabelMap(StrEnum):
    """Named maps from a score in [-3, 3] to classes."""

    SIGN = "sign"  # < 0, = 0, > 0
    ROUND = "round"  # nearest integer, ties to even, then sign
    BAND = "band"  # within 1/6 of 0, the smallest step of a mean of annotators, is 0; then sign
    SEVEN = "seven"  # nearest integer, ties to even: -3..3 coded 0..6


def map_scores(scores: FloatArray | Sequence[float], rule: LabelMap | str) -> NDArray[np.int64]:
    """Turn continuous sentiment scores into class codes.

    Parameters
    ----------
    scores : array of float, shape (n,)
        Annotated sentiment in [-3, 3].
    rule : LabelMap
        `sign`, `round` and `band` give `Sentiment` codes; `seven` gives 0..6 for -3..3.

    Raises
    ------
    UsageError
        A score is not finite or lies outside [-3, 3].

    Examples
    --------
    >>> map_scores([-0.33, 0.0, 0.5, 1.5], "sign").tolist()
    [0, 1, 2, 2]
    >>> map_scores([-0.33, 0.0, 0.5, 1.5], "round").tolist()
    [1, 1, 1, 2]
    >>> map_scores([-0.33, 1 / 6, 0.5, 1.5], "band").tolist()
    [0, 1, 2, 2]
    >>> map_scores([-3, 0.5, 1.5], "seven").tolist()
    [0, 3, 5]
    """
    rule = LabelMap(rule)
    values = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(values).all() or (np.abs(values) > SCALE).any():
        bad = values[~(np.abs(values) <= SCALE)][0]
        raise UsageError("dataset.score_range", bad=bad)
    if rule is LabelMap.SEVEN:
        return np.rint(values).astype(np.int64) + 3
    if rule is LabelMap.ROUND:
        values = np.rint(values)
    elif rule is LabelMap.BAND:
        values = np.where(np.abs(values) <= _BAND, 0, values)
    return np.sign(values).astype(np.int64) + 1


def probabilities_array(named: Mapping[str, float]) -> FloatArray:
    """Order named probabilities by their labels.

    >>> probabilities_array({"negative": .1, "neutral": .2, "positive": .7}).tolist()
    [0.1, 0.2, 0.7]
    """
    return np.array([named[label] for label in LABELS], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Named columns over time, with a status: what every extractor returns.

    Attributes
    ----------
    extractor, version : str
        Who computed the table; a bundle refuses columns of another extractor.
    columns : tuple of str
        One name per column of `values`.
    times : array of float64, shape (rows,)
        Time of each row in seconds from the start of the recording.
    values : array of float, shape (rows, len(columns))
        NaN marks a cell that could not be computed (never zero); see `valid`.
    status, reason
        Why there is nothing to use, when there is nothing.
    meta : dict
        Options of the extractor and counts (frames sampled, unknown words, ...).
    """

    extractor: str
    version: str
    columns: tuple[str, ...]
    times: NDArray[np.float64]
    values: FloatArray
    status: Status = Status.OK
    reason: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = (len(self.times), len(self.columns))
        if self.values.shape != expected:
            raise FeatureError(
                "table.shape", expected=expected, shape=self.values.shape, extractor=self.extractor
            )
        if (self.status is Status.OK) == (self.reason is not None):
            raise FeatureError("table.reason", status=self.status)

    @classmethod
    def absent(
        cls,
        extractor: str,
        version: str,
        *,
        columns: Sequence[str],
        reason: str,
        status: Status = Status.MISSING,
        meta: dict[str, Any] | None = None,
    ) -> FeatureTable:
        """Build a table without rows that says why there are none."""
        return cls(
            extractor,
            version,
            tuple(columns),
            np.empty(0),
            np.empty((0, len(columns))),
            status,
            reason,
            meta or {},
        )

    def __len__(self) -> int:
        return len(self.times)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Mask of computed cells, shape (rows, columns)."""
        return np.isfinite(self.values)

    def column(self, name: str) -> FloatArray:
        """Values of one column, shape (rows,)."""
        return self.values[:, self._index([name])[0]]

    def select(self, names: Sequence[str]) -> FeatureTable:
        """Keep the named columns, in the order given."""
        index = self._index(names)
        return replace(self, columns=tuple(names), values=self.values[:, index])

    def between(self, start_s: float, end_s: float) -> FeatureTable:
        """Keep the rows with start_s <= time < end_s."""
        rows = (self.times >= start_s) & (self.times < end_s)
        return replace(self, times=self.times[rows], values=self.values[rows])

    def with_values(self) -> FeatureTable:
        """Keep the rows that have any value: the frames with a face of a table that has all frames."""
        rows = self.valid.any(axis=1)
        return self if rows.all() else replace(self, times=self.times[rows], values=self.values[rows])

    def _index(self, names: Sequence[str]) -> list[int]:
        position = {name: i for i, name in enumerate(self.columns)}
        unknown = [name for name in names if name not in position]
        if unknown:
            raise FeatureError(
                "table.unknown_columns",
                extractor=self.extractor,
                unknown=unknown[:5],
                columns=self.columns[:8],
                value=", ..." if len(self.columns) > 8 else "",
            )
        return [position[name] for name in names]


@dataclass(frozen=True)
class Word:
    """A recognised or transcribed word, times in seconds."""

    text: str
    start_s: float
    end_s: float
    probability: float | None = None


UNTOLD = "und"  # a language that cannot be told, as ISO 639-2 writes it


@dataclass(frozen=True)
class Utterance:
    """A stretch of a recording (or of a text, with zero times) that gets one label.

    `spoken` is False for the fixed windows that cover a recording without speech. `language` is the
    ISO 639-1 code of the likeliest language of the words, `UNTOLD` if it cannot be told, None if no word
    tells; `language_probability` how likely it is.
    """

    index: int
    start_s: float
    end_s: float
    text: str = ""
    words: tuple[Word, ...] = ()
    spoken: bool = True
    language: str | None = None
    language_probability: float = 1.0

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s
