"""The store as a whole."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import and_, func, select

from trivalent.core.errors import StorageFullError, UsageError
from trivalent.core.settings import Settings
from trivalent.core.types import LABELS
from trivalent.store import mapping
from trivalent.store.accounts import Accounts
from trivalent.store.audit import Audit
from trivalent.store.database import Database
from trivalent.store.entities import OPEN, Action, Actor, Deleted, User
from trivalent.store.folders import Folders
from trivalent.store.history import History
from trivalent.store.jobs import Jobs
from trivalent.store.migration import upgrade
from trivalent.store.ownership import of
from trivalent.store.removal import Removal, erase, kept_media, noted
from trivalent.store.schema import AnalysisRow, BatchRow, IdentityRow, JobRow, UserRow

PROGRAM = Actor()


class Store:
    """Accounts, the analyses of each, and the queue; safe to use from several threads and processes.

    Attributes
    ----------
    accounts : Accounts
    jobs : Jobs
    audit : Audit
    """

    def __init__(self, database: Database, folders: Folders, settings: Settings, actor: Actor) -> None:
        self._database, self._folders, self._settings = database, folders, settings
        self._actor = actor
        self.accounts = Accounts(database, folders, user_rate=settings.user_rate, actor=actor)
        self.jobs = Jobs(database, folders, quotas=settings.quotas, actor=actor)
        self.audit = Audit(database)

    def by(self, user: User, address: str | None) -> Store:
        """Return the same store for one request: the audit log tells who made it, and from where."""
        actor = Actor(user.id, user.name, address or "", self._actor.origin)
        return Store(self._database, self._folders, self._settings, actor)

    def history(self, owner: User) -> History:
        """Open the analyses of one account."""
        return History(self._database, self._folders, owner=owner, actor=self._actor)

    def upload_path(self) -> Path:
        """Name a file for an upload that comes in; `jobs.submit` takes it over by renaming it.

        One that is never submitted is deleted by `sweep` after a day.
        """
        return self._folders.new_upload()

    def apply_retention(self, days: int | None, *, now: datetime | None = None) -> int:
        """Delete what is older than its account keeps it; return the number of analyses.

        Parameters
        ----------
        days : int, optional
            Limit for all accounts; an account's own `retention_days` may be shorter. Jobs that are
            over go by the same age.

        Raises
        ------
        UsageError
            The days are not positive.
        """
        if days is not None and days < 1:
            raise UsageError("store.retention", days=days)
        now = mapping.utc_now(now)
        count = 0
        for user_id, limit in self._limits(days):
            before = now - timedelta(days=limit)
            over = JobRow.state.not_in([str(state) for state in OPEN])
            end = partial(_end_retention, self._actor, user_id, before)
            deleted = erase(
                self._database,
                self._folders,
                jobs=and_(of(user_id, JobRow), over, JobRow.finished < before),
                analyses=and_(of(user_id, AnalysisRow), AnalysisRow.created < before),
                end=end,
            )
            count += deleted.analyses
        self.audit.prune(self._settings.audit_days, now=now)
        return count

    def _limits(self, days: int | None) -> list[tuple[str, int]]:
        with self._database.read() as session:
            rows = session.execute(select(UserRow.id, UserRow.retention_days)).all()
        limits = [(user_id, [d for d in (own, days) if d is not None]) for user_id, own in rows]
        return [(user_id, min(given)) for user_id, given in limits if given]

    def counts_by_label(self) -> dict[str, int]:
        """Count the analyses of all accounts by label; every label is there."""
        counted = select(AnalysisRow.label, func.count()).group_by(AnalysisRow.label)
        with self._database.read() as session:
            found = {label: count for label, count in session.execute(counted)}
        return {label: found.get(label, 0) for label in LABELS}

    def sweep(self) -> int:
        """Delete files that an interruption left, without a row or a process; return how many."""
        removed = self.jobs.sweep() + self._folders.sweep_temporary()
        with self._database.write() as session:
            removed += self._folders.sweep_media(set(kept_media(session, self._folders)))
        self._folders.reserve.fill()
        self._database.overwrite()
        return removed

    def check_storage(self) -> None:
        """Tell whether recordings can be taken.

        Raises
        ------
        StorageFullError
            The disk has no room for more; what is deleted makes some.
        StoreError
            The folder cannot be written.
        """
        if self._folders.reserve.is_needed:
            raise StorageFullError("store.no_room", home=self._folders.home)
        self._folders.check()

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _end_retention(actor: Actor, owner_id: str, before: datetime, gone: Removal, so_far: Deleted) -> None:
    gone.delete_empty_batches(of(owner_id, BatchRow), BatchRow.created < before)
    noted(actor, Action.EXPIRED, owner_id, gone, so_far)


def open_store(settings: Settings, actor: Actor = PROGRAM) -> Store:
    """Open the store of some settings; make or upgrade it first.

    Parameters
    ----------
    actor : Actor
        Through which program it is used, and by whom, unless `Store.by` names somebody.

    Raises
    ------
    StoreError
        The folder or the database cannot be used, a newer version wrote it, or the two do not
        belong together.
    UsageError
        The database's URL is not sound.
    """
    folders = Folders(settings.home)
    database = Database(settings.database_url)
    database.make_private()
    try:
        upgrade(database)
        with database.read() as session:
            folders.belong_to(session.scalars(select(IdentityRow.id)).one())
    except BaseException:
        database.close()
        raise
    return Store(database, folders, settings, actor)
