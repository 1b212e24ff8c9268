"""The 74 columns in the field's order.

The order is the one that CMU's data sets (MOSI, MOSEI) use: five glottal-pulse measures and
their neighbours, 25 mel cepstral coefficients (MCEP), then means and deviations of the
harmonic model's phase distortion (HMPDM, HMPDD).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from trivalent.errors import FeatureError

NAME = "covarep"
VERSION = "1"

MCEP: tuple[str, ...] = tuple(f"MCEP_{i}" for i in range(25))
HMPDM: tuple[str, ...] = tuple(f"HMPDM_{i}" for i in range(25))
HMPDD: tuple[str, ...] = tuple(f"HMPDD_{i}" for i in range(13))
PITCH: tuple[str, ...] = ("F0", "VUV")
PEAK_SLOPE: tuple[str, ...] = ("peakSlope",)

COLUMNS: tuple[str, ...] = (
    *PITCH,
    *("NAQ", "QOQ", "H1H2", "PSP", "MDQ"),
    *PEAK_SLOPE,
    *("Rd", "Rd_conf", "creak"),
    *MCEP,
    *HMPDM,
    *HMPDD,
)
AVAILABLE: tuple[str, ...] = (*PITCH, *PEAK_SLOPE, *MCEP)  # what this version computes


def check_columns(names: Sequence[str] | None, available: Sequence[str]) -> tuple[str, ...]:
    """Return the columns to compute, in the caller's order; None means all available.

    Raises
    ------
    FeatureError
        A name is not one of the 74, occurs twice, or is not implemented yet.
    """
    if names is None:
        return tuple(available)
    chosen = (names,) if isinstance(names, str) else tuple(names)
    for name in chosen:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(available)}"
            raise FeatureError(f"expected a COVAREP column, got {name!r}; {hint}")
    absent = [name for name in chosen if name not in available]
    if absent:
        raise FeatureError(
            f"expected columns that this version computes, got {', '.join(absent)}; "
            f"choose from {', '.join(available)}"
        )
    if not chosen or len(set(chosen)) < len(chosen):
        raise FeatureError(
            f"expected distinct column names, got {', '.join(chosen) or 'none'}; list each once"
        )
    return chosen
