"""The database under the store: migrations, several programs at once, and everything that goes wrong."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

import analyses
from conftest import let_others_in
from store_samples import a_file, new_postgresql, postgresql_url
from trivalent.core.errors import ConflictError, MissingExtraError, StoreError, UsageError
from trivalent.core.settings import Settings
from trivalent.store import JobState, Query, open_store
from trivalent.store import database as database_module
from trivalent.store.database import Database
from trivalent.store.migration import upgrade
from trivalent.store.schema import Base, UserRow

pytest_plugins = ["store_fixtures"]


@contextmanager
def connected(settings: Settings) -> Iterator[Connection]:
    with closing(Database(settings.database_url)) as database, database.engine.begin() as connection:
        yield connection


def test_models_and_migrations_agree(empty_settings: Settings) -> None:
    open_store(empty_settings).close()
    with connected(empty_settings) as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
        # names, too: they are what a later migration refers to
        for name, table in Base.metadata.tables.items():
            found = inspect(connection)
            keys = {k["name"] for k in found.get_foreign_keys(name)}
            assert keys == {k.name for k in table.foreign_key_constraints}, name
            assert {i["name"] for i in found.get_indexes(name)} >= {i.name for i in table.indexes}


OLD = [
    "INSERT INTO users (id, name, name_key, role, created, active) "
    "VALUES ('{u}', 'Anna', 'anna', 'user', '2026-01-02 03:04:05.000006', {true})",
    "INSERT INTO analyses (id, owner_id, created, name, name_key, kind, label, confidence, abstained, "
    "probabilities, model_name, model_version, model_sha256, utterances, origin) VALUES ('{a}', '{u}', "
    "'2026-01-02 03:04:05.000006', 'Talk.mp4', 'talk.mp4', 'video', 'positive', 0.5, {false}, "
    "'{{\"negative\": 0.25, \"neutral\": 0.25, \"positive\": 0.5}}', 'default', '1', '00', 3, 'app')",
    "INSERT INTO tags (analysis_id, owner_id, tag) VALUES ('{a}', '{u}', 'old')",
    "INSERT INTO texts (analysis_id, owner_id, words) VALUES ('{a}', '{u}', 'talk.mp4\nhello')",
    "INSERT INTO jobs (id, owner_id, name, state, stage, progress, created, attempts, options, tags, "
    "keep_media, origin) VALUES ('{j}', '{u}', 'next.mp4', 'queued', '', 0, "
    "'2026-01-02 03:04:05.000006', 0, '{{}}', '[]', {false}, 'app')",
]


def test_upgrade_from_the_previous_schema_keeps_the_data(empty_settings: Settings) -> None:
    empty_settings.home.mkdir()
    ids = {"u": "a" * 32, "a": "b" * 32, "j": "c" * 32}
    with closing(Database(empty_settings.database_url)) as database:
        upgrade(database, "0001")
        truth = {"true": "1", "false": "0"} if database.is_sqlite else {"true": "true", "false": "false"}
        with database.engine.begin() as connection:
            for statement in OLD:
                connection.execute(text(statement.format(**ids, **truth).replace(":", "\\:")))
    with closing(open_store(empty_settings)) as store:
        user = store.accounts.get(ids["u"])
        history = store.history(user)
        (record,) = history.search(Query(text="hello", tag="old")).records
        assert (record.id, record.name, record.batch) == (ids["a"], "Talk.mp4", None)
        assert record.created == datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
        assert store.jobs.counts()[JobState.QUEUED] == 1
        batch = store.jobs.create_batch(user, "new")
        assert history.add(analyses.text(), batch=batch).batch == batch
        assert history.delete([ids["a"]]) == 1  # the foreign keys still lead to the altered table
        assert history.tags() == {}


def test_opening_again_changes_nothing(empty_settings: Settings) -> None:
    for _ in range(2):
        with closing(open_store(empty_settings)) as store:
            user = store.accounts.local_user()
    with closing(open_store(empty_settings)) as store:
        assert store.accounts.local_user() == user


OPENING = """
import sys
from trivalent.core.settings import Settings
from trivalent.store import open_store
settings = Settings.from_environment()
sys.stdin.readline()
store = open_store(settings)
print(store.accounts.local_user().id)
"""


def test_several_programs_start_at_once(empty_settings: Settings) -> None:
    environment = os.environ | {"TRIVALENT_SETTINGS": empty_settings.to_json()}
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", OPENING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(3)
    ]
    done = [program.communicate("go\n", timeout=60) for program in programs]
    assert [error for _, error in done] == [""] * 3
    assert len({out for out, _ in done}) == 1


def test_several_threads_start_at_once(empty_settings: Settings) -> None:
    errors: list[BaseException] = []

    def start() -> None:
        try:
            open_store(empty_settings).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_newer_schema_is_refused(empty_settings: Settings) -> None:
    open_store(empty_settings).close()
    with connected(empty_settings) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"9999.*newer version.*upgrade"):
        open_store(empty_settings)


def test_a_database_of_another_program_is_left_alone(empty_settings: Settings) -> None:
    empty_settings.home.mkdir()
    with connected(empty_settings) as connection:
        connection.execute(text("CREATE TABLE recipes (id INTEGER)"))
    with pytest.raises(StoreError, match=r"another|recipes"):
        open_store(empty_settings)
    with connected(empty_settings) as connection:
        assert inspect(connection).get_table_names() == ["recipes"]


def test_a_migration_that_fails_leaves_everything_as_it_was(empty_settings: Settings) -> None:
    empty_settings.home.mkdir()
    with closing(Database(empty_settings.database_url)) as database:
        upgrade(database, "0001")
    with connected(empty_settings) as connection:
        connection.execute(text("CREATE TABLE batches (id INTEGER)"))  # in the way of 0002
        before = sorted(inspect(connection).get_table_names())
    with pytest.raises(StoreError, match="batches"):
        open_store(empty_settings)
    with connected(empty_settings) as connection:
        assert sorted(inspect(connection).get_table_names()) == before
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0001"


def test_what_is_broken_is_refused_by_the_schema(empty_settings: Settings) -> None:
    with closing(open_store(empty_settings)) as store:
        stranger = replace(store.accounts.local_user(), id="f" * 32)
        with pytest.raises(ConflictError, match=r"expected .*; look again"):
            store.history(stranger).add(analyses.text())


def test_times_keep_their_instant_and_naive_ones_are_refused(empty_settings: Settings) -> None:
    open_store(empty_settings).close()
    with closing(Database(empty_settings.database_url)) as database:
        time = datetime.fromisoformat("2026-03-29T02:30:00.123456+09:00")
        row = {"id": "a" * 32, "name": "x", "role": "user", "active": True}
        with database.write() as session:
            session.add(UserRow(**row, created=time))
        with database.read() as session:
            found = session.get_one(UserRow, "a" * 32).created
        assert (found, found.tzinfo) == (time, UTC)
        with pytest.raises(StoreError, match="aware"), database.write() as session:
            session.add(UserRow(**{**row, "id": "b" * 32}, created=time.replace(tzinfo=None)))


def test_recordings_of_another_database_are_not_swept_away(
    empty_settings: Settings, tmp_path: Path
) -> None:
    with closing(open_store(empty_settings)) as store:
        history = store.history(store.accounts.local_user())
        record = history.add(analyses.video(), media=a_file(tmp_path))
    another = replace(empty_settings, database=f"sqlite:///{tmp_path}/another.sqlite")
    for _ in range(2):
        with pytest.raises(StoreError, match="got another; give that one with --database"):
            open_store(another)
    with closing(open_store(empty_settings)) as store:
        assert store.sweep() == 0
        history.delete([record.id])
    with closing(open_store(another)) as store:  # there is nothing left to lose
        assert store.accounts.users() == []


# Only SQLite


def test_sqlite_is_shared_and_durable(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    with closing(open_store(settings)), connected(settings) as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        }
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000, "synchronous": 2}
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0, "recordings are nobody else's business"


def test_a_file_that_is_not_sqlite(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_bytes(b"Dear diary, " * 100)
    with pytest.raises(StoreError, match=r"expected an SQLite file at .*history.sqlite"):
        open_store(Settings(home=tmp_path))
    assert (tmp_path / "history.sqlite").read_bytes().startswith(b"Dear diary")


def test_a_damaged_file(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with closing(open_store(settings)) as store:
        for _ in range(20):
            store.history(store.accounts.local_user()).add(analyses.video())
    path = tmp_path / "history.sqlite"
    data = bytearray(path.read_bytes())
    data[8192:] = b"\xff" * (len(data) - 8192)
    path.write_bytes(data)

    def read() -> None:
        store = open_store(settings)
        store.history(store.accounts.local_user()).search(Query())

    with pytest.raises(StoreError, match=r"expected an undamaged SQLite file .*backup"):
        read()


def test_a_locked_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "WAIT_S", 0.05)
    settings = Settings(home=tmp_path)
    with closing(open_store(settings)) as store:
        history = store.history(store.accounts.local_user())
        holder = sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        assert history.search(Query()).total == 0, "readers go on"
        with pytest.raises(StoreError, match="nobody else to write"):
            history.add(analyses.text())
        with pytest.raises(StoreError, match="nobody else to write"):
            open_store(settings)
        holder.close()
        history.add(analyses.text())


def test_a_database_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="a file in a folder that can be written"):
        open_store(Settings(home=tmp_path, database=f"sqlite:///{tmp_path}/absent/h.sqlite"))
    with closing(open_store(Settings(home=tmp_path))) as store:
        user = store.accounts.local_user()
        store.close()
        for path in tmp_path.glob("history.sqlite*"):
            path.unlink()
        with pytest.raises(StoreError, match="tables of Trivalent"):
            store.history(user).search(Query())


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(StoreError, match=r"expected to read and write .*home"):
        open_store(Settings(home=tmp_path / "home"))


READ_ONLY = """
import os, sys
from pathlib import Path
from trivalent.core.errors import StoreError
from trivalent.core.settings import Settings
from trivalent.store import open_store
open_store(Settings(home=Path(sys.argv[1])))  # imports all that root alone may be able to read
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    open_store(Settings.from_environment())
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="to become somebody else takes root")
@pytest.mark.parametrize("what", ["home", "database"])
def test_places_that_cannot_be_written(what: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    database = None
    if what == "database":
        open_store(Settings(home=home)).close()
        database = f"sqlite:///{home}/history.sqlite"
        (home / "history.sqlite").chmod(0o444)
        home.chmod(0o755)
        home = tmp_path / "other"
        home.mkdir()
        home.chmod(0o777)
    else:
        home.mkdir(mode=0o755)
    let_others_in(tmp_path)
    settings = Settings(home=home, database=database)
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY, tmp_path / "first"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TRIVALENT_SETTINGS": settings.to_json()},
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("expected "), done.stderr
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    "url",
    ["nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true", "a:b:c"],
)
def test_urls_that_make_no_sense(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected"):
        open_store(Settings(home=tmp_path, database=url))


def test_passwords_in_urls_are_never_repeated(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = "postgresql://anna:s3cret@127.0.0.1:1/x"
    with pytest.raises(StoreError) as caught:
        open_store(Settings(home=tmp_path, database=url))
    assert "s3cret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_without_the_driver_of_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match="postgres"):
        open_store(Settings(home=tmp_path, database="postgresql://localhost/x"))


# Only PostgreSQL


def test_postgresql_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        open_store(Settings(home=tmp_path, database=postgresql_url("absent")))


def test_a_writer_of_postgresql_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path, database=new_postgresql())
    with closing(open_store(settings)) as store:
        history = store.history(store.accounts.local_user())
        monkeypatch.setattr(database_module, "WAIT_S", 0.05)
        with connected(settings) as connection:
            database_module.lock_postgresql(connection)
            with pytest.raises(StoreError, match="nobody else to write"):
                history.add(analyses.text())
        history.add(analyses.text())


def test_an_idle_connection_that_was_cut_is_replaced(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database=new_postgresql())
    with closing(open_store(settings)) as store:
        user = store.accounts.local_user()
        with connected(settings) as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        assert store.accounts.local_user() == user
