"""Reading files of strangers: only regular ones are opened, and no read waits or goes on for ever.

A pipe has no end until its writer leaves, a device none at all, and a sparse file of a few bytes on
disk may be terabytes long.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from trivalent.core.errors import InputError, LimitError

_CHUNK = 1 << 20
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True)
class Facts:
    """Size and time of the last change of a file."""

    size_bytes: int = 0
    mtime_ns: int = 0


@contextmanager
def opened(path: Path, *, within: Path | None = None) -> Iterator[tuple[BinaryIO, Facts]]:
    """Open a regular file for reading; gives it with its facts.

    Parameters
    ----------
    path : Path
    within : Path, optional
        Folder, without links in its path, that a link must not lead out of.

    Raises
    ------
    InputError
        It is absent, not readable, no regular file, or lies elsewhere.
    """
    facts(path, within=within)  # before it is opened: some devices act on that alone
    try:
        # should it have become a pipe meanwhile, opening does not wait for a writer
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    with os.fdopen(handle, "rb") as stream:
        yield stream, _checked(path, os.fstat(handle))


def facts(path: Path, *, within: Path | None = None) -> Facts:
    """Size and time of a regular file, without opening it.

    Raises
    ------
    InputError
        As `opened`.
    """
    try:
        if within is not None and not path.resolve().is_relative_to(within):
            raise InputError("file.leads_out")
        return _checked(path, path.stat())
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name; links in a circle
        raise _unreadable(path, error) from error


def sha256(path: Path, *, time_s: float, within: Path | None = None) -> tuple[str, Facts]:
    """Hash of the content, and the facts that belong to it.

    Parameters
    ----------
    time_s : float
        Seconds that it may take.

    Raises
    ------
    InputError
        As `opened`, or it cannot be read to its end.
    LimitError
        It takes longer.
    """
    until = time.monotonic() + time_s
    digest = hashlib.sha256()
    with opened(path, within=within) as (stream, file_facts):
        left = file_facts.size_bytes  # a file that grows is read as it was
        try:
            while left > 0 and (part := stream.read(min(_CHUNK, left))):
                digest.update(part)
                left -= len(part)
                if time.monotonic() > until:
                    raise LimitError(
                        "file.slow", time_s=time_s, size_bytes=file_facts.size_bytes / 1000000.0
                    )
        except OSError as error:
            raise _unreadable(path, error) from error
    return digest.hexdigest(), file_facts


def read_whole(path: Path, *, most: int) -> bytes:
    """Content of a small regular file.

    Raises
    ------
    InputError
        As `opened`, or it has more than `most` bytes.
    """
    with opened(path) as (stream, _):
        try:
            data = stream.read(most + 1)
        except OSError as error:
            raise _unreadable(path, error) from error
    if len(data) > most:
        raise InputError("file.large", most=most / 2**20, path=path)
    return data


def _checked(path: Path, found: os.stat_result) -> Facts:
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for test, name in _KINDS if test(found.st_mode)), "something else")
        raise InputError("file.special", kind=kind, path=path)
    return Facts(found.st_size, found.st_mtime_ns)


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError("file.absent", path=path)
    reason = getattr(error, "strerror", None) or str(error)
    return InputError("file.unreadable", path=path, reason=reason)
