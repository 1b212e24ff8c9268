"""Glottal closure instants (GCIs) by SEDREAMS.

T. Drugman and T. Dutoit, "Glottal closure and opening instant detection from speech signals",
Interspeech 2009; T. Drugman et al., "Detection of glottal closure instants from speech signals:
a quantitative review", IEEE Trans. ASLP 20(3), 2012.

A mean-based signal swings once per glottal cycle and tells where to look; the largest LP residual
there is the instant. Instants are returned as they are, counted from 1. The field's tables pass
them on one sample early in three places, which matters for parity and is kept there: the voicing
decision below, the frames of `inverse_filtering` and the knots of `dispersion`.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from scipy.signal import ellip, lfilter, lfilter_zi

from trivalent.features.covarep.framing import (
    FS,
    Array,
    Ints,
    blocks,
    blocks_by_length,
    gather,
    round_half_away,
)
from trivalent.features.covarep.pitch import F0_MAX, F0_MIN, Pitch

LONGEST_PAUSE = 120 * FS  # samples

_REACH = 0.35  # of the swing from minimum to maximum, on either side of its typical instant
_STRONG = 0.4  # residual that surely belongs to a closure, relative to the file's largest
_BLOCK = 1 << 18  # samples in memory at a time
_TAIL = 15  # samples by which forward-backward filtering extends a signal: 3 * order


def closure_instants(x: Array, pitch: Pitch, *, residual: Array) -> Ints:
    """Find the glottal closure instants of voiced speech.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz in natural polarity.
    pitch : Pitch
        Its F0 track.
    residual : array of float64, shape (samples,)
        Its LP residual of order 18; NaN (digital silence) counts as zero.

    Returns
    -------
    array of int64, shape (m,)
        Increasing positions in samples, counted from 1; empty without voiced frames. The table
        needs two at least.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.signal import lfilter
    >>> from trivalent.features.covarep.linear_prediction import lp_residual
    >>> from trivalent.features.covarep.pitch import srh
    >>> rng = np.random.default_rng(0)
    >>> places = np.cumsum(rng.integers(120, 130, 60))  # about 128 Hz
    >>> x = lfilter([1.0], [1, -1.6, 0.9], np.isin(np.arange(8000), places) - 0.008)
    >>> x += 1e-3 * rng.standard_normal(8000)
    >>> instants = closure_instants(x, srh(x), residual=lp_residual(x, 18))
    >>> len(instants), bool(np.isin(instants - 1, places).all())
    (51, True)
    """
    sure = pitch.f0[pitch.voiced & (pitch.f0 > F0_MIN) & (pitch.f0 < F0_MAX)]
    if not sure.size:
        return np.empty(0, dtype=np.int64)
    period = int(round_half_away(FS / float(np.median(sure))))
    minima, maxima = _swings(_mean_based(x, period))
    strength = np.nan_to_num(residual)
    peak = float(max(strength.max(initial=0.0), -strength.min(initial=0.0)))
    instants = _strongest(strength, minima, maxima - minima, threshold=_STRONG * peak)
    # From here on the field's tables hold the sample before each instant.
    early = np.unique(instants[instants >= 1])  # counted from 0, `instants` is that sample from 1
    voicing = np.interp(early, pitch.centres, pitch.voiced.astype(np.float64), left=0.0, right=0.0)
    return early[voicing >= 0.5] + 1


def periods(gcis: Ints) -> Ints:
    """Return the samples since each instant's predecessor, shape (m,); the first has the second's value.

    A pause counts as two minutes at most, so that memory stays bounded.

    >>> periods(np.array([100, 210, 310])).tolist()
    [110, 110, 100]
    """
    return np.minimum(np.diff(gcis, prepend=2 * gcis[0] - gcis[1]), LONGEST_PAUSE)


def _mean_based(x: Array, period: int) -> Array:
    """Mean over 1.7 periods around each sample, without its drift, shape (samples,).

    Forward-backward filtering in place, since an hour of speech fills memory four times otherwise.
    The ends of the mean are zero, which spares the signal's extension before its first sample.
    """
    half = int(round_half_away(1.7 * period / 2))
    mean = np.zeros(x.size + _TAIL)
    if x.size > 2 * half:
        _convolve_valid(x, np.blackman(2 * half + 1) / (2 * half + 1), out=mean[half : x.size - half])
    b, a = ellip(5, 3, 60, 50 / (FS / 2), "high")
    initial = lfilter_zi(b, a)
    for signal, state in ((mean, 0 * initial), (mean[::-1], None)):
        if state is None:
            state = initial * signal[0]
        for rows in blocks(signal.size, _BLOCK):
            signal[rows], state = lfilter(b, a, signal[rows], zi=state)
    return mean[: x.size]


def _convolve_valid(x: Array, window: Array, *, out: Array) -> None:
    """Write the samples of a convolution that need nothing beyond the ends of `x` to `out`."""
    size = scipy.fft.next_fast_len(min(x.size, 1 << 14), real=True)
    transform = scipy.fft.rfft(window, size)
    for rows in blocks(out.size, size - window.size + 1):
        piece = x[rows.start : rows.stop + window.size - 1]
        out[rows] = scipy.fft.irfft(scipy.fft.rfft(piece, size) * transform, size)[
            window.size - 1 : piece.size
        ]


def _swings(signal: Array) -> tuple[Ints, Ints]:
    """Pairs of a local minimum and the maximum after it; a plateau counts at its first sample."""
    steps, rising = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.bool_)]
    for rows in blocks(signal.size - 1, _BLOCK):
        change = np.diff(signal[rows.start : rows.stop + 1])
        moving = np.flatnonzero(change)
        up = change[moving] > 0
        # Only the last step before each turn matters, and the block's last, for the next block.
        last = np.append(up[1:] != up[:-1], True)[: up.size]
        steps.append(moving[last] + rows.start)
        rising.append(up[last])
    step, up = np.concatenate(steps), np.concatenate(rising)
    turn = np.flatnonzero(up[1:] != up[:-1])
    extrema, is_maximum = step[turn] + 1, up[turn]
    if extrema.size and is_maximum[0]:
        extrema = extrema[1:]
    pairs = extrema[: extrema.size // 2 * 2].reshape(-1, 2)  # minima and maxima alternate
    return pairs[:, 0], pairs[:, 1]


def _strongest(strength: Array, minima: Ints, swing: Ints, *, threshold: float) -> Ints:
    """Position, counted from 0, of the largest residual in each swing's interval."""
    if not minima.size:
        return np.empty(0, dtype=np.int64)
    sure = np.flatnonzero(strength > threshold)
    right = np.clip(np.searchsorted(minima, sure), 1, max(1, minima.size - 1))
    left = right - 1
    right = np.minimum(right, minima.size - 1)
    nearest = np.where(sure - minima[left] <= minima[right] - sure, left, right)
    ratios = (sure - minima[nearest]) / swing[nearest]
    ratio = float(np.median(ratios)) if sure.size else 0.0
    first = np.maximum(minima + round_half_away((ratio - _REACH) * swing), 0)
    last = np.minimum(minima + round_half_away((ratio + _REACH) * swing), strength.size - 1)
    kept = np.flatnonzero(first < strength.size)
    kept = kept[: np.argmax(first >= strength.size)] if kept.size < first.size else kept
    # An interval that would end before its first sample shrinks to it.
    lengths = np.maximum(last[kept] - first[kept] + 1, 1)
    out = np.empty(kept.size, dtype=np.int64)
    for index in blocks_by_length(lengths, _BLOCK):
        pieces, inside = gather(strength, first[kept[index]], lengths[index])
        out[index] = first[kept[index]] + np.where(inside, pieces, -np.inf).argmax(axis=1)
    return out
