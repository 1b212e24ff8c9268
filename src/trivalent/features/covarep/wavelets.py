"""peakSlope: how fast the speech loses amplitude from low to high octave bands.

J. Kane and C. Gobl, "Identifying regions of non-modal phonation using features of the wavelet
transform", Interspeech 2011. The slope falls from breathy to tense voice.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from trivalent.features.covarep.framing import HOP, Array, blocks

SCALES = range(7)  # centre frequency 8000 / 2**scale Hz
_REACH = 1000  # samples on either side of a wavelet's centre
_FRAME = 640  # samples: 40 ms
_BLOCK = 100  # frames
_FLOOR = 1e-10  # below this share of the loudest value, rounding of the FFT matters


def wavelet(scale: int) -> Array:
    """Cosine in a Gaussian with a centre frequency of 8000 / 2**scale Hz, shape (2001,)."""
    t = np.arange(-_REACH, _REACH + 1) / 2.0**scale
    return -np.cos(np.pi * t) * np.exp(-(t**2) / 2)


def peak_slope(x: Array) -> tuple[NDArray[np.int64], Array]:
    """Slope of log10 peak amplitude over the seven octave bands, per 40 ms frame.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz.

    Returns
    -------
    knots : array of int, shape (frames,)
        Centres of the frames in samples, counted from 1.
    slope : array of float64, shape (frames,)
        NaN or infinite where digital silence leaves a band without any amplitude.
    """
    peaks = band_peaks(x)
    knots = _FRAME // 2 + HOP * np.arange(len(peaks))
    return knots, _slope(peaks)


def band_peaks(x: Array) -> Array:
    """Largest amplitude of each frame in each band, shape (frames, 7), scale 0 first."""
    count = max(0, (x.size - _FRAME) // HOP + 1)
    kernels = np.stack([wavelet(scale) for scale in SCALES])
    size = scipy.fft.next_fast_len(min(count, _BLOCK) * HOP + _FRAME + 2 * _REACH, real=True)
    transforms = scipy.fft.rfft(kernels, size)
    padded = np.pad(x, _REACH)
    peaks = np.empty((count, len(SCALES)))
    for rows in blocks(count, _BLOCK):
        length = (rows.stop - rows.start - 1) * HOP + _FRAME
        chunk = padded[rows.start * HOP : rows.start * HOP + length + 2 * _REACH]
        spectrum = scipy.fft.rfft(chunk, size)
        for scale in SCALES:
            band = scipy.fft.irfft(spectrum * transforms[scale], size)[2 * _REACH : 2 * _REACH + length]
            peaks[rows, scale] = _frame_maxima(np.abs(band))
        _repair(peaks[rows], chunk, kernels)
    return peaks


def _frame_maxima(amplitude: Array) -> Array:
    hops = amplitude[: amplitude.size // HOP * HOP].reshape(-1, HOP).max(axis=1)
    quarters = _FRAME // HOP
    return np.lib.stride_tricks.sliding_window_view(hops, quarters).max(axis=1)


def _repair(peaks: Array, chunk: Array, kernels: Array) -> None:
    """Recompute in place, by direct sums, the frames that an FFT leaves at its rounding error."""
    suspect = peaks < _FLOOR * peaks.max(initial=0.0)
    for row in np.flatnonzero(suspect.any(axis=1) | (peaks == 0).any(axis=1)):
        near = chunk[row * HOP : row * HOP + _FRAME + 2 * _REACH]
        if not near.any():
            peaks[row] = 0.0
            continue
        for scale in SCALES:
            peaks[row, scale] = np.abs(np.convolve(near, kernels[scale], "valid")).max()


def _slope(peaks: Array) -> Array:
    """Least-squares slope over the band number, lowest band first."""
    weights = (np.arange(1, 8) - 4) / 28.0
    with np.errstate(divide="ignore", invalid="ignore"):
        # A silent middle band, of weight 0, must give NaN (0 * -inf): no product by BLAS here.
        return (np.log10(peaks[:, ::-1]) * weights).sum(axis=1)
