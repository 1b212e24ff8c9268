"""The 74 columns in the field's order.

The order is the one that CMU's data sets (MOSI, MOSEI) use: five glottal-pulse measures and
their neighbours, 25 mel cepstral coefficients (MCEP), then means and deviations of the
harmonic model's phase distortion (HMPDM, HMPDD).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from trivalent.core.errors import FeatureError

NAME = "covarep"
VERSION = "2"

MCEP: tuple[str, ...] = tuple(f"MCEP_{i}" for i in range(25))
HMPDM: tuple[str, ...] = tuple(f"HMPDM_{i}" for i in range(25))
HMPDD: tuple[str, ...] = tuple(f"HMPDD_{i}" for i in range(13))
PITCH: tuple[str, ...] = ("F0", "VUV")
PEAK_SLOPE: tuple[str, ...] = ("peakSlope",)

GLOTTAL: tuple[str, ...] = ("NAQ", "QOQ", "H1H2", "PSP")
MDQ: tuple[str, ...] = ("MDQ",)
RD: tuple[str, ...] = ("Rd", "Rd_conf")
CREAK: tuple[str, ...] = ("creak",)

COLUMNS: tuple[str, ...] = (
    *PITCH,
    *GLOTTAL,
    *MDQ,
    *PEAK_SLOPE,
    *RD,
    *CREAK,
    *MCEP,
    *HMPDM,
    *HMPDD,
)


def check_columns(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the columns to compute, in the caller's order; None means all 74.

    Raises
    ------
    FeatureError
        A name is not one of the 74, or occurs twice.
    """
    if names is None:
        return COLUMNS
    columns = (names,) if isinstance(names, str) else tuple(names)
    for name in columns:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(COLUMNS)}"
            raise FeatureError("covarep.column", name=name, hint=hint)
    if not columns or len(set(columns)) < len(columns):
        raise FeatureError("covarep.distinct", chosen=", ".join(columns) or "none")
    return columns
