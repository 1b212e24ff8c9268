"""Names that look alike, guesses, floods of sign-ins, keys that outlive a password; what is noted of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from inspect import signature
from pathlib import Path

import pytest

import analyses
from attack_log import Attack
from store_samples import a_home
from trivalent.core import errors
from trivalent.core.settings import Auth, Settings
from trivalent.store import Role, Store, User, open_store

PROGRAM = [sys.executable, "-m", "trivalent.cli.main"]
PASSWORD = "correct horse battery"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("quick_hashes")  # in this process; their cost is measured in another


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(Settings(home=a_home(tmp_path / "home"), auth=Auth.LOCAL))) as opened:
        yield opened


def refused(action: Callable[[], object]) -> bool:
    try:
        action()
    except errors.TrivalentError:
        return True
    return False


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *arguments, "--home", str(home)]
    return subprocess.run(
        command, input=f"{PASSWORD} 2\n", capture_output=True, text=True, check=False, timeout=120
    )


# Names


@pytest.mark.finding(16)
def test_two_accounts_of_one_name_on_the_command_line(attack: Attack, store: Store, tmp_path: Path) -> None:
    home = tmp_path / "home"
    ada = store.accounts.create("ada", PASSWORD, role=Role.ADMINISTRATOR)
    store.accounts.create("second", PASSWORD, role=Role.ADMINISTRATOR)
    stranger = store.accounts.external_user("https://provider.example", "7", "Ada")
    for command in (
        ("user", "deactivate", "ADA"),
        ("user", "password", "Ada", "--password-stdin"),
        ("user", "delete", "ada", "--yes"),
        ("key", "create", "--user", "ada", "--label", "x"),
        ("key", "list", "--user", "ada"),
    ):
        done = run(home, *command)
        told = all(user.id in done.stderr for user in (ada, stranger))
        attack.attempt(f"{' '.join(command)} of either", withstood=done.returncode == 2 and told)
    users = store.accounts.users()
    attack.attempt("touch one of them", withstood={ada, stranger} <= set(users))
    listed = run(home, "user", "list").stdout
    attack.attempt("see no ids", withstood=ada.id in listed and stranger.id in listed)
    for command in (
        ("key", "create", "--user", stranger.id, "--label", "x"),
        ("user", "deactivate", stranger.id),
    ):
        attack.attempt(f"{command[:2]} by id", withstood=run(home, *command).returncode == 0)
    if ada in users:
        state = [store.accounts.get(user.id).active for user in (ada, stranger)]
        attack.attempt("act on the other", withstood=state == [True, False])


INVISIBLE = (
    "\u3164", "\u2800", "\u115f", "\u1160", "\uffa0", "\u034f", "\ufe0f", "\U000e0101", "\u180e", "\u200b",
    "\u00ad", "\u202e", "\u2066", "\u061c", "\ufeff", "\U000e0041", "\x00", "\u00a0", "\u3000", "\u17b4",
)  # fmt: skip


@pytest.mark.finding("low")
def test_names_that_nobody_sees(attack: Attack, store: Store) -> None:
    accounts = store.accounts
    accounts.create("ada", PASSWORD)
    for mark in INVISIBLE:
        for name in (mark, f"ada{mark}x", f"a{mark}da"):
            attempt = refused(lambda name=name: accounts.create(name, PASSWORD))  # type: ignore[misc]
            attack.attempt(f"create {name!a}", withstood=attempt)
    for name in (" ", "   ", "\u0301", "\u0301\u0302", "ADA", "ａｄａ", " ada "):
        attempt = refused(lambda name=name: accounts.create(name, PASSWORD))  # type: ignore[misc]
        attack.attempt(f"create {name!a}", withstood=attempt)
    for name in ("Zoë", "Ðóra", "李明", "عمر", "O'Neil 2", "नेहा"):
        attack.attempt(f"refuse {name}", withstood=accounts.create(name, PASSWORD).name == name)


@pytest.mark.finding("low")
def test_names_of_a_provider_that_nobody_sees(attack: Attack, store: Store) -> None:
    for number, mark in enumerate(INVISIBLE):
        for name in (mark, f"{mark} {mark}", f"A{mark}da"):
            shown = store.accounts.external_user("iss", f"{number}", name)
            expected = {"Ada", "A da"} if "da" in name else {shown.id}
            attack.attempt(f"be shown as {shown.name!a}", withstood=shown.name in expected)


# Guesses


@pytest.mark.finding("beyond")
def test_one_address_that_tries_name_after_name(attack: Attack, store: Store) -> None:
    accounts = store.accounts
    accounts.create("ada", PASSWORD)
    if "address" not in signature(accounts.verify).parameters:  # a former version
        attack.attempt("try any number of names from one address", withstood=False)
        return

    def tried(name: str, address: str, password: str = "wrong password", minutes: float = 0) -> str:
        try:
            accounts.verify(name, password, address=address, now=NOW + timedelta(minutes=minutes))
        except errors.TrivalentError as error:
            return type(error).__name__
        return "in"

    answers = [tried(f"name{number}", "203.0.113.9") for number in range(120)]
    attack.attempt("try more than 100 names", withstood=answers.count("AuthenticationError") <= 100)
    attack.attempt("sign in from there", withstood=tried("ada", "203.0.113.9", PASSWORD) == "LockedError")
    attack.attempt("shut out another address", withstood=tried("ada", "203.0.113.10", PASSWORD) == "in")
    attack.attempt("shut out this computer", withstood=tried("ada", "127.0.0.1", PASSWORD) == "in")
    attack.attempt("stay out for ever", withstood=tried("ada", "203.0.113.9", PASSWORD, minutes=6) == "in")
    answers = [tried(f"other{n}", f"2001:db8::{n:x}") for n in range(120)]
    attack.attempt("change addresses of one /64", withstood=answers.count("AuthenticationError") <= 100)
    family = [tried("ada", "198.51.100.1") for _ in range(3)] + [tried("ada", "198.51.100.1", PASSWORD)]
    attack.attempt(f"a family's mistakes: {family}", withstood=family[-1] == "in")
    for _ in range(5):
        tried("ada", "198.51.100.2")
    attack.attempt(
        "go on with a locked name", withstood=tried("ada", "192.0.2.77", PASSWORD) == "LockedError"
    )


FLOOD = """
import sys, threading, resource
from pathlib import Path
from trivalent.core.errors import TrivalentError
from trivalent.core.settings import Settings
from trivalent.store import open_store
store = open_store(Settings(home=Path(sys.argv[1])))
def sign_in(number):
    try:
        store.accounts.verify(f"name{number}", "wrong password")
        answers.append("in")
    except TrivalentError as error:
        answers.append(type(error).__name__)
