"""History, accounts and jobs: what the app and the service remember.

>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> from trivalent.core.settings import Settings
>>> with TemporaryDirectory() as folder:
...     store = open_store(Settings(home=Path(folder)))
...     history = store.history(store.accounts.local_user())
...     history.search(Query(text="wonderful")).total
...     store.close()
0
"""

from __future__ import annotations

from trivalent.core.errors import MissingExtraError

try:
    import alembic  # noqa: F401
    import argon2  # noqa: F401
    import sqlalchemy  # noqa: F401
except ImportError as error:
    raise MissingExtraError(str(error.name), "app") from error

from trivalent.store.accounts import Accounts
from trivalent.store.entities import (
    Action,
    Actor,
    ApiKey,
    AuditLine,
    AuditQuery,
    Batch,
    BatchSummary,
    Beat,
    Claim,
    Deleted,
    Job,
    JobPage,
    JobState,
    Order,
    Origin,
    Page,
    Query,
    Record,
    Role,
    Room,
    User,
)
from trivalent.store.history import History
from trivalent.store.jobs import Jobs
from trivalent.store.store import Store, open_store

__all__ = [
    "Accounts",
    "Action",
    "Actor",
    "ApiKey",
    "AuditLine",
    "AuditQuery",
    "Batch",
    "BatchSummary",
    "Beat",
    "Claim",
    "Deleted",
    "History",
    "Job",
    "JobPage",
    "JobState",
    "Jobs",
    "Order",
    "Origin",
    "Page",
    "Query",
    "Record",
    "Role",
    "Room",
    "Store",
    "User",
    "open_store",
]
