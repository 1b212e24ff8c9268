"""Runs the service under uvicorn until a signal ends it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys

import uvicorn

from trivalent.errors import TrivalentError, UsageError
from trivalent.service.app import create_app
from trivalent.settings import Auth, Settings
from trivalent.store import Actor, Origin, Store, open_store

log = logging.getLogger(__name__)
REQUEST_GRACE_S = 30  # for requests in flight when a signal comes
MAX_CONNECTIONS = 500  # more are answered with 503 at once
BACKLOG = 512


def serve(settings: Settings, *, host: str, port: int) -> int:
    """Serve until SIGINT or SIGTERM; requests in flight are answered, running jobs queued again.

    Raises
    ------
    UsageError
        The address cannot be listened on.
    """
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    listener = _listen(host, port)
    store = open_store(settings, Actor(origin=Origin.SERVICE))
    try:
        return _run(store, settings, host=host, listener=listener)
    finally:
        store.close()
        listener.close()


def _run(store: Store, settings: Settings, *, host: str, listener: socket.socket) -> int:
    if settings.auth is not Auth.NONE and not store.accounts.users():
        log.warning("there are no accounts yet; run: trivalent user add NAME --administrator")
    config = uvicorn.Config(
        create_app(store, settings, host=host),
        log_config=None,
        access_log=False,  # the guard writes its own line, without queries
        server_header=False,
        timeout_graceful_shutdown=REQUEST_GRACE_S,
        limit_concurrency=MAX_CONNECTIONS,
        ws="none",
    )
    server = uvicorn.Server(config)
    # uvicorn sends itself the signal again when it is done, which would end us before the store is closed
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    name, port = listener.getsockname()[:2]
    shown = f"[{name}]" if ":" in name else name
    print(f"Trivalent answers at http://{shown}:{port}, examples at http://{shown}:{port}/docs", flush=True)
    server.run(sockets=[listener])
    if not server.started:
        raise TrivalentError("expected the service to start, it did not; the log says why")
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """Open the socket before anything else, so that a taken port is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where it sees that a socket is TCP; with it, every answer
    # waits 40 ms for the client's delayed acknowledgement
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.strip("[]"), port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"expected a free address to listen on, got {host}:{port} ({reason}); choose another --port"
        ) from error
    return listener
