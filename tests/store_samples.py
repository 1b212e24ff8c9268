"""What the tests of the store need: files, and a server of PostgreSQL where one can be started."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from trivalent.core.settings import Settings
from trivalent.store import Role, open_store
from trivalent.store.database import Database
from trivalent.store.migration import upgrade

_NUMBERS = count()


@dataclass(frozen=True)
class Unavailable:
    """Why there is no PostgreSQL here."""

    reason: str


@cache
def postgresql_server() -> str | Unavailable:
    """Start a server of our own on a socket in a temporary folder; return its URL without a database."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if not found:
        return Unavailable("no PostgreSQL server in /usr/lib/postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    # the server refuses to run as root
    other: dict[str, Any] = {}
    if os.getuid() == 0:
        other = {"user": "postgres", "group": "postgres", "extra_groups": []}
        try:
            shutil.chown(folder, "postgres", "postgres")
        except LookupError:
            return Unavailable("PostgreSQL refuses to run as root, and there is no user 'postgres'")
    data = folder / "data"
    make = [
        found[-1] / "initdb",
        "-D",
        data,
        "-U",
        "tester",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
    ]
    done = subprocess.run([*make, "-N"], capture_output=True, text=True, check=False, cwd=folder, **other)
    if done.returncode:
        shutil.rmtree(folder)
        return Unavailable(f"initdb failed: {done.stderr.strip()}")
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "100",
    }
    command = [found[-1] / "postgres", "-D", data]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    log = (folder / "log").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **other)
    atexit.register(_stop, server, folder)
    socket = folder / ".s.PGSQL.5432"
    until = time.monotonic() + 30
    while not socket.exists() or not _answers(folder):
        if server.poll() is not None or time.monotonic() > until:
            return Unavailable(f"the server did not start: {(folder / 'log').read_text()[-500:]}")
        time.sleep(0.05)
    return f"postgresql://tester@/{{name}}?host={folder}"


def _answers(folder: Path) -> bool:
    engine = create_engine(f"postgresql+psycopg://tester@/postgres?host={folder}")
    try:
        with engine.connect():
            return True
    except Exception:
        return False
    finally:
        engine.dispose()


def _stop(server: subprocess.Popen[bytes], folder: Path) -> None:
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
    shutil.rmtree(folder, ignore_errors=True)


def postgresql_url(name: str) -> str:
    """URL of a database of our server; skips the test where there is none."""
    server = postgresql_server()
    if isinstance(server, Unavailable):
        pytest.skip(server.reason)
    return server.format(name=name)


def new_postgresql(*, template: str = "template0") -> str:
    """Make a database; return its URL."""
    name = f"t{next(_NUMBERS)}"
    engine = create_engine(Database(postgresql_url("postgres")).url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()
    return postgresql_url(name)


@cache
def migrated_postgresql() -> str:
    """Name of a database that has our tables; copying it is quicker than migrating."""
    url = new_postgresql()
    with closing(Database(url)) as database:
        upgrade(database)
    return Database(url).url.database or ""


@cache
def _migrated_sqlite() -> bytes:
    """Content of a database that has our tables."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        open_store(Settings(home=home)).close()
        return (home / "history.sqlite").read_bytes()


def a_home(home: Path, *names: str, password: str = "") -> Path:
    """Make a home whose database has our tables; copying them is quicker than migrating.

    With names it has their accounts; the first is an administrator's.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = home / "history.sqlite"
    if not database.exists():
        database.touch(0o600)
        database.write_bytes(_migrated_sqlite())
    if names:
        with closing(open_store(Settings(home=home))) as store:
            for name in names:
                role = Role.ADMINISTRATOR if name == names[0] else Role.USER
                store.accounts.create(name, password, role=role)
    return home


def a_file(folder: Path, content: bytes = b"a recording") -> Path:
    """A new file outside the store."""
    path = folder / f"upload-{next(_NUMBERS)}"
    path.write_bytes(content)
    return path


def files_in(settings: Settings) -> set[str]:
    """Files that the store holds, relative to its home, without the database."""
    return {
        str(p.relative_to(settings.home))
        for folder in ("spool", "media")
        for p in (settings.home / folder).rglob("*")
        if p.is_file()
    }
