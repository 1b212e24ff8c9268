"""Pitch-synchronous spectra: three periods of speech around each frame of the F0 track.

Shared by the measures that look at harmonics; after R. J. McAulay and T. F. Quatieri,
IEEE Trans. ASSP 34(4), 1986.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from trivalent.features.covarep.framing import FS, Array, blocks, round_half_away
from trivalent.features.covarep.pitch import Pitch

NFFT = 4096
BINS = NFFT // 2 + 1
_BLOCK = 64  # frames


def half_window(f0: Array) -> NDArray[np.int64]:
    """Return the samples on either side of the centre: one and a half periods."""
    return round_half_away(1.5 * FS / f0)


def usable_frames(samples: int, pitch: Pitch) -> NDArray[np.int64]:
    """Return the indices of the frames whose window lies within the signal, shape (m,)."""
    half = half_window(pitch.f0)
    inside = (pitch.centres - half >= 0) & (pitch.centres + half <= samples - 1)
    return np.flatnonzero(inside)


def spectra(x: Array, pitch: Pitch, frames: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Array]]:
    """Yield blocks of frames of similar F0 and their spectra.

    Yields
    ------
    index : array of int, shape (b,)
        Entries of `frames`, in order of F0, so that a block costs what its F0 needs.
    spectrum : array of complex128, shape (b, 2049)
        4096-point spectrum of the speech under a Blackman window of unit sum that starts
        with the window's first sample.
    """
    order = frames[np.argsort(pitch.f0[frames], kind="stable")]
    for rows in blocks(len(order), _BLOCK):
        index = order[rows]
        yield index, scipy.fft.rfft(_windowed(x, pitch, index))


def _windowed(x: Array, pitch: Pitch, index: NDArray[np.int64]) -> Array:
    out = np.zeros((len(index), NFFT))
    half = half_window(pitch.f0[index])
    for width in np.unique(half):  # few: a block holds neighbours in F0
        rows = np.flatnonzero(half == width)
        window = np.blackman(2 * width + 1)
        starts = pitch.centres[index[rows]] - width
        length = min(window.size, NFFT)  # only an F0 below 12 Hz (silence) has a longer window
        out[rows, :length] = sliding_window_view(x, length)[starts] * (window[:length] / window.sum())
    return out
