"""The log on standard error: nothing in a message or a traceback acts on the terminal that shows it."""

from __future__ import annotations

import logging

from trivalent.core.outside import escaped

SERVER_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to_stderr(level: int, line: str = "%(asctime)s %(message)s") -> None:
    """Send the log to standard error, unless it goes somewhere already.

    Parameters
    ----------
    level : int
        The least that is shown, as in `logging`.
    line : str
        Format of a line.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(line))
    logging.basicConfig(level=level, handlers=[handler])


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record), keep="\n")
