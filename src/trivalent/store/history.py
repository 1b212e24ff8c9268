"""The analyses of one account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from sqlalchemy import and_, delete, func, select
from sqlalchemy.orm import selectinload

from trivalent.core.analysis import Analysis
from trivalent.core.errors import NotFoundError, UsageError
from trivalent.store import mapping
from trivalent.store.audit import note
from trivalent.store.database import Database
from trivalent.store.entities import Action, Actor, Batch, Deleted, Page, Query, Record, User
from trivalent.store.export import Item, write_archive
from trivalent.store.folders import Folders, Transfer, suffix_of
from trivalent.store.ownership import chunks, of, one, possible
from trivalent.store.removal import Removal, erase, noted
from trivalent.store.schema import AnalysisRow, BatchRow, JobRow, TagRow
from trivalent.store.search import KEYSETS, conditions

ORIGINS = ("app", "api", "batch")


class History:
    """The analyses of one account; those of others do not exist here.

    An id that is malformed, unknown or somebody else's is always the same `NotFoundError`.
    """

    def __init__(self, database: Database, folders: Folders, *, owner: User, actor: Actor) -> None:
        self._database, self._folders, self._owner = database, folders, owner.id
        self._actor = actor.or_owner(owner)

    def add(
        self,
        analysis: Analysis,
        *,
        name: str | None = None,
        tags: Iterable[str] = (),
        origin: str = "app",
        batch: str | None = None,
        media: Path | None = None,
        now: datetime | None = None,
    ) -> Record:
        """Keep an analysis.

        Parameters
        ----------
        name : str, optional
            The name of its source by default.
        origin : str
            `app`, `api` or `batch`.
        batch : str, optional
            Id of a batch of this account.
        media : Path, optional
            The recording, which is copied. Key frames are kept only with it: they, too, are
            pictures of somebody's face.

        Raises
        ------
        UsageError
            The name, a tag or the origin is not allowed.
        NotFoundError
            There is no such batch.
        """
        check_origin(origin)
        suffix = None if media is None else suffix_of(analysis.source.name)
        row = mapping.analysis_row(
            analysis,
            owner_id=self._owner,
            record_id=mapping.new_id(),
            created=mapping.utc_now(now),
            name=name,
            tags=tags,
            origin=origin,
            batch=batch,
            media_suffix=suffix,
        )
        with Transfer() as files:
            # a long copy comes first, so that nobody waits for it with a transaction open
            copy = None if media is None else files.copy(media, self._folders.new_upload())
            with self._database.write() as session:
                if batch is not None:
                    one(session, BatchRow, self._owner, id_=batch)
                session.add(row)
                session.flush()
                record = mapping.record(row)
                if copy is not None and suffix is not None:
                    files.move(copy, self._folders.media(self._owner, row.id, suffix))
        return record

    def get(self, record_id: str) -> Record:
        """Fetch one analysis as the list shows it.

        Raises
        ------
        NotFoundError
        """
        with self._database.read() as session:
            return mapping.record(one(session, AnalysisRow, self._owner, id_=record_id))

    def has(self, record_id: str) -> bool:
        """Whether an id is of an analysis of this account."""
        try:
            self.get(record_id)
        except NotFoundError:
            return False
        return True

    def analysis(self, record_id: str) -> Analysis:
        """Fetch one analysis in full: with tracks, and with key frames if its media are kept.

        Raises
        ------
        NotFoundError
        """
        with self._database.read() as session:
            return mapping.analysis(one(session, AnalysisRow, self._owner, id_=record_id).document)

    def media(self, record_id: str) -> Path | None:
        """Find the kept recording of an analysis.

        Raises
        ------
        NotFoundError
        """
        with self._database.read() as session:
            row = one(session, AnalysisRow, self._owner, id_=record_id)
            return self._media(row)

    def _media(self, row: AnalysisRow) -> Path | None:
        if row.media_suffix is None:
            return None
        path = self._folders.media(row.owner_id, row.id, row.media_suffix)
        return path if path.is_file() else None

    def search(self, query: Query) -> Page:
        """List the analyses that a query describes, a page at a time.

        Raises
        ------
        UsageError
            The query is not sound; see `Query`.
        """
        where = conditions(query, self._owner)
        keyset = KEYSETS[query.order]
        statement = select(AnalysisRow).where(*where).options(selectinload(AnalysisRow.tags))
        statement = keyset.page(statement, query.cursor, limit=query.limit)
        with self._database.read() as session:
            total = session.scalar(select(func.count()).select_from(AnalysisRow).where(*where)) or 0
            found = session.scalars(statement).all()
            records = tuple(mapping.record(row) for row in found[: query.limit])
            cursor = keyset.cursor(found[query.limit - 1]) if len(found) > query.limit else None
        return Page(records, total, cursor)

    def tags(self) -> dict[str, int]:
        """Count the analyses under each tag, in the order of the tags."""
        statement = (
            select(TagRow.tag, func.count())
            .where(of(self._owner, TagRow))
            .group_by(TagRow.tag)
            .order_by(TagRow.tag)
        )
        with self._database.read() as session:
            return {tag: count for tag, count in session.execute(statement)}

    def models(self) -> list[str]:
        """Name the models that made these analyses."""
        statement = select(AnalysisRow.model_name).where(of(self._owner, AnalysisRow)).distinct()
        with self._database.read() as session:
            return sorted(session.scalars(statement))

    def batches(self) -> list[Batch]:
        """List the batches, newest first."""
        counted = (
            select(AnalysisRow.batch_id, func.count().label("analyses"))
            .where(of(self._owner, AnalysisRow), AnalysisRow.batch_id.is_not(None))
            .group_by(AnalysisRow.batch_id)
            .subquery()
        )
        statement = (
            select(BatchRow, func.coalesce(counted.c.analyses, 0))
            .outerjoin(counted, counted.c.batch_id == BatchRow.id)
            .where(of(self._owner, BatchRow))
            .order_by(BatchRow.created.desc(), BatchRow.id)
        )
        with self._database.read() as session:
            return [Batch(row.id, row.name, row.created, n) for row, n in session.execute(statement)]

    def rename(self, record_id: str, name: str) -> Record:
        """Give an analysis another name.

        Raises
        ------
        NotFoundError
        UsageError
            The name is empty or has more than 255 characters.
        """
        title = mapping.clean_name(name, what="analysis")
        with self._database.write() as session:
            row = one(session, AnalysisRow, self._owner, id_=record_id)
            row.name, row.name_key = title, mapping.folded(title)
            said = row.text.words.partition("\n")[2]
            row.text.words = f"{row.name_key}\n{said}"
            return mapping.record(row)

    def set_tags(self, record_id: str, tags: Iterable[str]) -> Record:
        """Replace the tags of an analysis.

        Raises
        ------
        NotFoundError
        UsageError
            A tag has more than 64 characters, or there are more than 50.
        """
        cleaned = mapping.clean_tags(tags)
        with self._database.write() as session:
            row = one(session, AnalysisRow, self._owner, id_=record_id)
            session.execute(delete(TagRow).where(of(self._owner, TagRow), TagRow.analysis_id == row.id))
            session.add_all(TagRow(owner_id=self._owner, analysis_id=row.id, tag=tag) for tag in cleaned)
            session.flush()
            session.expire(row, ["tags"])
            return mapping.record(row)

    def delete(self, record_ids: Sequence[str]) -> int:
        """Delete analyses with their media and jobs; return how many there were.

        Ids of nothing, or of somebody else's analyses, are passed over.
        """
        count = 0
        for ids in chunks(possible(record_ids)):
            subject = ids[0] if len(ids) == 1 else None
            where = and_(of(self._owner, AnalysisRow), AnalysisRow.id.in_(ids))
            end = partial(noted, self._actor, Action.DELETED, subject)
            count += erase(self._database, self._folders, analyses=where, end=end).analyses
        return count

    def delete_batch(self, batch: str) -> Deleted:
        """Delete a batch with its analyses, jobs and media.

        Raises
        ------
        NotFoundError
        """
        with self._database.read() as session:
            one(session, BatchRow, self._owner, id_=batch)

        def end(gone: Removal, so_far: Deleted) -> None:
            gone.delete_batches(of(self._owner, BatchRow), BatchRow.id == batch)
            note(gone.session, self._actor, Action.DELETED, batch, **so_far.counts())

        return erase(
            self._database,
            self._folders,
            jobs=and_(of(self._owner, JobRow), JobRow.batch_id == batch),
            analyses=and_(of(self._owner, AnalysisRow), AnalysisRow.batch_id == batch),
            end=end,
        )

    def export(self, record_ids: Sequence[str], target: Path) -> Path:
        """Write a zip of analyses: each as JSON, all as CSV, their names and tags, and kept media.

        Raises
        ------
        NotFoundError
            An id is not of this account; nothing is written then.
        StoreError
            The file cannot be written.
        """
        ids = list(dict.fromkeys(record_ids))
        with self._database.read() as session:
            for record_id in ids:
                one(session, AnalysisRow, self._owner, id_=record_id)
        archive = write_archive(self._items(ids), target)
        subject = ids[0] if len(ids) == 1 else None
        with self._folders.reserve.lent(), self._database.write() as session:
            note(session, self._actor, Action.EXPORTED, subject, analyses=len(ids))
        return archive

    def _items(self, record_ids: Iterable[str]) -> Iterator[Item]:
        for record_id in record_ids:
            with self._database.read() as session:
                row = one(session, AnalysisRow, self._owner, id_=record_id)
                yield Item(mapping.record(row), mapping.analysis(row.document), self._media(row))

    def delete_everything(self) -> Deleted:
        """Delete all analyses, jobs, batches and media of the account; it stays, and stays signed in.

        Temporary files that nobody uses go, too, whoever they were of.
        """

        def end(gone: Removal, so_far: Deleted) -> None:
            gone.delete_batches(of(self._owner, BatchRow))
            note(gone.session, self._actor, Action.DELETED_EVERYTHING, self._owner, **so_far.counts())

        return erase(
            self._database,
            self._folders,
            jobs=of(self._owner, JobRow),
            analyses=of(self._owner, AnalysisRow),
            end=end,
        )


def check_origin(origin: str) -> None:
    """Refuse an origin that is none.

    Raises
    ------
    UsageError
    """
    if origin not in ORIGINS:
        raise UsageError("history.origin", origins=list(ORIGINS), origin=origin)
