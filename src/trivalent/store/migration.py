"""Brings a database to the schema of this version, whoever starts first."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import OperationalError

from trivalent.core.errors import StoreError
from trivalent.store.database import WAIT_S, Database, lock_postgresql

log = logging.getLogger(__name__)
BEFORE_OVERWRITING = ("0001", "0002")  # schemas of programs that left deleted words in free pages
_ALEMBIC = threading.Lock()  # its context is one of the whole process


def configuration() -> Config:
    """Alembic's configuration, which needs no file: the scripts lie in this package."""
    config = Config()
    config.set_main_option("script_location", "trivalent.store:migrations")
    config.set_main_option("path_separator", "os")
    return config


def upgrade(database: Database, revision: str = "head") -> None:
    """Create or upgrade the tables, in one transaction and in one process at a time.

    Raises
    ------
    StoreError
        The database is of a newer version or of another program, or cannot be used.
    """
    config, scripts = configuration(), ScriptDirectory.from_config(configuration())
    with _ALEMBIC, database.explained(), database.engine.connect() as connection:
        if database.is_sqlite:
            _prepare_sqlite(connection)
        with connection.begin():
            if not database.is_sqlite:
                lock_postgresql(connection)
            revision_there = _found(connection, scripts, database.place)
            if revision_there != scripts.get_current_head():
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
                _check_references(connection, database)
        if database.is_sqlite and revision_there in BEFORE_OVERWRITING:
            _rewrite(connection)
    # the pool keeps the connection, on which foreign keys are off
    database.engine.dispose()


def _prepare_sqlite(connection: Connection) -> None:
    raw = connection.connection.driver_connection
    assert raw is not None  # noqa: S101 - for the types: a connection that is open has a driver
    until = time.monotonic() + WAIT_S
    while True:
        try:
            # kept in the file; needs the file alone, and does not wait for it by itself
            mode = raw.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except raw.OperationalError as error:
            busy = error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > until:
                raise OperationalError("PRAGMA journal_mode", None, error) from error
            time.sleep(0.05)
        except raw.DatabaseError as error:
            raise OperationalError("PRAGMA journal_mode", None, error) from error
    if mode != "wal":
        raise StoreError("store.database_wal", mode=mode)
    # altering a table means to copy and drop it, which must not delete the rows that refer to it
    raw.execute("PRAGMA foreign_keys = OFF")
    # the whole migration is one write
    connection.execution_options(trivalent_immediate=True)


def _rewrite(connection: Connection) -> None:
    """Leave behind what was deleted while SQLite did not overwrite it."""
    raw = connection.connection.driver_connection
    assert raw is not None  # noqa: S101 - for the types: a connection that is open has a driver
    try:
        raw.execute("VACUUM")
    except raw.OperationalError as error:
        log.warning(
            "words that were deleted in the past may still be in the database: expected to rewrite it, got "
            "%r; stop every program that uses it and run: sqlite3 FILE VACUUM",
            str(error),
        )


def _found(connection: Connection, scripts: ScriptDirectory, place: str) -> str | None:
    """Find which schema the database has; None when it is empty."""
    head = scripts.get_current_head()
    revision = MigrationContext.configure(connection).get_current_revision()
    revisions = {script.revision for script in scripts.walk_revisions()}
    if revision is not None and revision not in revisions:
        raise StoreError("store.database_newer", head=head, place=place, found=revision)
    if revision is None and (tables := inspect(connection).get_table_names()):
        raise StoreError("store.database_foreign", place=place, tables=sorted(tables)[:5])
    return revision


def _check_references(connection: Connection, database: Database) -> None:
    if not database.is_sqlite:
        return  # PostgreSQL checks while it migrates
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise StoreError(
            "store.database_references", place=database.place, count=len(broken), broken=broken[0][0]
        )
