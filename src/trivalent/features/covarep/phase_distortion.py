"""HMPDM and HMPDD: mean and deviation over time of the phase distortion of voiced speech.

G. Degottex and D. Erro, "A uniform phase representation for the harmonic model in speech
synthesis applications", EURASIP J. Audio, Speech, and Music Processing 2014:38.

Phase distortion is the difference between the phases of neighbouring harmonics, less the vocal
tract's minimum phase and less the phase of the first harmonic: it does not depend on the instant
of analysis, so that it can be averaged over frames. Its mean over 250 ms tells the shape of the
glottal pulse, its deviation over 90 ms tells noise from voice.

Memory: the distortion is kept at the harmonics; on the frequency axis of 513 bins a few bins are
treated at a time, for all frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, correlate1d

from trivalent.features.covarep.envelope import cepstral_matrix, mel_warp
from trivalent.features.covarep.framing import FS, Array, Ints, blocks, hanning, on_grid, round_half_away
from trivalent.features.covarep.harmonics import usable_frames
from trivalent.features.covarep.pitch import Pitch
from trivalent.features.covarep.sinusoids import Harmonics, harmonic_count, harmonics, nonzero_samples

MEANS, DEVIATIONS = 25, 13  # columns
_BINS = 513  # 0 .. fs / 2
_BIN_HZ = FS / 2 / (_BINS - 1)
_MEAN_FRAMES = 25  # length of the moving average for the mean: 250 ms
_FRAMES = 9  # length of the windows for the deviation: 90 ms
_MEAN_REACH = _MEAN_FRAMES - 1  # frames on either side: the average runs forwards and backwards
_REACH = (_FRAMES - 1) + (_FRAMES - 3) + _FRAMES // 2  # average, smoothing and median of the trend
_LEAST_FRAMES = 3 * (_MEAN_FRAMES - 1)  # more than this: the ends are extended by so many
_FLOOR = 1e-3  # deviation in place of 0, whose logarithm is needed
_ROUNDING = 1e-12  # a mean vector this close to length 1 has no deviation
_BLOCK = 1 << 16  # bins times frames


def hmpd_columns(x: Array, pitch: Pitch, grid: Array, *, seed: int = 0, strict: bool = False) -> Array:
    """Compute HMPDM_0..24 and HMPDD_0..12 on the grid.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz in natural polarity.
    pitch : Pitch
        Its F0 track.
    grid : array of float64, shape (rows,)
        Rows in samples, counted from 1.
    seed : int
        Of the random phases above the last harmonic, which reach HMPDM_24 and HMPDD.
    strict : bool
        Keep two kinds of values that depend on rounding in the reference implementation. HMPDD
        of the first and last frame: the recording is extended such that the deviation is 0
        there but for rounding; here it is the floor. And values around windows of silence (at
        most one sample is not zero): their distortion is taken as 0.

    Returns
    -------
    array of float64, shape (rows, 38)
        HMPDM in radians, -pi to pi; HMPDD as a mel cepstrum. NaN before the first and after the
        last frame, within 240 ms (HMPDM) or 180 ms (HMPDD) of a window of silence, and
        everywhere in recordings of 72 frames (0.8 s) or less.
    """
    frames = usable_frames(x.size, pitch)
    if len(frames) <= _LEAST_FRAMES:
        return np.full((len(grid), MEANS + DEVIATIONS), np.nan)
    means, deviations = distortion_statistics(x, pitch, frames, seed=seed)
    if not strict:
        silent = nonzero_samples(x, pitch, frames) <= 1
        means[_near(silent, _MEAN_REACH)] = np.nan
        deviations[_near(silent, _REACH)] = np.nan
        deviations[[0, -1]] = np.nan
    centres = pitch.centres[frames]
    at = grid - 1  # the field's tables are so much early here
    unrolled = on_grid(centres, _unrolled(means), at)
    return np.concatenate([_wrapped(unrolled), on_grid(centres, deviations, at)], axis=1)


def _near(flags: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Whether any flag is set within `reach` frames."""
    return binary_dilation(flags, np.ones(2 * reach + 1, dtype=bool))


