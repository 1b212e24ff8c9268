"""The outermost layer of the app: refuses what no page of ours asks, before Streamlit sees it.

Streamlit looks up the address of this computer over the network when it is asked by a foreign page, lets
pages of every local port in, and has routes that answer everybody. Here a request to another host, of
another origin, or for something that our pages do not use ends at once.
"""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from trivalent.core.settings import Settings, is_loopback
from trivalent.serving.origin import LOOPBACK_NAMES, host_name, is_foreign, origin_of
from trivalent.web.admission import VISITS
from trivalent.web.refusal import RefusedError
from trivalent.web.sockets import STREAM, Sockets
from trivalent.web.uploads import PATH as UPLOADS
from trivalent.web.uploads import Uploads, memory_mb

CORE = "/_stcore"
OPEN = (f"{CORE}/health", f"{CORE}/host-config")  # what Streamlit's page asks of its core before a socket


class Guard:
    """Wraps Streamlit, for plain HTTP and web sockets alike.

    Parameters
    ----------
    app : ASGI application
    settings : Settings
    host : str
        Address that the server listens on. On a loopback address only its names are answered and those
        that the settings add; on another, any name unless the settings have some.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings, host: str) -> None:
        self.app = app
        self.names = _names(settings, host)
        self.sockets = Sockets(app, VISITS)
        self.uploads = Uploads(app, VISITS, most=int(memory_mb(settings) * 1e6))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket, or pass the start and the end of the server on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except RefusedError as error:
            await error.answer(scope, receive, send)
            return
        with suppress(ClientDisconnect):  # nobody would read an answer
            await self._inner(scope)(_with_own_origin(scope), receive, send)

    def _inner(self, scope: Scope) -> ASGIApp:
        if scope["type"] == "websocket":
            return self.sockets
        return self.uploads if scope["path"].startswith(UPLOADS) else self.app

    def _check(self, scope: Scope) -> None:
        """Refuse what is for another server, from another site, or for nothing that we use."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        name = host_name(hosts[0]) if len(hosts) == 1 else ""
        if not name:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST, "expected one Host header with the name of this server"
            )
        if self.names and name not in self.names:
            raise RefusedError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "expected a host name of this server, got another; name it with --public-name",
            )
        method = scope.get("method", "")
        if is_foreign(method, headers, scheme=scope["scheme"], host=hosts[0]):
            raise RefusedError(
                HTTPStatus.FORBIDDEN,
                "expected a request of a page of this server, got one of another origin; "
                "behind a proxy, start with --trusted-proxy ADDRESS",
            )
        if not _is_open(scope):
            raise RefusedError(HTTPStatus.NOT_FOUND, "expected an address of this app, got another")


def _names(settings: Settings, host: str) -> frozenset[str]:
    """Host names that are answered; empty for any."""
    public = frozenset(settings.public_names)
    if is_loopback(host) or public:
        return LOOPBACK_NAMES | public | {host.strip("[]").lower()}
    return frozenset()


def _is_open(scope: Scope) -> bool:
    """Tell what our pages use of Streamlit; they use everything outside its core."""
    path: str = scope["path"]
    if scope["type"] == "websocket":
        return path == STREAM
    if path.startswith(UPLOADS):
        return path.removeprefix(UPLOADS).count("/") == 1
    return not path.startswith(CORE) or path in OPEN


def _with_own_origin(scope: Scope) -> Scope:
    """Spell the origin as the host is: where they differ by a letter, Streamlit asks the network."""
    host = Headers(scope=scope)["host"]
    origin = origin_of(scope["scheme"], host).partition("//")[0] + f"//{host}"
    headers = [(k, origin.encode() if k.lower() == b"origin" else v) for k, v in scope["headers"]]
    return {**scope, "headers": headers}
