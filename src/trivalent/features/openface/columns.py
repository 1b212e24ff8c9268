"""OpenFace's 714 columns with their units.

CMU-MOSEI's VisualOpenFace2 has 713 of them: all but `frame`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from trivalent.core.errors import DataError
from trivalent.features.openface.own_units import OWN_UNIT_COLUMNS

NAME = "openface"
VERSION = "2"

_EYE, _FACE, _SHAPE = 56, 68, 34  # landmarks of the eyes, of the face; parameters of its shape
_UNITS_R = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
_UNITS_C = (*_UNITS_R[:-1], 28, 45)
INTENSITIES: tuple[str, ...] = tuple(f"AU{number:02d}_r" for number in _UNITS_R)
PRESENCES: tuple[str, ...] = tuple(f"AU{number:02d}_c" for number in _UNITS_C)


def _numbered(prefixes: Sequence[str], count: int) -> list[str]:
    return [f"{prefix}_{i}" for prefix in prefixes for i in range(count)]


COLUMNS: tuple[str, ...] = (
    *("frame", "face_id", "timestamp", "confidence", "success"),
    *(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"),
    *("gaze_angle_x", "gaze_angle_y"),
    *_numbered([f"eye_lmk_{axis}" for axis in "xyXYZ"], _EYE),
    *(f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"),
    *_numbered("xyXYZ", _FACE),
    *("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty"),
    *_numbered(["p"], _SHAPE),
    *INTENSITIES,
    *PRESENCES,
)
MOSEI_COLUMNS: tuple[str, ...] = COLUMNS[1:]
FLAGGED = "flagged"  # 1: the face is too small or turned too far for its action units, or seen too briefly
OUR_COLUMNS: tuple[str, ...] = (*COLUMNS, FLAGGED, *OWN_UNIT_COLUMNS)

_UNITS = {
    "timestamp": "s",
    "confidence": "0 to 1",
    "success": "0 or 1",
    "gaze": "unit vector",
    "gaze_angle": "rad",
    "pose_T": "mm",
    "pose_R": "rad",
    "eye_lmk_x": "px",
    "eye_lmk_y": "px",
    "eye_lmk": "mm",
    "p_scale": "px/mm",
    "p_r": "rad",
    "p_t": "px",
    "x": "px",
    "y": "px",
    "X": "mm",
    "Y": "mm",
    "Z": "mm",
}


def unit(column: str) -> str:
    """Return the unit of a column.

    Raises
    ------
    DataError
        It is not one of the 714.

    Examples
    --------
    >>> unit("AU12_r"), unit("pose_Rx"), unit("x_33"), unit("p_3")
    ('intensity 0 to 5', 'rad', 'px', '1')
    """
    if column not in COLUMNS:
        near = difflib.get_close_matches(column, COLUMNS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise DataError("openface.column", column=column, hint=hint)
    if column.startswith("AU"):
        return "intensity 0 to 5" if column.endswith("_r") else "0 or 1"
    stems = sorted((s for s in _UNITS if column.startswith(s)), key=len)
    return _UNITS[stems[-1]] if stems else "1"


__all__ = [
    "COLUMNS",
    "FLAGGED",
    "INTENSITIES",
    "MOSEI_COLUMNS",
    "NAME",
    "OUR_COLUMNS",
    "PRESENCES",
    "VERSION",
    "unit",
]
