"""The extractor: from a recording to a table of COVAREP columns.

Of the field's 74 columns this version computes `AVAILABLE`. A new group of columns is one
function of a `Recording` in `_GROUPS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.errors import FeatureError
from trivalent.features.covarep.columns import (
    AVAILABLE,
    MCEP,
    NAME,
    PEAK_SLOPE,
    PITCH,
    VERSION,
    check_columns,
)
from trivalent.features.covarep.envelope import mel_cepstra
from trivalent.features.covarep.framing import FS, Array, on_grid, output_grid, round_half_away
from trivalent.features.covarep.pitch import Pitch, srh
from trivalent.features.covarep.polarity import polarity
from trivalent.features.covarep.preparation import prepare
from trivalent.features.covarep.wavelets import peak_slope
from trivalent.types import FeatureTable

_HOP_RANGE_S = (0.001, 1.0)


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording and what several groups of columns share, each computed once.

    Attributes
    ----------
    samples : array of float64, shape (n,)
        16 kHz, as recorded.
    grid : array of float64, shape (rows,)
        Rows of the table in samples, counted from 1.
    strict : bool
        Keep the values that the reference implementation gives for digital silence.
    """

    samples: Array
    grid: Array
    strict: bool

    @cached_property
    def speech(self) -> Array:
        """The samples in natural polarity, for measures of the glottal pulse."""
        return self.samples * polarity(self.samples)

    @cached_property
    def pitch(self) -> Pitch:
        """SRH track; the sign of the speech cancels out of it."""
        return srh(self.samples)

    @cached_property
    def silent(self) -> NDArray[np.bool_]:
        """Rows next to a frame without any F0 candidate: digital silence, shape (rows,)."""
        none = (self.pitch.strength <= 0).astype(np.float64)[:, None]
        return on_grid(self.pitch.centres, none, self.grid)[:, 0] > 0


def _pitch_columns(recording: Recording) -> Array:
    pitch = recording.pitch
    track = np.stack([pitch.f0, pitch.voiced.astype(np.float64)], axis=1)
    values = on_grid(pitch.centres, track, recording.grid)
    known = np.isfinite(values[:, 1])
    values[known, 1] = values[known, 1] >= 0.5
    if not recording.strict:
        values[recording.silent, 0] = np.nan
    return values


def _peak_slope_column(recording: Recording) -> Array:
    knots, slope = peak_slope(recording.samples)
    if recording.strict:
        slope = np.nan_to_num(slope, nan=0.0, posinf=np.inf, neginf=-np.inf)
    return on_grid(knots, slope[:, None], recording.grid)


def _mcep_columns(recording: Recording) -> Array:
    cepstra = mel_cepstra(recording.samples, recording.pitch)
    # The field's tables stretch the frames over the whole recording instead of placing them at
    # their own times: up to 50 ms off at both ends, more where silence made frames drop out.
    knots = round_half_away(np.linspace(1, recording.samples.size, len(cepstra)))
    if len(cepstra) == 1:
        knots[:] = recording.samples.size
    values = on_grid(knots, cepstra, recording.grid)
    if not recording.strict:
        values[recording.silent] = np.nan
    return values


@dataclass(frozen=True)
class _Group:
    columns: tuple[str, ...]
    compute: Callable[[Recording], Array]
    needs_s: float  # shortest recording with a value


# The sign of the speech cancels out of all three, so that `Recording.speech` is not needed here.
_GROUPS = (
    _Group(PITCH, _pitch_columns, 0.11),
    _Group(PEAK_SLOPE, _peak_slope_column, 0.05),
    _Group(MCEP, _mcep_columns, 0.11),
)


