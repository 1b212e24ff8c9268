"""What an attack tried, what was withstood, and what it cost: for the test and for benchmarks/attacks.py.

A test of the hostile day takes the fixture `attack`, notes each attempt, and is judged at its end:

    @pytest.mark.finding(4)
    def test_a_table_that_claims_millions(attack: Attack) -> None:
        with attack.watch(server.pid):
            answer = ...
        attack.attempt("mp4 with 80 M samples", withstood=answer.status_code == 415)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_S = 0.05


@dataclass
class Attack:
    """One attack: attempts, those that got through, seconds, and the peak of memory of what was watched."""

    attempts: int = 0
    broken: list[str] = field(default_factory=list)
    peak_mb: float | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def withstood(self) -> int:
        """Attempts that did no harm."""
        return self.attempts - len(self.broken)

    def attempt(self, what: str, *, withstood: bool) -> None:
        """Note one attempt; the test fails at its end with all that got through."""
        self.attempts += 1
        if not withstood:
            self.broken.append(what)

    @contextmanager
    def watch(self, pid: int) -> Iterator[None]:
        """Measure the resident memory of a process alone, without its children, while the block runs."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(SAMPLE_S):
                self.peak_mb = max(self.peak_mb or 0.0, resident_mb(pid))

        self.peak_mb = max(self.peak_mb or 0.0, resident_mb(pid))
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def facts(self) -> dict[str, float | int | None]:
        """Figures for the record of a test run."""
        return {
            "attempts": self.attempts,
            "withstood": self.withstood,
            "seconds": round(time.monotonic() - self.started, 2),
            "peak_mb": None if self.peak_mb is None else round(self.peak_mb, 1),
        }


def resident_mb(pid: int) -> float:
    """Resident memory of a process; 0 when it is gone."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and theirs, as /proc knows them now."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found
