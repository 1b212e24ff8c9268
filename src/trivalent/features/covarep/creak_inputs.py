"""The 36 measures from which creaky voice is detected.

Twelve measures of the residual, the power and F0 every 10 ms, with their first and second
differences: T. Drugman, J. Kane and C. Gobl, "Data-driven detection and analysis of the patterns
of creaky voice", Computer Speech and Language 28(5), 2014; the first two after J. Kane,
T. Drugman and C. Gobl, "Improved automatic detection of creak", Computer Speech and Language
27(4), 2013.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import lfilter

from trivalent.features.covarep.framing import (
    FS,
    HOP,
    Array,
    blocks,
    frame_view,
    hanning,
    on_grid,
    round_half_away,
)
from trivalent.features.covarep.ishi import ishi_measures
from trivalent.features.covarep.linear_prediction import lp_residual
from trivalent.features.covarep.pitch import F0_MAX, Pitch, srh

STATIC: tuple[str, ...] = (
    *("H2-H1", "residual peak prominence", "zero-crossing rate"),
    *("intra-frame periodicity", "inter-pulse similarity", "power fall", "power rise"),
    *("F0", "median F0", "energy", "power deviation", "creak F0"),
)
CREAK_INPUTS: tuple[str, ...] = tuple(
    f"{prefix}{name}" for prefix in ("", "difference of ", "second difference of ") for name in STATIC
)
LOWEST_F0 = 20  # Hz: creak goes below the 50 Hz of modal voice

_ORDER = 18
_SHARP, _BLUNT = 0.97, 0.8  # pole radii of the two resonators at the median F0
_FRAME = 800  # samples: 50 ms, several periods of creak
_LEAST_LAG = 5  # samples
_PEAK_HOP = 320
_GUARD = 0.2  # share of the frame on either side of the residual peak that is left out
_QUIET = 4.0  # in ln energy below the loudest of the neighbourhood
_NEIGHBOURHOOD = 6400  # samples on either side
_ENERGY_FRAME, _ENERGY_HOP = 512, 80
_POWER_FRAME, _POWER_HOP = 64, 32
_DEVIATION = 33  # frames of short-time power
_BLOCK = 512  # frames in memory at a time
_PIECE = 1 << 18  # samples filtered at a time


def creak_inputs(x: Array, *, strict: bool = False, residual: Array | None = None) -> Array:
    """Compute the 36 inputs of the creak detector every 10 ms.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz in natural polarity.
    strict : bool
        Let digital silence, where the LP residual has no value, spoil the measures of the residual
        up to the end of the recording, as in the field's tables.
    residual : array of float64, shape (samples,), optional
        `lp_residual(x, 18)`, where it has been computed already.

    Returns
    -------
    array of float64, shape (samples // 160, 36)
        Row q is the instant of sample 160 (q + 1), counted from 1; columns as in `CREAK_INPUTS`.
        All NaN where no frame is voiced; NaN or infinite where silence leaves no value.

    Examples
    --------
    >>> import numpy as np
    >>> buzz = np.sign(np.sin(2 * np.pi * 125 * np.arange(8000) / 16000) - 0.9)
    >>> inputs = creak_inputs(buzz)
    >>> inputs.shape, float(inputs[20, CREAK_INPUTS.index("median F0")])
    ((50, 36), 125.0)
    """
    count = x.size // HOP
    pitch = srh(x, lowest=LOWEST_F0)
    median = median_f0(pitch)
    if not np.isfinite(median):
        return np.full((count, len(CREAK_INPUTS)), np.nan)
    if residual is None:
        residual = lp_residual(x, _ORDER)
    at = HOP * np.arange(1.0, count + 1)
    static = np.empty((count, len(STATIC)))
    energy = log_energy(x)
    blunt = resonance(residual, median, _BLUNT, fill=not strict)
    prominence = peak_prominence(blunt, energy, median)
    static[:, 1] = np.nan_to_num(on_grid(*_column(prominence), at)[:, 0], posinf=np.inf, neginf=-np.inf)
    f0 = creak_f0(blunt)
    del blunt  # as long as the recording
    sharp = resonance(residual, median, _SHARP, fill=not strict)
    static[:, 0] = _stretched(h2_h1(sharp, f0), x.size, at)
    del sharp, residual
    static[:, 2] = np.nan_to_num(on_grid(*_column(zero_crossings(x)), at)[:, 0])
    static[:, 3:7] = ishi_measures(x, round_half_away(np.linspace(1, x.size, count)))
    static[:, 7] = _stretched(pitch.f0, count, np.arange(1.0, count + 1))
    static[:, 8] = median
    static[:, 9] = _stretched(energy, x.size, at)
    static[:, 10] = _stretched(power_deviation(x), x.size, at)
    static[:, 11] = _stretched(_moving_average(_median_filter(f0, 7), 9), x.size, at)
    return _with_differences(static)


def median_f0(pitch: Pitch) -> float:
    """Median F0 of the voiced frames in Hz; NaN if there is none."""
    voiced = pitch.f0[pitch.voiced & (pitch.f0 > LOWEST_F0) & (pitch.f0 < F0_MAX)]
    return float(np.median(voiced)) if voiced.size else float("nan")


def resonance(residual: Array, f0: float, radius: float, *, fill: bool = False) -> Array:
    """Filter the residual by a resonator.

    Parameters
    ----------
    residual : array of float64, shape (samples,)
    f0 : float
        Frequency of the resonance in Hz: the speaker's median F0.
    radius : float
        Of the two poles: the nearer to 1, the sharper.
    fill : bool
        Take 0 where the residual is NaN; otherwise everything after that is NaN.

    Returns
    -------
    array of float64, shape (samples,)
    """
    poles = [1.0, -2 * radius * np.cos(2 * np.pi * f0 / FS), radius**2]
    state, out = np.zeros(2), np.empty(residual.size)
    for part in blocks(residual.size, _PIECE):
        piece = np.nan_to_num(residual[part]) if fill else residual[part]
        out[part], state = lfilter([1.0], poles, piece, zi=state)
    return out


def creak_f0(resonating: Array) -> Array:
    """F0 in Hz of 50 ms frames, every 10 ms, by the autocorrelation of the blunt resonance.

    Returns
    -------
    array of float64, shape (frames,)
        NaN where the signal is silent or has no value.
    """
    frames = frame_view(resonating[:-1], _FRAME, HOP)
    correction = (_FRAME - 1) / (_FRAME - np.arange(1, _FRAME))
    f0 = np.empty(len(frames))
    for rows in blocks(len(frames), _BLOCK):
        lags = _autocorrelation(frames[rows] * hanning(_FRAME)) * correction
        lags[np.logical_and.accumulate(lags > 0, axis=1)] = 0.0  # the main lobe
        best = round_half_away(FS / (lags[:, _LEAST_LAG - 1 :].argmax(axis=1) + _LEAST_LAG))
        f0[rows] = np.where(lags.any(axis=1) & np.isfinite(lags[:, 0]), best, np.nan)
    return f0


def h2_h1(resonating: Array, f0: Array) -> Array:
    """Level of the second over the first harmonic of the sharp resonance, in dB, smoothed.

    Parameters
    ----------
    resonating : array of float64, shape (samples,)
        Any scale: that of the residual cancels.
    f0 : array of float64, shape (frames,)
        `creak_f0` of the same residual, Hz.

    Returns
    -------
    array of float64, shape (frames,)
        High in creak, whose pulses often have a second one between them.
    """
    frames = frame_view(resonating[:-1], _FRAME, HOP)
    window = hanning(_FRAME) ** 2
    turn = np.exp(-2j * np.pi * np.arange(FS) / FS)
    time = np.arange(_FRAME - 1)
    level = np.empty(len(frames))
    for rows in blocks(len(frames), _BLOCK):
        lags = _autocorrelation(frames[rows] * window)
        first = np.nan_to_num(f0[rows, None], nan=1.0).astype(np.int64)
        # The bins are read 1 Hz below the frequency that they name: kept as in the field's tables.
        low, high = (
            np.abs(np.einsum("ij,ij->i", lags, turn[(hz - 1) * time % FS])) for hz in (first, 2 * first)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            level[rows] = 20 * np.log10(high / low)
    return _moving_average(level, 9)


def _autocorrelation(segments: Array) -> Array:
    """Sum the products at lags 1..799, shape (n, 799)."""
    spectrum = scipy.fft.rfft(segments, 2 * _FRAME)
    return scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2, 2 * _FRAME)[:, 1:_FRAME]


def peak_prominence(resonating: Array, energy: Array, f0: float) -> tuple[Array, Array]:
    """How far the residual peak of a frame stands out of its surroundings.

    Parameters
    ----------
    resonating : array of float64, shape (samples,)
        Blunt resonance.
    energy : array of float64, shape (frames,)
        `log_energy` of the speech.
    f0 : float
        Median F0 in Hz, which chooses the frame: two periods of creak.

    Returns
    -------
    knots : array of float64, shape (frames,)
        Samples, counted from 1.
    prominence : array of float64, shape (frames,)
        0 (none, too near to the recording's ends, or quiet) to 1; median of 5.
    """
    size = 2 * int(round_half_away(FS / _creak_pitch(f0)))
    frames = frame_view(resonating[:-1], size, _PEAK_HOP)
    starts = 1 + _PEAK_HOP * np.arange(len(frames))
    prominence = np.zeros(len(frames))
    guard = slice(
        int(round_half_away((0.5 - _GUARD) * size)) - 1, int(round_half_away((0.5 + _GUARD) * size))
    )
    for rows in blocks(len(frames), _BLOCK):
        # Position in the frame from 1, added to a start from 1: one sample late, as in the tables.
        centre = starts[rows] + _largest(frames[rows]) + 1
        inside = (centre - size // 2 >= 1) & (centre + size // 2 <= resonating.size)
        first = centre[inside] - size // 2 - 1
        segment = sliding_window_view(resonating, size + 1)[first]
        peak = _largest(segment)
        with np.errstate(divide="ignore", invalid="ignore"):
            segment = segment / segment[np.arange(len(peak)), peak][:, None]
        segment[:, guard] = 0.0
        value = 1 - np.fmax(np.fmax.reduce(segment, axis=1, initial=0.0), 0.0)
        value[_is_quiet(energy, starts[rows][inside] + peak + 1, resonating.size)] = 0.0
        prominence[rows][inside] = value
    return (starts + size / 2).astype(np.float64), _median_filter(prominence, 5)


def _creak_pitch(f0: float) -> float:
    """F0 in Hz above which a speaker of this median F0 is not expected to creak."""
    if f0 == 100:
        return 80.0  # a gap between two conditions: kept as in the field's tables
    return 90.0 if f0 > 100 else 65.0 if f0 >= 85 else 55.0


def _largest(segments: Array) -> NDArray[np.int64]:
    """Index of the first largest magnitude of each row, NaN last."""
    return np.nan_to_num(np.abs(segments), nan=-1.0).argmax(axis=1)


def _is_quiet(energy: Array, at: NDArray[np.int64], samples: int) -> NDArray[np.bool_]:
    """Whether samples (from 1) lie far below the loudest of the 0.4 s on either side."""
    spacing = (samples - 1) / (len(energy) - 1)
    whole = int(2 * _NEIGHBOURHOOD // spacing)  # knots that fit into the neighbourhood
    pad = 2 * whole + 2
    loudest = maximum_filter1d(np.pad(energy, pad, constant_values=-np.inf), whole, mode="nearest")
    first = np.ceil((at - _NEIGHBOURHOOD - 1) / spacing).astype(np.int64) + pad
    last = np.floor((at + _NEIGHBOURHOOD - 1) / spacing).astype(np.int64) + pad
    centre = whole // 2
    nearby = np.maximum(loudest[first + centre], loudest[last - (whole - 1) + centre])
    ends = (at + shift for shift in (-_NEIGHBOURHOOD, _NEIGHBOURHOOD))
    for end in ends:
        nearby = np.fmax(nearby, _stretched(energy, samples, np.clip(end, 1, samples)))
    return _stretched(energy, samples, np.clip(at, 1, samples)) < nearby - _QUIET


def zero_crossings(x: Array) -> tuple[Array, Array]:
    """Sign changes per millisecond in 32 ms frames, every 5 ms.

    Returns
    -------
    knots : array of float64, shape (frames,)
        One hop after the centre of the frame, in samples from 1: kept as in the field's tables.
    rate : array of float64, shape (frames,)
    """
    positive = x >= 0
    changes = frame_view(positive[1:] != positive[:-1], _ENERGY_FRAME - 1, _ENERGY_HOP)
    rate = changes.sum(axis=1) / _ENERGY_FRAME * (FS / 1000)
    return (_ENERGY_FRAME + 1) / 2 + _ENERGY_HOP * np.arange(1.0, len(rate) + 1), rate


def log_energy(x: Array) -> Array:
    """Natural log of the mean square of 32 ms frames, every 5 ms, below the loudest frame's.

    Returns
    -------
    array of float64, shape (frames,)
        0 at most, -inf in digital silence.
    """
    frames = frame_view(x, _ENERGY_FRAME, _ENERGY_HOP)
    weights = hanning(_ENERGY_FRAME) ** 2 / _ENERGY_FRAME
    with np.errstate(divide="ignore"):
        energy = np.log(np.einsum("ij,ij,j->i", frames, frames, weights))
    return energy - energy.max()


def power_deviation(x: Array) -> Array:
    """Deviation of the short-time power (20 log10) over 68 ms, every 2 ms; median of 13.

    Returns
    -------
    array of float64, shape (frames,)
        0 in the first and last 16 frames.
    """
    frames = frame_view(x, _POWER_FRAME, _POWER_HOP)
    with np.errstate(divide="ignore"):
        power = 20 * np.log10(np.einsum("ij,ij->i", frames, frames) / _POWER_FRAME)
    silent = np.isneginf(power)
    power[silent] = power[~silent].min() if not silent.all() else 0.0
    deviation = np.zeros(len(power))
    if len(power) >= _DEVIATION:
        half = _DEVIATION // 2
        deviation[half:-half] = _rolling(power, _DEVIATION, lambda rows: np.std(rows, axis=1, ddof=1))
    return _median_filter(deviation, 13)


def _with_differences(static: Array) -> Array:
    out = np.zeros((len(static), len(CREAK_INPUTS)))
    width = static.shape[1]
    out[:, :width] = static
    with np.errstate(invalid="ignore"):
        for start in (width, 2 * width):
            out[1:, start : start + width] = np.diff(out[:, start - width : start], axis=0)
    return out


def _stretched(track: Array, length: int, at: Array | NDArray[np.int64]) -> Array:
    """Interpolate a track whose first and last values are put at 1 and `length`."""
    knots = np.linspace(1, length, len(track))
    return on_grid(knots, track[:, None], np.asarray(at, dtype=np.float64))[:, 0]


def _column(track: tuple[Array, Array]) -> tuple[Array, Array]:
    knots, values = track
    return knots, values[:, None]


def _rolling(track: Array, size: int, measure: Callable[[Array], Array]) -> Array:
    windows = sliding_window_view(track, size)
    out = np.empty(len(windows))
    for rows in blocks(len(windows), 64 * _BLOCK):
        out[rows] = measure(windows[rows])
    return out


def _median_filter(track: Array, size: int) -> Array:
    """Take the running median; zeros are taken beyond the ends."""
    return _rolling(np.pad(track, size // 2), size, lambda rows: np.median(rows, axis=1))


def _moving_average(track: Array, size: int) -> Array:
    """Take the running mean; towards the ends the window shrinks on both sides."""
    n, half = len(track), size // 2
    out = np.empty(n)
    if n >= size:
        out[half : n - half] = _rolling(track, size, lambda rows: np.mean(rows, axis=1))
    for i in {*range(min(half, n)), *range(max(0, n - half), n)}:
        reach = min(i, n - 1 - i, half)
        out[i] = track[i - reach : i + reach + 1].mean()
    return out
