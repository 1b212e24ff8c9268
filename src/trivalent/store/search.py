"""A `Query` as conditions, an order and a place in it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from trivalent.core.errors import UsageError
from trivalent.core.types import LABELS
from trivalent.store.entities import Order, Query
from trivalent.store.mapping import folded, storable
from trivalent.store.ownership import of, possible
from trivalent.store.schema import AnalysisRow, TagRow, TextRow

LIMIT = 500  # rows of a page
TEXT_LIMIT = 1000  # characters


@dataclass(frozen=True)
class Keyset:
    """Paging by the value of the last row, so that rows that come or go shift nothing.

    Attributes
    ----------
    name : str
        Of the order; a cursor of another order is refused.
    column, id_ : columns
        What is sorted by, and what breaks ties.
    kind : type
        Of the column's values in Python.
    """

    name: str
    column: InstrumentedAttribute[Any]
    id_: InstrumentedAttribute[str]
    kind: type
    descending: bool

    def page(self, statement: Select[Any], cursor: str | None, *, limit: int) -> Select[Any]:
        """Sort, go to the cursor, and fetch one row more than the limit, to see whether it is the last.

        Raises
        ------
        UsageError
            The cursor is not one of this order, or the limit is out of range.
        """
        if not 1 <= limit <= LIMIT:
            raise UsageError("history.search_limit", limit=LIMIT, limit2=limit)
        columns = (self.column, self.id_)
        if cursor is not None:
            value, last = self._decoded(cursor)
            tied = self.id_ < last if self.descending else self.id_ > last
            beyond = self.column < value if self.descending else self.column > value
            # the redundant first condition lets SQLite start inside the index
            reached = self.column <= value if self.descending else self.column >= value
            statement = statement.where(reached, or_(beyond, and_(self.column == value, tied)))
        order = [column.desc() if self.descending else column.asc() for column in columns]
        return statement.order_by(*order).limit(limit + 1)

    def cursor(self, row: Any) -> str:
        """Describe the place after a row, in characters that fit into an address."""
        value = getattr(row, self.column.key)
        plain = value.isoformat() if isinstance(value, datetime) else value
        text = json.dumps([self.name, plain, row.id], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode("ascii")).decode("ascii").rstrip("=")

    def _decoded(self, cursor: str) -> tuple[Any, str]:
        try:
            text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            name, plain, last = json.loads(text)
            value = _utc(datetime.fromisoformat(plain)) if self.kind is datetime else plain
            if name != self.name or not isinstance(value, self.kind) or not possible([last]):
                raise ValueError(cursor)
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError("history.search_cursor", name=self.name, cursor=cursor[:40]) from error
        return storable(value) if isinstance(value, str) else value, last


KEYSETS = {
    Order.NEWEST: Keyset("newest", AnalysisRow.created, AnalysisRow.id, datetime, True),
    Order.OLDEST: Keyset("oldest", AnalysisRow.created, AnalysisRow.id, datetime, False),
    Order.NAME: Keyset("name", AnalysisRow.name_key, AnalysisRow.id, str, False),
    Order.CONFIDENCE: Keyset("confidence", AnalysisRow.confidence, AnalysisRow.id, float, True),
}


def _utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError(time.isoformat())
    try:
        return time.astimezone(UTC)
    except OverflowError as error:  # the first or last day of all
        raise ValueError(time.isoformat()) from error


def conditions(query: Query, owner_id: str) -> list[ColumnElement[bool]]:
    """Translate a query; the first condition is always the owner.

    Raises
    ------
    UsageError
        A label is unknown, the text is too long, or a time has no zone.
    """
    if unknown := set(query.labels) - set(LABELS):
        raise UsageError("history.search_labels", labels=list(LABELS), unknown=sorted(unknown))
    if len(query.text) > TEXT_LIMIT:
        raise UsageError("history.search_text", text_limit=TEXT_LIMIT, count=len(query.text))
    row = AnalysisRow
    where = [of(owner_id, row)]
    if query.labels:
        where.append(row.label.in_(query.labels))
    try:
        if query.since is not None:
            where.append(row.created >= _utc(query.since))
        if query.until is not None:
            where.append(row.created < _utc(query.until))
    except ValueError as error:
        raise UsageError("history.search_zone", error=error) from error
    for column, value in (
        (row.model_name, query.model),
        (row.kind, query.kind),
        (row.origin, query.origin),
        (row.batch_id, query.batch),
    ):
        if value is not None:
            where.append(column == storable(value))
    if query.abstained is not None:
        where.append(row.abstained.is_(query.abstained))
    if query.tag is not None:
        tagged = select(TagRow.analysis_id).where(of(owner_id, TagRow), TagRow.tag == storable(query.tag))
        where.append(row.id.in_(tagged))
    if words := folded(query.text).split():
        said = [TextRow.words.contains(word, autoescape=True) for word in words]
        where.append(row.id.in_(select(TextRow.analysis_id).where(of(owner_id, TextRow), *said)))
    return where
