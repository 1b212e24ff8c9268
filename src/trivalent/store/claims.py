"""What workers do with jobs: take one, say that they live, finish it.

A job runs at most once at a time and is finished exactly once, whatever is killed in between:

- A claim is one conditional UPDATE that writes a random token and the time until which it holds.
  Whoever changed the row has the job; the token is asked for in every later change.
- A lease that ran out may be claimed again. Its first holder, if it still lives, learns so at its
  next beat, and can no longer finish. As long as nobody else came, it can.
- To finish is one transaction that stores the analysis, under the job's own id, and closes the job.
  The file that waited is deleted afterwards.

Leases compare the clocks of the programs that share a database. A clock that is put forward ends
leases too early: a job may then be analysed twice, but is stored once. A clock that is put back
makes a dead worker's job wait longer by that much.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from trivalent.core.analysis import Analysis
from trivalent.core.messages import Message
from trivalent.store import mapping
from trivalent.store.database import Database, changed
from trivalent.store.entities import Beat, Claim, JobState, Record
from trivalent.store.folders import Folders, Transfer, remove, suffix_of
from trivalent.store.schema import JobRow

# A file cannot end this process, since a child reads it: whoever dies was killed from outside.
ATTEMPTS = 10
DIED = Message("work.died", count=ATTEMPTS)


class Claims:
    """The workers' side of the jobs of all accounts."""

    def __init__(self, database: Database, folders: Folders) -> None:
        self._database, self._folders = database, folders

    def claim(self, worker: str, *, lease_s: float, now: datetime | None = None) -> Claim | None:
        """Take the next job that is queued, or whose worker is silent beyond its lease.

        Accounts take turns: the next is of the account with the fewest jobs running, then of the
        one that was served longest ago, then the oldest. A job that was taken `ATTEMPTS` times without
        an end fails.

        Parameters
        ----------
        worker : str
            Who asks; for people who read the table.
        lease_s : float
            How long the claim holds without a beat, in seconds.
        """
        now = mapping.utc_now(now)
        claim = None
        with self._database.write() as session:
            dead = session.scalars(
                select(JobRow.id).where(_expired(now), JobRow.attempts >= ATTEMPTS)
            ).all()
            if dead:
                failed = {"state": str(JobState.FAILED), "finished": now, **mapping.failure(DIED)}
                changed(session, update(JobRow).where(JobRow.id.in_(dead)).values(**failed))
            if (job_id := session.scalar(_next(now))) is not None:
                claim = self._take(session, job_id, worker, now=now, until=now + timedelta(seconds=lease_s))
        remove(self._folders.spool(job_id) for job_id in dead)
        return claim

    def _take(
        self, session: Session, job_id: str, worker: str, *, now: datetime, until: datetime
    ) -> Claim | None:
        values = {
            "state": str(JobState.RUNNING),
            "worker": mapping.storable(worker),
            "lease_token": mapping.new_id(),
            "lease_until": until,
            "started": now,
            "attempts": JobRow.attempts + 1,
            "stage": "",
            "progress": 0.0,
        }
        if not changed(
            session, update(JobRow).where(JobRow.id == job_id, _claimable(now)).values(**values)
        ):
            return None
        job = mapping.job(session.get_one(JobRow, job_id))
        return Claim(job, str(values["lease_token"]), self._folders.spool(job_id))

    def beat(
        self, claim: Claim, *, lease_s: float, stage: str, progress: float, now: datetime | None = None
    ) -> Beat:
        """Renew a claim, and note how far the work is (`progress` in [0, 1])."""
        lease_until = mapping.utc_now(now) + timedelta(seconds=lease_s)
        values = {
            "lease_until": lease_until,
            "stage": mapping.storable(stage),
            "progress": min(1.0, max(0.0, progress)),
        }
        with self._database.write() as session:
            if changed(session, update(JobRow).where(_held(claim)).values(**values)):
                return Beat.GOES_ON
            row = session.get(JobRow, claim.job.id)
            if row is None or row.lease_token != claim.token or row.state != JobState.CANCELLED:
                return Beat.LOST
            return Beat.CANCELLED

    def finish(self, claim: Claim, analysis: Analysis, *, now: datetime | None = None) -> Record | None:
        """Store the analysis and close the job; None when the claim was lost or the job cancelled.

        The recording moves to the kept media if the job says so, and is deleted otherwise.
        """
        now = mapping.utc_now(now)
        job = claim.job
        suffix = suffix_of(job.name) if job.keep_media else None
        row = mapping.analysis_row(
            analysis,
            owner_id=job.owner_id,
            record_id=job.id,
            created=now,
            name=job.name,
            tags=job.tags,
            origin=job.origin,
            batch=None,
            media_suffix=suffix,
        )
        done = {"state": str(JobState.DONE), "finished": now, "stage": "", "progress": 1.0}
        with Transfer() as files, self._database.write() as session:
            if not changed(session, update(JobRow).where(_held(claim)).values(**done)):
                return None
            held = session.get_one(JobRow, job.id)
            row.batch_id = held.batch_id  # it may have been deleted meanwhile
            session.add(row)
            session.flush()
            held.analysis_id = row.id
            record = mapping.record(row)
            if suffix is not None:
                # a second name: until the commit, a retry still needs the first
                files.link(claim.path, self._folders.media(job.owner_id, row.id, suffix))
        remove([claim.path])
        return record

    def fail(self, claim: Claim, reason: str, *, now: datetime | None = None) -> bool:
        """Close the job with a reason; False when the claim was lost or the job cancelled."""
        values = {
            "state": str(JobState.FAILED),
            "finished": mapping.utc_now(now),
            **mapping.failure(reason),
        }
        with self._database.write() as session:
            failed = changed(session, update(JobRow).where(_held(claim)).values(**values)) > 0
        if failed:
            remove([claim.path])
        return failed

    def release(self, claim: Claim) -> bool:
        """Give a job back unfinished, as if it had never been taken; False when the claim was lost."""
        values = {
            "state": str(JobState.QUEUED),
            "attempts": JobRow.attempts - 1,
            "started": None,
            "lease_token": None,
            "lease_until": None,
            "stage": "",
            "progress": 0.0,
        }
        with self._database.write() as session:
            return changed(session, update(JobRow).where(_held(claim)).values(**values)) > 0


def _held(claim: Claim) -> ColumnElement[bool]:
    return and_(
        JobRow.id == claim.job.id,
        JobRow.lease_token == claim.token,
        JobRow.state == str(JobState.RUNNING),
    )


def _expired(now: datetime) -> ColumnElement[bool]:
    return and_(JobRow.state == str(JobState.RUNNING), JobRow.lease_until <= now)


def _claimable(now: datetime) -> ColumnElement[bool]:
    silent = and_(_expired(now), JobRow.attempts < ATTEMPTS)
    return or_(JobRow.state == str(JobState.QUEUED), silent)


def _next(now: datetime) -> Select[str]:
    other, served = aliased(JobRow), aliased(JobRow)
    running = (
        select(func.count())
        .where(
            other.owner_id == JobRow.owner_id,
            other.state == str(JobState.RUNNING),
            other.lease_until > now,
        )
        .scalar_subquery()
    )
    last = select(func.max(served.started)).where(served.owner_id == JobRow.owner_id).scalar_subquery()
    return (
        select(JobRow.id)
        .where(_claimable(now))
        .order_by(running, last.asc().nulls_first(), JobRow.created, JobRow.id)
        .limit(1)
    )