answers = []
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
threads = [threading.Thread(target=sign_in, args=(number,)) for number in range(int(sys.argv[2]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before, *answers)
"""


@pytest.mark.finding(18)
@pytest.mark.parametrize("count", [40, 120])
def test_many_who_sign_in_at_once(count: int, attack: Attack, store: Store, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FLOOD, str(tmp_path / "home"), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    grown, *answers = done.stdout.split()
    attack.peak_mb = float(grown)
    attack.attempt(f"take {grown} MB", withstood=float(grown) < 250)
    attack.attempt(f"not be answered: {len(answers)}", withstood=len(answers) == count)
    if count == 40:
        attack.attempt("turn forty people away", withstood=set(answers) == {"AuthenticationError"})
    else:
        kinds = {"AuthenticationError", "BusyError"}
        attack.attempt(f"wait without end: {set(answers)}", withstood=set(answers) == kinds)
        again = refused(lambda: store.accounts.verify("name1", "wrong password"))
        attack.attempt("keep the line blocked", withstood=again)


# What outlives what


@pytest.mark.finding("low")
def test_keys_after_a_change_of_password(attack: Attack, store: Store) -> None:
    accounts = store.accounts
    ada = accounts.create("ada", PASSWORD)
    _, secret = accounts.create_key(ada, "of a thief")
    if not hasattr(accounts, "end_access"):  # a former version
        accounts.set_password(ada.id, f"{PASSWORD} 2")
        attack.attempt("use a key of a thief", withstood=refused(lambda: accounts.verify_key(secret)))
        return
    accounts.set_password(ada.id, f"{PASSWORD} 2")
    attack.attempt("end keys unasked", withstood=not refused(lambda: accounts.verify_key(secret)))
    accounts.set_password(ada.id, f"{PASSWORD} 3", revoke_keys=True)
    attack.attempt("use a key of a thief", withstood=refused(lambda: accounts.verify_key(secret)))
    _, secret = accounts.create_key(ada, "another")
    token = accounts.open_session(ada)
    accounts.end_access(ada.id)
    attack.attempt("use another", withstood=refused(lambda: accounts.verify_key(secret)))
    attack.attempt("stay signed in", withstood=accounts.session_user(token) is None)


# What is noted


@pytest.fixture
def noted(store: Store, tmp_path: Path) -> tuple[Store, User]:
    """A store in which much has happened."""
    accounts = store.accounts
    chief = accounts.create("chief", PASSWORD, role=Role.ADMINISTRATOR)
    ada = accounts.create("ada quetzalcoatlus", PASSWORD)
    if not hasattr(store, "audit"):
        return store, chief
    by = store.by(chief, "192.0.2.1").accounts
    by.set_role(ada.id, Role.ADMINISTRATOR)
    by.set_role(ada.id, Role.USER)
    by.set_active(ada.id, False)
    by.set_active(ada.id, True)
    by.set_password(ada.id, f"{PASSWORD} 2")
    with pytest.raises(errors.AuthenticationError):
        accounts.verify("ada quetzalcoatlus", "my secret password", address="203.0.113.1")
    with pytest.raises(errors.AuthenticationError):
        accounts.verify("a password typed as a name", "x", address="203.0.113.1")
    accounts.verify("ada quetzalcoatlus", f"{PASSWORD} 2", address="203.0.113.1")
    _, secret = store.by(ada, "203.0.113.1").accounts.create_key(ada, "label of words")
    for address in ("203.0.113.1", "203.0.113.1", "203.0.113.2"):
        accounts.verify_key(secret, address=address)
    history = store.by(ada, "203.0.113.1").history(ada)
    records = [history.add(analyses.text(), name="name of words") for _ in range(3)]
    history.export([r.id for r in records[:2]], tmp_path / "out.zip")
    history.delete([records[0].id])
    history.delete_everything()
    accounts.set_preferences(ada.id, keep_media=True, retention_days=30)
    return store, ada


@pytest.mark.finding("beyond")
def test_what_the_audit_log_tells(attack: Attack, noted: tuple[Store, User], tmp_path: Path) -> None:
    store, ada = noted
    done = run(tmp_path / "home", "audit", "export", "--format", "jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []
    told = {(line["action"], line["address"]) for line in lines}
    for expected in (
        ("account_made", ""),
        ("role_changed", "192.0.2.1"),
        ("deactivated", "192.0.2.1"),
        ("activated", "192.0.2.1"),
        ("password_changed", "192.0.2.1"),
        ("sign_in_failed", "203.0.113.1"),
        ("sign_in", "203.0.113.1"),
        ("key_made", "203.0.113.1"),
        ("key_used", "203.0.113.1"),
        ("key_used", "203.0.113.2"),
        ("exported", "203.0.113.1"),
        ("deleted", "203.0.113.1"),
        ("deleted_everything", "203.0.113.1"),
        ("preferences_changed", ""),
    ):
        attack.attempt(f"do unseen: {expected}", withstood=expected in told)
    uses = [line for line in lines if line["action"] == "key_used"]
    attack.attempt("flood it with one key", withstood=len(uses) == 2)
    counted = [line["details"] for line in lines if line["action"].startswith(("exported", "deleted"))]
    expected_counts = [{"analyses": 2}, {"analyses": 1}, {"analyses": 2}]
    attack.attempt(f"hide how much: {counted}", withstood=counted == expected_counts)
    for words in ("name of words", "label of words", "secret password", "typed as a name"):
        attack.attempt(f"read {words!r} there", withstood=bool(lines) and words not in done.stdout)
    if lines:
        store.accounts.delete(ada.id)
        after = run(tmp_path / "home", "audit", "export").stdout
        attack.attempt("keep a name after deletion", withstood="quetzalcoatlus" not in after)
        attack.attempt("lose the lines with the account", withstood=after.count(ada.id) >= 10)


@pytest.mark.finding("beyond")
def test_an_audit_log_that_grows(attack: Attack, noted: tuple[Store, User]) -> None:
    store, _ = noted
    if not hasattr(store, "audit"):  # a former version
        attack.attempt("keep a log", withstood=False)
        return
    from trivalent.store import Action, AuditQuery

    for _ in range(12):
        refused(lambda: store.accounts.verify("chief", "wrong password", now=NOW))
    locked = [line for line in store.audit.lines(AuditQuery()) if line.action == Action.SIGN_IN_LOCKED]
    attack.attempt("write a line with each locked attempt", withstood=len(locked) == 1)
    total = store.audit.count(AuditQuery())
    store.apply_retention(None, now=datetime.now(UTC) + timedelta(days=364))
    attack.attempt("lose it early", withstood=store.audit.count(AuditQuery()) == total)
    store.apply_retention(None, now=datetime.now(UTC) + timedelta(days=366))
    attack.attempt("keep it for ever", withstood=store.audit.count(AuditQuery()) == 0)


@pytest.mark.finding("beyond")
def test_an_erasure_says_what_it_erased(attack: Attack, store: Store, tmp_path: Path) -> None:
    chief = store.accounts.create("chief", PASSWORD, role=Role.ADMINISTRATOR)
    ada = store.accounts.create("ada", PASSWORD)
    for _ in range(3):
        store.history(ada).add(analyses.text())
    recording = tmp_path / "x"
    recording.write_bytes(b"x")
    store.jobs.submit(ada, "x.mp4", recording)
    done = run(tmp_path / "home", "user", "delete", "ada", "--yes")
    for words in ("3 analyses", "1 jobs", "1 waiting", "overwritten", "what remains"):
        attack.attempt(f"erase without telling: {words}", withstood=words in done.stdout)
    attack.attempt("leave the account", withstood=store.accounts.users() == [chief])
