"""Glottal flow by iterative adaptive inverse filtering (IAIF), one frame per glottal cycle.

P. Alku, "Glottal wave analysis with pitch synchronous iterative adaptive inverse filtering",
Speech Communication 11, 1992: a first estimate of the glottal contribution is removed before the
vocal tract is estimated, twice.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.signal import firls, lfilter

from trivalent.features.covarep.closure import periods
from trivalent.features.covarep.framing import FS, Array, Ints, blocks_by_length, gather
from trivalent.features.covarep.linear_prediction import fir, lpc

_TRACT, _GLOTTIS = 20, 8  # orders of prediction
_LEAK = 0.99  # of the integrator that undoes lip radiation
_DELAY = 150  # samples, of the high-pass filter
_BLOCK = 1 << 15  # samples at a time: what a processor's cache holds

Bools = NDArray[np.bool_]


def glottal_flow(x: Array, gcis: Ints, *, first: int = 0, last: int | None = None) -> tuple[Array, Array]:
    """Sum of the overlapping frames' glottal flow and flow derivative.

    As in the field's tables, frames are two periods long (a "period" may be a pause of up to two
    minutes) under a Hann window, centred one sample before each instant, and their overlap is not
    compensated.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz in natural polarity.
    gcis : array of int64, shape (m,)
        Glottal closure instants counted from 1; at least two.
    first, last : int
        Range of samples to compute, counted from 0, without the last (default: all).

    Returns
    -------
    flow, derivative : array of float64, shape (last - first,)
        In the unit of `x`; zero where no frame reaches, NaN where one is digital silence.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal(1000)
    >>> flow, derivative = glottal_flow(x, np.array([300, 400, 500]))
    >>> part, _ = glottal_flow(x, np.array([300, 400, 500]), first=350, last=360)
    >>> bool(np.allclose(part, flow[350:360], rtol=1e-9)), float(flow[:198].sum())
    (True, 0.0)
    """
    last = x.size if last is None else last
    reach = periods(gcis)
    starts = np.maximum(gcis - 2 - reach, 0)
    stops = np.minimum(gcis - 1 + reach, x.size)
    # A frame without more samples than coefficients has no predictor.
    wanted = np.flatnonzero((starts < last) & (stops > first) & (stops - starts > _TRACT))
    sums = np.zeros((2, last - first))
    for block in blocks_by_length((stops - starts)[wanted], _BLOCK):
        index = wanted[block]
        lengths = stops[index] - starts[index]
        frames, inside = gather(x, starts[index], lengths)
        window = _hann(lengths, inside)
        for signal, total in zip(_inverse_filter(frames * window, window, inside), sums, strict=True):
            for row, start, stop in zip(signal, starts[index], stops[index], strict=True):
                here, end = max(start, first), min(stop, last)
                total[here - first : end - first] += row[here - start : end - start]
    return sums[0], sums[1]


def _hann(lengths: Ints, inside: Bools) -> Array:
    """Windows without zero end points, zero on the padding, shape of `inside`."""
    k = np.arange(1, inside.shape[1] + 1)
    phase = (2 * np.pi / (lengths + 1))[:, None] * k
    return np.where(inside, 0.5 - 0.5 * np.cos(phase), 0.0)


def _inverse_filter(frames: Array, window: Array, inside: Bools) -> tuple[Array, Array]:
    """Glottal flow and derivative of each frame, shape (n, length); arbitrary on the padding."""
    frames = np.where(inside, _high_pass(frames), 0.0)
    # A ramp into the frame keeps the filters' onset out of it.
    ramp = frames[:, :1] * np.linspace(-1, 1, _TRACT + 1)
    speech = np.concatenate([ramp, frames], axis=1)
    onset = ramp.shape[1]

    def filtered(polynomial: Array) -> Array:
        return fir(polynomial, speech)

    tilt = lpc(frames * window, 1)
    tract = lpc(filtered(tilt)[:, onset:] * window, _TRACT)
    glottis = lpc(_integrate(filtered(tract))[:, onset:] * window, _GLOTTIS)
    tract = lpc(_integrate(filtered(glottis))[:, onset:] * window, _TRACT)
    derivative = filtered(tract)
    return _integrate(derivative)[:, onset:], derivative[:, onset:]


def _integrate(signal: Array) -> Array:
    out: Array = lfilter([1.0], [1.0, -_LEAK], signal, axis=1)
    return out


def _high_pass(frames: Array) -> Array:
    """Remove what lies below 40 Hz, without delay, shape (n, length)."""
    length = frames.shape[1]
    taps = _taps()
    size = scipy.fft.next_fast_len(length + taps.size - 1, real=True)
    spectrum = scipy.fft.rfft(frames, size) * scipy.fft.rfft(taps, size)
    out: Array = scipy.fft.irfft(spectrum, size)[:, _DELAY : _DELAY + length]
    return out


@lru_cache(maxsize=1)
def _taps() -> Array:
    taps: Array = firls(2 * _DELAY + 1, [0, 40, 70, FS / 2], [0, 0, 1, 1], fs=FS)
    return taps
