"""A few child processes, and a queue before them in which accounts take turns.

For what somebody waits for: small texts, and a look at an upload. What takes long is a job of the store.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trivalent.core.errors import CancelledError, LimitError, QueueFullError
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import Modality
from trivalent.work.isolated import Isolated, Limits

log = logging.getLogger(__name__)
Answer = dict[str, Any]
#: More than this is a job. Of the shortest sentences these take a second and a half, of usual ones a tenth.
SMALL_TEXT = 4_000  # characters
TEXT_S, LOOK_S = 60.0, 30.0  # for a small text, and to open a file and read its tables; with the waiting
#: Of one task: three times what the largest bundle of ours takes.
SMALL = Limits(time_s=60.0, memory_bytes=3 * 2**29)
OWNERS = 10_000  # whose last turn is remembered


def text_task(text: str, name: str, *, model: str, prior: Sequence[float] | None = None) -> dict[str, Any]:
    """Arguments of the task `text`: one thread of the model for one text at a time in each child.

    Raises
    ------
    UsageError
        The prior is no mix of classes.
    """
    shares = None if prior is None else tuple(prior)
    options = AnalyzerOptions(model=model, modalities=(str(Modality.TEXT),), prior=shares, threads=1)
    return {"text": text, "name": name, "options": options.to_dict()}


@dataclass(eq=False)
class Call:
    """A task that waits or is done; its `future` gets what `then` made of the answer."""

    task: str
    arguments: Mapping[str, Any]
    owner: str
    until: float
    then: Callable[[Answer], Any]
    future: Future[Any] = field(default_factory=Future)
    _gone: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Do not wait for it any more: it is dropped from the queue, or stopped in its child."""
        self._gone.set()

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it."""
        return self._gone.is_set()


class Pool:
    """Children that do tasks of `work.tasks`, each in a thread of this process.

    The next task is of the owner with the fewest tasks at work, then of the one that was served
    longest ago: whoever sends many waits for himself.

    Parameters
    ----------
    children : int
    limits : Limits
        Of one task.
    waiting : int
        Tasks of all owners that may wait.
    waiting_each : int, optional
        Tasks of one owner that may wait; all by default.
    temporary : Path, optional
        As in `Isolated`.
    """

    def __init__(
        self,
        children: int,
        limits: Limits = SMALL,
        *,
        waiting: int = 128,
        waiting_each: int | None = None,
        temporary: Path | None = None,
    ) -> None:
        self.limits, self.waiting, self.waiting_each = limits, waiting, waiting_each or waiting
        self.children, self._temporary = children, temporary
        self._changed = threading.Condition()
        self._queues: dict[str, deque[Call]] = {}
        self._turns: OrderedDict[str, int] = OrderedDict()  # of each owner the last one, oldest first
        self._turn = 0
        self._at_work: Counter[str] = Counter()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"pool-{i}", daemon=True) for i in range(children)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        task: str,
        arguments: Mapping[str, Any],
        *,
        owner: str,
        time_s: float,
        then: Callable[[Answer], Any] = dict,
    ) -> Call:
        """Queue a task.

        Parameters
        ----------
        task : str
        arguments : mapping
            As JSON knows them.
        owner : str
            Whose turn it takes.
        time_s : float
            From now until its end, with the waiting.
        then : callable
            Gets the answer in a thread of the pool; what it returns, or raises, goes to the future.

        Raises
        ------
        QueueFullError
            Too many tasks wait, of all or of this owner.
        """
        call = Call(task, arguments, owner, time.monotonic() + time_s, then)
        with self._changed:
            own = self._queues.setdefault(owner, deque())
            if sum(map(len, self._queues.values())) >= self.waiting or len(own) >= self.waiting_each:
                raise QueueFullError(
                    "work.queue_pool_full", waiting_each=self.waiting_each, waiting=self.waiting
                )
            own.append(call)
            self._changed.notify()
        return call

    def call(self, task: str, arguments: Mapping[str, Any], *, owner: str, time_s: float) -> Answer:
        """Queue a task and wait for its answer.

        Raises
        ------
        QueueFullError
            As `submit`, or it had to wait too long.
        TrivalentError
            What the task raised.
        """
        found: Answer = self.submit(task, arguments, owner=owner, time_s=time_s).future.result()
        return found

    def close(self) -> None:
        """Stop what is at work and drop the rest."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        with Isolated(self.limits, temporary=self._temporary) as child:
            while (call := self._next()) is not None:
                try:
                    self._do(call, child)
                finally:
                    with self._changed:
                        self._at_work[call.owner] -= 1
                        self._at_work += Counter()  # drops those who are back at none

    def _next(self) -> Call | None:
        """Wait for a task; None at the end."""
        with self._changed:
            while True:
                if self._closing:
                    for call in (c for own in self._queues.values() for c in own):
                        if call.future.set_running_or_notify_cancel():
                            call.future.set_exception(CancelledError("work.cancelled"))
                    self._queues.clear()
                    return None
                if (owner := self._whose_turn()) is None:
                    self._changed.wait()
                    continue
                call = self._queues[owner].popleft()
                if call.future.set_running_or_notify_cancel():  # from here on it gets a result from us
                    self._note_turn(owner)
                    return call

    def _whose_turn(self) -> str | None:
        for owner in [o for o, own in self._queues.items() if not own]:
            del self._queues[owner]
        return min(self._queues, key=lambda o: (self._at_work[o], self._turns.get(o, 0)), default=None)

    def _note_turn(self, owner: str) -> None:
        self._at_work[owner] += 1
        self._turn += 1
        self._turns[owner] = self._turn
        self._turns.move_to_end(owner)
        if len(self._turns) > OWNERS:
            self._turns.popitem(last=False)

    def _do(self, call: Call, child: Isolated) -> None:
        left = call.until - time.monotonic()
        try:
            if call.cancelled:
                raise CancelledError("work.cancelled")
            if left <= 0:
                raise QueueFullError("work.queue_pool_late")
            answer = child.call(
                call.task,
                call.arguments,
                time_s=left,
                cancelled=lambda: call.cancelled or self._closing,
            )
            call.future.set_result(call.then(answer))
        except BaseException as error:
            if isinstance(error, LimitError):
                log.warning("a task %r of %s was ended: %s", call.task, call.owner, error)
            call.future.set_exception(error)
