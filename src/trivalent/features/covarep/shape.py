"""Rd, the shape of the glottal pulse, and the confidence in it, by the MSPD2 method.

G. Degottex, A. Roebel and X. Rodet, "Phase minimization for glottal model estimation", IEEE
TASLP 19(5), 2011; "Function of phase-distortion for glottal model estimation", ICASSP 2011.

Speech divided by the right glottal pulse is the vocal tract: a minimum-phase filter, up to a
delay. The error of a candidate Rd is therefore the second difference of the phase that is left
when pulse and minimum phase are removed. The minimum phase is linear in log amplitudes, hence

    error(Rd) = mean_i wrap(speech_i + template_i(Rd))^2,    i = 1 .. 7,

where seven numbers describe a frame, and the templates depend only on Rd and on the number of
harmonics: they are tabulated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from trivalent.core.errors import FeatureError
from trivalent.features.covarep.framing import FS, Array, Ints, blocks, on_grid
from trivalent.features.covarep.harmonics import usable_frames
from trivalent.features.covarep.liljencrants_fant import pulse, spectrum
from trivalent.features.covarep.options import Variant
from trivalent.features.covarep.pitch import F0_MIN, Pitch
from trivalent.features.covarep.sinusoids import Harmonics, harmonic_count, harmonics, nonzero_samples

RD_RANGE = (0.3, 2.5)
_TOLERANCE = 0.01  # of Rd
_EVALUATIONS = 32
_PHASES = 8  # harmonics whose phases are compared
_NODES = np.linspace(*RD_RANGE, 551)  # of the table of templates; cubic between: error below 1e-5 rad
_GOLDEN = (3 - np.sqrt(5.0)) / 2
_BLOCK = 16_384  # frames


def rd_columns(
    x: Array, pitch: Pitch, grid: Array, *, variant: Variant = "head", strict: bool = False
) -> Array:
    """Compute Rd and Rd_conf on the grid.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz in natural polarity.
    pitch : Pitch
        Its F0 track.
    grid : array of float64, shape (rows,)
        Rows in samples, counted from 1.
    variant : {"head", "legacy"}
        See `estimate_rd`.
    strict : bool
        Give a window of zeros the Rd at which the search starts, 1.14, as the reference
        implementation does.

    Returns
    -------
    array of float64, shape (rows, 2)
        NaN before the first and after the last frame, and next to a frame without value
        (digital silence). Where such a frame has no F0 candidate but some sound in its window,
        the reference implementation has an arbitrary number, which `strict` does not restore.
    """
    frames = usable_frames(x.size, pitch)
    values = estimate_rd(x, pitch, frames, variant=variant)
    if strict:
        values[nonzero_samples(x, pitch, frames) == 0, 0] = RD_RANGE[0] + _GOLDEN * (
            RD_RANGE[1] - RD_RANGE[0]
        )
    return on_grid(pitch.centres[frames], values, grid)


def estimate_rd(x: Array, pitch: Pitch, frames: Ints, *, variant: Variant = "head") -> Array:
    """Rd and confidence of frames, unvoiced ones too.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz in natural polarity.
    pitch : Pitch
        Its F0 track.
    frames : array of int, shape (m,)
        Frames of the track whose window lies within the signal.
    variant : {"head", "legacy"}
        "legacy" divides the speech by the spectrum of the pulse, as published. "head" divides by
        its conjugate: that is what COVAREP has computed since a slip in 2016.

    Returns
    -------
    array of float64, shape (m, 2)
        Rd in [0.3, 2.5], and 1 - sqrt(error) / pi in [0, 1]. NaN where there is no F0 candidate
        (digital silence), and where at most one sample in the window is not zero.

    Raises
    ------
    FeatureError
        Unknown variant.
    """
    if variant not in ("head", "legacy"):
        raise FeatureError("covarep.variant", variant=variant)
    signature = np.full((len(pitch.f0), _PHASES - 1), np.nan)
    last = np.zeros(len(pitch.f0), dtype=np.int64)
    for block in harmonics(x, pitch, frames[pitch.f0[frames] >= F0_MIN]):
        signature[block.index], last[block.index] = _signatures(block)
    values = np.full((len(frames), 2), np.nan)
    known = np.flatnonzero(last[frames] > _PHASES)
    for rows in blocks(len(known), _BLOCK):
        some = frames[known[rows]]
        values[known[rows]] = _minimise(signature[some], last[some], variant)
    return values


def _signatures(block: Harmonics) -> tuple[Array, Ints]:
    """Return the frames' part of the error (b, 7) and the last harmonic below fs / 2 (b,)."""
    last = np.minimum(block.count, (FS / 2 / block.spacing).astype(np.int64))
    signature = np.full((len(last), _PHASES - 1), np.nan)
    for top in np.unique(last[last > _PHASES]):  # few: a block holds neighbours in F0
        rows = np.flatnonzero(last == top)
        minimum = block.level[rows, : top - 1] @ minimum_phase_matrix(int(top)).T
        signature[rows] = _second_difference(block.phase[rows, :_PHASES] - minimum)
    return signature, last


