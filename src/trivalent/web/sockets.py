"""The web sockets of the app: how many there are, how long without a login, and what may be said in them.

Streamlit takes every message of any browser: to empty the caches, to write into the folder that the
server was started in, to run one part of a page without the whole. Here pass only those that our pages
need, and those of somebody who is signed in only as long as that holds.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter

from google.protobuf.message import DecodeError
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.runtime import get_instance

from trivalent.web.admission import Visits

log = logging.getLogger(__name__)
STREAM = "/_stcore/stream"
HEADER = "x-trivalent-socket"  # by which a page tells its socket; a browser cannot set it for a socket
STRANGERS, STRANGERS_FROM_ONE = 96, 32  # sockets that are not signed in, and those of one address
OPEN, OPEN_FROM_ONE = 256, 128
LOGIN_S = 600.0  # for a login; then the socket is closed, and the browser opens another
RECONNECT_S = 120.0  # how long a page waits for a socket that broke off, with all that it holds
STRANGERS_BYTES, MESSAGE_BYTES = 1 << 20, 4 << 20  # a field takes 200,000 characters of 4 bytes at most
RATE, STRANGERS_RATE, BURST = 50.0, 5.0, 100.0  # messages a second; more have to wait
NAMES = 1000  # files that are announced at once
HARMLESS = ("stop_script", "app_heartbeat")
REFUSED, TOO_LARGE, MALFORMED = 1008, 1009, 1003


class Sockets:
    """Opens sockets as long as there is room, and filters what comes in.

    Parameters
    ----------
    app : ASGI application
    visits : Visits
        Who is signed in.
    """

    def __init__(self, app: ASGIApp, visits: Visits) -> None:
        self.app, self.visits = app, visits
        self._addresses: dict[str, str] = {}  # by socket
        self._ending: dict[str, asyncio.Task[None]] = {}  # by session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket to its end."""
        address = scope["client"][0] if scope.get("client") else ""
        if not self._room(address):
            log.warning("a web socket was refused: too many are open")
            await send({"type": "websocket.close", "code": REFUSED})
            return
        name = secrets.token_hex(16)
        self._addresses[name] = address
        socket = _Socket(name, self.visits, receive, send)
        others = [(key, value) for key, value in scope["headers"] if key.lower() != HEADER.encode()]
        scope = {**scope, "headers": [*others, (HEADER.encode(), name.encode())]}
        try:
            await self.app(scope, socket.receive, socket.send)
        finally:
            del self._addresses[name]
            if session := self.visits.closed(name):
                self._end_later(session)

    def _room(self, address: str) -> bool:
        strangers = [a for name, a in self._addresses.items() if self.visits.at(name) is None]
        everybody = list(self._addresses.values())
        return (
            len(strangers) < STRANGERS
            and strangers.count(address) < STRANGERS_FROM_ONE
            and len(everybody) < OPEN
            and everybody.count(address) < OPEN_FROM_ONE
        )

    def _end_later(self, session: str) -> None:
        """Free what a page holds, uploads above all, unless its browser comes back."""

        async def end() -> None:
            await asyncio.sleep(RECONNECT_S)
            del self._ending[session]
            runtime = get_instance()
            if not runtime.is_active_session(session):
                runtime.close_session(session)

        if session in self._ending:  # it broke off before, and came back
            self._ending[session].cancel()
        self._ending[session] = asyncio.create_task(end())


class _Socket:
    """One socket between the browser and Streamlit."""

    def __init__(self, name: str, visits: Visits, receive: Receive, send: Send) -> None:
        self.name, self.visits = name, visits
        self._receive, self._send = receive, send
        self._clock = asyncio.get_running_loop().time
        self._until = self._clock() + LOGIN_S
        self._allowance, self._counted = BURST, self._clock()
        self._dropped: Counter[str] = Counter()
        self._closed = False
        self._whole = False  # whether the whole page was asked for in place of a part

    async def send(self, message: Message) -> None:
        """Pass on to the browser what Streamlit says, until the socket was closed here."""
        if not self._closed:
            await self._send(message)

    async def receive(self) -> Message:
        """Return the next message that may pass."""
        while True:
            message = await self._next()
            if message["type"] != "websocket.receive":
                return message
            await self._pace()
            passed = await self._passed(message)
            if passed is not None:
                return passed

    async def _next(self) -> Message:
        while self.visits.at(self.name) is None:
            try:
                async with asyncio.timeout_at(self._until):
                    return await self._receive()
            except TimeoutError:
                if self.visits.at(self.name) is None:
                    return await self._close(REFUSED)
        return await self._receive()

    async def _pace(self) -> None:
        now, rate = self._clock(), STRANGERS_RATE if self.visits.at(self.name) is None else RATE
        self._allowance = min(BURST, self._allowance + (now - self._counted) * rate) - 1
        self._counted = now
        if self._allowance < 0:
            await asyncio.sleep(-self._allowance / rate)

    async def _passed(self, message: Message) -> Message | None:
        """Return a message as it may pass; None where it may not."""
        data = message.get("bytes")
        visit = self.visits.at(self.name)
        if data is None:
            return await self._close(MALFORMED)
        if len(data) > (STRANGERS_BYTES if visit is None else MESSAGE_BYTES):
            return await self._close(TOO_LARGE)
        said = BackMsg()
        try:
            said.ParseFromString(data)
        except DecodeError:
            return await self._close(MALFORMED)
        kind = said.WhichOneof("type")
        if kind in HARMLESS:
            return message
        if kind == "rerun_script":
            if visit and await self._holds():
                self._whole = False
                return message
            return self._whole_page(said, filled=visit is None)
        if _is_wanted(said) and visit and await self._holds():
            return message
        self._drop(str(kind))
        return None

    def _whole_page(self, said: BackMsg, *, filled: bool) -> Message | None:
        """Have the whole page made, which asks who is there, instead of a part of it.

        Parameters
        ----------
        filled : bool
            With what the fields say: whoever is not signed in may fill in the login, but who was may do
            nothing any more.
        """
        part = bool(said.rerun_script.fragment_id)
        if part and self._whole:  # asked for already; each new run would break off the one before
            return None
        self._whole = part
        said.rerun_script.fragment_id = ""
        if not filled:
            said.rerun_script.ClearField("widget_states")
        return {"type": "websocket.receive", "bytes": said.SerializeToString()}

    async def _holds(self) -> bool:
        """Ask the store whether who is signed in here still is."""
        known = self.visits.at(self.name)
        if known is None:
            return False
        session, admission = known
        if await run_in_threadpool(admission.holds):
            return True
        if self.visits.of(session) is admission:  # not signed in again meanwhile
            self.visits.leave(session)
            self._until = self._clock() + LOGIN_S
        return False

    def _drop(self, kind: str) -> None:
        self._dropped[kind] += 1
        if self._dropped[kind] == 1:
            log.warning("a web socket sent %s, which is not for it to ask: ignored", kind)

    async def _close(self, code: int) -> Message:
        await self.send({"type": "websocket.close", "code": code})
        self._closed = True
        return {"type": "websocket.disconnect", "code": code}


def _is_wanted(said: BackMsg) -> bool:
    """Tell a request of ours: places for uploads, or a file that is made when it is asked for."""
    if said.HasField("file_urls_request"):
        return len(said.file_urls_request.file_names) <= NAMES
    return said.backend_operation_request.WhichOneof("payload") == "deferred_file"
