"""Clients that send half a request, or a byte now and then."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

HANGS_S = 90.0  # a server that has not acted by then does not


def place(url: str) -> tuple[str, int]:
    """Host and port of an address."""
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)


def trickle(server: tuple[str, int], first: bytes, drop: bytes = b"a", every_s: float = 2.0) -> bool:
    """Send a beginning and then a byte now and then; tells whether the server ended it."""
    with socket.create_connection(server, timeout=every_s) as sock:
        sock.sendall(first)
        until = time.monotonic() + HANGS_S
        while time.monotonic() < until:
            try:
                if not sock.recv(1000):
                    return True
                continue  # 408, then the end
            except TimeoutError:
                pass
            except OSError:
                return True
            try:
                if drop:
                    sock.sendall(drop)
            except OSError:
                return True
    return False


def together(*work: Callable[[], bool]) -> list[bool]:
    """Do several things at the same time."""
    results = [False] * len(work)

    def run(i: int) -> None:
        results[i] = work[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
