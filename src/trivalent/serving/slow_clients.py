"""Connections that must keep up: a header in time, a body at a least rate, an answer that is fetched.

uvicorn waits without end for the rest of a request, so that a few hundred half-sent ones hold a server
whose places are counted. This protocol of uvicorn's ends them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_LATE = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"connection: close\r\ncontent-length: 16\r\n\r\nRequest Timeout\n"
)


@dataclass(frozen=True)
class Patience:
    """How long a server waits for a client.

    Attributes
    ----------
    header_s : float
        From the connection, or the first byte of a further request, to the end of the header.
    window_s : float
        Over which the rate of a body is measured.
    least_rate : float
        Bytes a second of a body in each window.
    fetch_s : float
        How long an answer may lie without being fetched.
    each : int
        Connections of one address.
    proxies : tuple of str
        Addresses of proxies of ours, which may have any number.
    """

    header_s: float = 10.0
    window_s: float = 20.0
    least_rate: float = 512.0
    fetch_s: float = 60.0
    each: int = 200
    proxies: tuple[str, ...] = ()


def protocol(patience: Patience) -> type[H11Protocol]:
    """Make the protocol class of one server, for `uvicorn.Config(http=...)`."""
    connections: Counter[str] = Counter()

    class Bound(_Connection):
        _patience = patience
        _connections = connections

    return Bound


class _Connection(H11Protocol):
    """One connection, looked at every now and then while the client is to send or to fetch."""

    _patience: Patience
    _connections: Counter[str]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._counted = True
        self._connections[self._address] += 1
        self._timer: asyncio.TimerHandle | None = None
        self._paused_since: float | None = None
        now = self.loop.time()
        self._header_since: float | None = now
        self._window_since, self._window_bytes = now, 0
        if (
            self._connections[self._address] > self._patience.each
            and self._address not in self._patience.proxies
        ):
            transport.abort()
            return
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        # another protocol has the connection from here on, and does not tell us of its end
        self._leave()
        super().handle_websocket_upgrade(event)

    def data_received(self, data: bytes) -> None:
        self._window_bytes += len(data)
        if self._header_since is None and self.conn.their_state is h11.IDLE:
            self._header_since = self.loop.time()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            if self._header_since is not None:
                self._window_since, self._window_bytes = self.loop.time(), 0
            self._header_since = None

    def pause_writing(self) -> None:
        self._paused_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._paused_since = None
        super().resume_writing()

    def _leave(self) -> None:
        if self._counted:
            self._counted = False
            self._connections[self._address] -= 1
            if not self._connections[self._address]:
                del self._connections[self._address]
        if self._timer is not None:
            self._timer.cancel()

    def _look_later(self) -> None:
        soonest = min(self._patience.header_s, self._patience.window_s, self._patience.fetch_s)
        self._timer = self.loop.call_later(soonest / 4, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        now, patience = self.loop.time(), self._patience
        if self._paused_since is not None and now - self._paused_since > patience.fetch_s:
            self.transport.abort()
        elif self._is_late(now) or self._is_slow(now):
            self._end()
        else:
            self._look_later()

    def _is_late(self, now: float) -> bool:
        return self._header_since is not None and now - self._header_since > self._patience.header_s

    def _is_slow(self, now: float) -> bool:
        """Tell whether the body came too slowly; only while it is the client who has to act."""
        if self.conn.their_state is not h11.SEND_BODY or self.flow.read_paused:
            self._window_since, self._window_bytes = now, 0
            return False
        seconds = now - self._window_since
        if seconds < self._patience.window_s:
            return False
        slow = self._window_bytes < self._patience.least_rate * seconds
        self._window_since, self._window_bytes = now, 0
        return slow

    def _end(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_LATE)
        self.transport.close()
