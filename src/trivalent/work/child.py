"""The child of `isolated`: reads requests, does their tasks, answers; run as `python -m`.

A thread of its own reads standard input, so that a cancellation is heard during the work and the
death of the parent (end of input) ends the child at once.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

REPORT_EVERY_S = 0.1
# beyond the resident limit: libraries, stacks and arenas that are mapped but never touched
MAPPED_BYTES = 8 * 2**30
# the same for memory that may be written, which an absurd allocation asks for
WRITABLE_BYTES = 2**30


def main() -> None:
    """Answer requests until the parent leaves."""
    out = _private_output()
    _limit_self(int(sys.argv[1]))
    inbox = _Inbox()
    while True:
        request = inbox.next()
        _say(out, _answer(request, out, inbox))


def _private_output() -> BinaryIO:
    """Take standard output for messages: what libraries print there goes to standard error."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return out


def _limit_self(resident_bytes: int) -> None:
    """Let an absurd allocation fail by itself; the parent watches the resident memory."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    limits = {
        resource.RLIMIT_AS: resident_bytes + MAPPED_BYTES,
        resource.RLIMIT_DATA: resident_bytes + WRITABLE_BYTES,
        resource.RLIMIT_CORE: 0,  # a dump would hold what was said
    }
    for kind, limit in limits.items():
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


class _Inbox:
    """Requests in order, and whether the present one is cancelled."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.cancelled = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> dict[str, Any]:
        """Wait for a task."""
        request = self._requests.get()
        self.cancelled.clear()
        return request

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            request = json.loads(line)
            if "cancel" in request:
                self.cancelled.set()
            else:
                self._requests.put(request)
        os._exit(0)  # the parent is gone: nobody would take an answer


def _answer(request: dict[str, Any], out: BinaryIO, inbox: _Inbox) -> dict[str, Any]:
    from trivalent.core.errors import InputError, LimitError, TrivalentError, taken_apart
    from trivalent.work.tasks import TASKS

    told: TrivalentError
    try:
        return {"answer": TASKS[request["task"]](stages=_stages(out, inbox), **request["arguments"])}
    except TrivalentError as error:
        told = error
    except MemoryError:
        told = LimitError("work.child_memory")
    except Exception as error:
        # one bad file must not end the process; the message names the kind for a report
        told = InputError("work.child_other", type=type(error).__name__, error=error)
    return {"error": taken_apart(told)}


def _stages(out: BinaryIO, inbox: _Inbox) -> Callable[[str], Callable[[float], None]]:
    """Tell the parent where the work is, not too often, and stop it when cancelled."""
    from trivalent.core.errors import CancelledError

    said = [float("-inf")]

    def stage(name: str) -> Callable[[float], None]:
        _say(out, {"stage": name, "share": 0.0})

        def progress(share: float) -> None:
            if inbox.cancelled.is_set():
                raise CancelledError("work.cancelled")
            now = time.monotonic()
            if now - said[0] >= REPORT_EVERY_S:
                said[0] = now
                _say(out, {"stage": name, "share": min(1.0, max(0.0, float(share)))})

        return progress

    return stage


def _say(out: BinaryIO, message: dict[str, Any]) -> None:
    line = memoryview(json.dumps(message).encode() + b"\n")
    while line:  # a pipe takes a long line in parts
        line = line[out.write(line) :]


if __name__ == "__main__":
    main()
