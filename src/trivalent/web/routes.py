"""Plain HTTP beside Streamlit's web socket: play a recording, send one, hold a session in a cookie.

Every request names a ticket that a page of this process was given; without one it is not found.
"""

from __future__ import annotations

import secrets
from collections import Counter
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope
from starlette.types import Send as SendMessage

from trivalent.media.kinds import played_as
from trivalent.web.access_tickets import TICKETS, Play, Send, Session
from trivalent.web.page_recordings import use

PREFIX = "/app"
COOKIE = "trivalent_session"
SENDS = 2  # of one ticket at the same time: one that broke off, and the next attempt
_coming: Counter[str] = Counter()  # recordings on their way, by ticket
# What a page may load: this server only. Streamlit starts scripts from strings and blobs.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
}


class Headers:
    """Middleware that has the browser load nothing from anywhere else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        """Add the headers to every answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                ours = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in given]
                message["headers"] = [*message["headers"], *ours]
            await send(message)

        await self.app(scope, receive, with_headers)


async def play(request: Request) -> Response:
    """Serve a recording, whole or in the parts that a player asks for."""
    right = await run_in_threadpool(TICKETS.look, request.path_params["ticket"])
    if not isinstance(right, Play) or not right.path.is_file():
        return Response(status_code=404)
    if right.passing:
        use(right.path)
    kind = played_as(right.path) or "application/octet-stream"
    return FileResponse(right.path, media_type=kind, headers={"cache-control": "private, no-store"})


async def send(request: Request) -> Response:
    """Take a recording made in the browser, to the byte limit."""
    name = request.path_params["ticket"]
    right = await run_in_threadpool(TICKETS.look, name)
    if not isinstance(right, Send) or not _from_page(request):
        return Response(status_code=404)
    if _coming[name] >= SENDS:
        return Response(status_code=429)
    right.path.parent.mkdir(parents=True, exist_ok=True)
    partial = right.path.with_name(f"{right.path.name}.{secrets.token_hex(8)}.partial")
    _coming[name] += 1
    try:
        with partial.open("wb") as sink:
            if not await _copy(request, sink, right.limit):
                return Response(status_code=413)
        # who was let in at the beginning may be so no more
        if await run_in_threadpool(TICKETS.look, name) is None:
            return Response(status_code=404)
        partial.replace(right.path)
    finally:
        partial.unlink(missing_ok=True)
        _coming[name] -= 1
        if not _coming[name]:
            del _coming[name]
    return Response(status_code=204)


async def _copy(request: Request, sink: BinaryIO, limit: int) -> bool:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            return False
        sink.write(chunk)
    return True


async def session(request: Request) -> Response:
    """Put a session's token where scripts cannot read it, or remove it."""
    right = TICKETS.take(request.headers.get("x-trivalent-ticket", ""))
    if not isinstance(right, Session):
        return Response(status_code=404)
    answer = Response(status_code=204)
    secure = request.url.scheme == "https"  # as the trusted proxy says, where there is one
    if right.token:
        seconds = int(right.days * 86400)
        answer.set_cookie(
            COOKIE, right.token, max_age=seconds, httponly=True, samesite="strict", secure=secure, path="/"
        )
    else:
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=secure)
    return answer


def _from_page(request: Request) -> bool:
    """Tell a script of ours from a form or picture of another site, which cannot set headers."""
    return "x-trivalent" in request.headers


ROUTES = (
    Route(f"{PREFIX}/media/{{ticket}}", play, methods=["GET"]),
    Route(f"{PREFIX}/recordings/{{ticket}}", send, methods=["POST"]),
    Route(f"{PREFIX}/session", session, methods=["POST"]),
)
