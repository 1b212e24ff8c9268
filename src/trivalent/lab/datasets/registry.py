"""All data sets that we can read, by name."""

from __future__ import annotations

from pathlib import Path

from trivalent.core.errors import UsageError
from trivalent.lab.datasets import (
    ch_sims,
    iemocap,
    meld,
    mmsa_dataset,
    mosei,
    mosei_922,
    mosi,
    mosi_utterances,
    ravdess_entry,
    text_entries,
)
from trivalent.lab.datasets.entry import Entry

_MODULES = (
    mosei,
    mosei_922,
    mosi,
    mosi_utterances,
    meld,
    text_entries,
    ravdess_entry,
    ch_sims,
    iemocap,
    mmsa_dataset,
)
DATASETS: dict[str, Entry] = {entry.name: entry for module in _MODULES for entry in module.ENTRIES}


def find_dataset(name: str, *, workers: int = 1) -> Entry:
    """Look a data set up; the path of your own CSV or of an MMSA pickle (`.pkl`) is one, too.

    Parameters
    ----------
    name : str
    workers : int
        Processes that extract the features of your own recordings.

    Raises
    ------
    UsageError
        There is none of that name.
    DataError
        Your own CSV is faulty.
    """
    if name.endswith(".pkl"):
        return mmsa_dataset.entry_of_pickle(Path(name))
    if name.lower().endswith(".csv"):
        from trivalent.lab.datasets.own import OwnOptions, own_entry  # loads the extractors' modules

        return own_entry(Path(name), OwnOptions(workers=workers))
    if name not in DATASETS:
        raise UsageError("dataset.unknown", datasets=list(DATASETS), name=name)
    return DATASETS[name]
