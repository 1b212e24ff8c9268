"""Starts programs and kills them at any moment, for the loops of kill_loop.py."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def program(*arguments: str) -> list[str]:
    """Name `trivalent` of this interpreter."""
    return [sys.executable, "-m", "trivalent.cli.main", *arguments]


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start in a group of its own, silently."""
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def rounds_of(
    command: Sequence[str],
    rounds: int,
    *,
    longest_s: float,
    rng: random.Random,
    check: Callable[[], None] = lambda: None,
    visit: Callable[[float], None] = time.sleep,
) -> int:
    """Kill `rounds` starts, each after a random time; tells how many were killed at work.

    Parameters
    ----------
    check : callable
        Called after each kill.
    visit : callable
        What goes on meanwhile; it takes the seconds until the kill.
    """
    at_work = 0
    for _ in range(rounds):
        process = start(command)
        visit(rng.uniform(0.05, longest_s))
        at_work += process.poll() is None
        kill(process)
        check()
    return at_work


def descendants(pid: int) -> dict[int, str]:
    """Find what a process has started, and what that has, with their command lines."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text(errors="replace")
                parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, waiting = {}, [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            with contextlib.suppress(OSError):
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().decode(errors="replace")
            waiting.append(child)
    return found


def free_port() -> int:
    """Find a port that nobody uses now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def text(i: int, *, sentences: int) -> str:
    """One of many texts."""
    return f"Take {i} was {'good' if i % 3 else 'bad'}. " * sentences
