"""Who else can read what is kept, what remains of it after deletion, and what a full disk prevents."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

import analyses
from attack_log import Attack
from conftest import let_others_in
from store_samples import a_file
from test_faults import needs_mount, on_disk
from trivalent.core.analysis import Analysis
from trivalent.core.settings import Settings
from trivalent.store import History, Store, User, open_store

PROGRAM = [sys.executable, "-m", "trivalent.cli.main"]
MARKER = "quetzalcoatlus"
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="to become somebody else takes root")


def spoken(words: str) -> Analysis:
    """An analysis in which these words were said."""
    found = analyses.text()
    said = tuple(replace(u, text=f"{u.text} {words}") for u in found.utterances)
    return replace(found, utterances=said)


def open_to_others(home: Path) -> list[Path]:
    """Everything that others may read or enter, the home first."""
    return [p for p in (home, *home.rglob("*")) if not p.is_symlink() and p.stat().st_mode & 0o077]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=120)


def loosened(home: Path) -> None:
    """A home as an administrator's `mkdir` and a copied database leave it."""
    with closing(open_store(Settings(home=home))) as store:
        history = store.history(store.accounts.local_user())
        history.add(spoken(MARKER), media=a_file(home.parent))
        store.jobs.submit(store.accounts.local_user(), "x.mp4", a_file(home.parent))
    (home / "bundles" / "own").mkdir(parents=True)
    (home / "bundles" / "own" / "bundle.json").write_text("{}")
    for path in (home, *home.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.finding(9)
def test_an_existing_home_that_everybody_reads(attack: Attack, tmp_path: Path) -> None:
    home = tmp_path / "home"
    loosened(home)
    attack.attempt("look into the home beforehand", withstood=open_to_others(home) != [])
    first = run("user", "list", "--home", str(home))
    assert first.returncode == 0, first.stderr
    for path in (home, *home.rglob("*")):
        shut = not path.stat().st_mode & 0o077
        attack.attempt(f"read {path.relative_to(tmp_path)} as another user", withstood=shut)
    attack.attempt("open it without a warning", withstood="others on this computer" in first.stderr)
    again = run("user", "list", "--home", str(home))
    attack.attempt("warn about it for ever", withstood=again.stderr == "")


@pytest.mark.finding(9)
def test_files_made_under_a_careless_mask(attack: Attack, tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "elsewhere.sqlite"
    for place, options in ((home, []), (tmp_path / "two", ["--database", f"sqlite:///{outside}"])):
        command = [*PROGRAM, "user", "add", "ada", "--administrator", "--password-stdin", *options]
        done = subprocess.run(
            ["sh", "-c", f'umask 0; exec "$@" --home {shlex.quote(str(place))}', "sh", *command],
            input="a password of ada\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        for path in (place, *place.rglob("*")):
            attack.attempt(f"read {path.name}", withstood=not path.stat().st_mode & 0o077)
    attack.attempt("read the database outside", withstood=not outside.stat().st_mode & 0o077)


AS_NOBODY = """
import os, sys
from trivalent.cli.main import main
import trivalent.store, trivalent.store.migrations.env  # what root alone may be able to read
import logging, sqlalchemy.dialects.sqlite, alembic.command
from pathlib import Path
from trivalent.core.settings import Settings
trivalent.store.open_store(Settings(home=Path(sys.argv[2]))).close()
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(main(["user", "list", "--home", sys.argv[1]]))
"""


@needs_root
@pytest.mark.finding(9)
def test_a_home_of_somebody_else(attack: Attack, tmp_path: Path) -> None:
    let_others_in(tmp_path)
    shared, foreign = tmp_path / "shared", tmp_path / "foreign"
    for home, mode in ((shared, 0o777), (foreign, 0o755)):
        home.mkdir()
        home.chmod(mode)
    for home, status in ((shared, 0), (foreign, 1)):
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(home), str(tmp_path / f"own-{home.name}")],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        clear = "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 2
        attack.attempt(f"crash with the home {home.name}", withstood=clear and done.returncode == status)
        told = "cannot be made private" in done.stderr or status == 1
        attack.attempt(f"say nothing of the home {home.name}", withstood=told)


@pytest.mark.finding(9)
def test_a_home_that_is_not_ours_alone(attack: Attack, tmp_path: Path) -> None:
    """What somebody else keeps there, and what links lead to, stays as it is."""
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    for path in (home / "notes.txt", outside / "file"):
        path.write_text("x")
        path.chmod(0o644)
    (home / "spool").mkdir()
    (home / "spool" / "link").symlink_to(outside / "file")
    (home / "bundles").symlink_to(outside)
    sticky = tmp_path / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    for place in (home, sticky):
        open_store(Settings(home=place)).close()
    for path in (home / "notes.txt", outside / "file"):
        attack.attempt(f"change {path.name}", withstood=stat.S_IMODE(path.stat().st_mode) == 0o644)
    attack.attempt("shut others out of /tmp", withstood=stat.S_IMODE(sticky.stat().st_mode) == 0o1777)


# Nothing of it is left


def traces(home: Path, *marks: bytes) -> list[str]:
    """Files below the home that hold one of these bytes."""
    return [
        str(path.relative_to(home))
        for path in home.rglob("*")
        if path.is_file() and any(mark in path.read_bytes() for mark in marks)
    ]


def filled(store: Store, home: Path) -> tuple[User, History, list[bytes]]:
    """A history with marks of all kinds: spoken words, names, transcripts, recordings, packed documents."""
    user = store.accounts.external_user("issuer", "1", "Anna")
    history = store.history(user)
    for number in range(45):
        history.add(
            spoken(f"{MARKER}{number} " * 40), name=f"{MARKER} {number}", tags=[f"{MARKER}-{number}"]
        )
    history.add(analyses.video(), name=MARKER, media=a_file(home.parent, MARKER.encode()))
    batch = store.jobs.create_batch(user, f"batch {MARKER}")
    for number in range(25):
        store.jobs.submit(
            user,
            f"{MARKER}.mp4",
            a_file(home.parent, MARKER.encode()),
            options={"transcript": f"{MARKER} {number} " * 50},
            batch=batch,
        )
    history.rename(history.add(spoken("x"), name=f"{MARKER} renamed").id, "y")
    with closing(sqlite3.connect(home / "history.sqlite")) as raw:
        packed = [body[20:80] for (body,) in raw.execute("SELECT body FROM documents")]
    return user, history, [MARKER.encode(), *packed]


@pytest.mark.finding(8)
@pytest.mark.parametrize("how", ["everything", "account", "one by one"])
def test_deleted_words_are_in_no_file(how: str, attack: Attack, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with closing(open_store(Settings(home=home))) as store:
        user, history, marks = filled(store, home)
        assert "history.sqlite" in " ".join(traces(home, *marks))
        match how:
            case "everything":
                history.delete_everything()
            case "account":
                store.accounts.delete(user.id)
            case "one by one":
                for job in store.jobs.list(user, limit=500).jobs:
                    store.jobs.delete(user, [job.id])
                history.delete_batch(history.batches()[0].id)
                with closing(sqlite3.connect(home / "history.sqlite")) as raw:
                    ids = [i for (i,) in raw.execute("SELECT id FROM analyses")]
                history.delete(ids)
        left = traces(home, *marks)  # while the store is open, as in a server
        attack.attempt(f"find words after deleting {how}: {left}", withstood=not left)
    left = traces(home, *marks)
    attack.attempt(f"find words after closing: {left}", withstood=not left)


HOLDER = (
    "import sys, time, tempfile; from pathlib import Path\n"
    "from trivalent.core.private_folders import PrivateFolder\n"
    "folder = PrivateFolder(Path(sys.argv[1]))\n"
    "(folder.path / 'transcript.txt').write_text(sys.argv[2])\n"
    "print(folder.path, flush=True); time.sleep(60)"
)


@pytest.mark.finding(8)
def test_temporary_words_of_a_killed_process(attack: Attack, tmp_path: Path) -> None:
    home = tmp_path / "home"
    if find_spec("trivalent.core.private_folders") is None:  # a former version
        attack.attempt("leave words of a killed process", withstood=False)
        return
    with closing(open_store(Settings(home=home))) as store:
        history = store.history(store.accounts.local_user())
        for place in ("temporary", "sessions"):
            for ending in (signal.SIGKILL, None):
                holder = [sys.executable, "-c", HOLDER, str(home / place), MARKER]
                with subprocess.Popen(holder, stdout=subprocess.PIPE, text=True) as process:
                    assert process.stdout is not None
                    folder = Path(process.stdout.readline().strip())
                    shut = not folder.stat().st_mode & 0o077
                    attack.attempt(f"read {place} of others", withstood=shut)
                    history.delete_everything()
                    kept = (folder / "transcript.txt").is_file()
                    attack.attempt(f"take {place} from a process that lives", withstood=kept)
                    process.send_signal(ending or signal.SIGKILL)
                    process.wait(30)
                if ending:
                    history.delete_everything()
                else:
                    store.sweep()
                attack.attempt(f"find words in {place}", withstood=not traces(home, MARKER.encode()))


@pytest.mark.finding(8)
def test_words_deleted_by_a_former_version(attack: Attack, tmp_path: Path) -> None:
    """Pages that were freed without being overwritten are left behind at the upgrade."""
    home = tmp_path / "home"
    with closing(open_store(Settings(home=home))) as store:
        filled(store, home)
    with closing(sqlite3.connect(home / "history.sqlite")) as raw:
        raw.execute("PRAGMA secure_delete = OFF")
        for table in ("texts", "documents", "tags", "jobs", "analyses", "batches"):
            raw.execute(f"DELETE FROM {table}")
        raw.execute("DROP TABLE IF EXISTS audit")
        raw.execute("UPDATE alembic_version SET version_num = '0002'")
        raw.commit()
        for table, later in (("jobs", {"size", "error_message"}), ("analyses", {"mixed_by"})):
            for column in later:
                raw.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        raw.commit()
    shutil.rmtree(home / "media")
    shutil.rmtree(home / "spool")
    assert traces(home, MARKER.encode())
    open_store(Settings(home=home)).close()
    left = traces(home, MARKER.encode())
    attack.attempt(f"find words after the upgrade: {left}", withstood=not left)


# A full disk

FILLING = """
import sys
from contextlib import closing
from pathlib import Path
import analyses
from trivalent.core.errors import StoreError
from trivalent.core.settings import Settings
from trivalent.store import Query, open_store
with closing(open_store(Settings(home=Path("home")))) as store:
    user = store.accounts.external_user("issuer", "1", "Anna")
    history = store.history(user)
    for _ in range(60):
        history.add(analyses.text())
    open("filler", "wb").close()
    with open("filler", "ab", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
    try:
        while True:
            history.add(analyses.text())
    except StoreError as error:
        print(type(error).__name__)
    what = sys.argv[1]
    try:
        if what == "one":
            history.delete([history.search(Query(limit=1)).records[0].id])
        elif what == "everything":
            history.delete_everything()
            assert history.search(Query()).total == 0
        else:
            store.accounts.delete(user.id)
            assert not store.accounts.users()
        print("deleted")
    except StoreError as error:
        print("refused", error)
    try:
        getattr(store, "check_storage", lambda: None)()
        print("room")
    except StoreError as error:
        print(type(error).__name__)
"""


@needs_mount
@pytest.mark.finding("low")
@pytest.mark.parametrize("what", ["one", "everything", "account"])
def test_deleting_on_a_full_disk(what: str, attack: Attack, tmp_path: Path) -> None:
    script = tmp_path / "fill.py"
    script.write_text(FILLING)
    command = f"PYTHONPATH={Path(__file__).parent}:$PYTHONPATH {sys.executable} {script} {what}"
    done = on_disk(tmp_path / "disk", command, options="size=64M")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    attack.attempt("take a full disk for another fault", withstood=lines[0] == "StorageFullError")
    attack.attempt(f"prevent a deletion: {lines[1]}", withstood=lines[1] == "deleted")
    attack.attempt("look as if there were room", withstood=lines[2] == "StorageFullError")
