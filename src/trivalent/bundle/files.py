"""The files of a model bundle, in a folder or a .zip: read by name and checked, never unpacked."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trivalent.core.archives import Archive, ArchiveLimits
from trivalent.core.assets import sha256_of
from trivalent.core.errors import ArchiveError, BundleError

MANIFEST = "bundle.json"
MAX_FILE = 512 * 2**20
MAX_MEMBERS = 64
MAX_MANIFEST = 16 * 2**20  # of bundle.json; as Python objects it takes twenty times that
# What wrong types and numbers in bundle.json make of the code that takes it apart.
MALFORMED = (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError)
ZIP_LIMITS = ArchiveLimits(
    members=MAX_MEMBERS, table_bytes=2**20, member_bytes=MAX_FILE, total_bytes=2 * 2**30
)


def find_bundle(path: Path) -> Path | None:
    """Find the folder with bundle.json, or the .zip; None if there is neither.

    Parameters
    ----------
    path : Path
        The folder, the result folder of `trivalent train` around it, or a .zip.
    """
    for folder in (path, path / "bundle"):
        if (folder / MANIFEST).is_file():
            return folder
    try:
        return path if path.is_file() and zipfile.is_zipfile(path) else None
    except zipfile.BadZipFile:  # one of several disks
        return path


class FolderFiles:
    """Files below a folder; neither paths nor links lead out of it."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self._root = where.resolve()

    def path(self, name: str) -> Path:
        """Return where a file lies, or raise `BundleError`."""
        try:
            path = (self._root / name).resolve()
            inside = path.is_relative_to(self._root)
            small = inside and path.is_file() and path.stat().st_size <= MAX_FILE
        except (OSError, RuntimeError, ValueError):  # too long, links in a circle, a NUL
            inside, small = True, False
        if not inside:
            raise BundleError("bundle.path_outside", where=self.where, given=cut(name))
        if not small:
            raise BundleError(
                "bundle.file_absent", max_file=MAX_FILE >> 20, given=cut(name), where=self.where
            )
        return path

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        try:
            return self.path(name).read_bytes()
        except OSError as error:
            raise BundleError(
                "bundle.file_unreadable", given=cut(name), where=self.where, strerror=error.strerror
            ) from error

    def sha256(self, name: str) -> str:
        """Return the hash of a file."""
        return sha256_of(self.path(name))


class ZipFiles:
    """Members of a .zip, read without extracting: no path can leave the archive."""

    def __init__(self, where: Path) -> None:
        self.where = where
        with self._opened() as archive:
            archive.by_name()

    def read(self, name: str) -> bytes:
        """Return the content of a member, or raise `BundleError`."""
        with self._opened() as archive:
            info = archive.by_name().get(name)
            if info is None:
                raise BundleError("bundle.member_absent", given=cut(name), where=self.where)
            return archive.read(info)

    def sha256(self, name: str) -> str:
        """Return the hash of a member."""
        return hashlib.sha256(self.read(name)).hexdigest()

    @contextmanager
    def _opened(self) -> Iterator[Archive]:
        try:
            with Archive(self.where, ZIP_LIMITS) as archive:
                yield archive
        except ArchiveError as error:
            raise BundleError("bundle.zip", where=self.where, reason=error.message) from error


BundleFiles = FolderFiles | ZipFiles


def cut(text: object, limit: int = 160) -> str:
    """Shorten what a message repeats of a file: there it may be of any length."""
    plain = str(text)
    return plain if len(plain) <= limit else plain[:limit] + "..."


def open_files(where: Path) -> BundleFiles:
    """Open what `find_bundle` found."""
    return ZipFiles(where) if where.is_file() else FolderFiles(where)


def read_manifest(files: BundleFiles) -> dict[str, Any]:
    """Read bundle.json.

    Raises
    ------
    BundleError
        It is no JSON object, too large or too deep, names a key twice, or has a number that is none.
    """
    raw = files.read(MANIFEST)
    if len(raw) > MAX_MANIFEST:
        raise BundleError(
            "bundle.manifest_large",
            max_manifest=MAX_MANIFEST >> 20,
            manifest=MANIFEST,
            where=files.where,
            count=len(raw) >> 20,
        )
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_number)
        json.dumps(found, ensure_ascii=False).encode(
            "utf-8"
        )  # half of a character: no report could show it
    except (RecursionError, ValueError) as error:
        raise BundleError(
            "bundle.no_json", manifest=MANIFEST, where=files.where, given=cut(error)
        ) from error
    if not isinstance(found, dict):
        raise BundleError(
            "bundle.no_object", manifest=MANIFEST, where=files.where, type=type(found).__name__
        )
    return found


def check_hashes(files: BundleFiles, hashes: Mapping[str, Any]) -> None:
    """Compare every file with the sha256 that bundle.json states.

    Raises
    ------
    BundleError
        One is absent or another, or there are too many.
    """
    if len(hashes) > MAX_MEMBERS:
        raise BundleError(
            "bundle.many_files",
            max_members=MAX_MEMBERS,
            manifest=MANIFEST,
            where=files.where,
            count=len(hashes),
        )
    for name, expected in hashes.items():
        actual = files.sha256(name)
        if actual != expected:
            raise BundleError(
                "bundle.damaged",
                name=name,
                expected=str(expected)[:12],
                actual=actual[:12],
                where=files.where,
            )


def zipped(files: BundleFiles, names: Iterable[str]) -> bytes:
    """Make a .zip of bundle.json and the named files: the same bytes at any time, on any machine.

    Stored, not compressed: weights hardly shrink, and compressed bytes differ between versions of zlib.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in (MANIFEST, *sorted(names)):
            info = zipfile.ZipInfo(name)  # of 1980, as a .zip cannot be older
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, files.read(name))
    return buffer.getvalue()


def _unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        raise ValueError(f"duplicate keys {sorted(repeated)[:5]}")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"the number {text}")
