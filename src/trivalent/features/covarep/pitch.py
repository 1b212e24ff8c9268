"""F0 and voicing by the summation of residual harmonics (SRH).

T. Drugman and A. Alwan, "Joint robust voicing detection and pitch estimation based on
residual harmonics", Interspeech 2011.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from trivalent.features.covarep.framing import FS, HOP, Array, blocks, frame_view, round_half_away
from trivalent.features.covarep.linear_prediction import lp_residual

F0_MIN, F0_MAX = 50, 500  # Hz
_FRAME = 1598  # samples
_FIRST = 800  # centre of the first frame, counted from 1
_ORDER = 12
_HARMONICS = 5
_BINS = _HARMONICS * F0_MAX + 1  # 0 .. 2500 Hz: the criterion reads nothing above
_BLOCK = 64  # frames whose 16,000-point spectra are in memory at a time
_KEEP = 12_000  # frames (2 min) whose criterion is kept for the second pass


@dataclass(frozen=True)
class Pitch:
    """SRH track, one entry per frame.

    Attributes
    ----------
    centres : array of int, shape (frames,)
        Samples, counted from 1.
    f0 : array of float64, shape (frames,)
        Hz; a number in unvoiced frames too, and 1 where the criterion is nowhere positive.
    strength : array of float64, shape (frames,)
        SRH at that F0 (0 where nowhere positive).
    voiced : array of bool, shape (frames,)
    """

    centres: NDArray[np.int64]
    f0: Array
    strength: Array
    voiced: NDArray[np.bool_]


def srh(x: Array, *, lowest: int = F0_MIN) -> Pitch:
    """Track F0 in two passes: over 50 to 500 Hz, then within an octave of the speaker's median.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz; shorter than 0.1 s gives an empty track.
    lowest : int
        Lowest F0 in Hz, at least 1 (creaky voice goes below 50).
    """
    frames = frame_view(lp_residual(x, _ORDER), _FRAME, HOP)
    # The last frame must end before the last sample.
    frames = frames[: max(0, (x.size - 1599) // HOP + 1)]
    centres = _FIRST + HOP * np.arange(len(frames))
    low, high = lowest, F0_MAX
    kept: list[Array] = []
    f0, strength = _track(_criteria(frames, lowest, keep=kept), low, high, lowest=lowest)
    sure = strength > 0.1
    if sure.any():
        median = float(np.median(f0[sure]))
        low = max(low, int(round_half_away(median / 2)))
        high = min(high, int(round_half_away(2 * median)))
    if (low, high) != (lowest, F0_MAX):
        again = iter(kept) if kept else _criteria(frames, lowest)
        f0, strength = _track(again, low, high, lowest=lowest)
    spread = np.std(strength, ddof=1) if strength.size > 1 else 0.0
    return Pitch(centres, f0, strength, strength > (0.085 if spread > 0.05 else 0.07))


def _criteria(frames: Array, lowest: int = F0_MIN, *, keep: list[Array] | None = None) -> Iterator[Array]:
    """Yield SRH for every integer F0 of lowest..500 Hz, shape (block, 501 - lowest) each."""
    window = np.blackman(_FRAME)
    for rows in blocks(len(frames), _BLOCK):
        criterion = _summation(_spectrum(frames[rows] * window), lowest)
        if keep is not None and len(frames) <= _KEEP:
            keep.append(criterion)
        yield criterion


def _spectrum(segment: Array) -> Array:
    """Amplitude at 0 .. 2500 Hz of a spectrum (0 .. 7999 Hz) scaled to unit norm."""
    segment = segment - segment.mean(axis=1, keepdims=True)
    amplitude = np.abs(scipy.fft.rfft(segment, FS)[:, :_BINS])
    # Parseval gives the norm over 0..7999 Hz without computing those amplitudes.
    nyquist = segment[:, 0::2].sum(axis=1) - segment[:, 1::2].sum(axis=1)
    energy = FS * np.einsum("ij,ij->i", segment, segment) + amplitude[:, 0] ** 2 - nyquist**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return amplitude / np.sqrt(energy / 2)[:, None]


def _summation(amplitude: Array, lowest: int = F0_MIN) -> Array:
    candidates = np.arange(lowest, F0_MAX + 1)
    # The criterion reads the bin below the frequency that it names (1 Hz): kept as published.
    total = amplitude[:, candidates - 1].copy()
    for k in range(2, _HARMONICS + 1):
        total += amplitude[:, k * candidates - 1]
    for k in range(1, _HARMONICS):
        total -= amplitude[:, round_half_away((k + 0.5) * candidates) - 1]
    return total


def _track(criteria: Iterator[Array], low: int, high: int, *, lowest: int) -> tuple[Array, Array]:
    """Best F0 in [low, high] and its SRH; (1, 0) where SRH is nowhere positive."""
    f0: list[Array] = [np.empty(0)]
    strength: list[Array] = [np.empty(0)]
    for criterion in criteria:
        within = np.nan_to_num(criterion[:, low - lowest : high - lowest + 1], nan=0.0)
        best = within.argmax(axis=1)
        value = within[np.arange(len(within)), best]
        found = value > 0
        f0.append(np.where(found, best + float(low), 1.0))
        strength.append(np.where(found, value, 0.0))
    return np.concatenate(f0), np.concatenate(strength)
