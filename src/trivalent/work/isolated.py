"""Work on strangers' bytes in a child process: a file that crashes, hangs or bloats it costs only itself.

The two sides talk in lines of JSON over the child's standard streams (`work.child`); nothing
is pickled, and the child starts from the interpreter alone, not from the program around it.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivalent.core import errors
from trivalent.core.analysis import Analysis
from trivalent.core.errors import CancelledError, LimitError
from trivalent.core.messages import Message
from trivalent.core.options import AnalyzerOptions
from trivalent.core.private_folders import PrivateFolder
from trivalent.core.settings import VARIABLE as SETTINGS

log = logging.getLogger(__name__)
Report = Callable[[str, float], None]
POLL_S = 0.05
CANCEL_GRACE_S = 3.0  # a child that does not stop by itself within this is killed


@dataclass(frozen=True)
class Limits:
    """What one task may use: seconds of wall clock, and bytes of resident memory."""

    time_s: float = 3600.0
    memory_bytes: int = 4 * 2**30


class Isolated:
    """One child process with its models loaded; a new one takes over when it dies.

    Not for several threads at once: give each its own.

    Parameters
    ----------
    limits : Limits
    temporary : Path, optional
        Where the child gets a private folder for whatever a library writes on the way, which goes
        with it; the system's folder by default.
    """

    def __init__(self, limits: Limits | None = None, *, temporary: Path | None = None) -> None:
        self.limits = limits or Limits()
        self._temporary = temporary
        self._child: _Child | None = None

    def call(
        self,
        task: str,
        arguments: Mapping[str, Any],
        *,
        time_s: float | None = None,
        report: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> dict[str, Any]:
        """Do one task of `work.tasks`.

        Parameters
        ----------
        task : str
        arguments : mapping
            As JSON knows them.
        time_s : float, optional
            Less time than the limits give.
        report : callable, optional
            Called with a stage and its progress in [0, 1].
        cancelled : callable, optional
            Asked about every `POLL_S` seconds.

        Returns
        -------
        dict
            What the task answered.

        Raises
        ------
        TrivalentError
            What the task raised.
        LimitError
            It took too long or too much memory, or the process died over it.
        CancelledError
            `cancelled` said so.
        """
        if self._child is None or not self._child.alive:
            self._child = _Child(self.limits, self._temporary)
        child = self._child
        child.send({"task": task, "arguments": dict(arguments)})
        time_s = self.limits.time_s if time_s is None else min(time_s, self.limits.time_s)
        try:
            return _follow(child, time_s, report=report, cancelled=cancelled)
        except BaseException:
            # an answer on its way would be taken for that of the next task
            if child.busy:
                self.close()
            raise

    def analyze(
        self,
        path: Path,
        *,
        name: str | None = None,
        kind: str | None = None,
        options: AnalyzerOptions | None = None,
        transcript: str | None = None,
        time_s: float | None = None,
        report: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Analysis:
        """Analyse one file.

        Parameters
        ----------
        path : Path
        name : str, optional
            Shown in the result.
        kind : str, optional
            As in `Analyzer.analyze`.
        options : AnalyzerOptions, optional
        transcript : str, optional
            Content of an .srt, .vtt or plain transcript.
        time_s, report, cancelled : optional
            As in `call`.

        Raises
        ------
        InputError
            As `Analyzer.analyze`.
        LimitError, CancelledError
            As `call`.
        """
        arguments = {
            "path": os.fspath(Path(path).absolute()),
            "name": name or Path(path).name,
            "kind": kind,
            "options": (options or AnalyzerOptions()).to_dict(),
            "transcript": transcript,
        }
        return as_analysis(
            self.call("analyze", arguments, time_s=time_s, report=report, cancelled=cancelled)
        )

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_analysis(answer: Mapping[str, Any]) -> Analysis:
    """Build the analysis that a task `analyze` or `text` answered."""
    return Analysis.from_dict(answer["analysis"], extras=answer["extras"])


def _follow(
    child: _Child, time_s: float, *, report: Report | None, cancelled: Callable[[], bool] | None
) -> dict[str, Any]:
    """Wait for the answer of a child that was given a task."""
    started = time.monotonic()
    while True:
        message = child.receive(POLL_S)
        if message is not None:
            if "stage" in message:
                if report:
                    report(message["stage"], message["share"])
            elif "error" in message:
                raise errors.rebuilt(message["error"])
            else:
                answer: dict[str, Any] = message["answer"]
                return answer
        elif not child.alive:
            raise LimitError(child.obituary())
        if cancelled and cancelled():
            child.cancel()
            raise CancelledError("work.cancelled")
        if time.monotonic() - started > time_s:
            child.kill()
            raise LimitError("work.child_time", time_s=time_s)
        if child.memory_bytes() > child.limits.memory_bytes:
            child.kill()
            raise LimitError("work.memory", most=child.limits.memory_bytes / 2**20)


def _environment(folder: PrivateFolder | None) -> dict[str, str]:
    """Variables of a child: not the settings, which may hold the password of a database."""
    kept = {k: v for k, v in os.environ.items() if k != SETTINGS}
    return kept if folder is None else {**kept, "TMPDIR": os.fspath(folder.path)}


class _Child:
    """The process, its pipe, and a thread that reads what it says."""

    def __init__(self, limits: Limits, temporary: Path | None) -> None:
        self.limits = limits
        self._folder = None if temporary is None else PrivateFolder(temporary)
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "trivalent.work.child", str(limits.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(self._folder),
            start_new_session=True,  # Ctrl-C is for the parent, which then closes the pipe
        )
        self.busy = False
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._ended = threading.Event()
        threading.Thread(target=self._read, name="isolated", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it can still answer: what it said before its death is read first."""
        return not self._ended.is_set() or not self._messages.empty()

    def send(self, request: Mapping[str, Any]) -> None:
        """Write one line; a child that is gone is noticed by `alive`."""
        assert self.process.stdin is not None  # noqa: S101 - asked for above
        self.busy = self.busy or "task" in request
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            log.warning("the child process %d is gone", self.process.pid)

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """Next message, or None when none came in time."""
        try:
            message = self._messages.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if "stage" not in message:
            self.busy = False
        return message

    def cancel(self) -> None:
        """Ask it to stop; kill it if it does not, so that the next task starts clean."""
        self.send({"cancel": True})
        until = time.monotonic() + CANCEL_GRACE_S
        while self.busy and self.alive and time.monotonic() < until:
            self.receive(POLL_S)
        if self.busy:
            self.kill()

    def memory_bytes(self) -> int:
        """Resident memory; 0 where the platform has no /proc."""
        try:
            pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """End it and wait until it is gone."""
        self.process.kill()
        self._bury()

    def obituary(self) -> Message:
        """Say why it died over a file."""
        code = self._bury()
        if code == -9:
            return Message("work.killed")
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return Message("work.crash", how=how)

    def _bury(self) -> int:
        """Wait until it is gone, with what it left; returns its exit status."""
        code = self.process.wait()
        self._ended.wait()
        if self._folder is not None:
            self._folder.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - asked for above
        with self.process.stdout as stream:
            for line in stream:
                try:
                    self._messages.put(json.loads(line))
                except ValueError:
                    log.warning("the child process %d wrote no JSON", self.process.pid)
        self._ended.set()
        if self.process.stdin is not None:
            self.process.stdin.close()
