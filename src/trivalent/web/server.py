"""The web server: Streamlit with our configuration, our routes, our guard and our headers."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivalent.core.errors import AuthenticationError, TrivalentError
from trivalent.core.logs import SERVER_LINE, log_to_stderr
from trivalent.core.settings import Settings
from trivalent.serving.listener import address_of, listen
from trivalent.serving.slow_clients import Patience, protocol
from trivalent.web import style

if TYPE_CHECKING:
    import uvicorn
    from streamlit.starlette import App

log = logging.getLogger(__name__)
SCRIPT = Path(__file__).parent / "script" / "main.py"
REQUEST_GRACE_S = 10  # for requests in flight when a signal comes
HEAD_BYTES = 32 << 10  # of one request: cookies of an identity provider are long
PING_S = 30
CONNECTIONS = 512  # web sockets and plain ones; more are answered with 503 at once
HANDLES = 4096  # files and sockets: what the connections may take, and as much again


def serve(settings: Settings, *, host: str, port: int, browser: bool) -> None:
    """Listen until interrupted.

    Raises
    ------
    UsageError
        The address cannot be listened on.
    """
    from streamlit.web import bootstrap

    _allow_handles()
    listener = listen(host, port)
    address = address_of(listener)
    print(f"Trivalent is at {address} (Ctrl-C stops it)", flush=True)
    log_to_stderr(logging.WARNING, SERVER_LINE)
    bootstrap.load_config_options(configuration(settings, host=host, port=listener.getsockname()[1]))
    try:
        near = address.replace("0.0.0.0", "localhost").replace("[::]", "localhost")  # noqa: S104
        opened = near if browser and _has_display() else None
        _run(_app(settings, host=host, opened=opened), settings, listener)
    finally:
        listener.close()


def _has_display() -> bool:
    """Tell whether a window can be opened; the standard module would start a browser of the terminal."""
    return not sys.platform.startswith("linux") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


def _allow_handles() -> None:
    """Let the process have as many files and sockets as the limits on its visitors add up to."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HANDLES if hard == resource.RLIM_INFINITY else min(HANDLES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _app(settings: Settings, *, host: str, opened: str | None) -> App:
    import streamlit as st
    from starlette.middleware import Middleware

    from trivalent.web.guard import Guard
    from trivalent.web.routes import ROUTES, Headers

    return st.App(
        SCRIPT,
        lifespan=partial(_lifespan, opened),
        routes=ROUTES,
        middleware=[Middleware(Headers), Middleware(Guard, settings=settings, host=host)],
        on_script_error=_on_error,
    )


def _run(app: App, settings: Settings, listener: socket.socket) -> None:
    import uvicorn

    server = uvicorn.Server(uvicorn_config(app, settings))
    # uvicorn sends itself the signal again when it is done, which would end us before we have tidied up
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listener])
    if not server.started:
        raise TrivalentError("service.app_start")


def uvicorn_config(app: App, settings: Settings) -> uvicorn.Config:
    """Return how the server speaks: what it takes of a request, and whom it believes about the client."""
    import uvicorn
    from streamlit import config

    from trivalent.web.sockets import MESSAGE_BYTES

    return uvicorn.Config(
        app,
        http=protocol(Patience(proxies=settings.proxies)),
        ws="websockets-sansio",
        ws_max_size=MESSAGE_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        limit_concurrency=CONNECTIONS,
        # any program on this computer could otherwise say where a request comes from
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.trusted_proxy,
        timeout_graceful_shutdown=REQUEST_GRACE_S,
        ssl_certfile=config.get_option("server.sslCertFile"),
        ssl_keyfile=config.get_option("server.sslKeyFile"),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
    )


@asynccontextmanager
async def _lifespan(opened: str | None, _: object) -> AsyncGenerator[None, None]:
    """Take up waiting jobs at once; give running ones back and close the store at the end."""
    from trivalent.web import quiet, state

    quiet.hush("streamlit", "uvicorn")
    await asyncio.to_thread(state.services)
    if opened is not None:
        await asyncio.to_thread(webbrowser.open, opened)
    yield
    await asyncio.to_thread(state.close_all)


def _on_error(error: Exception) -> bool:
    """Show an error in the language of the page; what is not the user's doing goes to the log."""
    from trivalent.web import login
    from trivalent.web.views.notices import show_error, unexpected

    if isinstance(error, AuthenticationError):  # shut out meanwhile: only the login is left
        login.leave_nothing()
        style.apply(Settings.from_environment().max_upload_mb)
        login.ask()
    elif isinstance(error, TrivalentError):
        show_error(error)
    else:
        log.error("unexpected error in a page", exc_info=error)
        unexpected(error)
    return True


def configuration(settings: Settings, *, host: str, port: int) -> dict[str, Any]:
    """Options of Streamlit by their dotted names; what the guard does is not left to it as well."""
    from trivalent.web.sockets import RECONNECT_S

    return {
        "server.address": host.strip("[]"),
        "server.port": port,
        "server.headless": True,  # else it offers to write into the folder that it was started in
        "server.baseUrlPath": "",
        "server.maxUploadSize": math.ceil(settings.max_upload_mb),
        "server.disconnectedSessionTTL": math.ceil(RECONNECT_S) + 10,  # the guard ends it
        "server.fileWatcherType": "none",
        "server.enableXsrfProtection": True,
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.scriptHealthCheckEnabled": False,
        "server.trustedUserHeaders": {},
        "global.developmentMode": False,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "viewer",
        # Streamlit would write the cells of a table as they are; ours are guarded against formulas
        "client.disableDataExport": True,
        "client.showErrorDetails": "none",
        "logger.hideWelcomeMessage": True,
        "logger.enableRich": False,  # it writes past the log, where nothing holds it back
        **style.theme(),
    }
