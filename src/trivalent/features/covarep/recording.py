"""One recording and the intermediates that several groups of columns share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trivalent.features.covarep.closure import closure_instants
from trivalent.features.covarep.creak import CreakNetwork
from trivalent.features.covarep.framing import Array, on_grid
from trivalent.features.covarep.linear_prediction import lp_residual
from trivalent.features.covarep.options import Variant
from trivalent.features.covarep.pitch import Pitch, srh
from trivalent.features.covarep.polarity import polarity

_RESIDUAL_ORDER = 18


@dataclass(frozen=True)
class Options:
    """Choices of the caller that some groups depend on.

    Attributes
    ----------
    strict : bool
        Keep the values that the reference implementation gives where there is none.
    rd : {"head", "legacy"}
        Version of Rd.
    seed : int
        Of the random phases in HMPDM and HMPDD.
    creak : CreakNetwork, optional
        Default: our own.
    """

    strict: bool = False
    rd: Variant = "head"
    seed: int = 0
    creak: CreakNetwork | None = None


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording; what several groups of columns share is computed once, when asked for.

    Attributes
    ----------
    samples : array of float64, shape (n,)
        16 kHz, as recorded.
    grid : array of float64, shape (rows,)
        Rows of the table in samples, counted from 1.
    options : Options
    """

    samples: Array
    grid: Array
    options: Options

    @cached_property
    def _as_recorded(self) -> Array:
        return lp_residual(self.samples, _RESIDUAL_ORDER)

    @cached_property
    def _sign(self) -> int:
        return polarity(self.samples, residual=self._as_recorded)

    @cached_property
    def speech(self) -> Array:
        """The samples in natural polarity, for measures of the glottal pulse."""
        return self.samples * self._sign

    @cached_property
    def pitch(self) -> Pitch:
        """SRH track; the sign of the speech cancels out of it."""
        return srh(self.samples)

    @cached_property
    def residual(self) -> Array:
        """Linear-prediction residual of the speech, shape (n,)."""
        return self._as_recorded * self._sign

    @cached_property
    def closures(self) -> NDArray[np.int64]:
        """Glottal closure instants in samples, counted from 1."""
        return closure_instants(self.speech, self.pitch, residual=self.residual)

    @cached_property
    def silent(self) -> NDArray[np.bool_]:
        """Rows next to a frame without any F0 candidate: digital silence, shape (rows,)."""
        none = (self.pitch.strength <= 0).astype(np.float64)[:, None]
        return on_grid(self.pitch.centres, none, self.grid)[:, 0] > 0
