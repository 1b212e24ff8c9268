"""Files for a batch: uploaded ones, and the members of a .zip, each taken or refused with a reason.

Names inside an archive are only shown; where a member is unpacked to is our choice alone.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from trivalent.core.archives import Archive, ArchiveLimits
from trivalent.core.errors import ArchiveError
from trivalent.core.outside import clean_file_name
from trivalent.media.kinds import SUFFIXES

MAX_FILES = 500
MAX_TOTAL_FACTOR = 20  # times the largest single file, unpacked
MAX_TABLE = 4 << 20  # bytes of the archive's own table, which is read as a whole
_UTF8_FLAG = 0x800


class Reason(StrEnum):
    """Why a file is not taken."""

    UNSUPPORTED = "unsupported"
    NESTED = "nested"
    EMPTY = "empty"
    LARGE = "large"
    TOTAL = "total"
    MANY = "many"
    BOMB = "bomb"
    LINK = "link"
    ENCRYPTED = "encrypted"
    DAMAGED = "damaged"
    NO_ZIP = "no_zip"
    QUEUE = "queue"


# Why an archive is refused, or a member of it, by the code of the error that says so.
_REASONS = {
    "archive.unreadable": Reason.NO_ZIP,
    "archive.table": Reason.MANY,
    "archive.members": Reason.MANY,
    "archive.large": Reason.TOTAL,
    "archive.ratio": Reason.BOMB,
    "archive.links": Reason.LINK,
    "archive.password": Reason.ENCRYPTED,
    "archive.member": Reason.LARGE,
    "archive.damaged": Reason.DAMAGED,
    "archive.bytes": Reason.DAMAGED,
}


@dataclass(frozen=True)
class Taken:
    """A file to analyse: what to call it, and where it lies."""

    name: str
    path: Path


@dataclass(frozen=True)
class Refused:
    """A file that is skipped."""

    name: str
    reason: Reason


Examined = Taken | Refused


def examine(name: str, path: Path) -> Examined:
    """Look at one file that is no archive.

    Parameters
    ----------
    name : str
        As the user calls it; its suffix tells whether we read such files.
    """
    shown = _shown(name)
    if Path(shown).suffix.lower() not in SUFFIXES:
        return Refused(shown, Reason.NESTED if zipfile.is_zipfile(path) else Reason.UNSUPPORTED)
    if path.stat().st_size == 0:
        return Refused(shown, Reason.EMPTY)
    return Refused(shown, Reason.NESTED) if zipfile.is_zipfile(path) else Taken(shown, path)


def unpack(name: str, archive: Path, folder: Path, *, largest: int) -> Iterator[Examined]:
    """Unpack an archive member by member; what is wrong with one does not hinder the others.

    Parameters
    ----------
    name : str
        Of the archive, for a refusal of the whole.
    archive : Path
    folder : Path
        Where the members go, under names of ours.
    largest : int
        Most bytes of one member; `MAX_TOTAL_FACTOR` times as many of all.

    Yields
    ------
    Taken or Refused
        In the order of the archive. Folders and what file managers hide in archives are passed over.
    """
    limits = ArchiveLimits(MAX_FILES, MAX_TABLE, largest, MAX_TOTAL_FACTOR * largest)
    try:
        with Archive(archive, limits, hidden=_hidden) as opened:
            if not opened.members:
                yield Refused(_shown(name), Reason.EMPTY)
            for number, info in enumerate(opened.members):
                yield _member(opened, info, folder / f"member-{number}")
    except ArchiveError as error:
        yield Refused(_shown(name), _REASONS[error.message.code])
    except OSError:
        yield Refused(_shown(name), Reason.NO_ZIP)


def _member(archive: Archive, info: zipfile.ZipInfo, path: Path) -> Examined:
    name = _shown(_decoded(info))
    suffix = Path(name).suffix.lower()
    try:
        archive.check(info)
        if suffix not in SUFFIXES:
            return Refused(name, Reason.NESTED if suffix == ".zip" else Reason.UNSUPPORTED)
        archive.copy(info, path)
    except ArchiveError as error:
        return Refused(name, _REASONS[error.message.code])
    examined = examine(name, path)
    if isinstance(examined, Refused):
        path.unlink()
    return examined


def _hidden(info: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(info.filename).parts
    return not parts or parts[0] == "__MACOSX" or parts[-1].startswith(".") or parts[-1] == "Thumbs.db"


def _decoded(info: zipfile.ZipInfo) -> str:
    """Undo Python's reading as code page 437 where a program wrote UTF-8 or Chinese without saying so."""
    if info.flag_bits & _UTF8_FLAG:
        return info.filename
    raw = info.filename.encode("cp437", "replace")
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


def _shown(name: str) -> str:
    """Last part of a name, without what acts instead of being read."""
    return clean_file_name(name, default="?")
