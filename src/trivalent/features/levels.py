"""Where voices lie in a recording, from which one utterance of it may differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from trivalent.core.types import FloatArray


@dataclass(frozen=True, eq=False)
class Level:
    """The level of an utterance, or of all of a recording.

    Attributes
    ----------
    values : array, shape (inputs,)
        By input of an expert; NaN where unknown, whatever for inputs that no level concerns.
    weight : float
        How much was heard: rows of voiced speech.
    """

    values: FloatArray
    weight: float

    @classmethod
    def mean(cls, levels: Sequence[Level]) -> Level:
        """Sum up a recording: the mean over what was heard.

        >>> Level.mean([Level(np.array([1.0, np.nan]), 10), Level(np.array([4.0, 2.0]), 20)])
        Level(values=array([3., 2.]), weight=30.0)
        """
        values = np.array([level.values for level in levels])
        weights = np.array([max(level.weight, 1.0) for level in levels])[:, None] * np.isfinite(values)
        heard = weights.sum(0)
        total = (weights * np.nan_to_num(values)).sum(0)
        mean = np.divide(total, heard, out=np.full_like(total, np.nan), where=heard > 0)
        return cls(mean, float(sum(level.weight for level in levels)))


def recording_level(levels: Iterable[Level | None]) -> Level | None:
    """Sum up a recording by those of its utterances; None if nobody asks for a level."""
    measured = [level for level in levels if level is not None]
    return Level.mean(measured) if measured else None
