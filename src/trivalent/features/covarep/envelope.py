"""True envelope of a spectrum and its mel-warped cepstrum (MCEP).

A. Roebel and X. Rodet, "Efficient spectral envelope estimation and its application to pitch
shifting and envelope preservation", DAFx 2005; S. Imai, ICASSP 1983.

The envelope is the smoothest log spectrum (a cepstrum of p coefficients) that lies above all
harmonics: smooth, take the maximum with the spectrum, repeat. Only p of 4096 coefficients are
needed, so that the transforms are products with a cosine matrix, folded about a quarter of the
sampling rate, where even coefficients are symmetric and odd ones antisymmetric. That is exact
and cheaper than an FFT.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trivalent.features.covarep.framing import FS, Array, Ints, round_half_away
from trivalent.features.covarep.harmonics import BINS, NFFT, spectra, usable_frames
from trivalent.features.covarep.pitch import Pitch

ORDER = 24
_FOLD = NFFT // 4  # bin of a quarter of the sampling rate
_TOLERANCE = np.log(10**0.1)  # 2 dB
_ITERATIONS = 200


def mel_cepstra(x: Array, pitch: Pitch) -> Array:
    """Mel cepstra of all frames whose window fits into the signal.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz.
    pitch : Pitch
        Its F0 track.

    Returns
    -------
    array of float64, shape (frames, 25)
        Natural-log amplitudes; NaN for a window of zeros.
    """
    frames = usable_frames(x.size, pitch)
    cepstra = np.full((len(pitch.f0), ORDER + 1), np.nan)
    for index, spectrum in spectra(x, pitch, frames):
        with np.errstate(divide="ignore"):
            level = np.log(np.abs(spectrum))
        sound = np.isfinite(level).all(axis=1)
        order = round_half_away(FS / (2 * pitch.f0[index[sound]]))
        cepstra[index[sound]] = mel_cepstrum(true_envelope(level[sound], order))
    return cepstra[frames]


def true_envelope(level: Array, order: Ints) -> Array:
    """Log-amplitude envelope of each spectrum.

    Parameters
    ----------
    level : array of float64, shape (n, 2049)
        Log amplitude at 0 .. fs / 2.
    order : array of int, shape (n,)
        Cepstral order that F0 allows: fs / (2 F0).

    Returns
    -------
    array of float64, shape (n, 2049)
    """
    full = widened(order)
    target = _fold(level)
    # DC and Nyquist often lack a harmonic; a smoother envelope fills these gaps first.
    smooth = _iterate(target, widened(round_half_away(full / 2)))
    reach = round_half_away(0.25 * NFFT / full)[:, None]  # bins
    distance = np.arange(_FOLD + 1)
    target[0] = np.where(distance < reach, smooth[0], target[0])
    target[1] = np.where(distance < reach - 1, smooth[1], target[1])
    target[:, :, _FOLD] = target[0, :, _FOLD]
    return _unfold(_iterate(target, full))


def widened(order: Ints) -> Ints:
    """Return the number of coefficients that the tapered lifter needs in place of `order`."""
    return np.minimum(round_half_away(1.2 * order), NFFT // 2 - 1)


def _iterate(target: Array, order: Ints) -> Array:
    """Raise the smoothed spectrum until it covers `target` (2, n, 1025) to within 2 dB."""
    result = np.empty_like(target)
    active = np.arange(target.shape[1])
    size = int(order.max(initial=0)) + 1
    lifter = _lifters(order, size)
    level, floor, c = target.copy(), target, np.zeros((len(order), size))
    for step in range(_ITERATIONS):
        if not active.size:
            break
        coefficients, outside = _analyse(level, size, lifter > 0)
        inside = np.sqrt(np.einsum("ij,ij->i", coefficients, coefficients))
        c += ((inside + outside) / inside)[:, None] * lifter * (coefficients - c)
        envelope = _synthesise(c)
        done = (floor - envelope).max(axis=(0, 2)) <= _TOLERANCE
        if step == _ITERATIONS - 1:
            done[:] = True
        result[:, active[done]] = envelope[:, done]
        np.maximum(level, envelope, out=level)
        if done.any():
            left = ~done
            active, lifter, c = active[left], lifter[left], c[left]
            level, floor = level[:, left], floor[:, left]
    return result


def _lifters(order: Ints, size: int) -> Array:
    """Falling half of a Hamming window of `order` + 1 points, zeros after, shape (n, size)."""
    q = np.arange(size)
    lifter = 0.54 + 0.46 * np.cos(np.pi * q / order[:, None])
    return np.where(q <= order[:, None], lifter, 0.0)


@lru_cache(maxsize=4)
def _cosines(size: int) -> tuple[Array, Array]:
    """Matrices cos(2 pi k q / 4096): even q (and 2048, in front), odd q; k = 0 .. 1024."""
    k = np.arange(_FOLD + 1)[:, None]
    even = np.concatenate([[NFFT // 2], np.arange(0, size + 2, 2)])
    odd = np.arange(1, size + 2, 2)

    def table(q: Ints) -> Array:
        return np.cos(2 * np.pi * (k * q % NFFT) / NFFT)

    return table(even), table(odd)


def _matrices(size: int) -> tuple[Array, Array, int, int]:
    # One table serves all F0 of speech; silence alone (F0 of 1 Hz) needs a larger one.
    even, odd = _cosines(200 if size <= 200 else NFFT // 2)
    return even, odd, (size + 1) // 2, size // 2


@lru_cache(maxsize=1)
def _weights() -> Array:
    """How often each folded bin occurs in a whole spectrum, over 4096."""
    weights = np.full(_FOLD + 1, 2.0)
    weights[0] = weights[_FOLD] = 1.0  # DC and Nyquist occur once; the fold bin is in both halves
    return weights / NFFT


def _analyse(level: Array, size: int, keep: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Cepstrum (n, size) of folded log spectra, and the norm (n,) of what `keep` leaves out."""
    even, odd, n_even, n_odd = _matrices(size)
    weights = _weights()
    left, right = level
    total = left + right
    total *= weights
    difference = left - right
    difference *= weights
    c = np.empty((left.shape[0], size))
    evens = total @ even[:, : n_even + 1]
    c[:, 0::2] = 2 * evens[:, 1:]
    c[:, 1::2] = 2 * (difference @ odd[:, :n_odd])
    c[:, 0] /= 2
    c *= keep
    # Parseval: the energy of the other coefficients without computing them.
    power = np.einsum("hij,hij,j->i", level, level, weights)
    rest = 2 * (power - c[:, 0] ** 2 - evens[:, 0] ** 2)
    rest -= np.einsum("ij,ij->i", c[:, 1:], c[:, 1:])
    return c, np.sqrt(np.maximum(rest, 0.0))


