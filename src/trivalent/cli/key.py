"""`trivalent key`: API keys, with which programs use the service in a user's name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from trivalent.cli.saying import say
from trivalent.cli.settings_options import add_store_options, opened_store, user_named
from trivalent.core.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from trivalent.store import Accounts, ApiKey


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command and its actions to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "key", help="make, list and revoke API keys", description=__doc__
    )
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key; it is shown once")
    create.add_argument(
        "--user", required=True, metavar="NAME|ID", help="whose analyses it reads and makes"
    )
    create.add_argument("--label", required=True, metavar="TEXT", help="what it is for")
    create.add_argument(
        "--per-minute", type=int, default=60, metavar="N", help="requests allowed in a minute"
    )
    listing = actions.add_parser("list", help="name the keys, never the secrets")
    listing.add_argument("--user", metavar="NAME|ID", help="only the keys of this account")
    revoke = actions.add_parser("revoke", help="end a key at once")
    revoke.add_argument("id", metavar="ID", help="as the list shows it")
    for parser in (create, listing, revoke):
        add_store_options(parser)
    return command


def run(arguments: argparse.Namespace) -> int:
    """Make, list or revoke."""
    with opened_store(arguments) as store:
        accounts = store.accounts
        match arguments.action:
            case "create":
                _create(accounts, arguments)
            case "list":
                _list(accounts, arguments.user)
            case "revoke":
                _revoke(accounts, arguments.id)
    return 0


def _create(accounts: Accounts, arguments: argparse.Namespace) -> None:
    if arguments.per_minute < 1:
        raise UsageError("cli.per_minute", per_minute=arguments.per_minute)
    user = user_named(accounts, arguments.user)
    _, secret = accounts.create_key(user, arguments.label, per_minute=arguments.per_minute)
    say(secret)
    say("Keep it: it is shown once.", error=True)


def _list(accounts: Accounts, name: str | None) -> None:
    users = accounts.users() if name is None else [user_named(accounts, name)]
    for user in users:
        for key in accounts.keys(user):
            say(f"{key.id}  {user.name} ({user.id})  {key.prefix}...  {key.label!r}  {_state(key)}")


def _state(key: ApiKey) -> str:
    if key.revoked:
        return "revoked"
    used = "never used" if key.last_used is None else f"last used {key.last_used:%Y-%m-%d %H:%M} UTC"
    return f"{key.per_minute} a minute, {used}"


def _revoke(accounts: Accounts, key_id: str) -> None:
    for user in accounts.users():
        for key in accounts.keys(user):
            if key.id == key_id:
                accounts.revoke_key(user, key.id)
                say(f"{key.label}: revoked")
                return
    raise NotFoundError("cli.key_id", key_id=key_id)
