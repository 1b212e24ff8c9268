"""Where the files of a batch are analysed: processes of this machine, or a Ray cluster.

Both take the same function and the same tasks and yield the same outcomes, as they come.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from trivalent.core.errors import MissingExtraError, TrivalentError, UsageError
from trivalent.work.batch import Outcome, Task, analyze_task
from trivalent.work.ray_session import ray_session

MOST_PER_CORE = 16  # workers of this machine: more only take memory from each other
RESTARTS = 3  # of the pool, when the system ends one of its processes
AHEAD = 2  # tasks handed out per worker, so that none waits for the next


class EngineName(StrEnum):
    """Engines by the name that a user gives."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class Local:
    """Processes of this machine, by joblib (loky)."""

    workers: int

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield outcomes in the order in which they are done."""
        try:
            from joblib import Parallel, delayed
            from joblib.externals.loky.process_executor import TerminatedWorkerError
        except ImportError as error:
            raise MissingExtraError("joblib", "batch") from error
        left = {task.record: task for task in tasks}
        for _ in range(RESTARTS + 1):
            workers = min(self.workers, max(1, len(left)))  # each is two processes
            try:
                pool = Parallel(
                    n_jobs=workers,
                    backend="loky",
                    return_as="generator_unordered",
                    pre_dispatch=AHEAD * workers,
                    batch_size=1,
                )
                for record, outcome in pool(delayed(_labelled)(task) for task in list(left.values())):
                    left.pop(record)
                    yield outcome
                return
            except TerminatedWorkerError:
                # what it had finished is on disk and is not analysed again
                left = {record: task for record, task in left.items() if not record.exists()}
        raise TrivalentError(
            f"expected workers that live, got {RESTARTS + 1} that the system ended; use fewer --workers "
            "or less --memory-limit, then run the same command again to go on"
        )


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
            # a process that Ray starts again has to load the models again, so that it keeps them
            remote: Callable[..., Any] = ray.remote(num_cpus=1, max_retries=RESTARTS)(analyze_task).remote
            waiting: list[Any] = []
            rest = iter(tasks)
            while True:
                waiting += [remote(task) for task in islice(rest, AHEAD * workers - len(waiting))]
                if not waiting:
                    return
                ready, waiting = ray.wait(waiting, num_returns=1)
                yield from ray.get(ready)


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
        raise UsageError(f"expected at least one worker, got {count}")
    if address is None and count > most:
        raise UsageError(f"expected at most {most} workers on this machine, got {count}")
    if name == EngineName.RAY:
        return Ray(count, address)
    if name != EngineName.LOCAL:
        raise UsageError(f"expected an engine among {', '.join(EngineName)}, got {name}")
    if address is not None:
        raise UsageError("expected --address only with --engine ray")
    return Local(count)


def default_workers() -> int:
    """One worker for every two cores: a worker's own threads keep the second one busy."""
    return max(1, (os.cpu_count() or 2) // 2)


def threads_of(workers: int) -> int:
    """Threads of each model, so that all workers together use the cores once."""
    return max(1, (os.cpu_count() or 2) // workers)


def _labelled(task: Task) -> tuple[Any, Outcome]:
    return task.record, analyze_task(task)
