"""Recordings that wait for their analysis: what their owners do with them; workers: `Claims`."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import and_, case, func, select, update
from sqlalchemy.orm import Session

from trivalent.core.errors import QueueFullError, QuotaError
from trivalent.core.settings import Quotas
from trivalent.store import mapping
from trivalent.store.claims import Claims
from trivalent.store.database import Database, changed
from trivalent.store.entities import OPEN, Action, Actor, BatchSummary, Job, JobPage, JobState, Room, User
from trivalent.store.folders import Folders, Transfer, remove
from trivalent.store.history import check_origin
from trivalent.store.ownership import chunks, of, one, possible
from trivalent.store.removal import erase, noted
from trivalent.store.schema import BatchRow, JobRow
from trivalent.store.search import Keyset

_NEWEST = Keyset("jobs", JobRow.created, JobRow.id, datetime, True)


class Jobs(Claims):
    """The queue of all accounts, in which each has its quota."""

    def __init__(self, database: Database, folders: Folders, *, quotas: Quotas, actor: Actor) -> None:
        super().__init__(database, folders)
        self._quotas, self._actor = quotas, actor

    def submit(
        self,
        owner: User,
        name: str,
        file: Path,
        *,
        options: Mapping[str, Any] | None = None,
        batch: str | None = None,
        origin: str = "app",
        keep_media: bool = False,
        tags: Iterable[str] = (),
        now: datetime | None = None,
    ) -> Job:
        """Queue a recording; its file is moved into the store, or stays where it is on an error.

        Parameters
        ----------
        name : str
            What the user calls it; never a path.
        options : mapping
            How to analyse it; anything that JSON can say.

        Raises
        ------
        QueueFullError
            As many jobs of all accounts are open as the settings allow; paused ones count.
        QuotaError
            As many of this account, or bytes of them.
        NotFoundError
            The account has no such batch.
        UsageError
            The name, a tag or the origin is not allowed.
        StoreError
            The file cannot be moved.
        """
        check_origin(origin)
        row = JobRow(
            id=mapping.new_id(),
            owner_id=owner.id,
            name=mapping.clean_name(name[-mapping.NAME_LIMIT :], what="recording"),
            size=0,
            state=str(JobState.QUEUED),
            stage="",
            progress=0.0,
            created=mapping.utc_now(now),
            attempts=0,
            options=dict(options or {}),
            tags=mapping.clean_tags(tags),
            keep_media=keep_media,
            origin=origin,
            batch_id=batch,
        )
        with Transfer() as files:
            # a move from another disk takes its time: not with a transaction open
            staged = files.move(file, self._folders.new_upload())
            row.size = staged.stat().st_size
            with self._database.write() as session:
                self._check_room(session, owner, size=row.size)
                if batch is not None:
                    one(session, BatchRow, owner.id, id_=batch)
                session.add(row)
                session.flush()
                job = mapping.job(row)
                files.move(staged, self._folders.spool(row.id))
        return job

    def room(self, owner: User | None = None) -> Room:
        """Tell whether one more recording can be queued now, of an account or of anybody."""
        with self._database.read() as session:
            waiting = _waiting(session, "" if owner is None else owner.id)
        quotas = self._quotas
        if waiting.all >= quotas.places:
            return Room.FULL
        full = waiting.own >= quotas.own_places or waiting.own_bytes >= (quotas.own_bytes or math.inf)
        return Room.OWN_FULL if full else Room.FREE

    def _check_room(self, session: Session, owner: User, *, size: int) -> None:
        waiting, quotas = _waiting(session, owner.id), self._quotas
        if waiting.all >= quotas.places:
            raise QueueFullError("work.queue_full", places=quotas.places, all=waiting.all)
        if waiting.own >= quotas.own_places:
            raise QuotaError("work.queue_own_full", own_places=quotas.own_places, own=waiting.own)
        # one recording alone is taken, whatever its size
        if waiting.own and waiting.own_bytes + size > (quotas.own_bytes or math.inf):
            raise QuotaError(
                "work.queue_own_bytes",
                mb=_mb(quotas.own_bytes or 0),
                mb2=_mb(waiting.own_bytes),
                mb3=_mb(size),
            )

    def get(self, owner: User, job_id: str) -> Job:
        """Fetch one job.

        Raises
        ------
        NotFoundError
        """
        with self._database.read() as session:
            return mapping.job(one(session, JobRow, owner.id, id_=job_id))

    def list(
        self,
        owner: User,
        *,
        states: Collection[JobState] = (),
        batch: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> JobPage:
        """List an account's jobs, newest first.

        Parameters
        ----------
        states : collection of JobState
            Only these; all by default.
        batch : str, optional
            Only those of this batch.

        Raises
        ------
        UsageError
            The cursor or the limit is not sound.
        """
        where = [of(owner.id, JobRow)]
        if states:
            where.append(JobRow.state.in_([str(state) for state in states]))
        if batch is not None:
            where.append(JobRow.batch_id == mapping.storable(batch))
        statement = _NEWEST.page(select(JobRow).where(*where), cursor, limit=limit)
        with self._database.read() as session:
            total = session.scalar(select(func.count()).select_from(JobRow).where(*where)) or 0
            found = session.scalars(statement).all()
            after = _NEWEST.cursor(found[limit - 1]) if len(found) > limit else None
            return JobPage(tuple(mapping.job(row) for row in found[:limit]), total, after)

    def cancel(self, owner: User, job_id: str) -> Job:
        """End a job that is not over; its worker learns it at its next beat.

        A job that is over stays as it is.

        Raises
        ------
        NotFoundError
        """
        with self._database.write() as session:
            row = one(session, JobRow, owner.id, id_=job_id)
            open_ = row.state in OPEN
            session.execute(
                update(JobRow)
                .where(of(owner.id, JobRow), JobRow.id == row.id, JobRow.state.in_(_texts(OPEN)))
                .values(state=str(JobState.CANCELLED), finished=mapping.utc_now())
            )
            session.refresh(row)
            job = mapping.job(row)
        if open_ and job.state is JobState.CANCELLED:
            remove([self._folders.spool(job_id)])
        return job

    def delete(self, owner: User, job_ids: Sequence[str]) -> int:
        """Delete jobs with their waiting files; return how many there were.

        Analyses that came of them stay. Ids of nothing, or of somebody else's jobs, are passed over.
        """
        count = 0
        for ids in chunks(possible(job_ids)):
            subject = ids[0] if len(ids) == 1 else None
            end = partial(noted, self._actor.or_owner(owner), Action.DELETED, subject)
            where = and_(of(owner.id, JobRow), JobRow.id.in_(ids))
            count += erase(self._database, self._folders, jobs=where, end=end).jobs
        return count

    def create_batch(self, owner: User, name: str) -> str:
        """Make a batch; return its id.

        Raises
        ------
        UsageError
            The name is empty or has more than 255 characters.
        """
        row = BatchRow(
            id=mapping.new_id(),
            owner_id=owner.id,
            name=mapping.clean_name(name, what="batch"),
            created=mapping.utc_now(),
        )
        with self._database.write() as session:
            session.add(row)
            session.flush()
            return row.id

    def pause_batch(self, owner: User, batch: str) -> int:
        """Hold back the jobs of a batch that have not begun; return how many.

        Raises
        ------
        NotFoundError
        """
        return self._turn(owner, batch, source=JobState.QUEUED, target=JobState.PAUSED)

    def resume_batch(self, owner: User, batch: str) -> int:
        """Queue the jobs of a batch that were held back; return how many.

        Raises
        ------
        NotFoundError
        """
        return self._turn(owner, batch, source=JobState.PAUSED, target=JobState.QUEUED)

    def _turn(self, owner: User, batch: str, *, source: JobState, target: JobState) -> int:
        with self._database.write() as session:
            one(session, BatchRow, owner.id, id_=batch)
            turned = update(JobRow).where(
                of(owner.id, JobRow), JobRow.batch_id == batch, JobRow.state == str(source)
            )
            return changed(session, turned.values(state=str(target)))

    def batches(self, owner: User) -> Sequence[BatchSummary]:
        """List an account's batches with their jobs by state, newest first."""
        counted = (
            select(JobRow.batch_id, JobRow.state, func.count())
            .where(of(owner.id, JobRow), JobRow.batch_id.is_not(None))
            .group_by(JobRow.batch_id, JobRow.state)
        )
        listed = (
            select(BatchRow).where(of(owner.id, BatchRow)).order_by(BatchRow.created.desc(), BatchRow.id)
        )
        with self._database.read() as session:
            counts: dict[str | None, dict[JobState, int]] = {}
            for batch, state, count in session.execute(counted):
                counts.setdefault(batch, {})[JobState(state)] = count
            return [
                BatchSummary(row.id, row.name, row.created, counts.get(row.id, {}))
                for row in session.scalars(listed)
            ]

    def counts(self) -> dict[JobState, int]:
        """Count the jobs of all accounts by state; every state is there."""
        with self._database.read() as session:
            found = dict(session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all())
        return {state: found.get(state, 0) for state in JobState}

    def position(self, job: Job) -> int:
        """Place of a queued job, 1 for the next; 0 when it does not wait.

        Accounts take turns, so that the first job of each comes before the second of any.
        """
        turn = func.row_number().over(partition_by=JobRow.owner_id, order_by=(JobRow.created, JobRow.id))
        queued = select(JobRow.id, JobRow.created, turn.label("turn")).where(
            JobRow.state == str(JobState.QUEUED)
        )
        ranked = queued.subquery()
        place = func.row_number().over(order_by=(ranked.c.turn, ranked.c.created, ranked.c.id))
        placed = select(ranked.c.id, place.label("place")).subquery()
        with self._database.read() as session:
            return session.scalar(select(placed.c.place).where(placed.c.id == job.id)) or 0

    def sweep(self) -> int:
        """Delete files of jobs that are over or gone, which an interruption left; return how many."""
        # a writer: no job may be between its file and its row
        with self._database.write() as session:
            needed = session.scalars(select(JobRow.id).where(JobRow.state.in_(_texts(OPEN))))
            return self._folders.sweep_spool(set(needed))


def _texts(states: Iterable[JobState]) -> Sequence[str]:
    return [str(state) for state in states]


@dataclass(frozen=True)
class _Waiting:
    """Jobs that are not over: of all accounts, of one, and the bytes of that one."""

    all: int
    own: int
    own_bytes: int


def _waiting(session: Session, owner_id: str) -> _Waiting:
    own = of(owner_id, JobRow)
    counted = select(
        func.count(),
        func.count(case((own, 1))),
        func.coalesce(func.sum(case((own, JobRow.size))), 0),
    ).where(JobRow.state.in_(_texts(OPEN)))
    return _Waiting(*map(int, session.execute(counted).one()))


def _mb(size: int) -> str:
    return f"{size / 1e6:.4g}"
