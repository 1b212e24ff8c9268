"""What a search has found so far: one file, whole at any time, so that a killed search goes on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trivalent.core.errors import DataError, UsageError
from trivalent.core.files import write_text_atomic
from trivalent.core.locks import is_still, lock_now

SCHEMA = "trivalent.search/1"
JOURNAL = "trials.json"


@dataclass(frozen=True)
class Trial:
    """A recipe that was tried.

    Attributes
    ----------
    number : int
        0 is the recipe as it stands.
    values : dict
        By dotted key; empty for the recipe as it stands.
    scores : tuple of float
        Macro-F1 of each seed; empty if it failed.
    seconds : float
    reason : str
        Why it failed.
    """

    number: int
    values: dict[str, Any]
    scores: tuple[float, ...]
    seconds: float
    reason: str = ""

    @property
    def score(self) -> float | None:
        """Mean over seeds; None if it failed."""
        return sum(self.scores) / len(self.scores) if self.scores else None


@dataclass
class Journal:
    """Trials of one search in a folder.

    Attributes
    ----------
    folder : Path
    about : mapping
        What makes it this search: recipe, space, seed and a digest of the data, as JSON knows them.
    trials : list of Trial
    """

    folder: Path
    about: Mapping[str, Any]
    trials: list[Trial] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, about: Mapping[str, Any]) -> Journal:
        """Read what there is, or begin.

        Raises
        ------
        UsageError
            The folder holds another search.
        DataError
            The file is damaged.
        """
        path, about = folder / JOURNAL, json.loads(json.dumps(about, default=str))
        if not path.exists():
            return cls(folder, about)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            known = content["about"]
            trials = [
                Trial(**own | {"scores": tuple(map(float, own["scores"]))}) for own in content["trials"]
            ]
            whole = content["schema"] == SCHEMA and [t.number for t in trials] == list(range(len(trials)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError("tune.journal", path=path, reason=f"{type(error).__name__}: {error}") from error
        if not whole:
            raise DataError("tune.journal", path=path, reason="another form")
        other = [name for name in about if known.get(name) != about[name]]
        if other:
            raise UsageError("tune.other_search", folder=folder, other=other)
        return cls(folder, about, trials)

    def add(self, trial: Trial) -> None:
        """Append a trial; the file is the old or the new one at any time."""
        self.trials.append(trial)
        content = {"schema": SCHEMA, "about": self.about, "trials": [asdict(own) for own in self.trials]}
        write_text_atomic(self.folder / JOURNAL, json.dumps(content, indent=1, default=str) + "\n")

    def best(self) -> Trial:
        """Return the trial with the highest score, of equal ones the first; trial 0 never failed."""
        return max(self.trials, key=lambda trial: -1.0 if trial.score is None else trial.score)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder of a search.

    Raises
    ------
    UsageError
        Another process searches there.
    """
    path = folder / f".{JOURNAL}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not (lock_now(descriptor) and is_still(descriptor, path)):
            raise UsageError("tune.held", folder=folder)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows does not remove a file that is open
                path.unlink()
    finally:
        os.close(descriptor)


__all__ = ["JOURNAL", "Journal", "Trial", "held"]
