"""When a page of the real app, in a real browser, is what the last click made of it."""

from __future__ import annotations

import time
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

LONGEST_S = 120.0


class Runs:
    """What a tab has asked the app for, and whether the app has answered to the end.

    While a page is made the browser keeps showing what the former one left, and a click on that undoes what
    was asked for; between two runs that belong together the app says for a moment that nothing runs. So
    what is on the page does not tell that it is whole: the messages do.
    """

    def __init__(self, tab: Any) -> None:
        self._tab = tab
        self._asked = self._running = False
        tab.on("websocket", self._listen)

    def _listen(self, socket: Any) -> None:
        self._asked = self._running = False
        socket.on("framesent", self._sent)
        socket.on("framereceived", self._received)

    def _sent(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes) and BackMsg.FromString(frame).WhichOneof("type") == "rerun_script":
            self._asked = True

    def _received(self, frame: str | bytes) -> None:
        message = ForwardMsg.FromString(frame) if isinstance(frame, bytes) else ForwardMsg()
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._asked, self._running = False, True
        elif kind == "script_finished":
            self._running = message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN

    def settle(self) -> None:
        """Wait until the page is what the last click made of it."""
        self._tab.wait_for_timeout(100)  # a click and what it asks for are two moments of the browser
        until = time.monotonic() + LONGEST_S
        while self._asked or self._running:
            assert time.monotonic() < until, "expected the page to be made"
            self._tab.wait_for_timeout(50)
