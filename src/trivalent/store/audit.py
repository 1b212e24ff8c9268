"""The audit log: who did what, when and from where; ids and counts, never words of an analysis.

A line is written in the transaction of the change that it tells of. Nothing changes a line but its age,
which ends it, and the deletion of an account, which takes its name from it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from trivalent.core.errors import UsageError
from trivalent.core.spreadsheet import guarded
from trivalent.store import mapping
from trivalent.store.database import Database, changed
from trivalent.store.entities import Action, Actor, AuditLine, AuditQuery
from trivalent.store.ownership import possible
from trivalent.store.schema import AuditRow

MOST_LINES = 1_000_000
_PAGE = 1000
_COLUMNS = ("at", "action", "actor_id", "actor_name", "subject_id", "details", "address", "origin")


def note(
    session: Session, actor: Actor, action: Action, subject: str | None = None, **details: int | str | None
) -> None:
    """Write a line in an open transaction.

    Parameters
    ----------
    subject : str, optional
        Id of the account, key or analysis that it concerns.
    details
        Counts, and words of our own such as a role.
    """
    session.add(
        AuditRow(
            at=mapping.utc_now(),
            action=str(action),
            actor_id=actor.id,
            actor_name=mapping.storable(actor.name),
            subject_id=subject,
            details={name: value for name, value in details.items() if value is not None},
            address=mapping.storable(actor.address[:100]),
            origin=str(actor.origin),
        )
    )


def forget_name(session: Session, user_id: str) -> None:
    """Take the name of an account from its lines, which keep its id."""
    changed(session, update(AuditRow).where(AuditRow.actor_id == user_id).values(actor_name=""))


class Audit:
    """The lines, for administrators."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lines(self, query: AuditQuery) -> list[AuditLine]:
        """List lines, newest first.

        Raises
        ------
        UsageError
            The limit is not 1 to 1000.
        """
        if not 1 <= query.limit <= _PAGE:
            raise UsageError("store.audit_page", page=_PAGE, limit=query.limit)
        statement = select(AuditRow).where(*_conditions(query))
        with self._database.read() as session:
            found = session.scalars(statement.order_by(AuditRow.id.desc()).limit(query.limit)).all()
            return [_line(row) for row in found]

    def count(self, query: AuditQuery) -> int:
        """Count the lines that a query describes, on all pages."""
        statement = select(func.count()).select_from(AuditRow).where(*_conditions(query))
        with self._database.read() as session:
            return session.scalar(statement) or 0

    def export(self, query: AuditQuery, kind: str) -> Iterator[str]:
        """Write lines from the newest on, as `csv` with a header (guarded against formulas) or `jsonl`.

        Raises
        ------
        UsageError
            The kind is another.
        """
        if kind not in ("csv", "jsonl"):
            raise UsageError("store.audit_format", kind=kind)
        render = _csv if kind == "csv" else _jsonl
        if kind == "csv":
            yield ",".join(_COLUMNS) + "\r\n"
        for line in self._every(query):
            yield render(line)

    def _every(self, query: AuditQuery) -> Iterator[AuditLine]:
        query = replace(query, limit=_PAGE)
        while page := self.lines(query):
            yield from page
            query = replace(query, before=page[-1].id)

    def prune(self, days: int, *, now: datetime | None = None) -> int:
        """Delete lines that are older, and the oldest beyond a million; return how many."""
        before = mapping.utc_now(now) - timedelta(days=days)
        newest = select(func.max(AuditRow.id)).scalar_subquery()
        with self._database.write() as session:
            old = changed(session, delete(AuditRow).where(AuditRow.at < before))
            return old + changed(session, delete(AuditRow).where(AuditRow.id <= newest - MOST_LINES))


def _conditions(query: AuditQuery) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if query.action is not None:
        where.append(AuditRow.action == str(query.action))
    if query.account is not None:
        ids = possible([query.account])
        where.append(AuditRow.actor_id.in_(ids) | AuditRow.subject_id.in_(ids))
    if query.since is not None:
        where.append(AuditRow.at >= query.since)
    if query.until is not None:
        where.append(AuditRow.at < query.until)
    if query.before is not None:
        where.append(AuditRow.id < query.before)
    return where


def _line(row: AuditRow) -> AuditLine:
    return AuditLine(
        row.id,
        row.at,
        row.action,
        row.actor_id,
        row.actor_name,
        row.subject_id,
        dict(row.details),
        row.address,
        row.origin,
    )


def _cells(line: AuditLine) -> dict[str, Any]:
    return {name: getattr(line, name) for name in _COLUMNS} | {"at": line.at.isoformat()}


def _jsonl(line: AuditLine) -> str:
    return json.dumps(_cells(line), ensure_ascii=False) + "\n"


def _csv(line: AuditLine) -> str:
    buffer = io.StringIO(newline="")
    cells = _cells(line) | {"details": " ".join(f"{k}={v}" for k, v in line.details.items())}
    csv.writer(buffer, lineterminator="\r\n").writerow(
        ["" if cell is None else guarded(str(cell)) for cell in cells.values()]
    )
    return buffer.getvalue()
