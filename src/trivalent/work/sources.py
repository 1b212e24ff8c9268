"""What a batch is asked to analyse: the files of a folder, or those that a list names.

A folder may come from a stranger, so that nothing is taken that a link in it leads out to. A list is
the user's own word: its paths go wherever they go.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path

from trivalent.core.csv_table import CsvReader
from trivalent.core.errors import InputError
from trivalent.media.kinds import RECORDINGS, SUFFIXES, TEXT

_LIST = CsvReader(("path",), ("transcript",), InputError)


@dataclass
class Sources:
    """Files with the names to show, and what is told about the rest.

    Attributes
    ----------
    paths, shown : list
        Every file, and what to call it.
    transcripts : dict
        Of some files.
    within : Path, optional
        Folder, without links in its path, that no file may lead out of.
    ignored : int
        Files that are neither recordings nor, where these are wanted, texts.
    texts : int
        Of these, texts that were not asked for.
    linked : int
        Folders that are links: what they lead to is not walked through.
    unreadable : list of (folder, reason)
        Folders whose files are unknown.
    unused : tuple of str
        Columns of a list that are not looked at.
    """

    paths: list[Path] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    transcripts: dict[Path, Path] = field(default_factory=dict)
    within: Path | None = None
    ignored: int = 0
    texts: int = 0
    linked: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    unused: tuple[str, ...] = ()


def find_sources(source: Path, *, results: Path | None = None, texts: bool = False) -> Sources:
    """List the recordings of a folder, or what a .csv names.

    A list has a column `path`, and may have `transcript`; both are relative to the list itself. A folder of
    recordings has texts beside them that nobody said (transcripts, licences): these are taken on demand.

    Parameters
    ----------
    source : Path
    results : Path, optional
        Folder of the results, which is passed over should it lie in the source.
    texts : bool
        Take the texts of a folder, too.

    Raises
    ------
    InputError
        Nothing is there, or the list has no such column.
    """
    if source.suffix.lower() == ".csv" and not source.is_dir():
        sources = _listed(source)
    else:
        sources = _walked(source, results, SUFFIXES if texts else RECORDINGS.keys())
    if not sources.paths:
        closed = "".join(f"; {name} cannot be read: {reason}" for name, reason in sources.unreadable[:1])
        code = "batch.texts_alone" if sources.texts else "batch.nothing"
        raise InputError(code, source=source, closed=closed)
    return sources


def _walked(folder: Path, results: Path | None, taken: Set[str]) -> Sources:
    if not folder.is_dir():
        raise InputError("batch.source", folder=folder)
    within = folder.resolve()
    sources = Sources(within=within)
    passed_over = None if results is None else results.resolve()
    waiting = [folder]  # not a recursion: folders may be nested deeper than Python's stack
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            sources.unreadable.append((str(place), error.strerror or str(error)))
            continue
        folders = list(_sorted_out(sources, folder, inside, taken))
        waiting += [f for f in reversed(folders) if within / f.relative_to(folder) != passed_over]
    return sources


def _sorted_out(
    sources: Sources, folder: Path, entries: list[os.DirEntry[str]], taken: Set[str]
) -> Iterator[Path]:
    """Note the files among the entries of one folder, and yield the folders to walk through."""
    for entry in entries:
        path, hidden = Path(entry.path), entry.name.startswith(".")
        if entry.is_dir(follow_symlinks=False):  # as the folder tells: nothing is opened
            if not hidden:
                yield path
        elif os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where it may not look
            sources.linked += not hidden
        elif hidden or path.suffix.lower() not in taken:
            sources.ignored += 1
            sources.texts += not hidden and path.suffix.lower() in TEXT
        else:
            sources.paths.append(path)
            sources.shown.append(path.relative_to(folder).as_posix())


def _listed(path: Path) -> Sources:
    table = _LIST.read(path)
    sources = Sources(unused=table.unknown)
    for row in table.rows:
        if not (name := row.cells["path"]):
            continue
        file = path.parent / name
        sources.paths.append(file)
        sources.shown.append(name)
        if said := row.cells.get("transcript"):
            sources.transcripts[file] = path.parent / said
    return sources
