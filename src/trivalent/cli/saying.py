"""What the commands print: nothing in a name, a message or a document may act on the terminal.

A file may be called anything, and an escape sequence in its name could recolour, retitle or rewrite
what the terminal shows. All that is printed goes through here; tables and bars go through `terminal`.
"""

from __future__ import annotations

import json
import sys
import traceback
from types import TracebackType
from typing import Any

from trivalent.core.messages import chosen_language, said
from trivalent.core.outside import escaped, escaped_json


def say(text: object, *, error: bool = False, flush: bool = False) -> None:
    """Print lines to standard output, or to standard error."""
    print(escaped(str(text), keep="\n"), file=sys.stderr if error else sys.stdout, flush=flush)


def fail(message: str, status: int) -> int:
    """Write one line to standard error, in the language of the user, and return the status."""
    say(f"trivalent: {' '.join(said(message, chosen_language()).split())}", error=True)
    return status


def say_json(content: Any, *, allow_nan: bool = True) -> None:
    """Print a JSON document to standard output."""
    print(escaped_json(json.dumps(content, indent=1, allow_nan=allow_nan)))


def say_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an error with its traceback; in the place of `sys.excepthook`."""
    say("".join(traceback.format_exception(kind, error, trace)).rstrip("\n"), error=True)
