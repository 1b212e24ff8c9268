"""The CSV files of OpenFace's program."""

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
from trivalent.features.openface.columns import COLUMNS, NAME, VERSION


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


__all__ = ["read_openface"]
