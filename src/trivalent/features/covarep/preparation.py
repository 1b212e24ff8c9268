"""From any recording to what the measures expect: 16 kHz, one channel, full scale 1."""

from __future__ import annotations

from math import gcd
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from trivalent.core.errors import FeatureError
from trivalent.features.covarep.framing import FS, Array

_FS_RANGE = (8_000, 192_000)  # Hz
_CHANNELS = 64
_OFFSET = 1.0  # times the standard deviation beyond which a constant offset is removed


def prepare(signal: NDArray[Any], fs: int, *, keep_offset: bool = False) -> Array:
    """Return the recording as float64 at 16 kHz, shape (samples,).

    Parameters
    ----------
    signal : array, shape (samples,) or (samples, channels)
        Integers are scaled by their type's range, floats are taken as they are; the mean of
        the channels is used.
    fs : int
        Sampling rate in Hz, 8,000 to 192,000.
    keep_offset : bool
        Keep a constant offset, which is otherwise removed when it is large.

    Raises
    ------
    FeatureError
        Impossible rate, shape or type, or samples that are not finite.
    """
    rate = _checked_rate(fs)
    x = _mono(_scaled(_checked_samples(signal)))
    if not np.isfinite(x).all():
        count = np.count_nonzero(~np.isfinite(x))
        raise FeatureError("covarep.finite", count=count)
    # A small offset is left alone: subtracting it would turn digital silence into a tone at 0 Hz.
    if not keep_offset and x.size and abs(x.mean()) > _OFFSET * x.std():
        x = x - x.mean()
    if rate != FS and x.size:
        common = gcd(rate, FS)
        x = resample_poly(x, FS // common, rate // common)
    return x


def _checked_rate(fs: int) -> int:
    low, high = _FS_RANGE
    if not isinstance(fs, Real) or not low <= fs <= high or fs != int(fs):
        raise FeatureError("covarep.rate", low=low, high=high, fs=fs)
    return int(fs)


def _checked_samples(signal: NDArray[Any]) -> NDArray[Any]:
    x = np.asarray(signal)
    if x.dtype.kind not in "iuf":
        raise FeatureError("covarep.dtype", dtype=x.dtype)
    if x.ndim not in (1, 2) or (x.ndim == 2 and not 1 <= x.shape[1] <= _CHANNELS):
        raise FeatureError("covarep.shape", shape=x.shape)
    return x


def _scaled(x: NDArray[Any]) -> Array:
    if x.dtype.kind == "f":
        return x.astype(np.float64)
    half = 2.0 ** (8 * x.dtype.itemsize - 1)
    scaled = x.astype(np.float64) / half
    return scaled - 1.0 if x.dtype.kind == "u" else scaled


def _mono(x: Array) -> Array:
    return x if x.ndim == 1 else x.mean(axis=1)
