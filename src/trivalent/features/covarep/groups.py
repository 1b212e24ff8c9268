"""The groups of columns: each is one function of a `Recording`.

A new group is one function and one line in `GROUPS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trivalent.features.covarep.columns import (
    CREAK,
    GLOTTAL,
    HMPDD,
    HMPDM,
    MCEP,
    MDQ,
    PEAK_SLOPE,
    PITCH,
    RD,
)
from trivalent.features.covarep.creak import creak_column
from trivalent.features.covarep.dispersion import mdq_column
from trivalent.features.covarep.envelope import mel_cepstra
from trivalent.features.covarep.framing import Array, on_grid, round_half_away
from trivalent.features.covarep.glottal import glottal_columns
from trivalent.features.covarep.phase_distortion import hmpd_columns
from trivalent.features.covarep.recording import Recording
from trivalent.features.covarep.shape import rd_columns
from trivalent.features.covarep.wavelets import peak_slope


@dataclass(frozen=True)
class Group:
    """Columns that are computed together.

    Attributes
    ----------
    columns : tuple of str
    compute : callable
        From a `Recording` to an array of float64, shape (rows, len(columns)); NaN where there
        is no value.
    needs_s : float
        Shortest recording with a value.
    needs : str
        What a recording of sufficient length lacks when there is no value.
    """

    columns: tuple[str, ...]
    compute: Callable[[Recording], Array]
    needs_s: float
    needs: str


def _pitch(recording: Recording) -> Array:
    pitch = recording.pitch
    track = np.stack([pitch.f0, pitch.voiced.astype(np.float64)], axis=1)
    values = on_grid(pitch.centres, track, recording.grid)
    known = np.isfinite(values[:, 1])
    values[known, 1] = values[known, 1] >= 0.5
    if not recording.options.strict:
        values[recording.silent, 0] = np.nan
    return values


def _glottal(recording: Recording) -> Array:
    strict = recording.options.strict
    return glottal_columns(recording.speech, recording.closures, recording.grid, strict=strict)


def _dispersion(recording: Recording) -> Array:
    strict = recording.options.strict
    values = mdq_column(recording.residual, recording.closures, recording.grid, strict=strict)
    if not strict:
        values[recording.silent] = np.nan
    return values


def _peak_slope(recording: Recording) -> Array:
    knots, slope = peak_slope(recording.samples)
    if recording.options.strict:
        slope = np.nan_to_num(slope, nan=0.0, posinf=np.inf, neginf=-np.inf)
    return on_grid(knots, slope[:, None], recording.grid)


def _rd(recording: Recording) -> Array:
    options = recording.options
    return rd_columns(
        recording.speech, recording.pitch, recording.grid, variant=options.rd, strict=options.strict
    )


def _creak(recording: Recording) -> Array:
    options = recording.options
    values = creak_column(
        recording.speech,
        recording.grid,
        network=options.creak,
        residual=recording.residual,
        strict=options.strict,
    )
    if not options.strict:
        values[recording.silent] = np.nan
    return values


def _mcep(recording: Recording) -> Array:
    cepstra = mel_cepstra(recording.samples, recording.pitch)
    # The field's tables stretch the frames over the whole recording instead of placing them at
    # their own times: up to 50 ms off at both ends, more where silence made frames drop out.
    knots = round_half_away(np.linspace(1, recording.samples.size, len(cepstra)))
    if len(cepstra) == 1:
        knots[:] = recording.samples.size
    values = on_grid(knots, cepstra, recording.grid)
    if not recording.options.strict:
        values[recording.silent] = np.nan
    return values


def _phase_distortion(recording: Recording) -> Array:
    options = recording.options
    return hmpd_columns(
        recording.speech, recording.pitch, recording.grid, seed=options.seed, strict=options.strict
    )


# The sign of the speech cancels out of F0, peakSlope and MCEP: they take `samples`.
GROUPS = (
    Group(PITCH, _pitch, 0.11, "sound"),
    Group(GLOTTAL, _glottal, 0.11, "two glottal closures of a voiced stretch"),
    Group(MDQ, _dispersion, 0.11, "two glottal closures of a voiced stretch"),
    Group(PEAK_SLOPE, _peak_slope, 0.05, "sound"),
    Group(RD, _rd, 0.12, "sound"),
    Group(CREAK, _creak, 0.11, "sound"),
    Group(MCEP, _mcep, 0.11, "sound"),
    Group((*HMPDM, *HMPDD), _phase_distortion, 0.83, "73 frames with sound"),
)
