"""`trivalent app`: the app in the browser."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from typing import Any

from trivalent.cli.settings_options import add_server_options, private_files, settings_from
from trivalent.core.errors import MissingExtraError
from trivalent.core.settings import VARIABLE, Auth, Settings, check_binding


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "app", help="open the app in the browser", description=__doc__
    )
    add_server_options(command, port=8501, auths=tuple(Auth))
    command.add_argument(
        "--language", choices=("en", "zh"), help="language of the first visit (the browser's)"
    )
    command.add_argument("--no-browser", action="store_true", help="do not open a window")
    command.add_argument(
        "--public-name",
        action="append",
        dest="public_names",
        metavar="NAME",
        help="host name under which browsers reach the app; others are refused; may be given again",
    )
    command.add_argument(
        "--upload-memory",
        type=float,
        default=Settings.upload_memory_mb,
        dest="upload_memory_mb",
        metavar="MB",
        help="memory that uploads may hold, all sessions together",
    )
    return command


def run(arguments: argparse.Namespace) -> int:
    """Serve the app until SIGINT or SIGTERM."""
    settings = settings_from(arguments)
    check_binding(arguments.host, settings.auth, force=arguments.force)
    for package in ("streamlit", "sqlalchemy", "argon2"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "app")
    os.environ[VARIABLE] = settings.to_json()
    from trivalent.web.server import serve

    with private_files():
        serve(settings, host=arguments.host, port=arguments.port, browser=not arguments.no_browser)
    return 0
