"""Deletes rows, and then the files that belonged to them; afterwards no file holds their words.

A large deletion goes in portions, each a transaction of its own: the log that it needs stays small, so
that it succeeds on a full disk, with the room of the reserve. What an interruption leaves is deleted by
the next attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import ColumnElement, delete, exists, false, select
from sqlalchemy.orm import Session

from trivalent.store.audit import note
from trivalent.store.database import Database, changed
from trivalent.store.entities import Action, Actor, Deleted
from trivalent.store.folders import Folders, remove
from trivalent.store.schema import AnalysisRow, BatchRow, JobRow

NOTHING = false()
PORTION = 20  # analyses or jobs in one transaction


class Removal:
    """What one transaction deletes; `deleted` tells how much, once it is over."""

    def __init__(self, session: Session, folders: Folders) -> None:
        self.session, self._folders = session, folders
        self.media: list[Path] = []
        self.uploads: list[Path] = []
        self.deleted = Deleted()

    def delete_analyses(self, *where: ColumnElement[bool]) -> None:
        """Delete analyses with their tags, jobs and media."""
        self.media += kept_media(self.session, self._folders, *where)
        count = changed(self.session, delete(AnalysisRow).where(*where))
        self.deleted = replace(self.deleted, analyses=self.deleted.analyses + count)

    def delete_jobs(self, *where: ColumnElement[bool]) -> None:
        """Delete jobs with their waiting files."""
        self.uploads += [
            self._folders.spool(i) for i in self.session.scalars(select(JobRow.id).where(*where))
        ]
        count = changed(self.session, delete(JobRow).where(*where))
        self.deleted = replace(self.deleted, jobs=self.deleted.jobs + count)

    def delete_batches(self, *where: ColumnElement[bool]) -> None:
        """Delete batches; what is in them stays."""
        changed(self.session, delete(BatchRow).where(*where))

    def delete_empty_batches(self, *where: ColumnElement[bool]) -> None:
        """Delete batches in which nothing is left."""
        used = [exists().where(table.batch_id == BatchRow.id) for table in (AnalysisRow, JobRow)]
        self.delete_batches(*where, *(~some for some in used))


def kept_media(session: Session, folders: Folders, *where: ColumnElement[bool]) -> list[Path]:
    """List the kept recordings of some analyses."""
    row = AnalysisRow
    kept = select(row.owner_id, row.id, row.media_suffix).where(*where, row.media_suffix.is_not(None))
    return [folders.media(owner, id_, suffix or "") for owner, id_, suffix in session.execute(kept)]


@contextmanager
def removal(database: Database, folders: Folders) -> Iterator[Removal]:
    """Delete in one transaction; files go when it is committed, or else stay.

    A program that is killed in between leaves files without rows, which the next sweep deletes.
    """
    with folders.reserve.lent():
        with database.write() as session:
            gone = Removal(session, folders)
            yield gone
        gone.deleted = replace(
            gone.deleted,
            media=remove(gone.media),
            uploads=remove(gone.uploads),
            temporary=folders.sweep_temporary(),
            overwritten=database.overwrite(),
        )


def noted(actor: Actor, action: Action, subject: str | None, gone: Removal, so_far: Deleted) -> None:
    """End a deletion with a line of the audit log, unless there was nothing to delete."""
    if so_far.counts():
        note(gone.session, actor, action, subject, **so_far.counts())


def erase(
    database: Database,
    folders: Folders,
    *,
    jobs: ColumnElement[bool] = NOTHING,
    analyses: ColumnElement[bool] = NOTHING,
    end: Callable[[Removal, Deleted], None],
) -> Deleted:
    """Delete jobs and analyses a portion at a time; return what is gone.

    Parameters
    ----------
    end : callable
        Called in the transaction that finds nothing left, with what was deleted so far.
    """
    total = Deleted()
    while True:
        with removal(database, folders) as gone:
            ids = [
                gone.session.scalars(select(table.id).where(where).limit(PORTION)).all()
                for table, where in ((JobRow, jobs), (AnalysisRow, analyses))
            ]
            if any(ids):
                gone.delete_jobs(JobRow.id.in_(ids[0]))
                gone.delete_analyses(AnalysisRow.id.in_(ids[1]))
            else:
                end(gone, total)
        total = total.plus(gone.deleted)
        if not any(ids):
            return total
