"""Feature tables as files: .npz, .csv and .parquet."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trivalent.errors import FeatureError, MissingExtraError, UsageError
from trivalent.files import write_bytes_atomic
from trivalent.types import FeatureTable, Status

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".npz", ".csv", ".parquet")


def check_suffix(path: Path) -> None:
    """Raise `UsageError` unless a table can be written there."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"expected a name that ends in {', '.join(SUFFIXES)}, got {path.name!r}")
    if not path.parent.is_dir():
        raise UsageError(f"expected an existing folder for {path}; create it first")


def write_table(table: FeatureTable, path: Path) -> None:
    """Write a table atomically; the format follows the suffix.

    `.npz` holds `values`, `columns`, `times` and `meta` (JSON: extractor, version, status,
    reason, options). CSV and Parquet carry `time_s` and the same columns.
    """
    check_suffix(path)
    buffer = io.BytesIO()
    if path.suffix.lower() == ".npz":
        np.savez_compressed(
            buffer,
            values=table.values,
            columns=np.array(table.columns),
            times=table.times,
            meta=np.array(_meta(table)),
        )
    elif path.suffix.lower() == ".csv":
        _frame(table).to_csv(buffer, index=False)
    else:
        frame = _frame(table)
        try:
            frame.to_parquet(buffer, index=False)
        except ImportError as error:
            raise MissingExtraError("pyarrow", "app") from error
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
        raise FeatureError(f"expected a feature table in {path}, got: {error}; extract it again") from error


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


def _frame(table: FeatureTable) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(table.values, columns=list(table.columns))
    frame.insert(0, "time_s", table.times)
    return frame
