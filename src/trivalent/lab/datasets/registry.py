"""All data sets that we can read, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
    speech_entry,
    text_entries,
)
from trivalent.lab.datasets.entry import Entry

if TYPE_CHECKING:
    from trivalent.lab.datasets.own import OwnOptions

_MODULES = (
    mosei,
    mosei_922,
    mosi,
    mosi_utterances,
    meld,
    text_entries,
    ravdess_entry,
    speech_entry,
    ch_sims,
    iemocap,
    mmsa_dataset,
)
DATASETS: dict[str, Entry] = {entry.name: entry for module in _MODULES for entry in module.ENTRIES}


def find_dataset(name: str, *, own: OwnOptions | None = None) -> Entry:
    """Look a data set up; the path of your own CSV or of an MMSA pickle (`.pkl`) is one, too.

    Parameters
    ----------
    name : str
    own : OwnOptions, optional
        For your own CSV; what its labels mean, for a pickle too.

    Raises
    ------
    UsageError
        There is none of that name.
    DataError
        Your own CSV is faulty.
    """
    if name.endswith(".pkl"):
        return mmsa_dataset.entry_of_pickle(Path(name), None if own is None else own.label_map)
    if name.lower().endswith(".csv"):
        from trivalent.lab.datasets.own import own_entry  # loads the extractors' modules

        return own_entry(Path(name), own)
    if name not in DATASETS:
        raise UsageError("dataset.unknown", datasets=list(DATASETS), name=name)
    return DATASETS[name]
