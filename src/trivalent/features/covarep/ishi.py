"""Ishi's measures of creak: how single pulses stand in a band of 100 to 1500 Hz.

C. T. Ishi, K.-I. Sakakibara, H. Ishiguro and N. Hagita, "A method for automatic detection of vocal
fry", IEEE Trans. Audio, Speech and Language Processing 16(1), 2008. In creak the power falls and
rises between two pulses, a 32 ms frame has no period of its own, yet two pulses in a row are alike.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from trivalent.features.covarep.framing import FS, HOP, Array, blocks, frame_view, on_grid

_ORDER = 7  # of the band-pass filter: twice as many poles
_PASS, _STOP = (100.0, 1500.0), (50.0, 3000.0)  # Hz
_RIPPLE, _ATTENUATION = 3.0, 40.0  # dB
_POWER_FRAME, _POWER_HOP = 64, 32  # samples
_RISE = 2.0  # of 20 log10 of a power, by which a peak exceeds its third neighbours
_BELOW_HIGHEST = 30.0  # of the same unit: lower peaks are not pulses
_VALLEY = 5  # frames on either side of a peak
_PERIOD_FRAME = 512  # samples
_LAGS, _FIRST_LAG = 241, 16  # lags 0..240, of which the first 16 are the main lobe
_NEAR = 16  # samples by which a multiple of the period may be missed
_PERIODIC = 0.5
_REACH = 120  # samples on either side of a pulse
_APART = 1600  # samples between two pulses beyond which they are not compared
_SPREAD = 560  # samples before a pulse that take its values
_BLOCK = 1024  # frames or pulses in memory at a time
_PIECE = 1 << 20  # samples filtered at a time
_MEMORY = 16_000  # samples: the filter has decayed by more than 200 dB after it


def ishi_measures(x: Array, at: NDArray[np.int64]) -> Array:
    """Return IFP, IPS, power fall and power rise at given samples.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz.
    at : array of int, shape (m,)
        Samples, counted from 1, increasing.

    Returns
    -------
    array of float64, shape (m, 4)
        Intra-frame periodicity (0 to 1), inter-pulse similarity (0 to 1), and how far the power
        falls after and rises before the next pulse (20 log10 of a power); 0 where there is none.
    """
    out = np.zeros((at.size, 4))
    if x.size <= max(_PERIOD_FRAME, _padding()):
        return out
    band = filtered(x)
    centres, periodicity = intra_frame_periodicity(band)
    out[:, 0] = np.nan_to_num(on_grid(centres, periodicity[:, None], at.astype(np.float64))[:, 0])
    pulses, fall, rise = power_peaks(band)
    values = np.stack([inter_pulse_similarity(band, pulses), fall, rise], axis=1)
    out[:, 1:] = _next_pulse(pulses, values, at)
    return out


def _padding() -> int:
    return 3 * 2 * _ORDER  # as for a filter of 15 coefficients


@cache
def band_pass() -> Array:
    """Second-order sections of the Butterworth band-pass, shape (7, 6).

    Of the filters of this order that meet the specification, the one that meets the stop band
    exactly: it is narrower than `scipy.signal.buttord` gives, which meets the pass band.

    >>> from scipy.signal import sosfreqz
    >>> _, h = sosfreqz(band_pass(), worN=[50, 3000], fs=16000)
    >>> np.round(-20 * np.log10(abs(h))).tolist()
    [40.0, 46.0]
    """
    low, high = np.tan(np.pi * np.array(_PASS) / FS)
    stop = np.tan(np.pi * np.array(_STOP) / FS)
    prototype = np.abs((stop**2 - low * high) / (stop * (high - low))).min()
    cutoff = prototype / (10 ** (_ATTENUATION / 10) - 1) ** (1 / (2 * _ORDER))
    half = cutoff * (high - low) / 2
    edges = np.sqrt(half**2 + low * high) + np.array([-half, half])
    return butter(_ORDER, 2 / np.pi * np.arctan(edges), "bandpass", output="sos")


def filtered(x: Array) -> Array:
    """Filter forwards and backwards through `band_pass`, shape (samples,).

    A long recording is cut into pieces whose surroundings outlast the filter's memory.
    """
    out = np.empty(x.size)
    for part in blocks(x.size, _PIECE):
        start = max(0, part.start - _MEMORY)
        piece = sosfiltfilt(band_pass(), x[start : part.stop + _MEMORY], padlen=_padding())
        out[part] = piece[part.start - start :][: part.stop - part.start]
    return out


def short_time_power(band: Array) -> Array:
    """20 log10 of the mean square in 4 ms frames, every 2 ms; frame i is centred at 32.5 + 32 i."""
    frames = frame_view(band, _POWER_FRAME, _POWER_HOP)
    with np.errstate(divide="ignore"):
        return 20 * np.log10(np.einsum("ij,ij->i", frames, frames) / _POWER_FRAME)


def power_peaks(band: Array) -> tuple[Array, Array, Array]:
    """Pulses: where the short-time power peaks.

    Parameters
    ----------
    band : array of float64, shape (samples,)
        Band-passed speech.

    Returns
    -------
    centres : array of float64, shape (pulses,)
        Samples, counted from 1 (halves: centres of frames of even length).
    fall, rise : array of float64, shape (pulses,)
        Peak over the lowest of the five frames after and before it.
    """
    power = short_time_power(band)
    if power.size < 2 * 3 + 1:
        return np.empty(0), np.empty(0), np.empty(0)
    p = power[3:-3]
    with np.errstate(invalid="ignore"):  # -inf in digital silence
        peak = (p > power[2:-4]) & (p > power[4:-2])
        peak &= (p - power[:-6] >= _RISE) & (p - power[6:] >= _RISE)
        peak &= p > power.max() - _BELOW_HIGHEST
    at = np.flatnonzero(peak) + 3
    padded = np.pad(power, _VALLEY, constant_values=np.inf)
    valleys = sliding_window_view(padded, _VALLEY).min(axis=1)  # entry i: frames i-5 .. i-1
    fall, rise = power[at] - valleys[at + _VALLEY + 1], power[at] - valleys[at]
    return _POWER_HOP * at.astype(np.float64) + (_POWER_FRAME + 1) / 2, fall, rise


def intra_frame_periodicity(band: Array) -> tuple[Array, Array]:
    """Lowest autocorrelation near the multiples of a frame's period: near 1 in modal voice.

    Returns
    -------
    centres : array of float64, shape (frames,)
        Samples, counted from 1.
    periodicity : array of float64, shape (frames,)
        0 to 1; 0 also where one of the next two frames is below 0.5.
    """
    frames = frame_view(band, _PERIOD_FRAME, HOP)
    lowest = np.empty(len(frames))
    for rows in blocks(len(frames), _BLOCK):
        lowest[rows] = _lowest_peak(_autocorrelation(frames[rows]))
    following = np.minimum(lowest[1:-2], lowest[2:-1])
    lowest[: len(following)][following < _PERIODIC] = 0.0
    centres = HOP * np.arange(len(frames), dtype=np.float64) + (_PERIOD_FRAME + 1) / 2
    return centres, np.clip(np.nan_to_num(lowest), 0.0, 1.0)


def _autocorrelation(frames: Array) -> Array:
    """Normalised, without its main lobe, corrected for the overlap, shape (n, 241)."""
    spectrum = scipy.fft.rfft(frames, 800)  # 512 + 240 samples and more: no wrapping
    lags = scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2, 800)[:, :_LAGS]
    with np.errstate(invalid="ignore", divide="ignore"):
        lags = lags / lags[:, :1]
    lags[:, :_FIRST_LAG] = 0.0
    return lags * (_PERIOD_FRAME / (_PERIOD_FRAME - np.arange(1, _LAGS + 1)))


def _lowest_peak(lags: Array) -> Array:
    n = len(lags)
    main = lags.argmax(axis=1) + 1  # counted from 1, as its multiples are
    lowest = lags[np.arange(n), main - 1].copy()
    padded = np.pad(lags, ((0, 0), (_NEAR, _NEAR)), constant_values=-np.inf)
    near = sliding_window_view(padded, 2 * _NEAR + 1, axis=1).max(axis=2)  # maximum within 16 lags
    for multiple in range(2, _LAGS // _FIRST_LAG + 1):
        place = main * multiple
        rows = np.flatnonzero(place < _LAGS)
        lowest[rows] = np.minimum(lowest[rows], near[rows, place[rows] - 1])
    return lowest


def inter_pulse_similarity(band: Array, pulses: Array) -> Array:
    """Largest cross-correlation of each pulse with the one before, shape (pulses,).

    Parameters
    ----------
    band : array of float64, shape (samples,)
        Band-passed speech.
    pulses : array of float64, shape (pulses,)
        Samples, counted from 1.

    Returns
    -------
    array of float64, shape (pulses,)
        0 for the first pulse and for one more than 0.1 s after the previous.
    """
    similarity = np.zeros(pulses.size)
    centre = np.floor(pulses + 0.5).astype(np.int64) - 1
    inside = (centre >= _REACH) & (centre + _REACH < band.size)
    close = np.diff(pulses) <= _APART
    pairs = np.flatnonzero(close & inside[1:] & inside[:-1])
    shapes = sliding_window_view(band, 2 * _REACH + 1)
    for rows in blocks(pairs.size, _BLOCK):
        first = shapes[centre[pairs[rows]] - _REACH]
        second = shapes[centre[pairs[rows] + 1] - _REACH]
        similarity[pairs[rows] + 1] = _largest_correlation(first, second)
    return similarity


def _largest_correlation(first: Array, second: Array) -> Array:
    size = scipy.fft.next_fast_len(2 * first.shape[1] - 1, real=True)
    product = scipy.fft.rfft(first, size) * scipy.fft.rfft(second, size).conj()
    energy = np.einsum("ij,ij->i", first, first) * np.einsum("ij,ij->i", second, second)
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = scipy.fft.irfft(product, size).max(axis=1) / np.sqrt(energy)
    return np.nan_to_num(largest, posinf=0.0)


def _next_pulse(pulses: Array, values: Array, at: NDArray[np.int64]) -> Array:
    """Values of the next pulse at or after each sample, 0 where none is close."""
    out = np.zeros((at.size, values.shape[1]))
    if not pulses.size:
        return out
    following = np.searchsorted(pulses, at)
    known = np.minimum(following, pulses.size - 1)
    distance = np.where(following < pulses.size, pulses[known] - at, np.inf)
    # At the start of the recording the pulses that have passed count as being at sample 0: kept
    # as in the field's tables.
    early = (following > 0) & (at <= distance)
    known, distance = np.where(early, 0, known), np.where(early, at, distance)
    close = distance < _SPREAD
    out[close] = values[known[close]]
    return out
