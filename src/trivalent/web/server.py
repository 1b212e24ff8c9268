"""The web server: Streamlit with our configuration, our routes and our headers."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from trivalent.errors import TrivalentError, UsageError
from trivalent.settings import Settings, is_loopback
from trivalent.web import style

log = logging.getLogger(__name__)
SCRIPT = Path(__file__).parent / "script" / "main.py"
START_S = 60.0
LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]", "::1"]


def serve(settings: Settings, *, host: str, port: int, browser: bool) -> None:
    """Listen until interrupted.

    Raises
    ------
    UsageError
        The address cannot be listened on.
    """
    import streamlit as st
    from starlette.middleware import Middleware

    from trivalent.web.routes import ROUTES, Headers

    port = _free(host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"Trivalent is at http://{shown}:{port} (Ctrl-C stops it)", flush=True)
    if browser:
        threading.Thread(target=_open_window, args=(host, port), daemon=True).start()
    app = st.App(
        SCRIPT,
        lifespan=_closing,
        routes=ROUTES,
        middleware=[Middleware(Headers)],
        on_script_error=_on_error,
    )
    app.run(config=configuration(settings, host=host, port=port))


def _open_window(host: str, port: int) -> None:
    """Show the app in the user's browser as soon as it listens."""
    if sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        return  # the standard module would start a browser of the terminal
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound to
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            socket.create_connection((near, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            webbrowser.open(f"http://[{near}]:{port}" if ":" in near else f"http://{near}:{port}")
            return


@asynccontextmanager
async def _closing(_: object) -> AsyncGenerator[None, None]:
    """Give running jobs back and close the store when the server is told to stop."""
    from trivalent.web import state

    yield
    await asyncio.to_thread(state.close_all)


def _on_error(error: Exception) -> bool:
    """Show an error in the language of the page; what is not the user's doing goes to the log."""
    from trivalent.web.views.notices import show_error, unexpected

    if isinstance(error, TrivalentError):
        show_error(error)
    else:
        log.error("unexpected error in a page", exc_info=error)
        unexpected(error)
    return True


def _free(host: str, port: int) -> int:
    """Check the address before anything starts; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise UsageError(
            f"expected a free port at an address of this computer, got {host}:{port}: {error.strerror}; "
            "choose another with --port or --host"
        ) from error


def configuration(settings: Settings, *, host: str, port: int) -> dict[str, Any]:
    """Options of Streamlit by their dotted names."""
    return {
        "server.address": host,
        "server.port": port,
        # else a message over the web socket makes Streamlit write into the working directory
        "server.headless": True,
        "server.enableAgentApi": False,  # whatever a file or variable says: nobody drives it but by a page
        "server.maxUploadSize": math.ceil(settings.max_upload_mb),
        "server.fileWatcherType": "none",
        # a page of another site whose name leads to this computer must not reach the app
        "server.allowedHosts": LOOPBACK_NAMES if is_loopback(host) else [],
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "viewer",
        # Streamlit would write the cells of a table as they are; ours are guarded against formulas
        "client.disableDataExport": True,
        "client.showErrorDetails": "none",
        "logger.hideWelcomeMessage": True,
        **style.theme(),
    }
