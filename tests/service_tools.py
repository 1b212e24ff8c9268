"""A service for tests: in this process over a fresh store, or as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient

from attack_log import resident_mb
from media_samples import write_media
from store_samples import a_home
from trivalent.core.settings import Auth, Settings
from trivalent.service.app import create_app
from trivalent.store import Role, Store, open_store

TEXT = "I love how this turned out."
PASSWORD = "correct horse battery"
NOT_AN_ID = "0" * 32


class Local:
    """A service whose workers do not run: jobs stay where a test puts them."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.settings = Settings(home=a_home(home), **settings)
        self.store: Store = open_store(self.settings)
        self.app = create_app(self.store, self.settings)
        self.app.router.lifespan_context = _no_workers

    def client(self, secret: str | None = None, **headers: str) -> TestClient:
        """A client, with an API key if one is given."""
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
        return TestClient(self.app, base_url="http://localhost", headers=headers)

    def account(self, name: str, *, role: Role = Role.USER, per_minute: int = 10_000) -> str:
        """Make an account; returns its API key."""
        user = self.store.accounts.create(name, PASSWORD, role=role)
        return self.store.accounts.create_key(user, "test", per_minute=per_minute)[1]


@asynccontextmanager
async def _no_workers(_: object) -> AsyncIterator[None]:
    yield


@contextmanager
def local_service(home: Path, **settings: Any) -> Iterator[Local]:
    """Open a service and close its store."""
    service = Local(home, **settings)
    try:
        yield service
    finally:
        service.app.state.service.pool.close()
        service.store.close()


def with_accounts(home: Path, **settings: Any) -> Any:
    """Open a service in which requests need keys."""
    return local_service(home, auth=Auth.LOCAL, **settings)


class Server:
    """`trivalent serve` as a process."""

    def __init__(self, home: Path, *options: str, log: Path | None = None) -> None:
        command = [sys.executable, "-m", "trivalent.cli.main", "serve", "--port", "0", "--home", str(home)]
        self.log = (log or home.with_suffix(".log")).open("ab")
        self.process = subprocess.Popen(
            [*command, "--threads", "1", *options],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()  # written before the first request can be answered
        found = re.search(r"http://\S+?:\d+", line)
        assert found, f"no address in {line!r}; see {self.log.name}"
        self.client = httpx.Client(base_url=found[0], timeout=60)
        self.fresh_mb = resident_mb(self.process.pid)  # before anybody comes

    def end(self, how: signal.Signals) -> int:
        """Send a signal and wait; returns the exit status."""
        self.process.send_signal(how)
        status = self.process.wait(60)
        self.client.close()
        return status

    def close(self) -> None:
        """Kill it, if it still runs."""
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()


def clip(path: Path, seconds: float = 1.0) -> Path:
    """Write a second of tone: the shortest recording that goes through every stage of sound."""
    return write_media(path, video=None, audio="pcm_s16le", rate=16000, channels=1, seconds=seconds)
