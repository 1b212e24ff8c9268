"""Tables and arrays from files that others wrote: what is wrong with them is told by name and row."""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError

# A byte that is no UTF-8, or the control character that re-encoding has made of it.
_STRAY = re.compile("[\udc80-\udcff\x80-\x9f]")


def read_rows(
    path: Path, columns: Iterable[str], *, mend: bool = False
) -> tuple[list[dict[str, str]], int]:
    """Read a CSV file that has a header.

    Parameters
    ----------
    path : Path
    columns : iterable of str
        Names that must be there.
    mend : bool
        Take bytes that are no UTF-8 for Windows-1252 (stray quotes) instead of refusing the file.

    Returns
    -------
    rows : list of dict
    mended : int
        Stray bytes.

    Raises
    ------
    DataError
        The file is absent, not UTF-8, lacks a column, or a row is short.
    """
    needed = tuple(columns)
    text, mended = read_text(path, mend=mend)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"expected a CSV file, got {path}: {error}; get the file anew") from error
    missing = sorted(set(needed) - set(reader.fieldnames or ()))
    if missing:
        raise DataError(f"expected columns {missing} in {path}; the file is not the published one")
    for i, row in enumerate(rows):
        if any(row[name] is None for name in needed):
            raise DataError(
                f"expected {len(reader.fieldnames or ())} cells in data row {i + 1} of {path}, got fewer; "
                "the file is cut off: get it anew"
            )
    return rows, mended


def read_text(path: Path, *, mend: bool = False) -> tuple[str, int]:
    """Read UTF-8 with the line ends as they are; see `read_rows` for `mend`."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"expected the file {path}, got: {error.strerror}; set TRIVALENT_DATA") from error
    if mend:
        return mend_quotes(raw)
    try:
        return raw.decode("utf-8-sig"), 0
    except UnicodeDecodeError as error:
        raise DataError(
            f"expected UTF-8 in {path}, got the byte 0x{raw[error.start]:02x} at {error.start}; "
            "get the file anew or convert it"
        ) from error


def mend_quotes(raw: bytes) -> tuple[str, int]:
    r"""Decode UTF-8 into which bytes of Windows-1252 have strayed; also count them.

    >>> mend_quotes(b"it\x92s \xc3\x91u\xc2\x92s")
    ('it’s Ñu’s', 2)
    """
    text = raw.decode("utf-8-sig", "surrogateescape")
    return _STRAY.subn(lambda m: bytes([ord(m[0]) & 0xFF]).decode("cp1252", "replace"), text)


def codes_of(
    cells: Sequence[str], path: Path, *, column: str, allowed: Collection[int]
) -> NDArray[np.int64]:
    """Read class codes.

    Raises
    ------
    DataError
        A cell is none of `allowed`; the message names its row.
    """
    known = {str(code): code for code in allowed}
    out = np.empty(len(cells), np.int64)
    for i, cell in enumerate(cells):
        if cell.strip() not in known:
            raise DataError(
                f"expected one of {', '.join(known)} in column {column} of data row {i + 1} of {path}, "
                f"got {cell!r}; correct or drop the row"
            )
        out[i] = known[cell.strip()]
    return out


def scores_of(cells: Sequence[Any] | NDArray[Any], path: Path, *, limit: float = 3) -> NDArray[np.float64]:
    """Read sentiment scores in [-limit, limit].

    Raises
    ------
    DataError
        A cell is no number or lies outside; the message names its row.
    """
    out = np.empty(len(cells))
    for i, cell in enumerate(cells):
        try:
            out[i] = float(cell)
        except (TypeError, ValueError):
            out[i] = np.nan
        if not abs(out[i]) <= limit:
            raise DataError(
                f"expected a score in [{-limit:g}, {limit:g}] in data row {i + 1} of {path}, "
                f"got {cell!s}; correct or drop the row"
            )
    return out


def read_arrays(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Read arrays with a row for each sample from a .npz file; nothing in it is run.

    Parameters
    ----------
    path : Path
    shapes : mapping of str to tuple of int
        Names, and the shape of one row: () for a single cell, which may be text; (d,) for numbers.

    Raises
    ------
    DataError
        The file is absent or damaged, lacks an array, or its arrays do not fit each other.
    """
    found: dict[str, NDArray[Any]] = {}
    try:
        with np.load(path, allow_pickle=False) as data:
            missing = [name for name in shapes if name not in data.files]
            if missing:
                raise DataError(
                    f"expected the arrays {', '.join(missing)} in {path}, got {', '.join(data.files)}; "
                    "the file is not the published one"
                )
            for name in shapes:
                found[name] = data[name]
    except OSError as error:
        raise DataError(f"expected the file {path}, got: {error}; set TRIVALENT_DATA") from error
    except (ValueError, TypeError, AttributeError, EOFError, KeyError, BadZipFile, zlib.error) as error:
        raise DataError(f"expected .npz arrays, got {path}: {error}; get the file anew") from error
    rows = next(iter(found.values())).shape[:1]  # (n,)
    for name, shape in shapes.items():
        values = found[name]
        if not rows or values.shape != (*rows, *shape):
            raise DataError(
                f"expected {name} of shape {(*(rows or ('n',)), *shape)} in {path}, got {values.shape}; "
                "its arrays do not belong together: get the file anew"
            )
        if shape and values.dtype.kind not in "fiu":
            raise DataError(f"expected numbers in {name} of {path}, got {values.dtype}; get the file anew")
    return found


def finite_or_nan(values: NDArray[Any]) -> tuple[NDArray[np.float32], int]:
    """Turn infinities into NaN, which marks a cell without a value; also count them.

    >>> finite_or_nan(np.array([1.0, -np.inf, np.nan]))
    (array([ 1., nan, nan], dtype=float32), 1)
    """
    infinite = np.isinf(values)
    return np.where(infinite, np.nan, values).astype(np.float32), int(infinite.sum())
