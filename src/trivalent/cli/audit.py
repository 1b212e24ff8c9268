"""`trivalent audit`: who did what with the accounts and analyses, when and from where."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivalent.cli.settings_options import add_store_options, opened_store, user_named
from trivalent.core.errors import UsageError
from trivalent.core.files import write_text_atomic

if TYPE_CHECKING:
    from trivalent.store import AuditLine, AuditQuery, Store


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command and its actions to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "audit", help="read and export the audit log", description=__doc__
    )
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="show the newest lines")
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="most lines to show")
    export = actions.add_parser("export", help="write all lines to a file or to standard output")
    export.add_argument("--format", choices=("csv", "jsonl"), default="csv", help="form of the lines")
    export.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="file to write instead of standard output"
    )
    for parser in (listing, export):
        parser.add_argument("--user", metavar="NAME|ID", help="an account that acted or was concerned")
        parser.add_argument("--only", metavar="ACTION", help="such as sign_in_failed or deleted")
        parser.add_argument("--days", type=int, metavar="N", help="of the last days only")
        add_store_options(parser)
    return command


def run(arguments: argparse.Namespace) -> int:
    """List or export."""
    with opened_store(arguments) as store:
        if arguments.action == "list":
            for line in store.audit.lines(replace(_query(store, arguments), limit=arguments.limit)):
                print(_shown(line))
        else:
            text = store.audit.export(_query(store, arguments), arguments.format)
            if arguments.output is None:
                sys.stdout.writelines(text)
            else:
                write_text_atomic(arguments.output, "".join(text))
    return 0


def _query(store: Store, arguments: argparse.Namespace) -> AuditQuery:
    from trivalent.store import Action, AuditQuery

    if arguments.only is not None and arguments.only not in list(Action):
        raise UsageError("cli.action", action=list(Action), only=arguments.only)
    if arguments.days is not None and not 1 <= arguments.days <= 36_500:
        raise UsageError("cli.days", days=arguments.days)
    return AuditQuery(
        action=None if arguments.only is None else Action(arguments.only),
        account=None if arguments.user is None else _account(store, arguments.user),
        since=None if arguments.days is None else datetime.now(UTC) - timedelta(days=arguments.days),
    )


def _account(store: Store, name: str) -> str:
    """Find the id of an account; one that was deleted is known by its id alone."""
    is_id = len(name) == 32 and not set(name) - set("0123456789abcdef")
    return name if is_id else user_named(store.accounts, name).id


def _shown(line: AuditLine) -> str:
    who = " ".join(
        part for part in (line.actor_name, f"({line.actor_id})" if line.actor_id else "") if part
    )
    details = " ".join(f"{name}={value}" for name, value in line.details.items())
    parts = (
        f"{line.at:%Y-%m-%d %H:%M:%S}Z",
        line.action,
        who,
        line.subject_id,
        details,
        line.address,
        line.origin,
    )
    return "  ".join(part for part in parts if part)