def minimum_phase_matrix(last: int) -> Array:
    """Matrix from log amplitudes to minimum phase, after the folding of the real cepstrum.

    The discrete Hilbert transform of a spectrum of 2 * `last` points, in closed form.

    Parameters
    ----------
    last : int
        Number of the harmonic that falls on half the sampling rate, above 8. Its amplitude and
        that at 0 Hz are unknown and taken from the neighbours.

    Returns
    -------
    array of float64, shape (8, last - 1)
        Rows: phases of harmonics 1 to 8. Columns: log amplitudes of harmonics 1 to last - 1.
    """
    k = np.arange(1, _PHASES + 1)[:, None]
    n = np.arange(last + 1)

    def kernel(m: Ints) -> Array:
        angle = np.pi * m / (2 * last)
        return np.where(m % 2 == 1, np.cos(angle) / np.where(m % 2 == 1, np.sin(angle), 1), 0.0)

    whole = -(kernel(k - n) + kernel(k + n)) / last
    whole[:, [0, last]] /= 2  # in the spectrum once, not twice
    whole[:, 1] += whole[:, 0]
    whole[:, last - 1] += whole[:, last]
    return whole[:, 1:last]


def _second_difference(phase: Array) -> Array:
    """Differences of neighbours, less the first phase; shape (n, 8) to (n, 7)."""
    return np.diff(phase, axis=1) - phase[:, :1]


@lru_cache(maxsize=1)
def _pulses() -> tuple[Array, Array]:
    """Log amplitude and phase of the pulses, each (harmonics, nodes)."""
    most = int(harmonic_count(np.array(float(F0_MIN))))
    pulses = spectrum(pulse(_NODES), most)
    return np.log(np.abs(pulses)), np.angle(pulses)


@lru_cache(maxsize=512)
def _template(last: int, variant: Variant) -> Array:
    """Return the pulse's part of the error, shape (nodes, 7), continuous in Rd."""
    level, phase = _pulses()
    minimum = minimum_phase_matrix(last) @ level[: last - 1]
    sign = 1 if variant == "head" else -1
    template = _second_difference((sign * phase[:_PHASES] + minimum).T)
    return np.unwrap(template, axis=0)


def _minimise(signature: Array, last: Ints, variant: Variant) -> Array:
    """Best Rd and confidence, shape (n, 2)."""
    tops, which = np.unique(last, return_inverse=True)
    table = np.stack([_template(int(top), variant) for top in tops])

    def error(rd: Array, rows: Ints) -> Array:
        return _mean_square(signature[rows] + _interpolated(table, which[rows], rd))

    rd, least = minimise_bounded(error, len(last))
    return np.stack([rd, 1 - np.sqrt(least) / np.pi], axis=1)


def _mean_square(angle: Array) -> Array:
    wrapped = angle - 2 * np.pi * np.round(angle / (2 * np.pi))
    return np.einsum("ij,ij->i", wrapped, wrapped) / wrapped.shape[1]


def _interpolated(table: Array, which: Ints, rd: Array) -> Array:
    """Templates at any Rd, by cubics through four nodes, shape (n, 7)."""
    position = (rd - _NODES[0]) / (_NODES[1] - _NODES[0])
    first = np.clip(position.astype(np.int64) - 1, 0, len(_NODES) - 4)
    u = position - first
    weights = (
        -(u - 1) * (u - 2) * (u - 3) / 6,
        u * (u - 2) * (u - 3) / 2,
        -u * (u - 1) * (u - 3) / 2,
        u * (u - 1) * (u - 2) / 6,
    )
    total = table[which, first] * weights[0][:, None]
    for shift in range(1, 4):
        total += table[which, first + shift] * weights[shift][:, None]
    return total


