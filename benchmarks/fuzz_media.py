"""Hostile recordings: spoiled clips of every format, and what becomes of each in a child process."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from results_file import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests"))  # what makes and spoils clips serves the tests, too

from hostile_clips import NAMES, hostile_clips, write_seeds
from mutator import mutate
from trivalent.core.assets import DATA
from trivalent.core.errors import InputError, LimitError, TrivalentError
from trivalent.work.isolated import Isolated, Limits

CHILD = Path(__file__).with_name("fuzz_child.py")
POLL_S = 0.05
HANDMADE = "handmade"
OUTCOMES = ("result", "error", "exception", "crash", "hang", "memory")


@dataclass(frozen=True)
class Case:
    """A recording to try: its number is its seed."""

    number: int
    format: str
    change: str
    name: bytes
    make: Callable[[], bytes]


@dataclass
class Tally:
    """Outcomes of one format, and what it cost at most."""

    outcomes: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    peak_mb: float = 0.0

    def add(self, answer: dict[str, Any]) -> None:
        """Count one case."""
        self.outcomes[answer["outcome"]] += 1
        self.longest_s = max(self.longest_s, answer["seconds"])
        self.peak_mb = max(self.peak_mb, answer["peak_mb"])

    def __add__(self, other: Tally) -> Tally:
        longest, peak = max(self.longest_s, other.longest_s), max(self.peak_mb, other.peak_mb)
        return Tally(self.outcomes + other.outcomes, longest, peak)

    def metrics(self) -> dict[str, float]:
        """Return the figures of a row."""
        counts = {name: float(self.outcomes[name]) for name in OUTCOMES}
        total = {"cases": float(self.outcomes.total())}
        return total | counts | {"longest_s": self.longest_s, "peak_mb": self.peak_mb}


def seeds(folder: Path, root: Path | None) -> dict[str, tuple[str, bytes]]:
    """Return whole clips by name: (format, content)."""
    found = {suffix: (suffix, data) for suffix, data in write_seeds(folder).items()}
    found["sample.mp4"] = ("mp4", (DATA / "samples" / "sample.mp4").read_bytes())
    for path in sorted(root.glob("crema_d/*.flv"))[:1] if root else ():
        found["crema_d.flv"] = ("flv", path.read_bytes())
    return found


def cases(folder: Path, *, count: int, seed: int, root: Path | None, only: str | None) -> Iterator[Case]:
    """Go through handmade recordings first and then, in turn over the clips, through spoiled ones."""
    clips = {k: v for k, v in seeds(folder, root).items() if only in (None, k)}
    made = list(hostile_clips(folder).items()) if only in (None, HANDMADE) else []
    for i, (name, make) in enumerate(made[:count]):
        yield Case(i, HANDMADE, name.rpartition(".")[0], name.encode(), make)
    for i in range(len(made), count if clips else 0):
        key = list(clips)[i % len(clips)]
        format, data = clips[key]
        random = Random(f"{seed} {i} {key}")
        spoiled, change = mutate(data, format, random)
        plain = f"clip.{format}".encode()
        odd = random.choice(NAMES) + b"." + format.encode()
        own = odd if random.random() < 0.1 else plain
        yield Case(i, key, change, own, partial(bytes, spoiled))


class Decoder:
    """A child that looks at recordings; another one takes over when it dies."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.process: subprocess.Popen[bytes] | None = None

    def look(self, path: bytes) -> dict[str, Any]:
        """Try one recording."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._ask(b"/")  # its imports are not to be counted
            self._wait()
        self._ask(path)
        return self._wait()

    def _ask(self, path: bytes) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"path": path.hex()}).encode() + b"\n")
        self.process.stdin.flush()

    def _wait(self) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdout is not None
        started, peak = time.monotonic(), 0.0
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stdout, selectors.EVENT_READ)
            while True:
                if ready.select(POLL_S):
                    line = self.process.stdout.readline()
                    if line:
                        return json.loads(line)
                    return self._end("crash", f"exit {self.process.wait()}", started, peak)
                peak = max(peak, self._resident())
                if peak > self.limits.memory_bytes:
                    return self._end("memory", "more than allowed", started, peak)
                if time.monotonic() - started > self.limits.time_s:
                    return self._end("hang", "longer than allowed", started, peak)

    def _resident(self) -> float:
        assert self.process is not None
        try:
            pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        except OSError:
            return 0.0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def _end(self, outcome: str, what: str, started: float, peak: float) -> dict[str, Any]:
        self.close()
        seconds = time.monotonic() - started
        return {"outcome": outcome, "what": what, "seconds": seconds, "peak_mb": peak / 2**20}

    def close(self) -> None:
        """End the child."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


class Whole:
    """The isolated analyzer as it is: speech, voice and face, too."""

    def __init__(self, limits: Limits) -> None:
        self.analyzer = Isolated(limits)

    def look(self, path: bytes) -> dict[str, Any]:
        """Try one recording."""
        started = time.monotonic()
        try:
            analysis = self.analyzer.analyze(Path(os.fsdecode(path)))
            outcome, what = "result", f"{analysis.overall.label}, {len(analysis.utterances)} utterances"
        except LimitError as error:
            what = str(error)
            outcome = "hang" if "takes longer" in what else "memory" if "needs more" in what else "crash"
        except InputError as error:
            what = str(error)  # the child tells an error of ours from any other in these words
            outcome = "exception" if what.startswith("expected a file that can be analysed") else "error"
        except TrivalentError as error:
            outcome, what = "exception", f"{type(error).__name__}: {error}"
        return {"outcome": outcome, "what": what, "seconds": time.monotonic() - started, "peak_mb": 0.0}

    def close(self) -> None:
        """End the child."""
        self.analyzer.close()


def try_all(
    chosen: Iterator[Case], looker: Decoder | Whole, folder: Path, *, log: Callable[[str], None]
) -> dict[str, Tally]:
    """Try recordings one after the other.

    Returns
    -------
    dict of str to Tally
        By format; what ended badly is in the log.
    """
    tallies: dict[str, Tally] = {}
    for case in chosen:
        if HANDMADE in tallies and len(tallies) == 1 and case.format != HANDMADE:
            looker.close()  # what bombs have left in its memory is not to be counted for the others
        path = os.fsencode(folder) + b"/" + case.name
        with open(path, "wb") as stream:  # noqa: PTH123 - a name of bytes
            stream.write(case.make())
        answer = looker.look(path)
        os.unlink(path)  # noqa: PTH108
        tallies.setdefault(case.format, Tally()).add(answer)
        if answer["outcome"] not in ("result", "error") or answer["seconds"] > 10:
            log(json.dumps({"case": case.number, "format": case.format, "change": case.change} | answer))
    looker.close()
    return tallies