def _synthesise(c: Array) -> Array:
    """Folded log spectra (2, n, 1025) of cepstra (n, size)."""
    even, odd, n_even, n_odd = _matrices(c.shape[1])
    symmetric = c[:, 0::2] @ even[:, 1 : n_even + 1].T
    antisymmetric = c[:, 1::2] @ odd[:, :n_odd].T
    out = np.empty((2, *symmetric.shape))
    np.add(symmetric, antisymmetric, out=out[0])
    np.subtract(symmetric, antisymmetric, out=out[1])
    return out


def _fold(level: Array) -> Array:
    """(n, 2049) -> (2, n, 1025): from DC up, and from Nyquist down, to the fold bin."""
    return np.stack([level[:, : _FOLD + 1], level[:, : _FOLD - 1 : -1]])


def _unfold(folded: Array) -> Array:
    return np.concatenate([folded[0], folded[1][:, _FOLD - 1 :: -1]], axis=1)


def mel_cepstrum(log_envelope: Array, order: int = ORDER) -> Array:
    """Cepstrum of envelopes whose amplitude is interpolated linearly onto a mel axis.

    Parameters
    ----------
    log_envelope : array of float64, shape (n, 2049)
        Natural-log amplitude at 0 .. fs / 2.
    order : int
        Highest coefficient.

    Returns
    -------
    array of float64, shape (n, order + 1)
    """
    left, share = mel_warp(BINS)
    amplitude = np.exp(log_envelope)
    warped = amplitude[:, left]
    warped += (amplitude[:, left + 1] - warped) * share
    return np.log(warped) @ cepstral_matrix(BINS, order)


@lru_cache(maxsize=2)
def mel_warp(bins: int) -> tuple[Ints, Array]:
    """Where a mel axis of `bins` points falls between those of a linear one up to fs / 2.

    Returns
    -------
    left : array of int64, shape (bins,)
        The linear point below.
    share : array of float64, shape (bins,)
        Of the way from there to the next.
    """
    top = FS / 2
    f = np.linspace(0, top, bins)
    knots = top * np.log1p(f / 700) / np.log1p(top / 700)
    left = np.clip(np.searchsorted(knots, f, side="right") - 1, 0, bins - 2)
    return left, (f - knots[left]) / (knots[left + 1] - knots[left])


@lru_cache(maxsize=3)
def cepstral_matrix(bins: int, order: int) -> Array:
    """From a log half spectrum of `bins` points to its cepstrum, doubled but for 0, (bins, order + 1)."""
    size = 2 * (bins - 1)
    k, q = np.arange(bins)[:, None], np.arange(order + 1)
    matrix = 4 * np.cos(2 * np.pi * (k * q % size) / size) / size
    matrix[[0, -1]] /= 2
    matrix[:, 0] /= 2
    return matrix
