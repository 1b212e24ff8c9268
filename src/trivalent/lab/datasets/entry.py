"""An entry of the registry of data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivalent.core.errors import UsageError
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.protocols import Protocol, check_counts

Loader = Callable[[Path, Protocol, bool], Dataset]


@dataclass(frozen=True)
class OfficialFile:
    """A file as its owners publish it.

    Attributes
    ----------
    path : str
        Where it belongs below the data root.
    urls : tuple of str
        Official addresses; empty if it is given out on request only.
    size : int, optional
        Bytes.
    sha256 : str, optional
        None where no trustworthy checksum is known; `check` then opens the file instead.
    """

    path: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Entry:
    """A data set that we can read.

    Attributes
    ----------
    name : str
    title : str
        One line: what it is, how large, in which language.
    licence : str
    homepage : str
        Where to ask for it.
    protocols : tuple of Protocol
        The first is the default.
    load : callable
        From the data root, a protocol and whether features are wanted (which may take long)
        to a `Dataset`. Raises `DataError`.
    files : tuple of OfficialFile
    remedy : str
        What to do when no address answers.
    align : callable, optional
        Writes the tracks by word: from the data root, a protocol and an output folder to lines
        that tell what came out.
    extra : callable, optional
        More that `data info` shows: from the data root to a JSON object.
    """

    name: str
    title: str
    licence: str
    homepage: str
    protocols: tuple[Protocol, ...]
    load: Loader
    files: tuple[OfficialFile, ...] = ()
    remedy: str = ""
    align: Callable[[Path, Protocol, Path], list[str]] | None = None
    extra: Callable[[Path], Mapping[str, Any]] | None = None

    def protocol(self, name: str | None = None) -> Protocol:
        """Look a protocol up; the first by default.

        Raises
        ------
        UsageError
            There is none of that name.
        """
        known = {p.name: p for p in self.protocols}
        if name is None:
            return self.protocols[0]
        if name not in known:
            raise UsageError("dataset.protocol", name=self.name, known=list(known), given=name)
        return known[name]

    def read(self, root: Path, protocol: str | None = None, *, features: bool = True) -> Dataset:
        """Load under a protocol and, if it is real, compare with its known counts.

        Parameters
        ----------
        root : Path
            Data root.
        protocol : str, optional
            The first one by default.
        features : bool
            Without, only what costs little is read: labels, texts, stored features.

        Raises
        ------
        UsageError
            No such protocol.
        DataError
            The files are absent, damaged, or not what the protocol knows.
        """
        chosen = self.protocol(protocol)
        data = self.load(root, chosen, features)
        if not data.synthetic:  # which may be a few videos alone; it is told wherever it is used
            check_counts(data, chosen)
        return data
