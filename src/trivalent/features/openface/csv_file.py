"""The CSV files of OpenFace's program, read and written."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError, UsageError
from trivalent.core.files import write_bytes_atomic
from trivalent.core.messages import Message
from trivalent.core.types import FeatureTable
from trivalent.features.openface.columns import COLUMNS, NAME, VERSION

_LEADING = COLUMNS[:5]
_NO_NUMBER = re.compile(
    r"^\s*[+-]?(nan\(\w*\)|inf(inity)?|1\.#(IND|QNAN|SNAN|INF)\d*)\s*$", re.IGNORECASE
)  # of Windows
_ROWS = 1000  # written at a time: as Python's numbers they take four times the table's room
# Digits behind the point, by the longest beginning of a name that fits.
_DECIMALS = {
    **dict.fromkeys(("frame", "face_id", "success"), 0),
    **dict.fromkeys(("eye_lmk", "pose_T", "x_", "y_", "X_", "Y_", "Z_"), 1),
    **dict.fromkeys(("confidence", "AU"), 2),
    **dict.fromkeys(("timestamp", "gaze_angle", "pose_R", "p_"), 3),
    "gaze": 6,
}


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
        stale or zero values there; status `missing` if no frame has one. `meta` counts both, and the
        cells of faces that hold no number (`no_number`). Of a file with several faces at a time
        (`FaceLandmarkVidMulti`) only the one that was seen longest and most surely, of which
        `meta["warnings"]` tells.

    Raises
    ------
    DataError
        The file is absent, has no such column, or a cell that is not a number.
    """
    header, cells = _cells(path)
    if "timestamp" not in header or "success" not in header:
        raise DataError("openface.header", name=path.name, header=", ".join(header[:6])[:200])
    chosen = tuple(n for n in header if n not in _LEADING) if columns is None else tuple(columns)
    absent = [name for name in chosen if name not in header]
    if absent:
        near = difflib.get_close_matches(absent[0], header, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; run FeatureExtraction with that output"
        raise DataError("openface.column_absent", absent=absent[0], name=path.name, hint=hint)
    cells, warnings = _one_face(header, cells)
    values = cells[:, [header.index(name) for name in chosen]]
    found = cells[:, header.index("success")] == 1
    meta: dict[str, Any] = {"frames": len(found), "frames_without_face": int((~found).sum())}
    if warnings:
        meta["warnings"] = warnings
    if lost := int(np.isnan(values[found]).sum()):
        meta["no_number"] = lost
    if not found.any():
        reason = Message("openface.no_face", count=len(found))
        return FeatureTable.absent(NAME, VERSION, columns=chosen, reason=reason, meta=meta)
    values[~found] = np.nan
    return FeatureTable(NAME, VERSION, chosen, cells[:, header.index("timestamp")], values, meta=meta)


def _one_face(
    header: Sequence[str], cells: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[Message]]:
    """Keep one face where several have a row at one time, and say so."""
    times = cells[:, header.index("timestamp")]
    if "face_id" not in header or len(np.unique(times)) == len(times):
        return cells, []
    whose, seen = cells[:, header.index("face_id")], (cells[:, header.index("success")] == 1).astype(float)
    sure = np.nan_to_num(cells[:, header.index("confidence")]) if "confidence" in header else seen
    faces = np.unique(whose)
    kept = max(faces, key=lambda face: float((seen * sure)[whose == face].sum()))
    return cells[whose == kept], [Message("openface.faces", count=len(faces), face=int(kept))]


def write_openface(table: FeatureTable, path: Path) -> Path:
    """Write a CSV as `FeatureExtraction` 2.2 does: its header, its order, its digits.

    A column without any value is left out, as the program leaves out a group that nobody asked for. A frame
    without a face has success 0 and zeros, but for action units that the table has there: the mean over
    neighbouring frames reaches into it.

    Parameters
    ----------
    table : FeatureTable
        A row per frame of the video from the first one on; columns among `COLUMNS`, in any order. A row is
        a frame without a face if its `success` says so or, without that column, if it has no value besides
        action units.
    path : Path

    Raises
    ------
    UsageError
        A column is none of the program's.
    TrivalentError
        The file cannot be written.
    """
    foreign = [name for name in table.columns if name not in COLUMNS]
    if foreign:
        raise UsageError("openface.foreign", names=foreign[:4])
    found = _found(table)
    columns = {
        **{"face_id": np.zeros(len(table)), **dict(zip(table.columns, table.values.T, strict=True))},
        **{"frame": np.arange(1, len(table) + 1), "timestamp": table.times, "success": found},
    }
    measured = {n: v for n, v in columns.items() if np.isfinite(v).any() or not found.any()}
    written = [name for name in COLUMNS if name in measured]
    form = ",".join(f"%.{_decimals(name)}f" for name in written) + "\n"
    text = io.BytesIO()
    text.write(f"{','.join(written)}\n".encode("ascii"))
    for start in range(0, len(table), _ROWS):
        rows = slice(start, start + _ROWS)
        cells = np.stack([measured[name][rows] for name in written], axis=1, dtype=np.float64)
        lost = ~found[rows]
        cells[lost] = np.nan_to_num(cells[lost])  # zeros, as the program writes them
        text.writelines((form % tuple(row)).encode("ascii") for row in cells.tolist())
    return write_bytes_atomic(path, text.getvalue())


def _found(table: FeatureTable) -> NDArray[np.bool_]:
    """Which rows show a face, shape (rows,)."""
    if "success" in table.columns:
        return np.asarray(table.column("success") == 1)
    told = [name for name in table.columns if not name.startswith("AU")] or table.columns
    return np.asarray(table.select(told).valid.any(axis=1))


def _decimals(column: str) -> int:
    return _DECIMALS[max((stem for stem in _DECIMALS if column.startswith(stem)), key=len)]


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
            return np.array([_NO_NUMBER.sub("nan", cell) for cell in line], np.float64)
        except ValueError as error:
            reason = str(error)[:80]
    raise DataError("openface.cells", count=count, where=where, count2=len(line), reason=reason)


__all__ = ["read_openface", "write_openface"]
