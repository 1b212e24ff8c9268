"""Shape of the glottal pulse: NAQ, QOQ, H1H2 and PSP, one value each per glottal cycle.

NAQ : normalised amplitude quotient; P. Alku, T. Baeckstroem and E. Vilkman, "Normalized amplitude
    quotient for parametrization of the glottal flow", JASA 112(2), 2002. Low in pressed voice.
QOQ : quasi-open quotient; T. Hacki, "Klassifizierung von Glottisdysfunktionen mit Hilfe der
    Elektroglottographie", Folia Phoniatrica 41, 1989.
H1H2 : level of the first harmonic over the second's; H. M. Hanson, "Glottal characteristics of
    female speakers: acoustic correlates", JASA 101(1), 1997.
PSP : parabolic spectral parameter; P. Alku, H. Strik and E. Vilkman, "Parabolic spectral
    parameter - a new method for quantification of the glottal flow", Speech Communication 22, 1997.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from trivalent.features.covarep.closure import LONGEST_PAUSE, periods
from trivalent.features.covarep.framing import (
    FS,
    Array,
    Ints,
    blocks,
    blocks_by_length,
    gather,
    on_grid,
    round_half_away,
)
from trivalent.features.covarep.inverse_filtering import glottal_flow

MEASURES = ("NAQ", "QOQ", "H1H2", "PSP")

_SHORTEST, _LONGEST = FS // 500, FS // 20  # samples; periods between these, both excluded
_SPAN = 30 * FS  # samples between the instants of one chunk
_BLOCK = 1 << 16  # samples at a time
_NO_OPENING = 1e-12  # a NAQ below is the rounding error of zero
_HOLD = 8  # samples after its closure that belong to a pulse's main excitation
_MOST_BINS = 5001  # 0 .. 5000 Hz of a 1 Hz grid
_FRAMES = 32  # 16,000-point spectra at a time
_FEWEST_PEAKS = 5
_PARABOLA_NFFT = 2048
_PARABOLA_BINS = 1024
_FEW_BINS = 64  # nearly every fit ends below
_PARABOLA_ERROR = 0.01  # of the spectrum's energy


def glottal_columns(x: Array, gcis: Ints, grid: Array, *, strict: bool = False) -> Array:
    """NAQ, QOQ, H1H2 (dB) and PSP at the rows of a table.

    Parameters
    ----------
    x, gcis, strict
        As in `pulse_measures`.
    grid : array of float64, shape (rows,)
        Positions in samples, counted from 1.

    Returns
    -------
    array of float64, shape (rows, 4)
        Linear between instants, across pauses too. NaN before the first instant and after the
        last, next to an instant without value, and everywhere with fewer than two instants.
    """
    if gcis.size < 2:
        return np.full((grid.size, len(MEASURES)), np.nan)
    return on_grid(gcis, pulse_measures(x, gcis, strict=strict), grid)


def pulse_measures(x: Array, gcis: Ints, *, strict: bool = False) -> Array:
    """NAQ, QOQ, H1H2 (dB) and PSP of the pulse that ends at each instant.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz in natural polarity.
    gcis : array of int64, shape (m,)
        Glottal closure instants counted from 1; at least two.
    strict : bool
        Return the field's numbers where there is no value: 0 for a period outside 20 .. 500 Hz
        (that is, after a pause), too few harmonics or a pulse that nowhere rises above the line
        between its ends, and for the first instant a NAQ and QOQ of all that lies before it, in
        units of the second period.

    Returns
    -------
    array of float64, shape (m, 4)
        NaN where there is no value, unless `strict`.
    """
    out = np.full((gcis.size, len(MEASURES)), np.nan)
    lengths = periods(gcis)
    usable = (lengths > _SHORTEST) & (lengths < _LONGEST)
    # In the field's tables the first pulse begins with the file.
    onset = LONGEST_PAUSE if strict else int(lengths[0])
    for rows in _chunks(gcis):
        rows = rows[usable[rows]]
        if not rows.size:
            continue
        before = np.where(rows == 0, max(1, int(gcis[0]) - onset), gcis[rows - 1])
        reach = 2 * _LONGEST
        first = max(0, int(before[0]) - reach)
        last = min(x.size, int(gcis[rows[-1]]) + reach)
        flow, derivative = glottal_flow(x, gcis, first=first, last=last)
        starts, stops = before - 1 - first, gcis[rows] - 1 - first
        out[rows, :2] = _open_phase(flow, derivative, starts, stops, period=lengths[rows])
        out[rows, 2] = _harmonic_difference(derivative, stops, lengths[rows])
        later = rows > 0
        out[rows[later], 3] = _parabolic_parameter(flow, starts[later], lengths[rows[later]])
    if not strict:
        out[0, :2] = np.nan
    return np.nan_to_num(out, nan=0.0) if strict else out


def _chunks(gcis: Ints) -> Iterator[Ints]:
    """Consecutive instants whose stretch of speech fits into memory."""
    chunk = gcis // _SPAN
    yield from np.split(np.arange(gcis.size), np.flatnonzero(np.diff(chunk)) + 1)


def _open_phase(flow: Array, derivative: Array, starts: Ints, stops: Ints, *, period: Ints) -> Array:
    """NAQ and QOQ of pulses from `starts` to `stops` (counted from 0), shape (n, 2)."""
    out = np.empty((starts.size, 2))
    lengths = stops - starts + 1
    hold = np.where(stops + _HOLD < derivative.size, _HOLD, 0)
    for index in blocks_by_length(lengths, _BLOCK):
        pulse, inside = gather(flow, starts[index], lengths[index])
        k = np.arange(pulse.shape[1])
        left, right = pulse[:, :1], flow[stops[index], None]
        pulse = pulse - (left + (right - left) * (k / (lengths[index, None] - 1)))
        pulse = np.where(inside, pulse, -np.inf)
        slope, _ = gather(derivative, starts[index], lengths[index] + hold[index])
        amplitude = pulse.max(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[index, 0] = amplitude / (np.abs(slope).max(axis=1) * period[index])
        out[index, 1] = _width_at_half(pulse, amplitude, lengths[index]) / period[index]
    out[~(out[:, 0] > _NO_OPENING)] = np.nan
    return out


def _width_at_half(pulse: Array, amplitude: Array, lengths: Ints) -> Ints:
    """Width at half of the maximum, in samples; the search spares two samples at each end."""
    k = np.arange(pulse.shape[1])
    top = pulse.argmax(axis=1)
    low = pulse <= amplitude[:, None] / 2
    before = low & (k <= top[:, None])
    last_low = np.where(before.any(axis=1), k[-1] - before[:, ::-1].argmax(axis=1), 0)
    left = np.where(top <= 2, top, np.maximum(last_low, 2))
    after = low & (k >= top[:, None])
    first_low = np.where(after.any(axis=1), after.argmax(axis=1), k[-1])
    right = np.where(top >= lengths - 3, top, np.minimum(first_low, lengths - 3))
    width: Ints = right - left
    return width


def _harmonic_difference(derivative: Array, centres: Ints, period: Ints) -> Array:
    """H1H2 (dB) of three periods around each of `centres` (counted from 0), shape (n,)."""
    out = np.full(centres.size, np.nan)
    half = round_half_away(1.5 * period)
    whole = np.flatnonzero((centres >= half) & (centres + half < derivative.size))
    whole = whole[np.argsort(period[whole], kind="stable")]
    for rows in blocks(whole.size, _FRAMES):
        index = whole[rows]
        lengths = 2 * half[index] + 1
        frames, inside = gather(derivative, centres[index] - half[index], lengths)
        phase = (2 * np.pi / (lengths - 1))[:, None] * np.arange(frames.shape[1])
        frames *= np.where(inside, 0.54 - 0.46 * np.cos(phase), 0.0)
        spectrum = scipy.fft.rfft(frames, FS)[:, :_MOST_BINS]
        out[index] = _level_difference(spectrum.real**2 + spectrum.imag**2, FS / period[index])
    return out


def _level_difference(power: Array, f0: Array) -> Array:
    """Level of the peak next to F0 over that next to twice F0 (dB); NaN with too few peaks.

    The field's criterion looks for peaks up to the sampling rate, in both halves of the spectrum.
    Peaks above 5 kHz do not matter to those two.
    """
    inner = power[:, 1:-1]
    row, bin_ = np.nonzero((inner > power[:, :-2]) & (inner > power[:, 2:]))
    bin_ += 1
    level = power[row, bin_]
    row, bin_, level = _merge(row, bin_, level, f0 / 2)
    enough = 2 * np.bincount(row, minlength=f0.size) >= _FEWEST_PEAKS
    out = np.full(f0.size, np.nan)
    if not row.size:
        return out
    # The harmonic's number of hertz is compared with the bin's number counted from 1.
    first, second = (_nearest(row, bin_ + 1, h * f0) for h in (1, 2))
    with np.errstate(divide="ignore"):
        out[enough] = 10 * np.log10(level[first] / level[second])[enough]
    return out


def _merge(row: Ints, bin_: Ints, level: Array, reach: Array) -> tuple[Ints, Ints, Array]:
    """Drop the lower of neighbouring peaks closer than `reach` until none are left.

    All pairs at once in each sweep; of equal peaks the second goes.
    """
    while True:
        close = (row[1:] == row[:-1]) & (bin_[1:] - bin_[:-1] <= reach[row[1:]])
        if not close.any():
            return row, bin_, level
        lower_first = level[:-1] < level[1:]
        drop = np.zeros(row.size, dtype=np.bool_)
        drop[:-1] |= close & lower_first
        drop[1:] |= close & ~lower_first
        row, bin_, level = row[~drop], bin_[~drop], level[~drop]


def _nearest(row: Ints, position: Ints, target: Array) -> Ints:
    """Entry of each row whose position is nearest to the row's target (the first of two)."""
    stride = 4 * _MOST_BINS
    key = row * stride + position
    wanted = np.arange(target.size) * stride + target
    right = np.minimum(np.searchsorted(key, wanted), key.size - 1)
    left = np.maximum(right - 1, 0)
    return np.where(np.abs(wanted - key[left]) <= np.abs(wanted - key[right]), left, right)


