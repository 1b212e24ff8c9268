"""Transactions on SQLite or PostgreSQL; whatever goes wrong there is one `StoreError`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    CursorResult,
    Delete,
    Engine,
    Update,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.orm import Session

from trivalent.core.errors import ConflictError, MissingExtraError, StorageFullError, StoreError, UsageError
from trivalent.store.privacy import create_private, make_private

WAIT_S = 30.0  # for other writers, before giving up
OVERWRITE_MS = 2000  # for readers, before a log stays as it is until the next deletion or sweep
#: Key of PostgreSQL's advisory lock; the number itself means nothing.
LOCK = 0x7269_7661
_IMMEDIATE = "trivalent_immediate"


class Database:
    """An SQLite file or a PostgreSQL database, with any number of readers and one writer at a time.

    That is how SQLite works, in WAL mode; in PostgreSQL an advisory lock makes it the same, so that
    there is one behaviour to understand. Writers take their lock first, where they can wait for it,
    and transactions are short.

    Parameters
    ----------
    url : str
        SQLAlchemy URL, `sqlite:///file` or `postgresql://user@host/name`.

    Raises
    ------
    UsageError
        The URL is malformed, or of another kind of database.
    MissingExtraError
        The driver of PostgreSQL is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = _checked(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        arguments: dict[str, Any] = {"timeout": WAIT_S} if self.is_sqlite else {"connect_timeout": 10}
        try:
            self.engine: Engine = create_engine(
                self.url,
                connect_args=arguments,
                pool_pre_ping=not self.is_sqlite,
                max_overflow=40,
                hide_parameters=True,  # words of users do not belong into logs
            )
        except ImportError as error:
            raise MissingExtraError("psycopg", "postgres") from error
        if self.is_sqlite:
            event.listen(self.engine, "connect", _configure)
            event.listen(self.engine, "begin", _begin)
        self._writer = self.engine.execution_options(**{_IMMEDIATE: True})

    def make_private(self) -> None:
        """Keep an SQLite file to its owner; SQLite gives its companions the same mode."""
        if self.is_sqlite:
            file = Path(str(self.url.database))
            create_private(file)
            for suffix in ("", "-wal", "-shm"):
                make_private(file.with_name(file.name + suffix))

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that only reads.

        Raises
        ------
        StoreError
            The database is absent, damaged or cannot be reached.
        """
        with self.explained(), Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a session whose changes are committed at its end, all or none.

        Raises
        ------
        StoreError
            The database is absent, read-only, damaged, locked or cannot be reached.
        StorageFullError
            There is no room on the disk.
        ConflictError
            A rule of the schema would be broken.
        """
        with self.explained(), Session(self._writer) as session, session.begin():
            if not self.is_sqlite:
                lock_postgresql(session.connection())
            yield session

    def overwrite(self) -> bool:
        """Let deleted words be in no file of SQLite: its log is brought into the database, and emptied.

        Returns
        -------
        bool
            False while somebody reads an older state, so that the log is still needed, or the disk is
            full; and for PostgreSQL, whose server decides when it reuses a page.
        """
        if not self.is_sqlite:
            return False
        with self.explained(), self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None  # noqa: S101 - for the types: a connection that is open has a driver
            raw.execute(f"PRAGMA busy_timeout = {OVERWRITE_MS}")
            try:
                return raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            except raw.OperationalError:
                return False
            finally:
                raw.execute(f"PRAGMA busy_timeout = {WAIT_S * 1000:.0f}")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn errors of the database into a StoreError of one line."""
        try:
            yield
        except IntegrityError as error:
            raise ConflictError("store.conflict", line=_line(error)) from error
        except (SQLAlchemyError, UnicodeError) as error:
            code = _CAUSES.get(_code(error), "store.database_away")
            kind = StorageFullError if code == _FULL else StoreError
            raise kind(code, place=self.place, cause=_line(error)) from error

    @property
    def place(self) -> str:
        """Where the data lie, without a password."""
        return str(self.url.database) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise UsageError("store.database_url") from error
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise UsageError("store.database_backend", backend=backend)
    if parsed.database in (None, "", ":memory:") or str(parsed.database).startswith("file:"):
        raise UsageError("store.database_path", url=url)
    return parsed


def _configure(connection: Any, record: Any) -> None:
    # Python's driver would begin transactions by itself, and never immediate ones
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten in the file


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(_IMMEDIATE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


_FULL = "store.database_room"
_CAUSES = {
    # SQLite's primary result codes
    sqlite3.SQLITE_BUSY: "store.database_busy",
    sqlite3.SQLITE_LOCKED: "store.database_busy",
    sqlite3.SQLITE_NOTADB: "store.database_kind",
    sqlite3.SQLITE_CORRUPT: "store.database_damaged",
    sqlite3.SQLITE_CANTOPEN: "store.database_folder",
    sqlite3.SQLITE_READONLY: "store.database_rights",
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_ERROR: "store.database_tables",  # our statements are sound: the tables are not ours
    # PostgreSQL's SQLSTATE
    "55P03": "store.database_hangs",
    "53100": _FULL,
    "42P01": "store.database_tables",
}


def lock_postgresql(connection: Connection) -> None:
    """Become the one writer until the end of the transaction."""
    seconds = f"{WAIT_S:.3f}s"
    connection.execute(text("SELECT set_config('lock_timeout', :time, true)"), {"time": seconds})
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def changed(session: Session, statement: Update | Delete) -> int:
    """Execute an UPDATE or DELETE; count the rows that it met."""
    result = session.execute(statement, execution_options={"synchronize_session": False})
    assert isinstance(result, CursorResult)  # noqa: S101 - for the types
    return result.rowcount


def _code(error: Exception) -> int | str | None:
    """Return the result code of SQLite, without its details, or the SQLSTATE of PostgreSQL."""
    original = error.orig if isinstance(error, StatementError) else error
    code: int | None = getattr(original, "sqlite_errorcode", None)
    return getattr(original, "sqlstate", None) if code is None else code & 0xFF


def _line(error: Exception) -> str:
    original = error.orig if isinstance(error, StatementError) and error.orig else error
    return " ".join(str(original).split())[:300]
