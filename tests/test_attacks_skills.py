"""A visitor of `trivalent app` cannot have Streamlit write into the folders of whoever started it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

import trivalent.web
from app_socket import Visitor, visitor
from attack_log import Attack
from web_server import free_port, wait_for

SCRIPT = Path(trivalent.web.__file__).parent / "script"


@contextmanager
def default_app(folder: Path) -> Iterator[str]:
    """`trivalent app` as somebody starts it at a desktop, with an assistant; gives its address."""
    home, work = folder / "home", folder / "work"
    for place in (home / ".claude", home / ".cursor", work, folder / "bin"):
        place.mkdir(parents=True)
    window = folder / "bin" / "window"
    window.write_text(f'#!/bin/sh\necho "$1" >> {folder}/windows\n')
    window.chmod(0o755)
    (work / ".streamlit").mkdir()
    # what the folder that it is started from says, or the environment, changes nothing
    (work / ".streamlit" / "config.toml").write_text("[server]\nheadless = false\nenableAgentApi = true\n")
    environment = os.environ | {
        "HOME": str(home), "DISPLAY": ":99", "BROWSER": f"{window} %s", "OMP_NUM_THREADS": "1",
        "STREAMLIT_SERVER_HEADLESS": "false", "STREAMLIT_SERVER_ENABLE_AGENT_API": "true",
    }  # fmt: skip
    environment.pop("TRIVALENT_SETTINGS", None)
    port, log = free_port(), folder / "app.log"
    with log.open("wb") as sink:
        server = subprocess.Popen(
            [sys.executable, "-m", "trivalent.cli.main", "app", "--port", str(port), "--threads", "1"],
            cwd=work, env=environment, stdout=sink, stderr=sink,
        )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def listing(*folders: Path) -> set[Path]:
    """Everything below, but for compiled modules and our own history."""
    found = {p for folder in folders for p in folder.rglob("*")}
    return {p for p in found if "__pycache__" not in p.parts and "share" not in p.parts}


def ask(someone: Visitor, operation: str) -> None:
    """Send what a button of Streamlit's own sends, and wait as long as an answer would take."""
    message = BackMsg()
    request = message.backend_operation_request
    request.request_id, request.session_id = operation, someone.session
    getattr(request, operation).SetInParent()
    someone.say(message)
    time.sleep(3)


@pytest.mark.finding(17)
def test_a_socket_makes_nobody_write_skills(attack: Attack, tmp_path: Path) -> None:
    with default_app(tmp_path) as url, visitor(url) as someone:
        someone.open()
        places = (tmp_path / "home", tmp_path / "work", SCRIPT, Path(sys.prefix) / "bin")
        before = listing(*places)
        for operation in ("install_skills", "dismiss_skills_nudge"):
            ask(someone, operation)
            attack.attempt(operation, withstood=listing(*places) == before)
        start = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
        for path, drive in (("interact", {"interactions": []}), ("mcp", start)):
            answer = httpx.post(f"{url}/_stcore/agent/{path}", json=drive, trust_env=False)
            attack.attempt(f"agent/{path}", withstood=answer.status_code >= 400)


def test_the_window_opens_once_by_the_standard_module(tmp_path: Path) -> None:
    opened = tmp_path / "windows"
    with default_app(tmp_path) as url:
        until = time.monotonic() + 30
        while not opened.exists() and time.monotonic() < until:
            time.sleep(0.1)
        assert opened.read_text().split() == [url]
