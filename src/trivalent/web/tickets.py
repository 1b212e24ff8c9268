"""Rights to one thing for a while, held by whoever knows a random name.

Pages talk to Streamlit over a web socket; what must go over plain HTTP (playing a recording, sending
one, setting a cookie) is named by a ticket that the page has been given.
"""

from __future__ import annotations

import secrets
import threading
import time
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
Entry = tuple[Right, str, float]  # right, owner, when it ends


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

    def issue(self, right: Right, *, owner: str, seconds: float) -> str:
        """Make a ticket; the names of ended ones are forgotten."""
        name = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self._lock:
            self._entries = {k: e for k, e in self._entries.items() if e[2] > now}
            self._entries[name] = (right, owner, now + seconds)
        return name

    def look(self, name: str) -> Right | None:
        """Right of a ticket, which stays valid."""
        entry = self._entries.get(name)
        return entry[0] if entry is not None and entry[2] > time.monotonic() else None

    def take(self, name: str) -> Right | None:
        """Right of a ticket, which ends with this."""
        with self._lock:
            entry = self._entries.pop(name, None)
        return entry[0] if entry is not None and entry[2] > time.monotonic() else None

    def revoke(self, owner: str) -> None:
        """End all tickets of somebody who leaves."""
        with self._lock:
            self._entries = {k: e for k, e in self._entries.items() if e[1] != owner}


TICKETS = Tickets()
