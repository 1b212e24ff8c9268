"""What the store gives and takes: plain dataclasses, without a database behind them.

Times are aware datetimes in UTC; ids are 32 hexadecimal digits.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any


class Role(StrEnum):
    """What an account may do."""

    USER = "user"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True)
class User:
    """An account.

    `keep_media` and `retention_days` are the user's own choices; None leaves them to the settings.
    `has_password` tells whether the account signs in here rather than at an identity provider.
    """

    id: str
    name: str
    role: Role
    created: datetime
    active: bool
    keep_media: bool | None = None
    retention_days: int | None = None
    has_password: bool = False


class Origin(StrEnum):
    """Through which program something was done."""

    APP = "app"
    SERVICE = "service"
    CLI = "cli"
    PYTHON = "python"  # a script that opened the store


class Action(StrEnum):
    """What the audit log tells of."""

    SIGN_IN = "sign_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGN_IN_LOCKED = "sign_in_locked"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - an action
    KEY_MADE = "key_made"
    KEY_USED = "key_used"
    KEY_REVOKED = "key_revoked"
    EXPORTED = "exported"
    DELETED = "deleted"
    DELETED_EVERYTHING = "deleted_everything"
    EXPIRED = "expired"
    ACCOUNT_MADE = "account_made"
    ACCOUNT_DELETED = "account_deleted"
    ROLE_CHANGED = "role_changed"
    ACTIVATED = "activated"
    DEACTIVATED = "deactivated"
    PREFERENCES_CHANGED = "preferences_changed"


@dataclass(frozen=True)
class Actor:
    """Who does something, for the audit log.

    `id` is of an account, or None; `address` is where the request came from, or words such as
    "command line".
    """

    id: str | None = None
    name: str = ""
    address: str = ""
    origin: Origin = Origin.PYTHON

    def or_owner(self, owner: User) -> Actor:
        """Whoever acts on what is theirs is its owner, unless somebody else was named."""
        return self if self.id or self.name else replace(self, id=owner.id, name=owner.name)


@dataclass(frozen=True)
class AuditLine:
    """One line of the audit log; `subject_id` is the account, key or analysis that it concerns."""

    id: int
    at: datetime
    action: str
    actor_id: str | None
    actor_name: str
    subject_id: str | None
    details: dict[str, Any]
    address: str
    origin: str


@dataclass(frozen=True)
class AuditQuery:
    """Which lines to list: every condition that is set must hold.

    Attributes
    ----------
    account : str, optional
        Id of an account that acted, or of whatever the line concerns.
    since, until : datetime, optional
        since <= at < until.
    limit : int
        Lines in a page, 1 to 1000.
    before : int, optional
        Id of the last line of the page before.
    """

    action: Action | None = None
    account: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100
    before: int | None = None


@dataclass(frozen=True)
class ApiKey:
    """A key of the service, without its secret; `prefix` is the secret's first 8 characters."""

    id: str
    label: str
    prefix: str
    per_minute: int
    created: datetime
    last_used: datetime | None
    revoked: datetime | None


@dataclass(frozen=True)
class Record:
    """An analysis as the history lists it: everything but the evidence."""

    id: str
    created: datetime
    name: str
    kind: str
    label: str
    confidence: float
    abstained: bool
    mixed_by: str | None
    probabilities: dict[str, float]
    model_name: str
    model_version: str
    model_sha256: str
    duration_s: float | None
    utterances: int
    tags: tuple[str, ...]
    origin: str
    batch: str | None
    has_media: bool


class Order(StrEnum):
    """How a page of the history is sorted; confidence: the surest first."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"
    CONFIDENCE = "confidence"


@dataclass(frozen=True)
class Query:
    """Which analyses to list; every condition that is set must hold.

    Attributes
    ----------
    text : str
        Every word of it occurs in the name or in what was said; case does not matter, and
        `%` and `_` are ordinary characters.
    labels : tuple of str
        Any of these.
    since, until : datetime, optional
        since <= created < until.
    limit : int
        Records in a page, 1 to 500.
    cursor : str, optional
        `Page.next_cursor` of the page before.
    """

    text: str = ""
    labels: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    model: str | None = None
    tag: str | None = None
    kind: str | None = None
    origin: str | None = None
    batch: str | None = None
    abstained: bool | None = None
    order: Order = Order.NEWEST
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True)
class Page:
    """A page of the history; `total` counts all pages, `next_cursor` is None on the last."""

    records: tuple[Record, ...]
    total: int
    next_cursor: str | None


@dataclass(frozen=True)
class Batch:
    """A named group of recordings with the number of analyses in it."""

    id: str
    name: str
    created: datetime
    analyses: int


@dataclass(frozen=True)
class Deleted:
    """What a deletion removed.

    Attributes
    ----------
    analyses, jobs : int
        Rows of the database, with everything that refers to them.
    media, uploads : int
        Files: recordings that were kept, and those that waited.
    temporary : int
        Files that children and pages had left.
    overwritten : bool
        Whether the words are overwritten in the database by now. Otherwise somebody was reading;
        the next deletion or the hourly sweep does it. PostgreSQL decides by itself.
    """

    analyses: int = 0
    jobs: int = 0
    media: int = 0
    uploads: int = 0
    temporary: int = 0
    overwritten: bool = False

    def counts(self) -> dict[str, int]:
        """Numbers above zero, by name."""
        numbers = ("analyses", "jobs", "media", "uploads", "temporary")
        return {name: getattr(self, name) for name in numbers if getattr(self, name)}

    def plus(self, later: Deleted) -> Deleted:
        """Add what was deleted afterwards."""
        return Deleted(
            self.analyses + later.analyses,
            self.jobs + later.jobs,
            self.media + later.media,
            self.uploads + later.uploads,
            self.temporary + later.temporary,
            later.overwritten,
        )


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: States in which the job's file is still needed.
OPEN = (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED)


@dataclass(frozen=True)
class Job:
    """A recording that waits for its analysis, or had it.

    `progress` is in [0, 1]; `attempts` counts the workers that took it; `analysis_id` is set when done.
    """

    id: str
    owner_id: str
    batch: str | None
    name: str
    state: JobState
    stage: str
    progress: float
    created: datetime
    started: datetime | None
    finished: datetime | None
    attempts: int
    error: str | None
    analysis_id: str | None
    options: dict[str, Any]
    keep_media: bool
    origin: str
    tags: tuple[str, ...] = ()


class Room(StrEnum):
    """Whether the queue takes one more recording of an account."""

    FREE = "free"
    OWN_FULL = "own full"  # this account has all that it may have; others find places
    FULL = "full"


@dataclass(frozen=True)
class JobPage:
    """Jobs, newest first; `next_cursor` is None on the last page."""

    jobs: tuple[Job, ...]
    total: int
    next_cursor: str | None


@dataclass(frozen=True)
class BatchSummary:
    """A batch with the number of its jobs in each state that occurs."""

    id: str
    name: str
    created: datetime
    counts: dict[JobState, int] = field(default_factory=dict)


class Beat(StrEnum):
    """What a worker learns when it says that it lives."""

    GOES_ON = "goes on"
    CANCELLED = "cancelled"  # by the user: stop
    LOST = "lost"  # another worker has the job, or it is gone: stop


@dataclass(frozen=True)
class Claim:
    """A worker's right to a job, as long as it beats; `path` is the file to analyse."""

    job: Job
    token: str
    path: Path
