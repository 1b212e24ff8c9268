"""Whether a file is the official one: its size, its checksum, and whether it opens."""

from __future__ import annotations

import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipInfo

import numpy as np

from trivalent.core.archives import Archive, ArchiveLimits
from trivalent.core.assets import sha256_of
from trivalent.core.errors import ArchiveError, DataError, MissingExtraError
from trivalent.lab.datasets.cmu import SYNTHETIC, standard_folds
from trivalent.lab.datasets.csd import ComputationalSequence
from trivalent.lab.datasets.entry import OfficialFile
from trivalent.lab.datasets.mmsa import load_restricted

_WHOLE_PICKLE = 1 << 28  # larger ones are read as a whole only by a deep check
# Of the archives that owners publish, the greatest has some thousand recordings.
_ZIP_LIMITS = ArchiveLimits(members=50_000, table_bytes=8 << 20, member_bytes=64 << 30, total_bytes=1 << 40)
_PAGES = (b"<!doctype html", b"<html")


def verify_file(path: Path, official: OfficialFile, *, deep: bool = False) -> dict[str, Any]:
    """Compare a file with what is known of it, and open it.

    Parameters
    ----------
    path : Path
        Where the bytes lie; the kind of file is told by the official path.
    official : OfficialFile
    deep : bool
        Read everything in it, not only what opening it reads.

    Returns
    -------
    dict
        `bytes`; `sha256` (bool), if the checksum was compared; `unopened` (why), if it could not
        be opened for lack of a package; and what the kind of file tells, such as `keys`, `fold`,
        `synthetic` and, if deep, `damaged_keys` of a computational sequence. A file that calls
        itself synthetic stands in for the official one: its size and checksum are not compared.

    Raises
    ------
    DataError
        It is damaged, or not the official file.
    """
    if path.is_dir():
        return {"bytes": sum(p.stat().st_size for p in path.rglob("*") if p.is_file())}
    facts: dict[str, Any] = {"bytes": path.stat().st_size}
    wrong_size = official.size not in (None, facts["bytes"])
    try:
        facts |= _open(path, Path(official.path).name, deep)
    except MissingExtraError as error:
        facts["unopened"] = str(error)
    except DataError:
        if not wrong_size:  # the size says more than the way in which half a file does not open
            raise
    if facts.get("synthetic"):
        return facts
    if wrong_size:
        raise DataError("fetch.verify_bytes", size=official.size, path=official.path, found=facts["bytes"])
    if official.sha256 is not None:
        actual = sha256_of(path)
        if actual != official.sha256:
            raise DataError(
                "fetch.verify_sha256", sha256=official.sha256[:12], path=official.path, actual=actual[:12]
            )
        facts["sha256"] = True
    return facts


def _open(path: Path, name: str, deep: bool) -> dict[str, Any]:
    with path.open("rb") as stream:
        head = stream.read(64).lstrip().lower()
    if not head:
        raise DataError("fetch.verify_empty", name=name)
    if head.startswith(_PAGES) and not name.endswith((".html", ".htm")):
        raise DataError("fetch.verify_web_page", name=name)
    reader = next((r for ending, r in _READERS.items() if name.lower().endswith(ending)), None)
    if reader is None:
        return {}
    try:
        return reader(path, name, deep)
    except (DataError, MissingExtraError):
        raise
    except Exception as error:  # whatever damaged bytes make of a reader
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError("fetch.verify_damaged", name=name, reason=reason) from error


def _csd(path: Path, name: str, deep: bool) -> dict[str, Any]:
    with ComputationalSequence(path) as file:
        videos = set(file.videos)
        facts: dict[str, Any] = {
            "keys": len(file.keys),
            "videos": len(videos),
            "synthetic": SYNTHETIC in file.metadata,
        }
        if not file.keys:
            raise DataError("fetch.verify_no_keys", name=name)
        if folds := _folds(name):
            facts["fold"] = {"present": len(videos & set(folds)), "missing": len(set(folds) - videos)}
        if deep:
            facts["damaged_keys"] = [k for k, got in file.survey() if isinstance(got, DataError)]
    return facts


def _folds(name: str) -> dict[str, str]:
    sets = {"CMU_MOSEI": "mosei", "CMU_MOSI": "mosi"}
    return next((standard_folds(known) for start, known in sets.items() if name.startswith(start)), {})


def _table(path: Path, name: str, deep: bool) -> dict[str, Any]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = stream.readline().strip()
        row = stream.readline().strip()
        rows = 1 + sum(1 for line in stream if line.strip()) if deep else None
    if not header or not row:
        raise DataError("fetch.verify_no_rows", name=name)
    return {"header": header[:160]} | ({"lines": rows} if deep else {})


def _arrays(path: Path, name: str, deep: bool) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as data:
        names = list(data.files)
        for array in names if deep else ():
            data[array]
    return {"arrays": names}


def _pickle(path: Path, name: str, deep: bool) -> dict[str, Any]:
    if deep or path.stat().st_size <= _WHOLE_PICKLE:
        content = load_restricted(path)
        return {"fields": list(map(str, content))[:32]} if isinstance(content, dict) else {}
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        if stream.read(1) != pickle.STOP:
            raise DataError("fetch.verify_pickle_ends", name=name)
    return {}


def _zip(path: Path, name: str, deep: bool) -> dict[str, Any]:
    try:
        with Archive(path, _ZIP_LIMITS) as archive:
            for info in archive.members if deep else ():
                _read_through(archive, info, name)
            return {"members": len(archive.members)}
    except ArchiveError as error:
        raise DataError("fetch.verify_damaged", name=name, reason=error.message) from error


def _read_through(archive: Archive, info: ZipInfo, name: str) -> None:
    try:
        for _ in archive.chunks(info):
            pass
    except ArchiveError as error:
        raise DataError("fetch.verify_archive", name=name, bad=info.filename) from error


def _tar(path: Path, name: str, deep: bool) -> dict[str, Any]:
    with tarfile.open(path) as archive:
        if not deep:
            archive.next()
            return {}
        return {"members": sum(1 for _ in archive)}


def _json(path: Path, name: str, deep: bool) -> dict[str, Any]:
    with path.open("rb") as stream:
        content = json.load(stream)
    return {"entries": len(content)} if isinstance(content, (dict, list)) else {}


_READERS: dict[str, Callable[[Path, str, bool], dict[str, Any]]] = {
    ".csd": _csd,
    ".csv": _table,
    ".tsv": _table,
    ".npz": _arrays,
    ".pkl": _pickle,
    ".pickle": _pickle,
    ".zip": _zip,
    ".tar.gz": _tar,
    ".tgz": _tar,
    ".json": _json,
}
