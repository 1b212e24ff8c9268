"""All data sets that we can read, by name."""

from __future__ import annotations

from trivalent.errors import UsageError
from trivalent.lab.datasets import mosei
from trivalent.lab.datasets.entry import Entry

DATASETS: dict[str, Entry] = {entry.name: entry for module in (mosei,) for entry in module.ENTRIES}


def find_dataset(name: str) -> Entry:
    """Look a data set up.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    if name not in DATASETS:
        raise UsageError(f"expected a data set among {', '.join(DATASETS)}, got {name!r}")
    return DATASETS[name]
