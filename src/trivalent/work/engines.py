"""Where the files of a batch are analysed: children of this process, or a Ray cluster.

Both take the same function and the same tasks and yield the same outcomes, as they come.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from trivalent.core.errors import CancelledError, UsageError
from trivalent.work.batch import Outcome, Task, Worker, analyze_task
from trivalent.work.ray_session import ray_session

MOST_PER_CORE = 16  # workers of this machine: more only take memory from each other
RESTARTS = 3  # of a task of Ray's, when the system ends its process
AHEAD = 2  # tasks handed out per worker, so that none waits for the next


class EngineName(StrEnum):
    """Engines by the name that a user gives."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class Local:
    """Threads of this process, each with a child process that reads its files."""

    workers: int

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield outcomes in the order in which they are done.

        Raises
        ------
        TrivalentError
            An outcome cannot be written.
        """
        stopped, said = threading.Event(), queue.SimpleQueue[Outcome | BaseException | None]()
        waiting = queue.SimpleQueue[Task]()
        for task in tasks:
            waiting.put(task)
        threads = [
            threading.Thread(target=_work, args=(waiting, said, stopped), name=f"batch-{i}")
            for i in range(min(self.workers, len(tasks)))
        ]
        for thread in threads:
            thread.start()
        left = len(threads)
        try:
            while left:
                told = said.get()
                if isinstance(told, BaseException):
                    raise told
                if told is None:
                    left -= 1
                else:
                    yield told
        finally:
            stopped.set()  # on an error or Ctrl-C: what is at work is stopped, and begun again next time
            for thread in threads:
                thread.join()


def _work(
    waiting: queue.SimpleQueue[Task],
    said: queue.SimpleQueue[Outcome | BaseException | None],
    stopped: threading.Event,
) -> None:
    """Analyse what waits, until nothing does."""
    worker = Worker()
    try:
        while not stopped.is_set():
            said.put(analyze_task(waiting.get_nowait(), worker, cancelled=stopped.is_set))
    except (queue.Empty, CancelledError):
        pass
    except BaseException as error:
        said.put(error)
    finally:
        worker.close()
        said.put(None)


@dataclass(frozen=True)
class Ray:
    """A Ray cluster, or Ray on this machine without an address.

    Every node must see the files and the output folder under the same path.
    """

    workers: int
    address: str | None = None

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield outcomes in the order in which they are done."""
        workers = min(self.workers, max(1, len(tasks)))
        with ray_session(workers, self.address) as ray:
            remote: Callable[..., Any] = ray.remote(num_cpus=1, max_retries=RESTARTS)(_on_ray).remote
            waiting: list[Any] = []
            rest = iter(tasks)
            while True:
                waiting += [remote(task) for task in islice(rest, AHEAD * workers - len(waiting))]
                if not waiting:
                    return
                ready, waiting = ray.wait(waiting, num_returns=1)
                yield from ray.get(ready)


_WORKER = Worker()  # of this process of Ray's, so that it keeps its models


def _on_ray(task: Task) -> Outcome:
    return analyze_task(task, _WORKER)


def engine(name: str, *, workers: int | None, address: str | None = None) -> Local | Ray:
    """Make the engine of a name.

    Raises
    ------
    UsageError
        The name or the number of workers is not valid.
    """
    count = workers if workers is not None else default_workers()
    most = MOST_PER_CORE * (os.cpu_count() or 2)
    if count < 1:
        raise UsageError("work.engine_workers", count=count)
    if address is None and count > most:
        raise UsageError("work.engine_many_workers", most=most, count=count)
    if name == EngineName.RAY:
        return Ray(count, address)
    if name != EngineName.LOCAL:
        raise UsageError("work.engine_unknown", enginename=list(EngineName), name=name)
    if address is not None:
        raise UsageError("work.engine_address")
    return Local(count)


def default_workers() -> int:
    """One worker for every two cores: a worker's own threads keep the second one busy."""
    return max(1, (os.cpu_count() or 2) // 2)


def threads_of(workers: int) -> int:
    """Threads of each model, so that all workers together use the cores once."""
    return max(1, (os.cpu_count() or 2) // workers)
