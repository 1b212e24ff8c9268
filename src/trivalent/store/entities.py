"""What the store gives and takes: plain dataclasses, without a database behind them.

Times are aware datetimes in UTC; ids are 32 hexadecimal digits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