def distortion_statistics(x: Array, pitch: Pitch, frames: Ints, *, seed: int = 0) -> tuple[Array, Array]:
    """Compressed mean and deviation of the phase distortion around each frame.

    Parameters
    ----------
    x, pitch, seed
        As for `hmpd_columns`.
    frames : array of int, shape (m,)
        Frames of the track whose window lies within the signal; more than 72.

    Returns
    -------
    means : array of float64, shape (m, 25)
        Phase in radians of the mean over 250 ms and over the bins of each band.
    deviations : array of float64, shape (m, 13)
        Mel cepstrum of the circular standard deviation over 90 ms.
    """
    rng = np.random.default_rng(seed)
    distortion = _distortion(x, pitch, frames, rng)
    bands = _bands()
    vectors = np.zeros((MEANS, len(frames)), dtype=np.complex128)
    cepstrum = np.zeros((DEVIATIONS, len(frames)))
    below: Array | None = None
    for bins in blocks(_BINS, max(2, _BLOCK // len(frames))):
        angle = distortion.at_bins(np.arange(bins.start, bins.stop), rng)
        cosine, sine = np.cos(angle), np.sin(angle)
        starts = np.flatnonzero(np.diff(bands[bins], prepend=-1))
        vectors[bands[bins][starts]] += np.add.reduceat(_mean_direction(cosine, sine), starts, axis=0)
        deviation = _deviation(cosine, sine)
        if below is None:
            deviation[0] = deviation[1]  # DC has no phase
        deviation[deviation == 0] = _FLOOR
        rows = deviation if below is None else np.concatenate([below, deviation])
        cepstrum += _partial_cepstrum(rows, bins.stop - len(rows))
        below = deviation[-1:]
    return np.angle(vectors).T, cepstrum.T


@dataclass(frozen=True)
class _Distortion:
    """Phase distortion at multiples 1, 2, .. of a frequency, frame after frame in one array.

    Attributes
    ----------
    unit : array of float64, shape (m,)
        That frequency, in Hz.
    count : array of int, shape (m,)
        Number of multiples; one more entry follows, of random phase.
    start : array of int, shape (m,)
        Position of a frame's first entry in `values`.
    values : array of float32
        Radians.
    """

    unit: Array
    count: Ints
    start: Ints
    values: NDArray[np.float32]

    def at_bins(self, bins: Ints, rng: np.random.Generator) -> Array:
        """Interpolate along the shorter arc, shape (bins, m); 0 below the first multiple."""
        position = bins[:, None] * _BIN_HZ / self.unit
        left = np.clip(position.astype(np.int64), 1, self.count)
        here = self.start + left - 1
        value = self.values[here].astype(np.float64)
        share = np.minimum(position - left, 1)
        value += share * _wrapped(self.values[here + 1] - value)
        value[position < 1] = 0
        # The reference implementation pads all frames to the largest count with random phases:
        # only the frames of that count have nothing to interpolate above it.
        beyond = (position > self.count) & (self.count == self.count.max())
        value[beyond] = rng.uniform(-np.pi, np.pi, np.count_nonzero(beyond))
        return value


def _distortion(x: Array, pitch: Pitch, frames: Ints, rng: np.random.Generator) -> _Distortion:
    unit = pitch.f0[frames]
    count = harmonic_count(unit)
    # An F0 below the distance of bins (1 Hz, in silence) needs no more values than there are bins.
    dense = count >= _BINS
    unit = np.where(dense, _BIN_HZ, unit)
    count = np.where(dense, _BINS - 1, count)
    end = np.cumsum(count + 1)
    start = end - count - 1
    values = np.zeros(end[-1], dtype=np.float32)  # frames of silence keep the zeros
    for block in harmonics(x, pitch, frames):
        rows = np.searchsorted(frames, block.index)
        phase = phase_distortion(block)
        for row in np.flatnonzero(dense[rows]):
            phase[row, : _BINS - 1] = _thinned(phase[row], float(block.f0[row]))
        column = np.arange(min(phase.shape[1], int(count[rows].max())))
        inside = column < count[rows][:, None]
        values[(start[rows][:, None] + column)[inside]] = phase[:, : column.size][inside]
    values[end - 1] = rng.uniform(-np.pi, np.pi, len(end))
    return _Distortion(unit, count, start, values)


def _thinned(phase: Array, f0: float) -> Array:
    """Values at bins 1 .. 512 of a distortion at multiples of a very low F0."""
    position = np.arange(1, _BINS) * (_BIN_HZ / f0)
    left = np.clip(position.astype(np.int64), 1, len(phase) - 1)
    return phase[left - 1] + (position - left) * _wrapped(phase[left] - phase[left - 1])


def phase_distortion(block: Harmonics) -> Array:
    """Phase distortion at multiples 1, 2, .. of F0 (Degottex and Erro 2014, equations 9 and 10).

    Parameters
    ----------
    block : Harmonics

    Returns
    -------
    array of float64, shape (b, width)
        Radians, -pi to pi, the first 0. Entries from `block.count` on have no meaning.
    """
    phase = block.phase - _minimum_phase(block)
    distortion = np.zeros_like(phase)
    distortion[:, 1:] = _wrapped(np.diff(phase, axis=1) - phase[:, :1])
    return distortion


def _minimum_phase(block: Harmonics) -> Array:
    """Phase at the harmonics of the filter that has their amplitudes, shape (b, width)."""
    position = np.arange(_BINS) * (_BIN_HZ / block.spacing[:, None])  # in harmonics
    left = np.clip(position.astype(np.int64), 1, block.count[:, None])
    right = np.minimum(left + 1, block.count[:, None])
    share = np.clip(position - left, 0, 1)
    envelope = np.take_along_axis(block.level, left - 1, axis=1)
    envelope += share * (np.take_along_axis(block.level, right - 1, axis=1) - envelope)
    cepstrum = scipy.fft.irfft(envelope, axis=1)[:, :_BINS]
    cepstrum[:, 1:-1] *= 2  # folded: causal
    phase = scipy.fft.rfft(cepstrum, 2 * (_BINS - 1), axis=1).imag
    position = np.arange(1, block.level.shape[1] + 1) * (block.spacing[:, None] / _BIN_HZ)  # in bins
    left = np.minimum(position.astype(np.int64), _BINS - 2)
    below = np.take_along_axis(phase, left, axis=1)
    above = np.take_along_axis(phase, left + 1, axis=1)
    return np.where(position <= _BINS - 1, below + (position - left) * (above - below), 0.0)


def _wrapped(angle: Array) -> Array:
    return angle - 2 * np.pi * np.round(angle / (2 * np.pi))


def _unrolled(angle: Array) -> Array:
    """Angles (m, c) without jumps over time; a NaN does not end the track."""
    turns = np.round(np.nan_to_num(np.diff(angle, axis=0)) / (2 * np.pi))
    return angle - 2 * np.pi * np.concatenate([np.zeros((1, angle.shape[1])), np.cumsum(turns, axis=0)])


def _zero_phase(track: Array, window: Array) -> Array:
    """Filter forwards and backwards along frames, ends extended by odd symmetry."""
    kernel = np.convolve(window, window[::-1]) / window.sum() ** 2
    reach = len(kernel) // 2
    before = 2 * track[:, :1] - track[:, reach:0:-1]
    after = 2 * track[:, -1:] - track[:, -2 : -reach - 2 : -1]
    return correlate1d(np.concatenate([before, track, after], axis=1), kernel, axis=1)[:, reach:-reach]


def _mean_direction(cosine: Array, sine: Array) -> NDArray[np.complex128]:
    window = np.ones(_MEAN_FRAMES)
    mean = _zero_phase(cosine, window) + 1j * _zero_phase(sine, window)
    return _direction(mean)


def _direction(vector: NDArray[np.complex128]) -> NDArray[np.complex128]:
    length = np.abs(vector)
    with np.errstate(invalid="ignore"):
        return np.where(length > 0, vector / length, vector + (length == 0))


def _deviation(cosine: Array, sine: Array) -> Array:
    """Circular standard deviation around a running median (Degottex and Erro 2014, equation 13)."""
    window = hanning(_FRAMES - 2)  # a Hann window of nine frames, without its zeros
    trend = _zero_phase(_median9(cosine), window) + 1j * _zero_phase(_median9(sine), window)
    around = (cosine + 1j * sine) * _direction(trend).conj()
    box = np.ones(_FRAMES)
    length = np.hypot(_zero_phase(around.real, box), _zero_phase(around.imag, box))
    length[length > 1 - _ROUNDING] = 1
    with np.errstate(divide="ignore"):
        return np.sqrt(-2 * np.log(length))


def _median9(track: Array) -> Array:
    """Take the running median of nine frames, zeros outside, from sorted triples (Paeth 1990)."""
    n = track.shape[1]
    padded = np.pad(track, ((0, 0), (4, 4)))
    low, middle, high = _sorted3(padded[:, :-2], padded[:, 1:-1], padded[:, 2:])
    first, second, third = slice(0, n), slice(3, n + 3), slice(6, n + 6)
    low = np.maximum(np.maximum(low[:, first], low[:, second]), low[:, third])
    middle = _sorted3(middle[:, first], middle[:, second], middle[:, third])[1]
    high = np.minimum(np.minimum(high[:, first], high[:, second]), high[:, third])
    return _sorted3(low, middle, high)[1]


def _sorted3(a: Array, b: Array, c: Array) -> tuple[Array, Array, Array]:
    small, large = np.minimum(a, b), np.maximum(a, b)
    return np.minimum(small, c), np.maximum(small, np.minimum(large, c)), np.maximum(large, c)


@lru_cache(maxsize=1)
def _bands() -> Ints:
    """Band of each bin: one bin each at first, ever wider ones towards fs / 2, shape (513,)."""
    t = np.arange(101) / 100
    x, y = ((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c for a, b, c in ((8, 25, 512), (8, 25, 25)))
    number = np.arange(1.0, _BINS + 1)
    return round_half_away(np.where(number <= 8, number, np.interp(number, x, y))) - 1


def _partial_cepstrum(rows: Array, first: int) -> Array:
    """Return the share of bins `first`, first + 1, .. in the mel cepstra, shape (13, m)."""
    left, share = mel_warp(_BINS)
    targets = np.flatnonzero((left >= first) & (left < first + len(rows) - 1))
    here = left[targets] - first
    warped = rows[here] + share[targets, None] * (rows[here + 1] - rows[here])
    return cepstral_matrix(_BINS, DEVIATIONS - 1)[targets].T @ np.log(warped)
