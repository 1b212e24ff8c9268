"""MDQ: how far the maxima of the wavelet bands lie apart around a glottal closure.

J. Kane and C. Gobl, "Wavelet maxima dispersion for breathy to tense voice discrimination",
IEEE Trans. ASLP 21(6), 2013. Low in tense voice, whose closures are abrupt in every band.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import scipy.fft
from scipy.ndimage import maximum_filter1d

from trivalent.features.covarep.closure import periods
from trivalent.features.covarep.framing import (
    FS,
    Array,
    Ints,
    blocks_by_length,
    gather,
    on_grid,
    round_half_away,
)
from trivalent.features.covarep.wavelets import wavelet

_SCALES = range(2, 7)  # centre frequencies 2000 .. 125 Hz
_SEARCH = 0.2  # of a period, on either side of the instant
_SPAN = 10 * FS  # samples between the instants of one chunk
_BLOCK = 1 << 16  # samples at a time


def mdq_column(residual: Array, gcis: Ints, grid: Array, *, strict: bool = False) -> Array:
    """MDQ at the rows of a table.

    Parameters
    ----------
    residual, gcis, strict
        As in `maxima_dispersion`.
    grid : array of float64, shape (rows,)
        Positions in samples, counted from 1.

    Returns
    -------
    array of float64, shape (rows, 1)
        Linear between instants, across pauses too. NaN before the first instant and after the
        last, next to an instant without value, and everywhere with fewer than two instants.
    """
    if gcis.size < 2:
        return np.full((grid.size, 1), np.nan)
    # Unlike the pulse measures, MDQ is placed one sample early in the field's tables.
    return on_grid(gcis - 1, maxima_dispersion(residual, gcis, strict=strict)[:, None], grid)


def maxima_dispersion(residual: Array, gcis: Ints, *, strict: bool = False) -> Array:
    """MDQ of each instant: mean distance of five bands' maxima from it, in periods.

    Parameters
    ----------
    residual : array of float64, shape (samples,)
        LP residual of order 18 of the speech in natural polarity; NaN in digital silence.
    gcis : array of int64, shape (m,)
        Glottal closure instants counted from 1; at least two.
    strict : bool
        Return the field's numbers where there is no value: 0 within a period of the ends of the
        file, and the full distance for a band that holds digital silence only.

    Returns
    -------
    array of float64, shape (m,)
        0 .. 0.2; NaN where there is no value, unless `strict`.
    """
    out = np.full(gcis.size, np.nan)
    lengths = periods(gcis)
    half = round_half_away(_SEARCH * lengths)
    usable = (gcis > lengths) & (gcis + lengths <= residual.size)
    for rows in np.split(np.arange(gcis.size), np.flatnonzero(np.diff(gcis // _SPAN)) + 1):
        rows = rows[usable[rows]]
        if not rows.size:
            continue
        starts = gcis[rows] - 1 - half[rows]
        first, last = int(starts.min()), int((gcis[rows] + half[rows]).max())
        distance = np.zeros(rows.size)
        for band in _bands(residual, first, last):
            distance += _distances(band, starts - first, half[rows], strict=strict)
        out[rows] = distance / len(_SCALES) / lengths[rows]
    return np.nan_to_num(out, nan=0.0) if strict else out


def _bands(residual: Array, first: int, last: int) -> Iterator[Array]:
    """Yield samples `first` .. `last` - 1 of each wavelet band.

    NaN where a wavelet meets a NaN, as in a sum over its samples: near digital silence the broad
    wavelets have no value, the narrow ones still have.
    """
    reach = _kernels().shape[1] // 2
    low, high = max(0, first - reach), min(residual.size, last + reach)
    piece = np.pad(residual[low:high], (low - (first - reach), last + reach - high))
    size = scipy.fft.next_fast_len(piece.size, real=True)
    spectrum = scipy.fft.rfft(np.nan_to_num(piece), size)
    missing = np.isnan(piece).view(np.uint8)
    for kernel in _kernels():
        band = scipy.fft.irfft(spectrum * scipy.fft.rfft(kernel, size), size)[2 * reach : piece.size]
        if missing.any():
            # A wavelet ends where its Gaussian is too small for a number.
            nonzero = int(np.count_nonzero(kernel))
            band[maximum_filter1d(missing, nonzero)[reach : piece.size - reach] > 0] = np.nan
        yield band


@lru_cache(maxsize=1)
def _kernels() -> Array:
    return np.stack([wavelet(scale) for scale in _SCALES])


def _distances(band: Array, starts: Ints, half: Ints, *, strict: bool) -> Array:
    """Distance of the band's maximum from each instant in samples, shape (n,)."""
    out = np.empty(starts.size)
    for index in blocks_by_length(2 * half + 1, _BLOCK):
        pieces, inside = gather(band, starts[index], 2 * half[index] + 1)
        pieces = np.where(inside & ~np.isnan(pieces), pieces, -np.inf)
        place = pieces.argmax(axis=1)
        # The field counts the maximum's place from 1, the centre's from 0: kept.
        out[index] = np.abs(half[index] - (place + 1))
        if not strict:
            out[index[np.isneginf(pieces.max(axis=1))]] = np.nan
    return out
