"""A PostgreSQL server of our own that can be killed: the distribution's programs, a temporary folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from killing import descendants

PROGRAMS = Path("/usr/lib/postgresql")


class Cluster:
    """One server with its defaults, so that what it has confirmed is on the disk; on a socket only."""

    def __init__(self, folder: Path) -> None:
        found = sorted(PROGRAMS.glob("*/bin"), key=lambda p: int(p.parent.name))
        if not found:
            raise SystemExit(f"no PostgreSQL server in {PROGRAMS}; install the package postgresql")
        self._bin, self._folder = found[-1], folder
        self._as: dict[str, Any] = {
            "cwd": folder,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(folder, "postgres", "postgres")
            self._as |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        self.version = f"PostgreSQL {self._bin.parent.name}"
        self.url = f"postgresql://tester@/postgres?host={folder}"
        make = [self._bin / "initdb", "-D", folder / "data", "-U", "tester", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*make, "--locale=C.UTF-8"], check=True, **self._as)
        self.start()

    def start(self) -> None:
        """Start it, or start it again: it then repairs itself from its log."""
        where = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={self._folder}")
        self._server = subprocess.Popen(
            [self._bin / "postgres", "-D", self._folder / "data", *where], **self._as
        )
        ask = [self._bin / "pg_isready", "-q", "-h", self._folder, "-U", "tester"]
        for _ in range(300):
            if subprocess.run(ask, check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise SystemExit("PostgreSQL did not start within half a minute")

    def kill(self) -> None:
        """SIGKILL the server and all its processes, which have groups of their own."""
        for process in (self._server.pid, *descendants(self._server.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._server.wait()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Make a server; it is gone at the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = None
    try:
        server = Cluster(folder)
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder)
