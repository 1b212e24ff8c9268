"""Recordings on disk: those that wait (spool) and those that are kept (media).

Files are named by our own ids, never by users. A row of the database always comes first or in
the same transaction, so that an interruption leaves at worst a file without a row; `sweep` of
the store removes those.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from trivalent.core.errors import StorageFullError, StoreError
from trivalent.core.files import write_text_atomic
from trivalent.core.private_folders import SESSIONS, TEMPORARY, sweep
from trivalent.media.kinds import SUFFIXES
from trivalent.store.privacy import make_private
from trivalent.store.reserve import Reserve

DATABASE = "history.sqlite"  # with its companions -wal and -shm
MARKER, RESERVE = "database-id", "reserve"
OURS = frozenset({"spool", "media", "bundles", SESSIONS, TEMPORARY, MARKER, RESERVE})
PARTIAL = ".part-"
PARTIAL_AGE_S = 24 * 3600.0


def suffix_of(name: str) -> str:
    """Suffix under which a recording is kept: players go by it; `.bin` for one that we do not know.

    >>> suffix_of("Talk.MP4"), suffix_of("../../etc/passwd"), suffix_of("a.exe")
    ('.mp4', '.bin', '.bin')
    """
    suffix = PurePath(name).suffix.lower()
    return suffix if suffix in SUFFIXES else ".bin"


class Folders:
    """The store's folders, which nobody but their owner may read.

    Raises
    ------
    StoreError
        They cannot be made or written.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.spool_root = home / "spool"
        self.media_root = home / "media"
        self.reserve = Reserve(home / RESERVE)
        with explained(home):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            make_private(home, within=[path for path in home.iterdir() if _is_ours(path)])
            for folder in (self.spool_root, self.media_root):
                folder.mkdir(mode=0o700, exist_ok=True)
            self.check()
            self.reserve.fill()

    def check(self) -> None:
        """Try to write where uploads come in.

        Raises
        ------
        StoreError
            It cannot be done.
        """
        with explained(self.spool_root):
            probe = self.new_upload()
            probe.touch(exist_ok=False)
            probe.unlink()

    def belong_to(self, identity: str) -> None:
        """Note whose files these are, since a sweep deletes those that its database does not know.

        Raises
        ------
        StoreError
            There are files of another database.
        """
        marker = self.home / MARKER
        with explained(marker):
            found = marker.read_text(encoding="utf-8") if marker.exists() else None
            if found == identity:
                return
            if found is not None and any(self._files()):
                raise StoreError("store.other_database", home=self.home)
        write_text_atomic(marker, identity)

    def _files(self) -> Iterator[Path]:
        yield from self.spool_root.iterdir()
        yield from self.media_root.glob("*/*")

    def spool(self, job_id: str) -> Path:
        """File of a job."""
        return self.spool_root / job_id

    def media(self, owner_id: str, record_id: str, suffix: str) -> Path:
        """Kept recording of an analysis."""
        return self.media_root / owner_id / f"{record_id}{suffix}"

    def new_upload(self) -> Path:
        """Name a file for an upload that comes in, where `submit` takes it over without copying."""
        return self.spool_root / f"{PARTIAL}{secrets.token_hex(16)}"

    def remove_owner(self, owner_id: str) -> None:
        """Delete the folder of an account that is gone."""
        shutil.rmtree(self.media_root / owner_id, ignore_errors=True)

    def sweep_temporary(self) -> int:
        """Delete what children and pages left that are no more; return how many files."""
        return sum(sweep(self.home / name) for name in (TEMPORARY, SESSIONS))

    def sweep_spool(self, known: Collection[str]) -> int:
        """Delete files of no job; `known` holds the ids of those that are needed."""
        return remove(
            path for path in self.spool_root.iterdir() if path.name not in known and not _is_fresh(path)
        )

    def sweep_media(self, known: Collection[Path]) -> int:
        """Delete kept recordings of no analysis, and folders that are empty."""
        removed = remove(path for path in self.media_root.glob("*/*") if path not in known)
        for folder in self.media_root.iterdir():
            with suppress(OSError):  # not empty
                folder.rmdir()
        return removed


class Transfer:
    """Moves, copies and links that are undone, the last first, unless the block succeeds.

    Around a transaction it makes files and rows one: `with Transfer() as files, database.write() as ...`.
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is not None:
            for undo in reversed(self._undo):
                with suppress(OSError):
                    undo()

    def move(self, source: Path, target: Path) -> Path:
        """Rename a file, or copy and delete it when that takes another disk."""
        if source.is_symlink() or not source.is_file():
            raise StoreError("store.take_over", name=source.name)
        with explained(source):
            target.parent.mkdir(mode=0o700, exist_ok=True)
            shutil.move(source, target)
        self._undo.append(lambda: shutil.move(target, source))
        return target

    def copy(self, source: Path, target: Path) -> Path:
        """Copy a file's content."""
        self._undo.append(lambda: target.unlink(missing_ok=True))
        with explained(source):
            shutil.copyfile(source, target)
        return target

    def link(self, source: Path, target: Path) -> Path:
        """Give a file a second name, or copy it where the file system knows no links."""
        self._undo.append(lambda: target.unlink(missing_ok=True))
        with explained(source):
            target.parent.mkdir(mode=0o700, exist_ok=True)
            target.unlink(missing_ok=True)  # left by an attempt that was interrupted
            try:
                os.link(source, target)
            except OSError:
                shutil.copyfile(source, target)
        return target


def _is_ours(path: Path) -> bool:
    """Whether something in the home is of this program, not of a person who keeps other things there."""
    return path.name in OURS or path.name.startswith(DATABASE)


def _is_fresh(path: Path) -> bool:
    """Whether this may be an upload that still comes in."""
    if not path.name.startswith(PARTIAL):
        return False
    with suppress(OSError):
        status = path.stat()
        return time.time() - max(status.st_mtime, status.st_ctime) < PARTIAL_AGE_S
    return False


def remove(paths: Iterable[Path]) -> int:
    """Delete files; those that are gone already, or in use on Windows, are left to the next sweep."""
    removed = 0
    for path in paths:
        with suppress(OSError):
            path.unlink()
            removed += 1
    return removed


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError into a StoreError."""
    try:
        yield
    except OSError as error:
        kind = StorageFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        raise kind("store.read_write", path=path, reason=error.strerror or error) from error
