"""The outermost layer: refuses foreign web pages, adds headers, counts, logs one line for a request."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trivalent.service.metrics import Metrics
from trivalent.service.problems import ProblemError, Problems, response
from trivalent.serving.origin import host_name, is_foreign

log = logging.getLogger(__name__)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # sentiments of people have no place in shared caches
}
# pages of ours style themselves by an element, and show pictures that they carry
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# for the whole of a request; an upload has the least rate of its bytes beside it (`serving.slow_clients`)
DEADLINE_S, UPLOAD_DEADLINE_S = 120.0, 3600.0
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"


class Guard:
    """Wraps the application.

    Parameters
    ----------
    app : ASGI application
    metrics : Metrics
    local_names : frozenset of str
        Host names under which a service without accounts may be asked; empty: any. A page that has
        its name resolve to this computer (DNS rebinding) still names itself.
    accounts : bool
        Whether requests carry a key. Without, a request that a foreign web page had the browser make
        looks like the user's own, and is told by `Origin` and `Sec-Fetch-Site`.
    """

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, local_names: frozenset[str], accounts: bool
    ) -> None:
        self.app, self.metrics = app, metrics
        self.local_names, self.accounts = local_names, accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass the start and the end of the server on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send, scope)
        try:
            if refusal := self._refusal(scope):
                await response(refusal, answer.request_id)(scope, receive, answer)
            else:
                async with asyncio.timeout(_deadline_s(scope)):
                    await self.app(scope, receive, answer)
        except TimeoutError:
            log.warning("request %s: it took too long and was ended", answer.request_id)
            if not answer.started:
                problem = ProblemError(Problems.DEADLINE, "the answer took too long; the work was ended")
                await response(problem, answer.request_id)(scope, receive, answer)
        except ClientDisconnect:
            pass  # nobody would read an answer; the line below says 499
        except Exception:
            log.exception("request %s: unexpected error", answer.request_id)
            if not answer.started:
                problem = ProblemError(Problems.INTERNAL, "an unexpected error; the log has its cause")
                await response(problem, answer.request_id)(scope, receive, answer)
        finally:
            self._write_down(scope, answer)

    def _refusal(self, scope: Scope) -> ProblemError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.local_names and host_name(host) not in self.local_names:
            return ProblemError(
                Problems.MISDIRECTED, "expected a request to localhost, got one to another host name"
            )
        if not self.accounts and is_foreign(scope["method"], headers, scheme=scope["scheme"], host=host):
            return ProblemError(
                Problems.FORBIDDEN, "expected a request of a program of yours, got one of a web page"
            )
        return None

    def _write_down(self, scope: Scope, answer: _Answer) -> None:
        seconds = time.perf_counter() - answer.began
        template = getattr(scope.get("route"), "path", "unmatched")
        self.metrics.observe(scope["method"], template, status=answer.status, seconds=seconds)
        log.info(
            "%s %s %d %.0f ms user=%s request=%s",
            scope["method"],
            # ids are random; what else stands in a path that matches nothing is not ours to repeat
            quote(scope["path"]) if template != "unmatched" else template,
            answer.status,
            seconds * 1e3,
            scope["state"].get("user", "-"),
            answer.request_id,
        )


class _Answer:
    """Sends on, with headers added, and remembers what was sent."""

    def __init__(self, send: Send, scope: Scope) -> None:
        self.send = send
        self.began = time.perf_counter()
        self.request_id = str(uuid.uuid4())
        self.started = False
        self.status = 499  # the client left before an answer
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = self.request_id

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            html = headers.get("content-type", "").startswith("text/html")
            headers["Content-Security-Policy"] = PAGE_POLICY if html else DATA_POLICY
            headers["X-Request-ID"] = self.request_id
        await self.send(message)


def _deadline_s(scope: Scope) -> float:
    kind = Headers(scope=scope).get("content-type", "")
    return UPLOAD_DEADLINE_S if kind.lower().startswith("multipart/") else DEADLINE_S
