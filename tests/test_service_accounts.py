"""`trivalent user` and `trivalent key`, and the options that they share with `serve`."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trivalent.cli import user as user_command
from trivalent.cli.main import main
from trivalent.core.settings import Settings
from trivalent.store import Role, open_store

PASSWORD = "correct horse battery"
pytestmark = pytest.mark.usefixtures("quick_hashes")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command over one home, with a line on standard input."""

    def run(*argv: str, line: str = f"{PASSWORD}\n") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(line))
        status = main([*argv, "--home", str(tmp_path / "home")])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def ann(run: Run) -> str:
    status, out, err = run("user", "add", "Ann", "--administrator", "--password-stdin")
    assert (status, out, err) == (0, "Ann: administrator added\n", "")
    return "Ann"


def test_the_first_account_is_an_administrator(run: Run) -> None:
    status, out, err = run("user", "add", "Bob", "--password-stdin")
    assert (status, out) == (1, "")
    assert "--administrator" in err
    assert len(err.splitlines()) == 1


def test_accounts_are_added_listed_and_deleted(run: Run, ann: str, tmp_path: Path) -> None:
    assert run("user", "add", "Bob", "--password-stdin")[0] == 0
    status, out, _ = run("user", "list")
    assert status == 0
    assert [line.split("  ")[:3] for line in out.splitlines()] == [
        ["Ann", "administrator", "active"],
        ["Bob", "user", "active"],
    ]
    assert run("user", "deactivate", "bob")[1] == "Bob: deactivated\n"
    assert "Bob  user  deactivated" in run("user", "list")[1]
    assert run("user", "activate", "BOB")[0] == 0
    assert run("user", "delete", "Bob")[0] == 2, "no terminal to confirm in"
    assert run("user", "delete", "Bob", "--yes")[0] == 0
    assert "Bob" not in run("user", "list")[1]
    for action in ("deactivate", "delete"):
        status, _, err = run("user", action, ann, *(["--yes"] if action == "delete" else []))
        assert (status, "administrator" in err) == (1, True), "the last one stays"
    store = open_store(Settings(home=tmp_path / "home"))
    assert [(u.name, u.role) for u in store.accounts.users()] == [("Ann", Role.ADMINISTRATOR)]
    store.close()


def test_passwords(run: Run, ann: str, tmp_path: Path) -> None:
    status, _, err = run("user", "password", ann, "--password-stdin", line="short\n")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "short" not in err.replace("shorter", "")
    assert run("user", "password", ann, "--password-stdin", line="another good one\n")[0] == 0
    assert run("user", "password", ann)[0] == 2, "no terminal to type in"
    assert run("user", "password", "Nobody", "--password-stdin")[0] == 1
    store = open_store(Settings(home=tmp_path / "home"))
    assert store.accounts.verify("ann", "another good one").name == "Ann"
    store.close()


def test_a_typed_password_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    typed = iter(["one good password", "another password", *["one good password"] * 2])
    monkeypatch.setattr(user_command.getpass, "getpass", lambda _: next(typed))
    monkeypatch.setattr(user_command.sys, "stdin", Terminal())
    arguments = user_command.argparse.Namespace(password_stdin=False)
    with pytest.raises(user_command.UsageError, match="twice"):
        user_command._password(arguments)
    assert user_command._password(arguments) == "one good password"


def test_keys_are_shown_once_and_revoked(run: Run, ann: str) -> None:
    status, out, err = run("key", "create", "--user", "ann", "--label", "a script", "--per-minute", "7")
    assert status == 0
    secret = out.strip()
    assert re.fullmatch(r"tv_\S{20,}", secret), "nothing but the key is on standard output"
    assert "once" in err
    listed = run("key", "list")[1]
    assert secret not in listed
    assert "'a script'  7 a minute, never used" in listed
    key_id = listed.split()[0]
    assert run("key", "list", "--user", "Ann")[1] == listed
    assert run("key", "revoke", key_id)[1] == "a script: revoked\n"
    assert "revoked" in run("key", "list")[1]
    assert run("key", "revoke", "0" * 32)[0] == 1
    assert run("key", "create", "--user", "Nobody", "--label", "x")[0] == 1
    assert run("key", "create", "--user", ann, "--label", "x", "--per-minute", "0")[0] == 2


@pytest.mark.parametrize(
    "option",
    [
        ("--workers", "0"),
        ("--queue-limit", "-1"),
        ("--user-places", "0"),
        ("--user-waiting-mb", "0"),
        ("--user-rate", "0"),
        ("--audit-days", "0"),
        ("--max-upload-mb", "0"),
        ("--time-limit", "nan"),
        ("--retention-days", "0"),
    ],
)
def test_numbers_of_serve_are_checked_before_anything_starts(run: Run, option: tuple[str, str]) -> None:
    status, out, err = run("serve", *option)
    assert (status, out) == (2, "")
    assert option[0] in err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setitem(sys.modules, "trivalent.service.server", None)
    status, _, err = run("serve")
    assert status == 1
    assert "pip install 'trivalent[app]'" in err


def test_other_commands_do_without_the_extra() -> None:
    code = "import sys, trivalent.cli.main; print(*sys.modules, sep=chr(10))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"fastapi", "uvicorn", "sqlalchemy", "alembic", "argon2", "prometheus_client"}
