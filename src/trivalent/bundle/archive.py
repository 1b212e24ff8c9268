"""Unpacks a bundle of unknown origin: nothing is written before the whole directory was checked."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from trivalent.core.archives import table_bytes
from trivalent.core.errors import BundleError

MAX_MEMBERS = 64
MAX_DIRECTORY = 1 << 20  # bytes of the archive's own table, which is read as a whole
MAX_BYTES = 1 << 30  # unpacked, all members together
MAX_RATIO = 200  # weights hardly shrink; a bomb does, a thousandfold
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_CHUNK = 1 << 20


def unpack(archive: Path, target: Path) -> None:
    """Unpack a .zip with bundle.json at its top or in its only folder.

    Raises
    ------
    BundleError
        It is damaged, too large, or has members that no bundle has.
    """
    try:
        if (table := table_bytes(archive)) > MAX_DIRECTORY:
            raise BundleError("archive.table", max_directory=MAX_DIRECTORY, table=table)
        with zipfile.ZipFile(archive) as opened:
            names = _member_names(opened.infolist())
            for info, name in names.items():
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                _copy(opened, info, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BundleError("archive.unreadable", error=error) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError("archive.unpack", reason=reason) from error


def _member_names(members: list[zipfile.ZipInfo]) -> dict[zipfile.ZipInfo, PurePosixPath]:
    """Check the directory of the archive; return where each file goes."""
    files = [info for info in members if not info.filename.endswith("/")]
    if not files or len(members) > MAX_MEMBERS:
        raise BundleError("archive.members", max_members=MAX_MEMBERS, count=len(members))
    names = {info: _safe(info) for info in files}
    lowered = [str(name).lower() for name in names.values()]
    if twice := sorted({name for name in lowered if lowered.count(name) > 1}):
        raise BundleError("archive.twice", name=twice[0])
    total = sum(info.file_size for info in files)
    packed = sum(info.compress_size for info in files)
    if total > MAX_BYTES:
        raise BundleError("archive.large", max_bytes=MAX_BYTES >> 20, total=total >> 20)
    if total > MAX_RATIO * max(packed, 1):
        raise BundleError("archive.ratio", max_ratio=MAX_RATIO, total=total // max(packed, 1))
    tops = {name.parts[0] for name in names.values()}
    if len(tops) == 1 and all(len(name.parts) > 1 for name in names.values()):
        names = {info: PurePosixPath(*name.parts[1:]) for info, name in names.items()}
    if PurePosixPath("bundle.json") not in names.values():
        raise BundleError("archive.no_manifest")
    return names


def _safe(info: zipfile.ZipInfo) -> PurePosixPath:
    name = info.orig_filename  # `filename` has lost what comes after a NUL
    parts = name.split("/")
    if len(parts) > 4 or not all(_PART.fullmatch(part) for part in parts):
        raise BundleError("archive.names", name=name[:80])
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise BundleError("archive.links", name=name)
    if info.flag_bits & 0x1:
        raise BundleError("archive.password", name=name)
    return PurePosixPath(name)


def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    """Unpack one member; the size in the directory is a claim, at which the reading is cut off."""
    left = info.file_size
    with archive.open(info) as source, path.open("xb") as sink:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise BundleError("archive.bytes", file_size=info.file_size, filename=info.filename)
            sink.write(chunk)
