"""From COVAREP columns over time to the channels that a network over frames takes.

A step is 20 ms, the mean of two rows. No channel depends on the gain of the recording, and only
`F0.height` depends on how high the speaker's voice is:

- `F0.shape`: semitones from the utterance's median, over 4; 0 where unvoiced;
- `F0.height`: that median in semitones from 170 Hz, over 6, the same in all voiced rows; 0 where unvoiced;
- `F0.delta`: three times the change of `F0.shape` from row to row; 0 where unvoiced;
- `VUV`: +1/2 voiced, -1/2 unvoiced;
- `peakSlope`: the column in voiced rows, 0 elsewhere;
- `MCEP_0` to `MCEP_12`: the coefficient less its mean over the voiced rows;
- `MCEP_0.delta` to `MCEP_5.delta`: the change of that from row to row;
- `F0.level`, `peakSlope.level`, `MCEP_0.level` to `MCEP_12.level`: how far the utterance's own level, the
  median pitch or the mean over voiced rows, lies above that of the whole recording; the same in all steps.
  It is how somebody who is heard more than once sounds this time, and 0 where nothing else is heard.

Rows without a spectrum (digital silence, as a noise gate leaves it) are left out, and what is before
them continues with what is after. A row without a voicing decision (the first and last of an utterance)
counts as unvoiced.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import FeatureError
from trivalent.core.types import FeatureTable
from trivalent.features.levels import Level

Array = NDArray[np.float64]

ROWS_PER_STEP = 2
STEP_S = 0.02
CHANNELS: tuple[str, ...] = (
    "F0.shape",
    "F0.height",
    "VUV",
    "peakSlope",
    *(f"MCEP_{i}" for i in range(13)),
    *(f"MCEP_{i}.delta" for i in range(6)),
    "F0.delta",
)  # of one utterance
LEVELS: tuple[str, ...] = (
    "F0.level",
    "peakSlope.level",
    *(f"MCEP_{i}.level" for i in range(13)),
)  # of an utterance among others
KNOWN = CHANNELS + LEVELS
UNSCALED = ("F0.shape", "F0.height", "VUV")  # of one size by definition
_SEMITONES, _HEIGHT, _REFERENCE_HZ, _DELTA = 4.0, 6.0, 170.0, 3.0
_LOWEST_HZ = 40.0


def columns_of_channels(channels: Sequence[str]) -> tuple[str, ...]:
    """List the table columns that channels need, each once; the voicing decision always.

    Raises
    ------
    FeatureError
        There is no such channel.

    Examples
    --------
    >>> columns_of_channels(["F0.shape", "MCEP_1", "MCEP_1.delta"])
    ('F0', 'VUV', 'MCEP_1')
    """
    for name in channels:
        if name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(KNOWN)}"
            raise FeatureError("table.frames_channel", name=name, hint=hint)
    needed = dict.fromkeys(name.partition(".")[0] for name in channels)
    ordered = [name for name in ("F0", "VUV") if name in needed or name == "VUV"]
    return (*ordered, *(name for name in needed if name not in ordered))


def level_of_frames(table: FeatureTable, channels: Sequence[str]) -> Level:
    """Measure an utterance in the units of the channels; 0 for channels that are no levels."""
    voice = _Voice(spoken(table))
    values = [voice.level(name.partition(".")[0]) if name in LEVELS else 0.0 for name in channels]
    return Level(np.array(values), float(voice.voiced.sum()))


def frames(
    table: FeatureTable, channels: Sequence[str] = CHANNELS, *, level: Level | None = None
) -> NDArray[np.float32]:
    """Compute channels of a table, before any scaling.

    Parameters
    ----------
    table : FeatureTable
        One utterance of the extractor covarep, a row every 10 ms.
    channels : sequence of str
        Names out of `CHANNELS` and `LEVELS`.
    level : Level, optional
        Of the recording, for the same channels; that of the utterance itself if it is all that is heard.

    Returns
    -------
    array of float32, shape (steps, len(channels))
        One step for two rows that are not silent; a last single row is left out. All finite.

    Raises
    ------
    FeatureError
        Unknown channel, or the table lacks a column for it.

    Examples
    --------
    >>> values = np.array([[100.0, 1], [100, 1], [200, 1], [200, 1], [150, 0]])
    >>> table = FeatureTable("demo", "1", ("F0", "VUV"), np.arange(5) / 100, values)
    >>> frames(table, ["F0.shape", "VUV"]).tolist()
    [[-1.5, 0.5], [1.5, 0.5]]
    """
    columns_of_channels(channels)
    heard = spoken(table)
    steps = len(heard) // ROWS_PER_STEP
    if not steps:
        return np.zeros((0, len(channels)), np.float32)
    voice = _Voice(heard)
    rows = np.stack([voice.channel(name) for name in channels], axis=1)
    paired = rows[: steps * ROWS_PER_STEP].reshape(steps, ROWS_PER_STEP, len(channels)).mean(1)
    if level is not None:
        paired += level_of_frames(table, channels).values - level.values
    return paired.astype(np.float32)


def spoken(table: FeatureTable) -> FeatureTable:
    """Leave out the rows that have a coefficient without value (digital silence)."""
    spectral = [name for name in table.columns if name.startswith("MCEP")]
    rows = np.isfinite(table.select(spectral).values).all(axis=1)
    return table if rows.all() else replace(table, times=table.times[rows], values=table.values[rows])


class _Voice:
    """The rows of one utterance."""

    def __init__(self, table: FeatureTable) -> None:
        self.table = table
        self.voiced = np.nan_to_num(table.column("VUV").astype(np.float64)) > 0.5

    def channel(self, name: str) -> Array:
        column, _, part = name.partition(".")
        if part == "level":
            return np.zeros(len(self.table))  # until the recording's is known
        if column == "F0":
            return {"shape": self._shape, "height": self._height, "delta": self._f0_delta}[part]()
        if column == "VUV":
            return np.where(self.voiced, 0.5, -0.5)
        if column == "peakSlope":
            values = np.nan_to_num(self.table.column(column).astype(np.float64))
            return np.where(self.voiced, values, 0.0)
        centred = self._centred(column)
        return np.gradient(centred) if part else centred

    def _semitones(self) -> tuple[Array, float]:
        hz = np.nan_to_num(self.table.column("F0").astype(np.float64))
        semitones = 12 * np.log2(np.maximum(hz, _LOWEST_HZ))
        return semitones, float(np.median(semitones[self.voiced])) if self.voiced.any() else 0.0

    def _shape(self) -> Array:
        semitones, median = self._semitones()
        return np.where(self.voiced, (semitones - median) / _SEMITONES, 0.0)

    def _height(self) -> Array:
        _, median = self._semitones()
        return np.where(self.voiced, (median - 12 * np.log2(_REFERENCE_HZ)) / _HEIGHT, 0.0)

    def _f0_delta(self) -> Array:
        return np.where(self.voiced, np.gradient(self._shape()) * _DELTA, 0.0)

    def level(self, column: str) -> float:
        """Return the level of a column in voiced rows; of what there is, if none is voiced."""
        if column == "F0":
            return self._semitones()[1] / _HEIGHT
        values = self.table.column(column).astype(np.float64)
        known = np.isfinite(values)
        base = known & self.voiced if (known & self.voiced).any() else known
        return float(values[base].mean()) if base.any() else 0.0

    def _centred(self, column: str) -> Array:
        return self.table.column(column).astype(np.float64) - self.level(column)
