"""The one way into a .zip of a stranger: nothing of it is read before its table keeps within limits.

The table is what a zip claims of its members. It is bounded before anybody reads it, since Python makes
objects of a kilobyte each of it: a few megabytes of names cost half a minute and gigabytes. What it
claims is then bounded, and held to when a member is read. Whoever unpacks chooses where members go:
`by_name` gives names that stay below a folder.

A .zip of our own whose sha256 was checked needs none of this.
"""

from __future__ import annotations

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Self

from trivalent.core.errors import ArchiveError

MAX_RATIO = 200  # weights, recordings and texts do not shrink so far; a bomb does, a thousandfold
_CHUNK = 1 << 20
_ENCRYPTED_FLAG = 0x1
_SAID = 160  # characters that a message repeats of the file, where they may be any number
# What a damaged archive makes of `zipfile`.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
_END, _LOCATOR, _END64 = b"PK\5\6", b"PK\6\7", b"PK\6\6"
_END_BYTES, _LOCATOR_BYTES, _END64_BYTES = 22, 20, 56
_TAIL = _END_BYTES + (1 << 16)  # with the longest comment


@dataclass(frozen=True)
class ArchiveLimits:
    """How much a .zip may hold.

    Attributes
    ----------
    members : int
        Files; folders do not count.
    table_bytes : int
        Bytes of the table of its members.
    member_bytes, total_bytes : int
        Bytes of one file and of all, unpacked.
    """

    members: int
    table_bytes: int
    member_bytes: int
    total_bytes: int


class Archive:
    """A .zip whose table has been read and keeps within limits; close it, or use it in a `with`.

    Parameters
    ----------
    path : Path
    limits : ArchiveLimits
    hidden : callable of ZipInfo, optional
        Whether a file is passed over, as if it were not there.

    Attributes
    ----------
    members : list of ZipInfo
        Files, in the order of the table.

    Raises
    ------
    ArchiveError
        It is damaged, or beyond a limit as a whole: what is wrong with single files is told by
        `check`, `by_name`, `chunks`, `read` and `copy`.
    """

    def __init__(
        self, path: Path, limits: ArchiveLimits, *, hidden: Callable[[zipfile.ZipInfo], bool] | None = None
    ) -> None:
        self._limits = limits
        with ExitStack() as opened:
            try:
                stream = opened.enter_context(path.open("rb"))
                if (table := table_bytes(stream)) > limits.table_bytes:
                    raise ArchiveError("archive.table", most=limits.table_bytes, table=table)
                self._zip = opened.enter_context(zipfile.ZipFile(stream))
            except _DAMAGED as error:
                raise ArchiveError("archive.unreadable", error=str(error)[:_SAID]) from error
            # `is_dir` cannot bear an empty name
            files = [info for info in self._zip.infolist() if not info.filename.endswith("/")]
            self.members = [info for info in files if hidden is None or not hidden(info)]
            self._check_sums()
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def _check_sums(self) -> None:
        limits, count = self._limits, len(self.members)
        total = sum(info.file_size for info in self.members)
        packed = max(1, sum(info.compress_size for info in self.members))
        if count > limits.members:
            raise ArchiveError("archive.members", most=limits.members, count=count)
        if total > limits.total_bytes:
            raise ArchiveError("archive.large", most=limits.total_bytes >> 20, total=total >> 20)
        if total > MAX_RATIO * packed:
            raise ArchiveError("archive.ratio", most=MAX_RATIO, total=total // packed)

    def check(self, info: zipfile.ZipInfo) -> None:
        """Raise `ArchiveError` for a link, a device, and what is encrypted or too large."""
        name, most = info.orig_filename[:_SAID], self._limits.member_bytes
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ArchiveError("archive.links", name=name)
        if info.flag_bits & _ENCRYPTED_FLAG:
            raise ArchiveError("archive.password", name=name)
        if info.file_size > most:
            raise ArchiveError("archive.member", most=most >> 20, name=name, size=info.file_size >> 20)

    def by_name(self) -> dict[str, zipfile.ZipInfo]:
        """Return all files, checked, by names that lead nowhere but below.

        Raises
        ------
        ArchiveError
            A name is absolute, leads upward, has characters that a path must not have, or occurs
            twice, be it in other letters.
        """
        named: dict[str, zipfile.ZipInfo] = {}
        seen: set[str] = set()
        for info in self.members:
            self.check(info)
            name = info.orig_filename  # `filename` has lost what comes after a NUL
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name or not name.isprintable():
                raise ArchiveError("archive.names", name=name[:_SAID])
            if name.lower() in seen:
                raise ArchiveError("archive.twice", name=name.lower()[:_SAID])
            seen.add(name.lower())
            named[name] = info
        return named

    def chunks(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield a file piece by piece; the size in the table is a claim, at which it is cut off.

        Raises
        ------
        ArchiveError
            As `check`; or it is damaged, or longer than the table says.
        """
        self.check(info)
        left = info.file_size
        with _whole(info):
            stream = self._zip.open(info)
        with stream:
            while True:
                with _whole(info):
                    chunk = stream.read(_CHUNK)
                if not chunk:
                    return
                left -= len(chunk)
                if left < 0:
                    raise ArchiveError("archive.bytes", size=info.file_size, name=info.filename[:_SAID])
                yield chunk

    def read(self, info: zipfile.ZipInfo) -> bytes:
        """Return a file; raises as `chunks`."""
        return b"".join(self.chunks(info))

    def copy(self, info: zipfile.ZipInfo, path: Path) -> None:
        """Unpack a file to where nothing is yet; raises as `chunks`, and leaves nothing then."""
        with path.open("xb") as sink:
            try:
                sink.writelines(self.chunks(info))
            except ArchiveError:
                path.unlink()
                raise


@contextmanager
def _whole(info: zipfile.ZipInfo) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise ArchiveError(
            "archive.damaged", name=info.orig_filename[:_SAID], error=str(error)[:_SAID]
        ) from error


def table_bytes(archive: IO[bytes]) -> int:
    """Return the bytes of a zip's table as its end states them; 0 for what is no zip.

    Where the record of large archives (zip64) states another size, the larger one.
    """
    size = archive.seek(0, 2)
    archive.seek(max(0, size - _TAIL - _LOCATOR_BYTES - _END64_BYTES))
    tail = archive.read()
    stated = 0
    at = tail.find(_END)
    while at >= 0:  # whichever of these a reader takes for the end
        if at + _END_BYTES <= len(tail):
            stated = max(stated, _plain(tail, at), _large(tail, at - _LOCATOR_BYTES))
        at = tail.find(_END, at + 1)
    return stated


def _plain(tail: bytes, at: int) -> int:
    found: int = struct.unpack_from("<I", tail, at + 12)[0]
    return 0 if found == 0xFFFFFFFF else found


def _large(tail: bytes, locator: int) -> int:
    at = locator - _END64_BYTES
    if at < 0 or not tail.startswith(_LOCATOR, locator) or not tail.startswith(_END64, at):
        return 0
    found: int = struct.unpack_from("<Q", tail, at + 40)[0]
    return found
