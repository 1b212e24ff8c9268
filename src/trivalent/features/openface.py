"""OpenFace 2: its columns with units, and a reader of its CSV files.

T. Baltrusaitis et al., "OpenFace 2.0: Facial Behavior Analysis Toolkit", FG 2018. CMU-MOSEI's
VisualOpenFace2 has 713 of the 714 columns: all but `frame`.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.messages import Message
from trivalent.core.types import FeatureTable

NAME = "openface"
VERSION = "2"

_EYE, _FACE, _SHAPE = 56, 68, 34  # landmarks of the eyes, of the face; parameters of its shape
_INTENSITIES = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
_PRESENCES = (*_INTENSITIES[:-1], 28, 45)


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
    *(f"AU{number:02d}_r" for number in _INTENSITIES),
    *(f"AU{number:02d}_c" for number in _PRESENCES),
)
MOSEI_COLUMNS: tuple[str, ...] = COLUMNS[1:]

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


def read_openface(path: Path, columns: Sequence[str] | None = None) -> FeatureTable:
    """Read a CSV of `FeatureExtraction`; columns are found by name.

    Parameters
    ----------
    path : Path
    columns : sequence of str, optional
        Default: all that the file holds but frame, face_id, timestamp, confidence and success.

    Returns
    -------
    FeatureTable
        Rows at the time stamps. A frame without a face (success 0) is NaN, as OpenFace writes
        stale or zero values there; status `missing` if no frame has one. `meta` counts both.

    Raises
    ------
    DataError
        The file is absent, has no such column, or a cell that is not a number.
    """
    header, cells = _cells(path)
    if "timestamp" not in header or "success" not in header:
        raise DataError("openface.header", name=path.name, header=", ".join(header[:6])[:200])
    chosen = tuple(columns) if columns is not None else tuple(n for n in header if n not in COLUMNS[:5])
    absent = [name for name in chosen if name not in header]
    if absent:
        near = difflib.get_close_matches(absent[0], header, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; run FeatureExtraction with that output"
        raise DataError("openface.column_absent", absent=absent[0], name=path.name, hint=hint)
    values = cells[:, [header.index(name) for name in chosen]]
    found = cells[:, header.index("success")] == 1
    meta = {"frames": len(found), "frames_without_face": int((~found).sum())}
    if not found.any():
        reason = Message("openface.no_face", count=len(found))
        return FeatureTable.absent(NAME, VERSION, columns=chosen, reason=reason, meta=meta)
    values[~found] = np.nan
    return FeatureTable(NAME, VERSION, chosen, cells[:, header.index("timestamp")], values, meta=meta)


def _cells(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    rows: list[NDArray[np.float64]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.reader(stream, skipinitialspace=True)  # "frame, face_id, ..." since version 1
            header = [name.strip() for name in next(lines, [])]
            for line in filter(None, lines):
                rows.append(_numbers(line, len(header), f"data row {len(rows) + 1} of {path.name}"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError("openface.csv", path=path, error=error) from error
    return header, np.array(rows, np.float64).reshape(len(rows), len(header))


def _numbers(line: Sequence[str], count: int, where: str) -> NDArray[np.float64]:
    reason = "more or fewer"
    if len(line) == count:  # NumPy would take a single cell for all columns
        try:
            return np.array(line, np.float64)
        except ValueError as error:
            reason = str(error)[:80]
    raise DataError("openface.cells", count=count, where=where, count2=len(line), reason=reason)


__all__ = ["COLUMNS", "MOSEI_COLUMNS", "NAME", "VERSION", "read_openface", "unit"]
