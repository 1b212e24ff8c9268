"""`trivalent serve`: the REST service."""

from __future__ import annotations

import argparse
from typing import Any

from trivalent.cli.settings_options import add_server_options, private_files, settings_from
from trivalent.core.errors import MissingExtraError
from trivalent.core.settings import Auth, check_binding


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "serve", help="answer over HTTP: texts at once, recordings as jobs", description=__doc__
    )
    add_server_options(command, port=8000, auths=(Auth.NONE, Auth.LOCAL))
    return command


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    settings = settings_from(arguments)
    check_binding(arguments.host, settings.auth, force=arguments.force)
    try:
        from trivalent.service.server import serve
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "fastapi", "app") from error
    with private_files():
        return serve(settings, host=arguments.host, port=arguments.port)
