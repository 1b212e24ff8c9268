"""Deletes rows, and then the files that belonged to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.orm import Session

from trivalent.store.database import Database, changed
from trivalent.store.folders import Folders, remove
from trivalent.store.schema import AnalysisRow, BatchRow, JobRow


class Removal:
    """What one transaction deletes.

    Attributes
    ----------
    analyses, jobs, media : int
        How many rows and files are gone.
    """

    def __init__(self, session: Session, folders: Folders) -> None:
        self.session, self._folders = session, folders
        self.files: list[Path] = []
        self.analyses = self.jobs = self.media = 0

    def delete_analyses(self, *where: ColumnElement[bool]) -> None:
        """Delete analyses with their tags, jobs and media."""
        files = kept_media(self.session, self._folders, *where)
        self.media += len(files)
        self.files += files
        self.analyses += changed(self.session, delete(AnalysisRow).where(*where))

    def delete_jobs(self, *where: ColumnElement[bool]) -> None:
        """Delete jobs with their waiting files."""
        self.files += [
            self._folders.spool(i) for i in self.session.scalars(select(JobRow.id).where(*where))
        ]
        self.jobs += changed(self.session, delete(JobRow).where(*where))

    def delete_empty_batches(self, *where: ColumnElement[bool]) -> None:
        """Delete batches in which nothing is left."""
        used = [exists().where(table.batch_id == BatchRow.id) for table in (AnalysisRow, JobRow)]
        changed(self.session, delete(BatchRow).where(*where, *(~some for some in used)))


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
    with database.write() as session:
        gone = Removal(session, folders)
        yield gone
    remove(gone.files)
