"""Keeps strangers from filling the log: of lines of one kind a few are written, then counted."""

from __future__ import annotations

import logging
import threading
import time

FEW, WHILE_S = 5, 60.0
KINDS = 200  # told apart; beyond, lines of one logger are one kind
LONGEST = 2000  # characters of one line


class Quiet(logging.Filter):
    """Lets the first lines of a kind pass in each minute; one that ends with (×90) stands for 90.

    >>> quiet = Quiet()
    >>> line = logging.LogRecord("x", logging.WARNING, "", 0, "refused %s", ("a",), None)
    >>> sum(quiet.filter(line) for _ in range(100))
    5
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}  # since when, and how many
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is written."""
        kind = (record.name, str(record.msg))
        now = time.monotonic()
        with self._lock:
            if kind not in self._kinds and len(self._kinds) >= KINDS:
                kind = (record.name, "")
            since, count = self._kinds.get(kind, (now, 0))
            held = 0
            if now - since >= WHILE_S:
                since, count, held = now, 0, max(0, count - FEW)
            self._kinds[kind] = (since, count + 1)
        if count < FEW:
            _shorten(record, held)
        return count < FEW


def _shorten(record: logging.LogRecord, held: int) -> None:
    text = record.getMessage()
    more = f" (×{held + 1})" if held else ""
    if more or len(text) > LONGEST:
        record.msg, record.args = text[:LONGEST] + more, ()


def hush(*names: str) -> None:
    """Put the filter on what is written of the root logger, and on loggers under some names.

    Parameters
    ----------
    *names : str
        Of loggers that write by themselves, as all of Streamlit's do.
    """
    quiet = Quiet()
    for handler in logging.getLogger().handlers:
        handler.addFilter(Quiet())
    for name, logger in logging.Logger.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in names and not logger.propagate:
            logger.addFilter(quiet)
