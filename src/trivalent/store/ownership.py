"""What belongs to whom: every statement about somebody's rows goes through `of` or `one`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from trivalent.core.errors import NotFoundError
from trivalent.store.schema import AnalysisRow, BatchRow, JobRow, KeyRow, Owned

_CHUNK = 500
_ID = re.compile("[0-9a-f]{32}")
_WHAT: dict[type[Owned], str] = {
    AnalysisRow: "an analysis",
    BatchRow: "a batch",
    JobRow: "a job",
    KeyRow: "an API key",
}
Row = TypeVar("Row", AnalysisRow, BatchRow, JobRow, KeyRow)


def of(owner_id: str, table: type[Owned]) -> ColumnElement[bool]:
    """Condition that a row belongs to an account."""
    return table.owner_id == owner_id


def possible(ids: Iterable[str]) -> list[str]:
    """Drop what cannot be an id, such as text that a database would choke on; drop repetitions."""
    return [i for i in dict.fromkeys(ids) if _ID.fullmatch(i)]


def chunks(ids: list[str]) -> Iterator[list[str]]:
    """Split ids into as many as a statement takes."""
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]


def one(session: Session, table: type[Row], owner_id: str, *, id_: str) -> Row:
    """Fetch one row of an account.

    Raises
    ------
    NotFoundError
        There is none with this id, or it is somebody else's.
    """
    row = None
    if possible([id_]):
        row = session.scalar(select(table).where(of(owner_id, table), table.id == id_))
    if row is None:
        raise NotFoundError("store.not_found", what=_WHAT[table], id=id_[:40])
    return row