def _parabolic_parameter(flow: Array, starts: Ints, period: Ints) -> Array:
    """PSP of pulses of `period` + 1 samples from `starts` (counted from 0), shape (n,)."""
    out = np.empty(starts.size)
    for index in blocks_by_length(period + 1, _BLOCK // 8):
        pulse, inside = gather(flow, starts[index], period[index] + 1)
        pulse -= np.where(inside, pulse, np.inf).min(axis=1, keepdims=True)
        pulse[~inside] = 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            pulse /= pulse.max(axis=1, keepdims=True)
        own, which = np.unique(period[index], return_inverse=True)
        rectangle = (np.arange(own[-1]) < own[:, None]) / own[:, None]
        out[index] = _curvature(pulse) / _curvature(rectangle)[which]
    return out


def _curvature(pulse: Array) -> Array:
    """Second-order term of a parabola fitted to each spectrum (dB) from 0 Hz on, shape (n,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        level = 20 * np.log10(np.abs(scipy.fft.rfft(pulse, _PARABOLA_NFFT)[:, :_PARABOLA_BINS]))
    curvature, done = _fit_until_poor(level[:, :_FEW_BINS])
    rest = np.flatnonzero(~done)
    if rest.size:
        curvature[rest], _ = _fit_until_poor(level[rest])
    return curvature


def _fit_until_poor(level: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Fit a k**2 + b to the first 3, 4, ... bins until the error is too large.

    Returns
    -------
    a : array of float64, shape (n,)
        Of the first fit that is too poor, or of the last.
    found : array of bool, shape (n,)
        Whether a fit was too poor.
    """
    k2 = np.arange(level.shape[1], dtype=np.float64) ** 2
    count = np.arange(1, k2.size + 1)
    sum_k2, sum_k4 = np.cumsum(k2), np.cumsum(k2 * k2)
    with np.errstate(invalid="ignore", divide="ignore"):
        sum_y, sum_yy = np.cumsum(level, axis=1), np.cumsum(level * level, axis=1)
        sum_k2y = np.cumsum(level * k2, axis=1)
        a = (count * sum_k2y - sum_k2 * sum_y) / (count * sum_k4 - sum_k2**2)
        b = (sum_y - a * sum_k2) / count
        error = sum_yy - a * sum_k2y - b * sum_y
        poor = error[:, 2:] >= _PARABOLA_ERROR * sum_yy[:, 2:]
    found = np.asarray(poor.any(axis=1))
    stop = np.where(found, poor.argmax(axis=1) + 2, k2.size - 1)
    return a[np.arange(stop.size), stop], found
