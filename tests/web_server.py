"""The real app as a process of its own, and a real browser in front of it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
)  # fmt: skip
START_S = 60.0


@dataclass(frozen=True)
class App:
    """A running app."""

    address: str
    pid: int
    log: Path


@contextmanager
def running(home: Path, *options: str) -> Iterator[str]:
    """Start `trivalent app` on a free port; gives its address."""
    with started(home, *options) as app:
        yield app.address


@contextmanager
def started(home: Path, *options: str, cwd: Path | None = None, before: str = "") -> Iterator[App]:
    """Start `trivalent app` on a free port.

    Parameters
    ----------
    before : str
        Python that the process runs first, such as one that shortens a time.
    """
    port = free_port()
    program = f"{before}\nfrom trivalent.cli.main import main\nraise SystemExit(main())"
    command = [sys.executable, "-c", program, "app", "--home", str(home), "--port", str(port)]
    log = home.with_suffix(".log")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("TRIVALENT_SETTINGS", None)
    with log.open("wb") as sink:
        server = subprocess.Popen(
            [*command, "--no-browser", "--threads", "1", *options],
            stdout=sink,
            stderr=sink,
            env=environment,
            cwd=cwd,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", server, log)
        yield App(f"http://127.0.0.1:{port}", server.pid, log)
    finally:
        server.terminate()
        server.wait(30)


def free_port() -> int:
    """Find a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@contextmanager
def chromium() -> Iterator[Any]:
    """Give the system's Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on the PATH")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()
