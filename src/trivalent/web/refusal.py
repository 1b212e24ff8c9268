"""A request that ends before Streamlit, with the reason for whoever sent it."""

from __future__ import annotations

import logging
from http import HTTPStatus

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)
POLICY_VIOLATION = 1008


class RefusedError(Exception):
    """What was expected and what came, with the status of the answer."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say so to the client, in plain text, and write one line into the log."""
        log.warning("refused with %d: %s", self.status, self)
        if scope["type"] == "websocket":
            # before it is open, so that the handshake is answered with 403
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        # what is left of a body is not waited for
        plain = PlainTextResponse(f"{self}\n", self.status, headers={"connection": "close"})
        await plain(scope, receive, send)
