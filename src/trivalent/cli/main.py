"""`trivalent`: parse the arguments, call the library, turn errors into one line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from trivalent.cli import (
    analyze,
    app,
    audit,
    batch,
    benchmark,
    check,
    compare,
    compress,
    data,
    evaluate,
    extract,
    key,
    model,
    serve,
    train,
    tune,
    user,
)
from trivalent.cli.help_texts import HelpWithDefaults
from trivalent.cli.saying import fail, say_traceback
from trivalent.core.errors import TrivalentError
from trivalent.core.messages import Message, chosen_language
from trivalent.core.outside import escaped
from trivalent.core.version import __version__

COMMANDS = (
    analyze,
    batch,
    check,
    extract,
    data,
    train,
    tune,
    evaluate,
    compare,
    benchmark,
    compress,
    model,
    app,
    serve,
    user,
    key,
    audit,
)


class _Parser(argparse.ArgumentParser):
    """Reports a usage error on one line and exits with 2; `--help` tells the defaults."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=HelpWithDefaults, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {escaped(message)}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    root = _Parser(
        prog="trivalent",
        description="Negative, neutral or positive from the words, the voice and the face.",
    )
    root.add_argument("--version", action="version", version=f"trivalent {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for module in COMMANDS:
        command = module.register(commands)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A label in Chinese or an emoji must not fail where the locale is plain ASCII.
        if hasattr(stream, "reconfigure") and (stream.encoding or "").lower() not in ("utf-8", "utf8"):
            stream.reconfigure(errors="backslashreplace")
    arguments = parser().parse_args(argv)
    if arguments.debug:
        sys.excepthook = say_traceback
    try:
        return int(arguments.run(arguments))
    except TrivalentError as error:
        if arguments.debug:
            raise
        return fail(error.said(chosen_language()), error.exit_status)
    except KeyboardInterrupt:
        return fail(Message("cli.interrupted"), 130)
    except BrokenPipeError:
        # The reader of a pipe left (`trivalent ... | head`): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if arguments.debug:
            raise
        reason, place = error.strerror or error, error.filename or "file"
        return fail(Message("cli.system", reason=reason, place=place), 1)
    except Exception as error:
        if arguments.debug:
            raise
        return fail(Message("cli.unexpected", kind=type(error).__name__, error=error), 1)


if __name__ == "__main__":
    sys.exit(main())