def minimise_bounded(function: Callable[[Array, Ints], Array], count: int) -> tuple[Array, Array]:
    """Brent's bounded minimisation of `count` functions of Rd at once.

    R. P. Brent, "Algorithms for minimization without derivatives", 1973, chapter 5: step for
    step what `scipy.optimize.fminbound(f, 0.3, 2.5, xtol=0.01, maxfun=32)` does.

    Parameters
    ----------
    function : callable
        Takes values of Rd (m,) and the numbers (m,) of the functions to evaluate there.
    count : int

    Returns
    -------
    minimiser, minimum : array of float64, shape (count,)
    """
    rows = np.arange(count)
    low, high = np.full(count, RD_RANGE[0]), np.full(count, RD_RANGE[1])
    best = low + _GOLDEN * (high - low)
    value = function(best, rows)
    # Rows: low, high, best point, second, third, last step, last but one; three values.
    state = np.stack([low, high, best, best, best, 0 * low, 0 * low, value, value, value])
    out = np.stack([best, value])
    for _ in range(_EVALUATIONS - 1):
        middle = (state[0] + state[1]) / 2
        going = np.abs(state[2] - middle) > 2 * _precision(state[2]) - (state[1] - state[0]) / 2
        rows, state = rows[going], state[:, going]
        if not rows.size:
            break
        point = _next_point(state)
        state = _narrowed(state, point, function(point, rows))
        out[:, rows] = state[[2, 7]]
    return out[0], out[1]


def _precision(x: Array) -> Array:
    return np.sqrt(2.2e-16) * np.abs(x) + _TOLERANCE / 3


def _next_point(state: Array) -> Array:
    """Step along a parabola where that is safe, else a golden section; updates the steps in place."""
    low, high, best, second, third, step, before, f_best, f_second, f_third = state
    middle, precision = (low + high) / 2, _precision(best)
    r = (best - second) * (f_best - f_third)
    q = (best - third) * (f_best - f_second)
    p = (best - third) * q - (best - second) * r
    q = 2 * (q - r)
    p = np.where(q > 0, -p, p)
    q = np.abs(q)
    fits = (np.abs(before) > precision) & (np.abs(p) < np.abs(q * before / 2))
    fits &= (p > q * (low - best)) & (p < q * (high - best))
    parabola = p / np.where(fits, q, 1)
    point = best + parabola
    edge = (point - low < 2 * precision) | (high - point < 2 * precision)
    parabola = np.where(edge, np.where(middle >= best, precision, -precision), parabola)
    side = np.where(best >= middle, low, high) - best
    state[6] = np.where(fits, step, side)
    state[5] = np.where(fits, parabola, _GOLDEN * side)
    step = state[5]
    return best + np.where(step >= 0, 1, -1) * np.maximum(np.abs(step), precision)


def _narrowed(state: Array, point: Array, value: Array) -> Array:
    """Update the bracket and its three best points after one more evaluation."""
    low, high, best, second, third, step, before, f_best, f_second, f_third = state
    better, right = value <= f_best, point >= best
    low = np.where(better & right, best, np.where(better | right, low, point))
    high = np.where(better & ~right, best, np.where(better | ~right, high, point))
    next_best = (value <= f_second) | (second == best)
    as_second = ~better & next_best
    as_third = ~better & ~next_best & ((value <= f_third) | (third == best) | (third == second))
    shifted = better | as_second
    third, f_third = (
        np.where(shifted, a, np.where(as_third, new, c))
        for a, new, c in ((second, point, third), (f_second, value, f_third))
    )
    second, f_second = (
        np.where(better, a, np.where(as_second, new, c))
        for a, new, c in ((best, point, second), (f_best, value, f_second))
    )
    best, f_best = np.where(better, point, best), np.where(better, value, f_best)
    return np.stack([low, high, best, second, third, step, before, f_best, f_second, f_third])
