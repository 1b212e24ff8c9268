"""From a table over time to a sequence: one row for each word, for equal spans of time, or as they are.

What `trivalent.features.pooling` is to networks that read one vector, this is to those that read steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import FeatureError
from trivalent.core.types import FeatureTable, Utterance

MAX_STEPS = 2000  # of an utterance, whatever a bundle asks for
MIN_RATE_HZ, MAX_RATE_HZ = 0.1, 100.0
REACH_S = 0.1  # half of the time between pictures at five a second: so far from a word is its nearest row
_LONGEST = 200  # characters of a column's name

Array = NDArray[np.float64]


class StepKind(StrEnum):
    """What a step is."""

    WORDS = "words"  # a word: the mean of the rows within its time
    FRAMES = "frames"  # an equal span of time: the mean of the rows within it
    ROWS = "rows"  # a row of the table: a word of `glove`, for instance


@dataclass(frozen=True)
class Steps:
    """How a sequence is made of a table.

    Attributes
    ----------
    kind : StepKind
    columns : tuple of str
        Of the extractor's tables, in the order of the features; empty if the sequences are those of a data
        set that no extractor makes.
    rate_hz : float
        Of frames: the spans are 1 / rate_hz seconds long; 0 of other kinds.
    most : int
        No sequence is longer. Frames are then of wider spans, all of them equal; of words and rows so many
        remain, evenly spaced, the first and the last among them.

    Raises
    ------
    FeatureError
        A number is out of bounds, or there is a rate without frames.
    """

    kind: StepKind
    columns: tuple[str, ...] = ()
    rate_hz: float = 0.0
    most: int = 50

    def __post_init__(self) -> None:
        whole = isinstance(self.most, int) and not isinstance(self.most, bool)
        if not whole or not 1 <= self.most <= MAX_STEPS:
            raise FeatureError("table.steps_most", greatest=MAX_STEPS, most=str(self.most)[:40])
        rate_hz, number = self.rate_hz, isinstance(self.rate_hz, int | float)
        if self.kind is StepKind.FRAMES:
            if not number or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:  # nor NaN
                low, high = MIN_RATE_HZ, MAX_RATE_HZ
                raise FeatureError("table.steps_rate", low=low, high=high, rate_hz=str(rate_hz)[:40])
        elif rate_hz != 0:
            raise FeatureError("table.steps_no_rate", kind=self.kind, rate_hz=str(rate_hz)[:40])

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json."""
        rate = {"rate_hz": self.rate_hz} if self.kind is StepKind.FRAMES else {}
        return {"kind": str(self.kind), "columns": list(self.columns), **rate, "most": self.most}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Steps:
        """Read from bundle.json.

        Raises
        ------
        FeatureError
            A number is out of bounds.
        AttributeError, LookupError, TypeError, ValueError
            A key is absent or a value is of a wrong kind.
        """
        columns = tuple(content.get("columns", ()))
        if any(not isinstance(name, str) or len(name) > _LONGEST for name in columns):
            raise TypeError("columns are short words")
        return cls(StepKind(content["kind"]), columns, content.get("rate_hz", 0.0), content["most"])


def steps_of(table: FeatureTable, steps: Steps, utterance: Utterance) -> Array:
    """Make the sequence of one utterance.

    Parameters
    ----------
    table : FeatureTable
        Rows in order of time.
    steps : Steps
    utterance : Utterance
        Its times, and those of its words, on the clock of the table.

    Returns
    -------
    array of float64, shape (steps, columns)
        NaN where a step has no value; no step at all of words where the times of words are unknown.

    Raises
    ------
    FeatureError
        Unknown column.

    Examples
    --------
    >>> from trivalent.core.types import Word
    >>> table = FeatureTable("demo", "1", ("x",), np.arange(4.0), np.array([[1.0], [3.0], [np.nan], [8.0]]))
    >>> said = Utterance(0, 0.0, 4.0, "Well done", (Word("Well", 0.0, 1.5), Word("done", 1.5, 4.0)))
    >>> steps_of(table, Steps(StepKind.WORDS, ("x",)), said).ravel().tolist()
    [2.0, 8.0]
    >>> steps_of(table, Steps(StepKind.FRAMES, ("x",), rate_hz=1.0), said).ravel().tolist()
    [1.0, 3.0, nan, 8.0]
    """
    table = table.select(steps.columns)
    values = table.values.astype(np.float64)
    if steps.kind is StepKind.ROWS:
        return values[_thinned(len(values), steps.most)]
    if steps.kind is StepKind.WORDS:
        words = [utterance.words[i] for i in _thinned(len(utterance.words), steps.most)]
        return _means(values, [_rows_within(table.times, word.start_s, word.end_s) for word in words])
    edges = np.searchsorted(table.times, _edges(utterance, steps))
    if edges[0] == edges[-1]:  # as short as pictures are apart: one step, of the nearest of them
        return _means(values, [_rows_within(table.times, utterance.start_s, utterance.end_s)])
    return _means(values, [slice(first, last) for first, last in pairwise(edges)])


def _thinned(count: int, most: int) -> NDArray[np.intp]:
    """Positions that are kept.

    >>> _thinned(5, 3).tolist(), _thinned(2, 3).tolist()
    ([0, 2, 4], [0, 1])
    """
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.intp)


def _edges(utterance: Utterance, steps: Steps) -> Array:
    """Return when the spans of frames begin, and when the last one ends."""
    start_s, length_s = utterance.start_s, utterance.duration_s
    count = max(1, int(np.ceil(length_s * steps.rate_hz - 1e-9)))
    step_s = 1 / steps.rate_hz if count <= steps.most else length_s / steps.most
    return np.asarray(start_s + step_s * np.arange(min(count, steps.most) + 1), np.float64)


def _rows_within(times: Array, start_s: float, end_s: float) -> slice:
    """Rows within a time, else the nearest one if it is near."""
    first, last = np.searchsorted(times, [start_s, end_s])
    if first < last or not len(times):
        return slice(first, last)
    around = [i for i in (first - 1, first) if 0 <= i < len(times)]
    distance_s, nearest = min((max(start_s - times[i], times[i] - end_s), i) for i in around)
    return slice(nearest, nearest + 1) if distance_s <= REACH_S + 1e-9 else slice(0, 0)


def _means(values: Array, rows: Sequence[slice]) -> Array:
    """Mean of the finite cells of each column over some rows, NaN where there is none."""
    means = np.full((len(rows), values.shape[1]), np.nan)
    for mean, chosen in zip(means, rows, strict=True):
        part = values[chosen]
        known = np.isfinite(part)
        count = known.sum(axis=0)
        np.divide(np.where(known, part, 0.0).sum(axis=0), count, out=mean, where=count > 0)
    return means


__all__ = ["MAX_RATE_HZ", "MAX_STEPS", "MIN_RATE_HZ", "StepKind", "Steps", "steps_of"]
