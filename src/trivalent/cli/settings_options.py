"""Options of the commands that keep a history: where it lies, and how a server over it behaves."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from trivalent.core.errors import MissingExtraError, NotFoundError, UsageError
from trivalent.core.options import THREADS
from trivalent.core.settings import Auth, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trivalent.store import Accounts, Store, User

_DEFAULTS = Settings(home=Path())


def add_store_options(command: argparse.ArgumentParser) -> None:
    """Add what tells where accounts, jobs and analyses are kept."""
    command.add_argument(
        "--home",
        type=Path,
        metavar="DIR",
        help="media, uploads and the default database; $TRIVALENT_HOME or the user's data folder",
    )
    command.add_argument("--database", metavar="URL", help="SQLAlchemy URL instead of SQLite in --home")


def add_server_options(command: argparse.ArgumentParser, *, port: int, auths: Sequence[Auth]) -> None:
    """Add what tells how a server listens, who may use it, and how much it takes."""
    command.add_argument("--host", default="127.0.0.1", help="address to listen on")
    command.add_argument("--port", type=int, default=port, help="port to listen on; 0 takes a free one")
    command.add_argument(
        "--force", action="store_true", help="listen on a public address although there are no accounts"
    )
    command.add_argument(
        "--auth",
        choices=[str(a) for a in auths],
        default=str(Auth.NONE),
        help="none: one local user; " + "; ".join(_MEANING[a] for a in auths if a in _MEANING),
    )
    command.add_argument(
        "--trusted-proxy",
        metavar="ADDRESSES",
        help="of the proxy in front, whose X-Forwarded headers are believed; nobody's if not given",
    )
    add_store_options(command)
    command.add_argument(
        "--model", default=_DEFAULTS.model, metavar="NAME|PATH", help="bundle used unless another is named"
    )
    command.add_argument("--keep-media", action="store_true", help="keep recordings after their analysis")
    command.add_argument(
        "--retention-days", type=int, metavar="N", help="delete analyses that are older (kept without end)"
    )
    numbers: tuple[tuple[str, type, str, str], ...] = (
        ("--max-upload-mb", float, "MB", "largest file taken"),
        ("--workers", int, "N", "recordings analysed at the same time"),
        ("--queue-limit", int, "N", "recordings that may wait, be paused or run"),
        ("--user-places", int, "N", "as many of them may be of one account; never more than half"),
        ("--user-waiting-mb", float, "MB", "size of what one account may have waiting"),
        ("--user-rate", int, "N", "requests a minute that users may give their own keys"),
        ("--audit-days", int, "N", "days for which the audit log is kept"),
        ("--time-limit", float, "S", "seconds that one recording may take"),
        ("--memory-limit", float, "MB", "memory that one recording may take"),
        ("--threads", int, "N", "threads of each model"),
    )
    for flag, kind, unit, words in numbers:
        field = _FIELDS.get(flag, flag[2:].replace("-", "_"))
        default = getattr(_DEFAULTS, field)
        command.add_argument(flag, type=kind, default=default, dest=field, metavar=unit, help=words)


_MEANING = {
    Auth.LOCAL: "local: accounts of our own",
    Auth.OIDC: "oidc: accounts of an identity provider",
}
_FIELDS = {
    "--time-limit": "time_limit_s",
    "--memory-limit": "memory_limit_mb",
    "--upload-memory": "upload_memory_mb",
}
_AT_LEAST = dict.fromkeys(
    ("workers", "queue_limit", "user_places", "user_rate", "audit_days", "retention_days"), 1
)
_ABOVE_ZERO = (
    "max_upload_mb",
    "user_waiting_mb",
    "time_limit_s",
    "memory_limit_mb",
    "upload_memory_mb",
)


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Build the settings from whichever of these options a command has.

    Raises
    ------
    UsageError
        A number is too small.
    """
    names = {f.name for f in fields(Settings)}
    given = {k: v for k, v in vars(arguments).items() if k in names and v is not None}
    for name, lowest in _AT_LEAST.items():
        if given.get(name, lowest) < lowest:
            raise UsageError("cli.at_least", flag=_flag(name), lowest=lowest, given=given[name])
    for name in _ABOVE_ZERO:
        if not given.get(name, 1) > 0:  # NaN is not above zero either
            raise UsageError("cli.above_zero", flag=_flag(name), given=given[name])
    THREADS.check(given.get("threads", 1), named="--threads")
    if "home" in given:
        given["home"] = given["home"].expanduser()
    if "auth" in given:
        given["auth"] = Auth(given["auth"])
    if "public_names" in given:
        given["public_names"] = tuple(name.casefold() for name in given["public_names"])
    return Settings(**given)


def _flag(name: str) -> str:
    flags = {field: flag for flag, field in _FIELDS.items()}
    return flags.get(name, "--" + name.replace("_", "-"))


@contextmanager
def private_files() -> Iterator[None]:
    """Let files that are made meanwhile be nobody else's: recordings, words, keys."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def opened_store(arguments: argparse.Namespace) -> Iterator[Store]:
    """Open the database that the options name; whoever works here is told to the audit log.

    Raises
    ------
    MissingExtraError
        The extra `app` is not installed.
    """
    try:
        from trivalent.store import Actor, Origin, open_store
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "sqlalchemy", "app") from error
    operator = Actor(name=_operator(), address="command line", origin=Origin.CLI)
    with private_files(), closing(open_store(settings_from(arguments), operator)) as store:
        yield store


def _operator() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account of the system that has no name
        return "unknown"


def user_named(accounts: Accounts, name: str) -> User:
    """Find an account by its id, or by its name, whatever its case.

    Raises
    ------
    NotFoundError
        There is none.
    UsageError
        Several have this name: one of ours may look like one of an identity provider.
    """
    from trivalent.store.passwords import name_key

    wanted, users = name.strip(), accounts.users()
    matching = [user for user in users if user.id == wanted] or [
        user for user in users if name_key(user.name) == name_key(wanted)
    ]
    if not matching:
        raise NotFoundError("cli.account", name=name)
    if len(matching) > 1:
        choice = ", ".join(
            f"{user.id} ({'password' if user.has_password else 'provider'})" for user in matching
        )
        raise UsageError("cli.account_twice", name=name, count=len(matching), choice=choice)
    return matching[0]
