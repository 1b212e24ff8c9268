"""The Liljencrants-Fant (LF) model of the glottal flow derivative, ruled by one parameter, Rd.

G. Fant, J. Liljencrants and Q. Lin, "A four-parameter model of glottal flow", STL-QPSR 4/1985;
G. Fant, "The LF-model revisited", STL-QPSR 2-3/1995 (Rd); B. Doval, C. d'Alessandro and
N. Henrich, "The spectrum of glottal flow models", Acta Acustica 92, 2006 (closed form).

Times are fractions of the period, so that the spectrum at harmonic k depends on k and Rd only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivalent.features.covarep.framing import Array

_STEPS = 60  # halvings of the bracket: to the last bit of a float64
_GROWTH = 30.0  # bound of the growth rate per period; 0.3 <= Rd <= 2.5 needs 0.5 to 11


@dataclass(frozen=True)
class Pulse:
    """Shapes of LF pulses; every field has shape (n,), in periods or 1 / periods.

    Attributes
    ----------
    peak : array of float64
        Instant of the largest flow, tp.
    closure : array of float64
        Instant of the main excitation, te.
    return_time : array of float64
        Time constant of the return phase, ta.
    decay : array of float64
        Rate of the return phase, epsilon.
    growth : array of float64
        Growth rate of the opening sinusoid, a, such that the net flow is zero.
    """

    peak: Array
    closure: Array
    return_time: Array
    decay: Array
    growth: Array


def pulse(rd: Array) -> Pulse:
    """Shape of the pulse for each Rd (Fant 1995, equations 2 to 4).

    Parameters
    ----------
    rd : array of float64, shape (n,)
        About 0.3 (tense voice) to 2.5 (breathy voice).

    Examples
    --------
    >>> shape = pulse(np.array([1.0]))
    >>> float(shape.peak[0].round(3)), float(shape.closure[0].round(3))
    (0.484, 0.65)
    """
    ra = (-1 + 4.8 * rd) / 100
    rk = (22.4 + 11.8 * rd) / 100
    rg = rk / (4 * (0.11 * rd / (0.5 + 1.2 * rk) - ra))
    peak = 1 / (2 * rg)
    closure = peak * (1 + rk)
    rest = 1 - closure
    # 1 - exp(-e rest) = e ta; besides e = 0 there is one solution, in (0, 1 / ta].
    decay = _root(lambda e: e * ra + np.expm1(-e * rest), np.log(rest / ra) / rest, 1 / ra)
    growth = _root(
        lambda a: _net_flow(a, peak, closure, ra, decay),
        np.full_like(rd, -_GROWTH),
        np.full_like(rd, _GROWTH),
    )
    return Pulse(peak, closure, ra, decay, growth)


def spectrum(shape: Pulse, harmonics: int) -> NDArray[np.complex128]:
    """Fourier coefficients of the flow derivative at harmonics 1, 2, .., for a unit excitation.

    Parameters
    ----------
    shape : Pulse
        n pulses.
    harmonics : int

    Returns
    -------
    array of complex128, shape (harmonics, n)
        Integral of flow derivative times exp(-i 2 pi k t) over one period; phase from its start.
    """
    omega = 2 * np.pi * np.arange(1, harmonics + 1)[:, None]
    wg, te = np.pi / shape.peak, shape.closure
    s = shape.growth - 1j * omega
    end = np.exp(-1j * omega * te)
    # The opening sinusoid is -1 at te; exp(growth te) is divided out.
    start = np.exp(-shape.growth * te)
    opening = end * (s * np.sin(wg * te) - wg * np.cos(wg * te)) + wg * start
    opening /= -np.sin(wg * te) * (s * s + wg * wg)
    rest, e = 1 - te, shape.decay
    fall = np.exp(-e * rest)
    back = np.exp(-1j * omega * rest)
    closing = (1 - fall * back) / (e + 1j * omega) - fall * (1 - back) / (1j * omega)
    return opening - end * closing / (e * shape.return_time)


def _net_flow(a: Array, peak: Array, closure: Array, ra: Array, decay: Array) -> Array:
    """Flow at the end of the period; changes its sign once as the growth rate `a` rises."""
    wg, rest = np.pi / peak, 1 - closure
    opening = a * np.sin(wg * closure) - wg * np.cos(wg * closure) + wg * np.exp(-a * closure)
    opening /= -np.sin(wg * closure) * (a * a + wg * wg)
    fall = np.exp(-decay * rest)
    closing = ((1 - fall) / decay - fall * rest) / (decay * ra)
    return opening - closing


def _root(function: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Root between `low` and `high`, where the function changes its sign, by bisection."""
    sign = np.sign(function(low))  # not of `high`, where rounding may leave zero
    for _ in range(_STEPS):
        middle = (low + high) / 2
        lower = np.sign(function(middle)) == sign
        low = np.where(lower, middle, low)
        high = np.where(lower, high, middle)
    return (low + high) / 2
