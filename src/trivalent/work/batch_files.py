"""Files for a batch: uploaded ones, and the members of a .zip, each taken or refused with a reason.

Names inside an archive are only shown; where a member is unpacked to is our choice alone.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from trivalent.core.archives import table_bytes
from trivalent.core.outside import clean_file_name
from trivalent.media.kinds import SUFFIXES

MAX_FILES = 500
MAX_TOTAL_FACTOR = 20  # times the largest single file, unpacked
MAX_TABLE = 4 << 20  # bytes of the archive's own table, which is read as a whole
MAX_RATIO = 200  # recordings hardly shrink; a bomb does, a thousandfold
_CHUNK = 1 << 20
_UTF8_FLAG, _ENCRYPTED_FLAG = 0x800, 0x1


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
    try:
        if table_bytes(archive) > MAX_TABLE:
            yield Refused(_shown(name), Reason.MANY)
            return
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if not _folder(info) and not _hidden(info)]
            if problem := _whole(members, largest):
                yield Refused(_shown(name), problem)
                return
            for number, info in enumerate(members):
                yield _member(opened, info, folder / f"member-{number}", largest=largest)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        yield Refused(_shown(name), Reason.NO_ZIP)


def _whole(members: list[zipfile.ZipInfo], largest: int) -> Reason | None:
    total = sum(info.file_size for info in members)
    packed = sum(info.compress_size for info in members)
    if not members:
        return Reason.EMPTY
    if len(members) > MAX_FILES:
        return Reason.MANY
    if total > MAX_TOTAL_FACTOR * largest:
        return Reason.TOTAL
    return Reason.BOMB if total > MAX_RATIO * max(packed, 1) else None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, *, largest: int) -> Examined:
    name = _shown(_decoded(info))
    if reason := _announced(info, name, largest):
        return Refused(name, reason)
    left = info.file_size
    try:
        with archive.open(info) as source, path.open("xb") as sink:
            while chunk := source.read(_CHUNK):
                left -= len(chunk)
                if left < 0:  # the size in the directory is a claim
                    raise zipfile.BadZipFile("more than announced")
                sink.write(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError):
        path.unlink(missing_ok=True)
        return Refused(name, Reason.DAMAGED)
    found = examine(name, path)
    if isinstance(found, Refused):
        path.unlink()
    return found


def _announced(info: zipfile.ZipInfo, name: str, largest: int) -> Reason | None:
    """Find what can be told without unpacking."""
    suffix = Path(name).suffix.lower()
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return Reason.LINK
    if info.flag_bits & _ENCRYPTED_FLAG:
        return Reason.ENCRYPTED
    if info.file_size > largest:
        return Reason.LARGE
    if suffix == ".zip":
        return Reason.NESTED
    return None if suffix in SUFFIXES else Reason.UNSUPPORTED


def _folder(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith("/")  # `is_dir` cannot bear an empty name


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
