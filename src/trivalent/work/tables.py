"""The tables of a batch: one row per file and one per utterance, as JSONL and as Parquet.

They are written in one pass over the outcomes, a few at a time, so that memory stays flat.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from trivalent.core.analysis import ROW_TYPES, SUMMARY, rows_of
from trivalent.core.errors import TrivalentError
from trivalent.work.batch import read_record

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FILES, UTTERANCES = "files", "utterances"
_GROUP = 5_000  # rows of a Parquet row group


@dataclass
class Counts:
    """What the tables hold; `pending` files have no outcome yet."""

    done: int = 0
    failed: int = 0
    pending: int = 0
    utterances: int = 0


def write_tables(records: Iterable[Path], out: Path) -> Counts:
    """Write `files` and `utterances`, each as .jsonl and, with pyarrow, as .parquet.

    Raises
    ------
    TrivalentError
        The folder cannot be written.
    """
    counts = Counts()
    try:
        with ExitStack() as stack:
            files = stack.enter_context(_Table(out / FILES, _FILE_COLUMNS))
            utterances = stack.enter_context(_Table(out / UTTERANCES, ROW_TYPES))
            for path in records:
                record = read_record(path)
                if record is None:
                    counts.pending += 1
                    continue
                counts.done += record["status"] == "done"
                counts.failed += record["status"] == "failed"
                analysis = record["analysis"]
                files.add(record if analysis is None else record | SUMMARY.row(analysis))
                for row in () if analysis is None else rows_of(analysis, source=record["file"]):
                    utterances.add(row)
                    counts.utterances += 1
    except OSError as error:
        raise TrivalentError("batch.room", out=out, reason=error.strerror or error) from error
    return counts


def has_parquet() -> bool:
    """Tell whether pyarrow is installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    return True


# name -> Parquet type; the order is that of the columns
_FILE_COLUMNS: dict[str, str] = {
    "file": "string",
    "sha256": "string",
    "size_bytes": "int64",
    "status": "string",
    "reason": "string",
    **SUMMARY.types,
    "seconds": "double",
}


class _Table:
    """Two files of the same rows, that replace the earlier ones only when both are complete."""

    def __init__(self, stem: Path, columns: Mapping[str, str]) -> None:
        self.columns = tuple(columns)
        self._types = columns
        self._final = {"jsonl": stem.with_suffix(".jsonl"), "parquet": stem.with_suffix(".parquet")}
        self._mark = secrets.token_hex(6)
        self._rows: list[dict[str, Any]] = []
        self._lines: IO[str] | None = None
        self._parquet: pq.ParquetWriter | None = None

    def __enter__(self) -> _Table:
        try:
            self._lines = self._temporary("jsonl").open("w", encoding="utf-8", errors="replace")
            if has_parquet():
                import pyarrow.parquet as pq

                self._parquet = pq.ParquetWriter(self._temporary("parquet"), self._schema())
        except BaseException:
            self._discard()
            raise
        return self

    def _temporary(self, kind: str) -> Path:
        final = self._final[kind]
        return final.with_name(f".{final.name}.{self._mark}.tmp")

    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in self._types.items()])

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one row; columns that it lacks are null."""
        complete = {name: row.get(name) for name in self.columns}
        assert self._lines is not None  # noqa: S101 - entered
        self._lines.write(json.dumps(complete, allow_nan=False) + "\n")
        self._rows.append(complete)
        if len(self._rows) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._parquet is not None and self._rows:
            import pyarrow as pa

            rows = [{k: _readable(v) for k, v in row.items()} for row in self._rows]
            self._parquet.write_table(pa.Table.from_pylist(rows, schema=self._schema()))
        self._rows.clear()

    def __exit__(self, kind: object, *_: object) -> None:
        assert self._lines is not None  # noqa: S101 - entered
        try:
            if kind is None:
                self._flush()
                self._lines.close()
                if self._parquet is not None:
                    self._parquet.close()
                for name, final in self._final.items():
                    if (temporary := self._temporary(name)).exists():
                        temporary.replace(final)
        finally:
            self._discard()

    def _discard(self) -> None:
        """Close what is open, whatever it says, and delete what was not put in its place."""
        for opened in (self._lines, self._parquet):
            with suppress(OSError):  # a full disk refuses what is still in a buffer
                if opened is not None:
                    opened.close()
        for name in self._final:
            self._temporary(name).unlink(missing_ok=True)


def _readable(cell: Any) -> Any:
    """Replace lone surrogates, which an undecodable file name holds and UTF-8 cannot carry."""
    return cell.encode("utf-8", "replace").decode("utf-8") if isinstance(cell, str) else cell


def failures(records: Sequence[Path], limit: int) -> list[tuple[str, str]]:
    """First failed files with their reasons."""
    found: list[tuple[str, str]] = []
    for path in records:
        if len(found) == limit:
            break
        record = read_record(path)
        if record is not None and record["status"] == "failed":
            found.append((record["file"], record["reason"]))
    return found
