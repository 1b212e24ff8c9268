"""The files of a model bundle, in a folder or a .zip: read by name and checked, never unpacked."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from trivalent.core.assets import sha256_of
from trivalent.core.errors import BundleError

MANIFEST = "bundle.json"
MAX_FILE = 512 * 2**20
MAX_TOTAL = 2 * 2**30  # of all members of a .zip, unpacked
MAX_MEMBERS = 64
MAX_DIRECTORY = 2**20  # of a .zip: 64 members need some kilobytes
MAX_MANIFEST = 16 * 2**20  # of bundle.json; as Python objects it takes twenty times that
# What wrong types and numbers in bundle.json make of the code that takes it apart.
MALFORMED = (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError)
# What a damaged archive makes of `zipfile`.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
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
        try:
            with _Directory(where) as stream, zipfile.ZipFile(stream) as archive:
                self._members = _checked_members(archive.infolist(), where)
        except _UNREADABLE as error:
            raise BundleError("bundle.zip_unreadable", where=where, given=cut(error)) from error

    def read(self, name: str) -> bytes:
        """Return the content of a member, or raise `BundleError`."""
        info = self._members.get(name)
        if info is None:
            raise BundleError("bundle.member_absent", given=cut(name), where=self.where)
        try:
            with zipfile.ZipFile(self.where) as archive, archive.open(info) as stream:
                # The size in the header is a claim; a zip bomb is cut off here.
                data = stream.read(MAX_FILE + 1)
        except _UNREADABLE as error:
            raise BundleError(
                "bundle.member_unreadable", name=name, where=self.where, given=cut(error)
            ) from error
        if len(data) > MAX_FILE:
            raise BundleError("bundle.member_large", max_file=MAX_FILE >> 20, name=name, where=self.where)
        return data

    def sha256(self, name: str) -> str:
        """Return the hash of a member."""
        return hashlib.sha256(self.read(name)).hexdigest()


class _Directory(io.FileIO):
    """An archive whose list of members is read: no more than a list, however long it says to be."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = MAX_DIRECTORY + 1 if size is None or size < 0 else size
        data = super().read(min(wanted, MAX_DIRECTORY + 1))
        if len(data) > MAX_DIRECTORY:
            raise ValueError(f"a directory of more than {MAX_DIRECTORY >> 20} MB")
        return data


BundleFiles = FolderFiles | ZipFiles


def cut(text: object, limit: int = 160) -> str:
    """Shorten what a message repeats of a file: there it may be of any length."""
    plain = str(text)
    return plain if len(plain) <= limit else plain[:limit] + "..."


def open_files(where: Path) -> BundleFiles:
    """Open what `find_bundle` found."""
    return ZipFiles(where) if where.is_file() else FolderFiles(where)


def _checked_members(infos: Sequence[zipfile.ZipInfo], where: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name; names that leave the archive or occur twice raise, and so do bombs."""
    sizes = [info.file_size for info in infos]
    if len(infos) > MAX_MEMBERS or max(sizes, default=0) > MAX_FILE or sum(sizes) > MAX_TOTAL:
        raise BundleError(
            "bundle.large",
            max_members=MAX_MEMBERS,
            max_file=MAX_FILE >> 20,
            max_total=MAX_TOTAL >> 20,
            where=where,
            count=len(infos),
            sizes=sum(sizes) >> 20,
        )
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.orig_filename  # `filename` has lost what comes after a NUL
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or not name.isprintable():
            raise BundleError("bundle.names", where=where, name=name[:80])
        if name in members:
            raise BundleError("bundle.twice", where=where, name=name)
        members[name] = info
    return members


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
