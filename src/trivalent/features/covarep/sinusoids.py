"""Harmonics of every frame: amplitudes and phases of a voice as a sum of sinusoids.

R. J. McAulay and T. F. Quatieri, "Speech analysis/synthesis based on a sinusoidal
representation", IEEE Trans. ASSP 34(4), 1986. Each multiple of F0 takes the nearest peak of the
pitch-synchronous spectrum (`harmonics.spectra`), so that F0 may be a little wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.features.covarep.framing import FS, Array, Ints, blocks, round_half_away
from trivalent.features.covarep.harmonics import BINS, NFFT, half_window, spectra
from trivalent.features.covarep.pitch import Pitch

Spectrum = NDArray[Any]  # complex128
_BLOCK = 4096  # frames
_TINY = 1e-300  # power in place of 0, whose logarithm is not finite


@dataclass(frozen=True)
class Harmonics:
    """Harmonics 1, 2, .. of a block of frames; rows are filled up to the largest count.

    Attributes
    ----------
    index : array of int, shape (b,)
        Frames of the F0 track.
    f0 : array of float64, shape (b,)
        F0 of the track in Hz.
    spacing : array of float64, shape (b,)
        Median distance between neighbouring harmonics in Hz: harmonic k lies at k * spacing.
    count : array of int, shape (b,)
        Number of harmonics below half the sampling rate.
    level : array of float64, shape (b, width)
        Natural log of the amplitude. Entries from `count` on have no meaning.
    phase : array of float64, shape (b, width)
        Phase at the centre of the frame in radians, modulo 2 pi. Entries from `count` on have
        no meaning.
    """

    index: Ints
    f0: Array
    spacing: Array
    count: Ints
    level: Array
    phase: Array


def harmonic_count(f0: Array) -> Ints:
    """Return the number of harmonics: below half the sampling rate by half an F0 or more."""
    return round_half_away((FS / 2 - f0 / 2) / f0)


def harmonics(x: Array, pitch: Pitch, frames: Ints) -> Iterator[Harmonics]:
    """Yield the harmonics of frames, in blocks of similar F0, without frames of silence.

    Silence: at most one sample in the window is not zero. The spectrum of a single sample is
    flat, its peaks are rounding errors.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz.
    pitch : Pitch
        Its F0 track.
    frames : array of int, shape (m,)
        Frames of the track whose window lies within the signal (`harmonics.usable_frames`).
    """
    sounding = frames[nonzero_samples(x, pitch, frames) > 1]
    for index, spectrum in spectra(x, pitch, sounding):
        yield _measure(index, spectrum, pitch.f0[index])


def nonzero_samples(x: Array, pitch: Pitch, frames: Ints) -> Ints:
    """Count the samples in the window of each frame that are not zero, shape (m,)."""
    counts = np.empty(len(frames), dtype=np.int64)
    for rows in blocks(len(frames), _BLOCK):
        # The window is zero at both ends; only an F0 below 12 Hz has one that the transform cuts.
        half, centres = half_window(pitch.f0[frames[rows]]), pitch.centres[frames[rows]]
        start = centres - half + 1
        end = np.minimum(centres + half, start + NFFT - 1)
        first = start.min()
        sounding = (x[first : end.max() + 1] != 0).astype(np.int64)
        # Sums over start:end of each pair; those from one end to the next start are dropped.
        bounds = np.stack([start, end], axis=1).ravel() - first
        counts[rows] = np.add.reduceat(sounding, bounds)[::2]
    return counts


def _measure(index: Ints, spectrum: Spectrum, f0: Array) -> Harmonics:
    count = harmonic_count(f0)
    multiples = f0[:, None] * np.arange(1, count.max() + 1)  # (b, width)
    log_power = np.log(np.maximum(spectrum.real**2 + spectrum.imag**2, _TINY))
    at_bin = np.minimum(round_half_away(multiples * (NFFT / FS)), BINS - 1)
    level = np.take_along_axis(log_power, at_bin, axis=1)
    distance, peak_frequency, peak_level = _nearest_peaks(log_power, multiples)
    near = distance < f0[:, None] / 2
    frequency = np.where(near, peak_frequency, multiples)
    level = np.where(near, peak_level, level) / 2
    phase = _phase(spectrum, half_window(f0), frequency)
    return Harmonics(index, f0, _spacing(frequency, count), count, level, phase)


def _nearest_peaks(log_power: Array, multiples: Array) -> tuple[Array, Array, Array]:
    """Distance, frequency and level of the peak nearest to each multiple, (b, width) each."""
    inner = log_power[:, 1:-1]
    row, column = np.nonzero((inner > log_power[:, :-2]) & (inner > log_power[:, 2:]))
    if not row.size:
        return np.full(multiples.shape, np.inf), multiples, multiples
    # Parabola through three bins around each peak.
    left, top, right = (log_power[row, column + shift] for shift in range(3))
    offset = 0.5 * (left - right) / (left - 2 * top + right)
    peak_level = top - 0.25 * (left - right) * offset
    frequency = (column + 1 + offset) * (FS / NFFT)
    # One sorted list for all frames: each has its own lane of keys, 32 kHz wide, so that the
    # peaks of other frames are too far away to count.
    lane = 2.0 * FS * np.arange(len(multiples))
    keys, targets = frequency + lane[row], multiples + lane[:, None]
    after = np.searchsorted(keys, targets)
    upper, lower = np.minimum(after, keys.size - 1), np.maximum(after - 1, 0)
    below, above = np.abs(targets - keys[lower]), np.abs(targets - keys[upper])
    best = np.where(below <= above, lower, upper)
    return np.minimum(below, above), frequency[best], peak_level[best]


def _phase(spectrum: Spectrum, half: Ints, frequency: Array) -> Array:
    """Phase relative to the window's centre, interpolated between the two bins around."""
    position = np.clip(frequency * (NFFT / FS), 0, BINS - 1)
    left = np.minimum(position.astype(np.int64), BINS - 2)
    below = np.take_along_axis(spectrum, left, axis=1)
    above = np.take_along_axis(spectrum, left + 1, axis=1)
    turn = 2 * np.pi * half[:, None] / NFFT  # a spectrum from the first sample on turns so much per bin
    step = np.angle(above * below.conj() * np.exp(1j * turn))
    return np.angle(below) + turn * left + (position - left) * step


def _spacing(frequency: Array, count: Ints) -> Array:
    steps = np.diff(frequency, axis=1, prepend=0.0)
    steps[np.arange(steps.shape[1]) >= count[:, None]] = np.inf  # sorted to the end
    steps.sort(axis=1)
    rows = np.arange(len(count))
    return (steps[rows, (count - 1) // 2] + steps[rows, count // 2]) / 2
