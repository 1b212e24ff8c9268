"""Feature tables as files: .npz, .csv and .parquet."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from pathlib import Path

import numpy as np

from trivalent.core.errors import FeatureError, MissingExtraError, UsageError
from trivalent.core.files import write_bytes_atomic, write_npz_atomic
from trivalent.core.spreadsheet import guarded
from trivalent.core.types import FeatureTable, Status

SUFFIXES = (".npz", ".csv", ".parquet")


def check_suffix(path: Path) -> None:
    """Raise `UsageError` unless a table can be written there."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError("table.suffix", suffixes=list(SUFFIXES), name=path.name)
    if not path.parent.is_dir():
        raise UsageError("table.folder", path=path)


def write_table(table: FeatureTable, path: Path) -> None:
    """Write a table atomically; the format follows the suffix.

    `.npz` holds `values`, `columns`, `times` and `meta` (JSON: extractor, version, status,
    reason, options). CSV and Parquet carry `time_s` and the same columns.
    """
    check_suffix(path)
    if path.suffix.lower() == ".npz":
        write_npz_atomic(
            path,
            values=table.values,
            columns=np.array(table.columns),
            times=table.times,
            meta=np.array(_meta(table)),
        )
        return
    buffer = io.BytesIO()
    if path.suffix.lower() == ".csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["time_s", *map(guarded, table.columns)])
        for time_s, row in zip(table.times.tolist(), table.values.tolist(), strict=True):
            writer.writerow([time_s, *("" if math.isnan(cell) else cell for cell in row)])
        buffer.write(text.getvalue().encode())
    else:
        _write_parquet(table, buffer)
    write_bytes_atomic(path, buffer.getvalue())


def read_table(path: Path) -> FeatureTable:
    """Read a table that `write_table` wrote as .npz.

    Raises
    ------
    FeatureError
        Not such a file. Pickled arrays are refused.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            meta = json.loads(str(data["meta"]))
            return FeatureTable(
                meta["extractor"],
                meta["version"],
                tuple(str(c) for c in data["columns"]),
                data["times"],
                data["values"],
                Status(meta["status"]),
                meta["reason"],
                meta["options"],
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FeatureError("table.unreadable", path=path, error=error) from error


def _meta(table: FeatureTable) -> str:
    return json.dumps(
        {
            "extractor": table.extractor,
            "version": table.version,
            "status": str(table.status),
            "reason": table.reason,
            "options": table.meta,
        }
    )


def _write_parquet(table: FeatureTable, buffer: io.BytesIO) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "table") from error
    arrays = {"time_s": table.times, **dict(zip(table.columns, table.values.T, strict=True))}
    parquet.write_table(pyarrow.table({k: np.ascontiguousarray(v) for k, v in arrays.items()}), buffer)
