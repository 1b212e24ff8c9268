"""Runs the service under uvicorn until a signal ends it."""

from __future__ import annotations

import logging
import signal
import socket

import uvicorn

from trivalent.core.errors import TrivalentError
from trivalent.core.logs import SERVER_LINE, log_to_stderr
from trivalent.core.settings import Auth, Settings
from trivalent.service.app import create_app
from trivalent.serving.listener import address_of, listen
from trivalent.serving.slow_clients import Patience, protocol
from trivalent.store import Actor, Origin, Store, open_store

log = logging.getLogger(__name__)
REQUEST_GRACE_S = 30  # for requests in flight when a signal comes
MAX_CONNECTIONS = 500  # more are answered with 503 at once


def serve(settings: Settings, *, host: str, port: int) -> int:
    """Serve until SIGINT or SIGTERM; requests in flight are answered, running jobs queued again.

    Raises
    ------
    UsageError
        The address cannot be listened on.
    """
    log_to_stderr(logging.INFO, SERVER_LINE)
    listener = listen(host, port)
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
        http=protocol(Patience(proxies=settings.proxies)),
        # a local process must not be able to speak for another address
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.trusted_proxy,
        ws="none",
    )
    server = uvicorn.Server(config)
    # uvicorn sends itself the signal again when it is done, which would end us before the store is closed
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    address = address_of(listener)
    print(f"Trivalent answers at {address}, examples at {address}/docs", flush=True)
    server.run(sockets=[listener])
    if not server.started:
        raise TrivalentError("service.start")
    return 0
