"""`trivalent user`: the accounts of an app or service that runs with `--auth local`."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import TYPE_CHECKING, Any

from trivalent.cli.saying import say
from trivalent.cli.settings_options import add_store_options, opened_store, user_named
from trivalent.core.errors import PermissionDeniedError, UsageError
from trivalent.core.outside import clean_line

if TYPE_CHECKING:
    from trivalent.store import Accounts, Deleted, User


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command and its actions to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "user", help="make, list and delete accounts", description=__doc__
    )
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    words = {
        "add": "make an account; the first one must be an administrator",
        "list": "name the accounts",
        "password": "set another password",
        "activate": "let a deactivated account in again",
        "deactivate": "keep an account out without deleting anything",
        "sign-out": "end every session of an account and revoke its API keys",
        "delete": "delete an account with all its analyses",
    }
    parsers = {name: actions.add_parser(name, help=help_) for name, help_ in words.items()}
    for name, parser in parsers.items():
        if name != "list":
            takes = "its name" if name == "add" else "its name, or its id where several have that name"
            parser.add_argument("name", metavar="NAME" if name == "add" else "NAME|ID", help=takes)
        if name in ("add", "password"):
            parser.add_argument(
                "--password-stdin", action="store_true", help="read it from one line of standard input"
            )
        add_store_options(parser)
    parsers["add"].add_argument("--administrator", action="store_true", help="may manage accounts")
    parsers["password"].add_argument("--revoke-keys", action="store_true", help="end its API keys as well")
    parsers["delete"].add_argument("--yes", action="store_true", help="do not ask")
    return command


def run(arguments: argparse.Namespace) -> int:
    """Do one thing to one account."""
    with opened_store(arguments) as store:
        accounts = store.accounts
        match arguments.action:
            case "add":
                _add(accounts, arguments)
            case "list":
                _list(accounts)
            case "password":
                user = user_named(accounts, arguments.name)
                accounts.set_password(user.id, _password(arguments), revoke_keys=arguments.revoke_keys)
                say(f"{user.name}: password set, signed out everywhere{_keys_left(accounts, user)}")
            case "sign-out":
                user = user_named(accounts, arguments.name)
                sessions, keys = accounts.end_access(user.id)
                say(f"{user.name}: {sessions} sessions ended, {keys} keys revoked")
            case "activate" | "deactivate" as action:
                user = user_named(accounts, arguments.name)
                accounts.set_active(user.id, action == "activate")
                say(f"{user.name}: {action}d")
            case "delete":
                _delete(accounts, arguments)
    return 0


def _add(accounts: Accounts, arguments: argparse.Namespace) -> None:
    from trivalent.store import Role

    role = Role.ADMINISTRATOR if arguments.administrator else Role.USER
    if role is Role.USER and not any(u.role is Role.ADMINISTRATOR for u in accounts.users()):
        raise PermissionDeniedError("cli.first_administrator", name=arguments.name)
    user = accounts.create(arguments.name, _password(arguments), role=role)
    say(f"{user.name}: {user.role} added")


def _list(accounts: Accounts) -> None:
    for user in accounts.users():
        state = "active" if user.active else "deactivated"
        where = "password" if user.has_password else "provider"
        say(f"{user.name}  {user.role}  {state}  since {user.created:%Y-%m-%d}  {where}  {user.id}")


def _keys_left(accounts: Accounts, user: User) -> str:
    left = sum(key.revoked is None for key in accounts.keys(user))
    return f"; {left} API keys go on: trivalent user sign-out {user.id}" if left else ""


def _delete(accounts: Accounts, arguments: argparse.Namespace) -> None:
    user = user_named(accounts, arguments.name)
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise UsageError("cli.yes")
        typed = input(f"All analyses of {clean_line(user.name)} will be deleted. Type the name to go on: ")
        if typed.strip().casefold() != user.name.casefold():
            raise UsageError("cli.confirmation", name=user.name)
    gone = accounts.delete(user.id)
    say(f"{user.name}: deleted")
    say(f"  database: {gone.analyses} analyses, {gone.jobs} jobs, all sessions and keys")
    say(f"  files: {gone.media} kept and {gone.uploads} waiting recordings, {gone.temporary} temporary")
    say(f"  {_rest(gone)}")


def _rest(gone: Deleted) -> str:
    overwritten = (
        "the words are overwritten in the database"
        if gone.overwritten
        else "the words are overwritten in the database later, by the hourly sweep or by PostgreSQL"
    )
    return f"{overwritten}; what remains: lines of the audit log, with the id alone, and your backups"


def _password(arguments: argparse.Namespace) -> str:
    """Read a password, twice when a person types it."""
    if arguments.password_stdin:
        return sys.stdin.readline().removesuffix("\n")
    if not sys.stdin.isatty():
        raise UsageError("cli.password_terminal")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise UsageError("cli.password_twice")
    return password
