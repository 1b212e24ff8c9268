"""Tables that people write by hand or export: the one reader of lists and of labelled recordings.

Names of columns and cells lose the blanks around them, names their capitals. A column whose name is nearly
a known one is refused, since what it holds would be passed over without a word.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trivalent.core.errors import TrivalentError

#: What a table of one's own recordings may tell of each, besides its `path`.
LABELLED = ("label", "score")
TOLD = ("speaker", "video", "split", "transcript")
_NEAR = 0.75  # share of letters from which on another column was meant
_RESAVE = 'save it anew as "CSV UTF-8"'


@dataclass(frozen=True)
class CsvRow:
    """A record of a table, with the line in which it begins."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class CsvTable:
    """A table.

    Attributes
    ----------
    columns : tuple of str
        In the order of the file, lower case.
    rows : tuple of CsvRow
        Those that are not blank.
    unknown : tuple of str
        Columns that nobody asked for.
    """

    columns: tuple[str, ...]
    rows: tuple[CsvRow, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class CsvReader:
    """How a table must look.

    Attributes
    ----------
    required, optional : sequence of str
        Columns, lower case; `a or b` asks for one of two.
    error : type of TrivalentError
        What a fault is raised as.
    """

    required: Sequence[str]
    optional: Sequence[str]
    error: type[TrivalentError]

    @property
    def known(self) -> tuple[str, ...]:
        """All names that a column may have."""
        return (*(name for asked in self.required for name in asked.split(" or ")), *self.optional)

    def read(self, path: Path) -> CsvTable:
        """Read a file in UTF-8, separated by commas.

        Raises
        ------
        TrivalentError
            `error`: it cannot be read, or columns are missing, misspelt or double, or a record has other
            cells than the header; the message names the line.
        """
        lines = self._records(path)
        if not lines:
            raise self.error("table.header", columns=",".join(self.required), name=path.name)
        header = tuple(cell.lower() for cell in lines[0][1])
        self._check_header(path, header)
        for line, cells in lines[1:]:
            if len(cells) != len(header):
                remedy = "put a text that has commas into quotes"
                raise self.fault(path, line, f"{len(header)} cells", str(len(cells)), remedy)
        rows = tuple(CsvRow(line, dict(zip(header, cells, strict=True))) for line, cells in lines[1:])
        return CsvTable(header, rows, tuple(name for name in header if name and name not in self.known))

    def fault(self, path: Path, line: int, expected: str, got: str, remedy: str) -> TrivalentError:
        """Say what is wrong in a line."""
        return self.error(
            "table.cell", expected=expected, line=line, name=path.name, got=got, remedy=remedy
        )

    def _records(self, path: Path) -> list[tuple[int, list[str]]]:
        """Return the lines that are not blank, with their numbers."""
        reader = csv.reader(io.StringIO(self._decoded(path), newline=""), strict=True)
        records: list[tuple[int, list[str]]] = []
        line = 1
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    records.append((line, [cell.strip() for cell in cells]))
                line = reader.line_num + 1
        except csv.Error as error:
            raise self.fault(path, line, "a CSV record", str(error), "correct the quotes") from error
        return records

    def _decoded(self, path: Path) -> str:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise self.error("table.absent", path=path, reason=error.strerror or error) from error
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            byte = f"the byte 0x{data[error.start]:02x}"
            raise self.fault(path, line, "UTF-8", byte, _RESAVE) from error

    def _check_header(self, path: Path, header: Sequence[str]) -> None:
        known = self.known
        apart = any(c in header[0] for c in ";\t")
        for name in () if apart else header:
            near = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
            if name not in known and near and near[0] not in header:
                raise self.fault(path, 1, f"the column {near[0]}", repr(name), "rename it")
        if not all(set(asked.split(" or ")) & set(header) for asked in self.required):
            remedy = "separate the cells by commas" if apart else "name them so"
            columns = (
                "s " + " and ".join(self.required) if len(self.required) > 1 else f" {self.required[0]}"
            )
            raise self.fault(path, 1, f"the column{columns}", ", ".join(header), remedy)
        for name in known:
            if header.count(name) > 1:
                got = f"{header.count(name)} of them"
                raise self.fault(path, 1, f"the column {name} once", got, "drop one")


__all__ = ["LABELLED", "TOLD", "CsvReader", "CsvRow", "CsvTable"]
