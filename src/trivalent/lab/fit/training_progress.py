"""Progress of a training run: a bar on a terminal, lines of the log elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

log = logging.getLogger("trivalent.lab.fit.training")
TELL_EVERY_S = 30.0


class TrainingProgress:
    """Tells how far a run is, on stderr; use as a context.

    Parameters
    ----------
    total : int
        Steps of the run.
    done : int
        Steps made before, if the run is continued.
    loud : bool
        Log validations at the level INFO, otherwise DEBUG.
    """

    def __init__(self, total: int, *, done: int, loud: bool) -> None:
        self.total, self.loud = total, loud
        self.told = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True) if terminal else None
        self.task = self.bar.add_task("training", total=total, completed=done) if self.bar else None

    def __enter__(self) -> TrainingProgress:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def stepped(self, step: int, loss: Tensor, *, members: int) -> None:
        """Report a step and its loss, the sum over `members`."""
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=step)
        elif time.monotonic() - self.told > TELL_EVERY_S:
            self.told = time.monotonic()
            log.info("step %d/%d loss %.4f", step, self.total, loss.item() / members)

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Report a validation, means over members."""
        if self.bar and self.task is not None:
            self.bar.update(self.task, description=f"training, validation {metrics['score']:.4f}")
        told = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        log.log(logging.INFO if self.loud and not self.bar else logging.DEBUG, "validation: %s", told)
