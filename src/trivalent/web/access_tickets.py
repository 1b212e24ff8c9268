"""Rights to one thing for a while, held by whoever knows a random name.

Pages talk to Streamlit over a web socket; what must go over plain HTTP (playing a recording, sending
one, setting a cookie) is named by a ticket that the page has been given.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Play:
    """Read a recording, in any parts; `passing` tells one that is deleted when it is not used."""

    path: Path
    passing: bool = False


@dataclass(frozen=True)
class Send:
    """Write one recording of at most `limit` bytes, as often as the user records anew."""

    path: Path
    limit: int


@dataclass(frozen=True)
class Session:
    """Take a session's token into a cookie, once; an empty one clears it."""

    token: str
    days: float = 30


Right = Play | Send | Session


@dataclass(frozen=True)
class Entry:
    """A right, whose it is, when it ends at the latest, and whether it still holds."""

    right: Right
    owner: str
    until: float
    holds: Callable[[], bool] | None


@dataclass
class Tickets:
    """All tickets of this process.

    >>> tickets = Tickets()
    >>> name = tickets.issue(Session("secret"), owner="ada", seconds=60)
    >>> tickets.take(name), tickets.take(name)
    (Session(token='secret', days=30), None)
    """

    _entries: dict[str, Entry] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def issue(
        self, right: Right, *, owner: str, seconds: float, holds: Callable[[], bool] | None = None
    ) -> str:
        """Make a ticket; the names of ended ones are forgotten.

        Parameters
        ----------
        right : Right
        owner : str
            Whose it is, for `revoke`.
        seconds : float
            How long it is good for.
        holds : callable, optional
            Asked at each use whether whom it was given to is still let in; it may ask the store.
        """
        name = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self._lock:
            self._entries = {k: e for k, e in self._entries.items() if e.until > now}
            self._entries[name] = Entry(right, owner, now + seconds, holds)
        return name

    def look(self, name: str) -> Right | None:
        """Right of a ticket, which stays valid."""
        entry = self._entries.get(name)
        if entry is not None and entry.holds is not None and not entry.holds():
            with self._lock:
                self._entries.pop(name, None)
            return None
        return _unless_ended(entry)

    def take(self, name: str) -> Right | None:
        """Right of a ticket, which ends with this."""
        with self._lock:
            entry = self._entries.pop(name, None)
        return _unless_ended(entry)

    def revoke(self, owner: str) -> None:
        """End all tickets of somebody who leaves."""
        with self._lock:
            self._entries = {k: e for k, e in self._entries.items() if e.owner != owner}


def _unless_ended(entry: Entry | None) -> Right | None:
    return entry.right if entry is not None and entry.until > time.monotonic() else None


TICKETS = Tickets()
