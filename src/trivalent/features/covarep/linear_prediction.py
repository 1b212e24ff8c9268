"""Linear prediction and its residual, for all frames at once.

Autocorrelation method with the Levinson-Durbin recursion (Makhoul, Proc. IEEE 63, 1975).
"""

from __future__ import annotations

import numpy as np

from trivalent.features.covarep.framing import Array, blocks, frame_view, hanning, overlap_add

FRAME = 401  # samples: 25 ms and one
SHIFT = 80  # samples: 5 ms
_BLOCK = 512  # frames in memory at a time


def lpc(frames: Array, order: int) -> Array:
    """Prediction polynomials [1, a_1 .. a_order] of windowed frames.

    Parameters
    ----------
    frames : array of float64, shape (n, length)
    order : int
        Must be below `length`.

    Returns
    -------
    array of float64, shape (n, order + 1)
        NaN for a frame of zeros, which has no predictor.
    """
    length = frames.shape[1]
    lags = np.stack(
        [np.einsum("ij,ij->i", frames[:, k:], frames[:, : length - k]) for k in range(order + 1)], axis=1
    )
    return _levinson(lags)


def _levinson(lags: Array) -> Array:
    n, size = lags.shape
    a = np.zeros((n, size))
    a[:, 0] = 1
    error = lags[:, 0].copy()
    with np.errstate(invalid="ignore", divide="ignore"):
        for i in range(1, size):
            mismatch = np.einsum("ij,ij->i", a[:, :i], lags[:, i:0:-1])
            reflection = -mismatch / error
            a[:, 1 : i + 1] += reflection[:, None] * a[:, i - 1 :: -1][:, :i]
            error *= 1 - reflection**2
    return a


def fir(coefficients: Array, frames: Array) -> Array:
    """Filter each frame by its own polynomial, from rest, shape (n, length)."""
    out = coefficients[:, :1] * frames
    for k in range(1, coefficients.shape[1]):
        out[:, k:] += coefficients[:, k, None] * frames[:, :-k]
    return out


def lp_residual(x: Array, order: int, *, guide: Array | None = None) -> Array:
    """Residual of linear prediction, overlap-added and scaled to a peak of 1.

    Parameters
    ----------
    x : array of float64, shape (samples,)
    order : int
        Order of prediction (12 for F0, 18 for the glottal measures).
    guide : array of float64, shape (samples,), optional
        Signal on which the predictors are estimated (default: `x` itself).

    Returns
    -------
    array of float64, shape (samples,)
        NaN where a frame of zeros takes part: silence has no predictor.
    """
    frames = frame_view(x[:-1], FRAME, SHIFT)  # the last frame must end before the last sample
    guides = frames if guide is None else frame_view(guide[:-1], FRAME, SHIFT)
    window = hanning(FRAME)
    padded = np.zeros(max(x.size, len(frames) * SHIFT + FRAME + SHIFT))
    for rows in blocks(len(frames), _BLOCK):
        segment = frames[rows] * window
        a = lpc(segment if guide is None else guides[rows] * window, order)
        error = fir(a, segment)
        energy = np.einsum("ij,ij->i", segment, segment)
        with np.errstate(invalid="ignore", divide="ignore"):
            error *= np.sqrt(energy / np.einsum("ij,ij->i", error, error))[:, None]
        overlap_add(padded, error, first=rows.start, shift=SHIFT)
    residual = padded[: x.size]
    peak = np.fmax.reduce(np.abs(residual), initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        residual /= peak
    return residual
