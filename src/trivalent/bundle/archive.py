"""Unpacks a bundle of unknown origin: nothing is written before the whole table was checked."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from zipfile import ZipInfo

from trivalent.core.archives import Archive, ArchiveLimits
from trivalent.core.errors import ArchiveError, BundleError

LIMITS = ArchiveLimits(members=64, table_bytes=1 << 20, member_bytes=1 << 30, total_bytes=1 << 30)
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_DEPTH = 4


def unpack(archive: Path, target: Path) -> None:
    """Unpack a .zip with bundle.json at its top or in its only folder.

    Raises
    ------
    BundleError
        It is damaged, too large, or has members that no bundle has.
    """
    try:
        with Archive(archive, LIMITS) as opened:
            for name, info in _places(opened).items():
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                opened.copy(info, path)
    except ArchiveError as error:
        raise BundleError(error.message) from error
    except OSError as error:
        raise BundleError("archive.unpack", reason=error.strerror or error) from error


def _places(archive: Archive) -> dict[PurePosixPath, ZipInfo]:
    """Check the names; return where each file goes."""
    places = {_plain(name): info for name, info in archive.by_name().items()}
    tops = {name.parts[0] for name in places}
    if len(tops) == 1 and all(len(name.parts) > 1 for name in places):
        places = {PurePosixPath(*name.parts[1:]): info for name, info in places.items()}
    if PurePosixPath("bundle.json") not in places:
        raise BundleError("archive.no_manifest")
    return places


def _plain(name: str) -> PurePosixPath:
    parts = name.split("/")
    if len(parts) > _DEPTH or not all(_PART.fullmatch(part) for part in parts):
        raise BundleError("archive.names", name=name[:80])
    return PurePosixPath(name)
