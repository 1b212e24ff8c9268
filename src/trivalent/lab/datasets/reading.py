"""Tables and arrays from files that others wrote: what is wrong with them is told by name and row."""

from __future__ import annotations

import csv
import gzip
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
        raise DataError("csv.unreadable", path=path, error=error) from error
    missing = sorted(set(needed) - set(reader.fieldnames or ()))
    if missing:
        raise DataError("csv.columns", missing=missing, path=path)
    for i, row in enumerate(rows):
        if any(row[name] is None for name in needed):
            raise DataError("csv.cells", count=len(reader.fieldnames or ()), row_number=i + 1, path=path)
    return rows, mended


def read_text(path: Path, *, mend: bool = False) -> tuple[str, int]:
    """Read UTF-8, compressed if the name ends on .gz, with the line ends as they are; see `read_rows`."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except OSError as error:
        raise DataError("csv.absent", path=path, strerror=error.strerror or error) from error
    except (EOFError, zlib.error) as error:
        raise DataError("csv.unreadable", path=path, error=error) from error
    if mend:
        return mend_quotes(raw)
    try:
        return raw.decode("utf-8-sig"), 0
    except UnicodeDecodeError as error:
        raise DataError("csv.utf8", path=path, raw=raw[error.start], start=error.start) from error


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
    codes = {str(code): code for code in allowed}
    out = np.empty(len(cells), np.int64)
    for i, cell in enumerate(cells):
        if cell.strip() not in codes:
            raise DataError(
                "csv.choice", known=list(codes), column=column, row_number=i + 1, path=path, cell=cell
            )
        out[i] = codes[cell.strip()]
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
            raise DataError("csv.score", limit=-limit, limit2=limit, row_number=i + 1, path=path, cell=cell)
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
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with np.load(path, allow_pickle=False) as data:
            missing = [name for name in shapes if name not in data.files]
            if missing:
                raise DataError("csv.npz_arrays", missing=list(missing), path=path, files=list(data.files))
            for name in shapes:
                arrays[name] = data[name]
    except OSError as error:
        raise DataError("csv.absent", path=path, strerror=error) from error
    except (ValueError, TypeError, AttributeError, EOFError, KeyError, BadZipFile, zlib.error) as error:
        raise DataError("csv.npz_unreadable", path=path, error=error) from error
    rows = next(iter(arrays.values())).shape[:1]  # (n,)
    for name, shape in shapes.items():
        values = arrays[name]
        if not rows or values.shape != (*rows, *shape):
            raise DataError(
                "csv.npz_shape",
                name=name,
                values=(*(rows or ("n",)), *shape),
                path=path,
                shape=values.shape,
            )
        if shape and values.dtype.kind not in "fiu":
            raise DataError("csv.npz_numbers", name=name, path=path, dtype=values.dtype)
    return arrays


def finite_or_nan(values: NDArray[Any]) -> tuple[NDArray[np.float32], int]:
    """Turn infinities into NaN, which marks a cell without a value; also count them.

    >>> finite_or_nan(np.array([1.0, -np.inf, np.nan]))
    (array([ 1., nan, nan], dtype=float32), 1)
    """
    infinite = np.isinf(values)
    return np.where(infinite, np.nan, values).astype(np.float32), int(infinite.sum())
