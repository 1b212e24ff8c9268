"""Polarity of a recording: whether a glottal closure points down, as it should.

T. Drugman, "Residual excitation skewness for automatic speech polarity detection",
IEEE Signal Processing Letters 20(4), 2013.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import ellip, filtfilt

from trivalent.features.covarep.framing import FS, Array
from trivalent.features.covarep.linear_prediction import FRAME, lp_residual

_ORDER = 18


def polarity(x: Array, *, residual: Array | None = None) -> int:
    """Return +1 or -1: the factor that gives a recording its natural polarity.

    The skewness of the LP residual is compared with that of a residual whose predictors were
    estimated above 480 Hz, where the glottal formant is gone.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz.
    residual : array of float64, shape (samples,), optional
        `lp_residual(x, 18)`, where it has been computed already.

    Returns
    -------
    int
        +1 as well when the recording is too short or too silent to tell.
    """
    if x.size <= FRAME:
        return 1
    b, a = ellip(9, 3, 60, 480 / (FS / 2), "high")
    above = filtfilt(b, a, x, padlen=3 * (max(len(a), len(b)) - 1))
    plain = lp_residual(x, _ORDER) if residual is None else residual
    difference = _skewness(plain) - _skewness(lp_residual(x, _ORDER, guide=above))
    return -1 if difference < 0 else 1


def _skewness(residual: Array) -> float:
    centred = np.nan_to_num(residual)
    centred -= centred.mean()
    squares = centred * centred
    second = squares.mean()
    return float(np.dot(squares, centred) / centred.size / second**1.5) if second > 0 else 0.0