def covarep(
    signal: NDArray[Any],
    fs: int,
    *,
    hop_s: float = 0.01,
    columns: Sequence[str] | None = None,
    strict: bool = False,
) -> FeatureTable:
    """Compute COVAREP columns of a recording.

    The definitions are those behind the acoustic features of CMU-MOSI and CMU-MOSEI
    (G. Degottex et al., "COVAREP - a collaborative voice analysis repository", ICASSP 2014).

    Parameters
    ----------
    signal : array of int or float, shape (samples,) or (samples, channels)
        Any length; integers are scaled by the range of their type.
    fs : int
        Sampling rate in Hz, 8,000 to 192,000; resampled to 16,000.
    hop_s : float
        Seconds between rows, 0.001 to 1; the field's tables have 0.01.
    columns : sequence of str, optional
        Columns to compute, in this order; default `AVAILABLE`.
    strict : bool
        Return the reference implementation's numbers where there is no value: 0, or infinity
        in `peakSlope`, and an F0 of 1 Hz in digital silence.

    Returns
    -------
    FeatureTable
        Rows at half a hop, then every hop. NaN where a cell could not be computed; status
        `missing` with a reason when none could.

    Raises
    ------
    FeatureError
        Impossible signal, rate or hop, or a column that is unknown or not available.

    Examples
    --------
    >>> import numpy as np
    >>> buzz = np.sign(np.sin(2 * np.pi * 125 * np.arange(8000) / 16000) - 0.9)
    >>> table = covarep(buzz, 16000, columns=["F0", "VUV"])
    >>> float(np.nanmedian(table.column("F0")))
    125.0
    """
    chosen = check_columns(columns, AVAILABLE)
    samples = prepare(signal, fs, keep_offset=strict)
    grid = output_grid(samples.size, _hop_samples(hop_s))
    meta: dict[str, Any] = {
        "hop_s": hop_s,
        "strict": strict,
        "fs": int(fs),
        "duration_s": samples.size / FS,
    }
    meta["uncomputed"] = _too_short(samples, chosen)
    if reason := _nothing_to_compute(samples, chosen, strict=strict):
        return FeatureTable.absent(NAME, VERSION, columns=chosen, reason=reason, meta=meta)
    recording = Recording(samples, grid, strict)
    values = np.empty((grid.size, len(chosen)))
    for group in _GROUPS:
        here = [i for i, name in enumerate(chosen) if name in group.columns]
        if here:
            values[:, here] = group.compute(recording)[:, [group.columns.index(chosen[i]) for i in here]]
    if not np.isfinite(values).any():
        reason = "the recording holds too little sound for any column: hardly a sample differs from silence"
        return FeatureTable.absent(NAME, VERSION, columns=chosen, reason=reason, meta=meta)
    values[np.isnan(values) if strict else ~np.isfinite(values)] = 0.0 if strict else np.nan
    return FeatureTable(NAME, VERSION, chosen, (grid - 1) / FS, values, meta=meta)


def _hop_samples(hop_s: float) -> int:
    low, high = _HOP_RANGE_S
    if not low <= hop_s <= high:
        raise FeatureError(
            f"expected a hop of {low} to {high} s, got {hop_s!r}; the field's tables have 0.01"
        )
    return int(round_half_away(hop_s * FS))


def _too_short(samples: Array, chosen: Sequence[str]) -> dict[str, str]:
    """Columns that need a longer recording, and what they need."""
    return {
        name: f"needs at least {group.needs_s:g} s"
        for group in _GROUPS
        for name in group.columns
        if name in chosen and samples.size < group.needs_s * FS
    }


def _nothing_to_compute(samples: Array, chosen: Sequence[str], *, strict: bool) -> str | None:
    short = _too_short(samples, chosen)
    if len(short) == len(chosen):
        least = min(group.needs_s for group in _GROUPS if set(group.columns) & set(chosen))
        names = [name for group in _GROUPS if group.needs_s == least for name in group.columns]
        first = next(name for name in names if name in chosen)
        return f"{samples.size / FS:.3f} s of sound is too short: {first} needs at least {least:g} s"
    if not strict and np.ptp(samples) == 0:
        return "the recording is digital silence: all samples are equal"
    return None
