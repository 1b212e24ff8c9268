"""A visitor of the app who speaks to its web socket, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

ANSWER_S = 60.0


class Visitor:
    """One session of the app."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.session = ""

    def say(self, message: BackMsg) -> None:
        """Send a message."""
        self._socket.send(message.SerializeToString())

    def hear(self, kind: str) -> ForwardMsg:
        """Wait for a message of a kind, past all others."""
        while True:
            message = ForwardMsg.FromString(self._socket.recv(timeout=ANSWER_S))
            if message.HasField("new_session"):
                self.session = message.new_session.initialize.session_id
            if message.HasField(kind):
                return message

    def open(self, page: str = "") -> None:
        """Ask for a page and wait until it is made."""
        message = BackMsg()
        message.rerun_script.page_name = page
        self.say(message)
        self.hear("script_finished")


@contextmanager
def visitor(url: str) -> Iterator[Visitor]:
    """Connect as a browser does that is on a page of the app itself."""
    address = url.replace("http", "ws", 1) + "/_stcore/stream"
    with connect(address, origin=url, subprotocols=["streamlit"], max_size=None, proxy=None) as socket:
        yield Visitor(socket)
