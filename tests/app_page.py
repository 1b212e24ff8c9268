"""A page of the real app without a browser: its web socket, its messages, and plain HTTP beside it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect

RUN_S = 60.0
MOST_BYTES = 64 << 20


class Page:
    """One visitor at one page, who says what a browser would say, or what it would not.

    Parameters
    ----------
    address : str
        Of the app.
    path : str
        Page that is asked for.
    cookies : dict of str to str, optional
    """

    def __init__(
        self, address: str, *, path: str = "", query: str = "", cookies: dict[str, str] | None = None
    ) -> None:
        self.address, self.path, self.query = address, path, query
        self.http = httpx.Client(base_url=address, timeout=RUN_S, cookies=cookies)
        self.http.get("/_stcore/host-config")
        self.http.get("/_stcore/health")
        self.xsrf = self.http.cookies.get("_streamlit_xsrf", "")
        self.session = ""
        self.elements: list[Any] = []
        self._held = ExitStack()
        self.socket = self._open()

    def _open(self, session: str = "") -> ClientConnection:
        cookies = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        opening = connect(
            self.address.replace("http", "ws", 1) + "/_stcore/stream",
            origin=self.address,
            subprotocols=["streamlit", self.xsrf or "none", *([session] if session else [])],
            additional_headers={"Cookie": cookies} if cookies else {},
            max_size=MOST_BYTES,
            open_timeout=RUN_S,
        )
        return self._held.enter_context(opening)

    def reconnect(self) -> None:
        """Come back with a new socket to the same session."""
        self.socket.close()
        self.socket = self._open(self.session)

    def close(self) -> None:
        """Leave."""
        self._held.close()
        self.http.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(self, **what: Any) -> None:
        """Send a message of a kind."""
        self.socket.send(BackMsg(**what).SerializeToString())

    def ask(self, *states: WidgetState, fragment: str = "") -> None:
        """Have the page made, or a fragment of it, with what widgets say."""
        said = BackMsg()
        said.rerun_script.query_string = self.query
        said.rerun_script.page_name = self.path
        said.rerun_script.fragment_id = fragment
        said.rerun_script.widget_states.widgets.extend(states)
        self.socket.send(said.SerializeToString())

    def run(self, *states: WidgetState, fragment: str = "", timeout: float = RUN_S) -> Page:
        """Ask, and wait until it is made; what is then on the page is in `elements`."""
        self.ask(*states, fragment=fragment)
        for message in self._messages(timeout):
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.session = message.new_session.initialize.session_id or self.session
                if not message.metadata.run.fragment_ids:
                    self.elements = []
            elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                self.elements.append((message.delta.new_element, message.delta.fragment_id))
            elif (
                kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
            ):
                break
        return self

    def _messages(self, timeout: float) -> Iterator[ForwardMsg]:
        while True:
            message = ForwardMsg()
            message.ParseFromString(self.socket.recv(timeout=timeout))
            yield message

    def wait(self, kind: str, timeout: float = RUN_S) -> ForwardMsg:
        """Wait for a message of a kind."""
        return next(m for m in self._messages(timeout) if m.WhichOneof("type") == kind)

    def of(self, kind: str) -> list[Any]:
        """Elements of a kind on the page."""
        return [getattr(e, kind) for e, _ in self.elements if e.WhichOneof("type") == kind]

    def first(self, kind: str, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """First element of a kind that fits."""
        return next(e for e in self.of(kind) if fits(e))

    def fragment_of(self, widget: str) -> str:
        """Fragment in which a widget stands."""
        for element, fragment in self.elements:
            if getattr(getattr(element, element.WhichOneof("type")), "id", "") == widget:
                return str(fragment)
        raise AssertionError(widget)

    def keyed(self, kind: str, key: str) -> Any:
        """Element with a key."""
        return self.first(kind, lambda e: e.id.endswith(f"-{key}"))

    @property
    def signed_in(self) -> bool:
        """Whether the page is more than the login."""
        return bool(self.elements) and not any(
            "assword" in field.label for field in self.of("text_input")[:2]
        )

    def log_in(self, name: str, password: str) -> Page:
        """Fill in the login and enter."""
        self.run()
        user, secret = self.of("text_input")[:2]
        button = self.first("button", lambda b: b.is_form_submitter)
        return self.run(
            WidgetState(id=user.id, string_value=name),
            WidgetState(id=secret.id, string_value=password),
            press(button),
        )

    def attach(self, widget: str, content: bytes, *, name: str) -> WidgetState:
        """Send a file for a field; returns what the field then says."""
        said = BackMsg()
        said.file_urls_request.request_id = "1"
        said.file_urls_request.session_id = self.session
        said.file_urls_request.file_names.append(name)
        self.socket.send(said.SerializeToString())
        places = self.wait("file_urls_response").file_urls_response.file_urls[0]
        assert self.upload(content, name=name, file=places.file_id).status_code == 204
        state = WidgetState(id=widget)
        state.file_uploader_state_value.uploaded_file_info.add(
            name=name, size=len(content), file_id=places.file_id, file_urls=places
        )
        return state

    def download(self, *buttons: Any, timeout: float = RUN_S) -> list[str]:
        """Have files made that are made when they are asked for; returns the addresses that come."""
        for button in buttons:
            said = BackMsg()
            request = said.backend_operation_request
            request.request_id, request.session_id = uuid.uuid4().hex, self.session
            request.deferred_file.file_id = button.deferred_file_id
            self.socket.send(said.SerializeToString())
        urls = []
        with suppress(TimeoutError):  # not every refusal is answered
            for _ in buttons:
                answer = self.wait("backend_operation_response", timeout).backend_operation_response
                urls.append(answer.deferred_file.url)
        return list(filter(None, urls))

    def component(self, name: str) -> dict[str, Any]:
        """What the server gave a component of ours."""
        data: dict[str, Any] = json.loads(
            self.first("bidi_component", lambda e: e.component_name == f"trivalent_{name}").json
        )
        return data

    def upload(self, content: bytes, *, name: str = "a.bin", file: str = "") -> httpx.Response:
        """Send a file into this session's memory."""
        return self.http.put(
            f"/_stcore/upload_file/{self.session}/{file or uuid.uuid4()}",
            files={"file": (name, content)},
            headers={"X-Xsrftoken": self.xsrf},
        )


def press(button: Any) -> WidgetState:
    """Press a button."""
    return WidgetState(id=button.id, trigger_value=True)
