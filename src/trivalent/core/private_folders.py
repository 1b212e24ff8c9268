"""Temporary folders that only their owner may read, and that outlive nobody.

A process that is killed cannot clean up. Each folder therefore has a lock file beside it, which the
operating system frees when the process ends, however it ends: `sweep` deletes the folders whose lock
nobody holds, and cannot delete one that is in use.

>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as home:
...     with PrivateFolder(Path(home) / "temporary") as folder:
...         (folder / "words.txt").write_text("...") and sweep(folder.parent)
...     sweep(Path(home) / "temporary")
0
0
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from trivalent.core.errors import TrivalentError
from trivalent.core.locks import is_still, lock_now

#: Below the home of a history: for files of children that analyse, and of pages that are open.
TEMPORARY, SESSIONS = "temporary", "sessions"
_LOCK = ".lock"


class PrivateFolder:
    """A new folder in `parent`, with mode 0700, deleted by `close` or at the end of the block.

    Parameters
    ----------
    parent : Path
        Made if it is absent. It should hold nothing else, since `sweep` deletes everything in it
        that nobody holds.

    Attributes
    ----------
    path : Path
        The folder.

    Raises
    ------
    TrivalentError
        The folder cannot be made.
    """

    def __init__(self, parent: Path) -> None:
        self.path = parent / secrets.token_hex(8)
        self._descriptor = -1
        try:
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # the lock first: a folder without one is nobody's
            while (descriptor := _hold(_lock_of(self.path))) is None:
                pass  # a sweep looks at this very file, which it then deletes
            self._descriptor = descriptor
            self.path.mkdir(mode=0o700)
        except OSError as error:
            self.close()
            raise TrivalentError("file.temporary", reason=error.strerror or error, parent=parent) from error

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete the folder with all that is in it; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            _delete(self.path)
            _release(_lock_of(self.path), descriptor)


def sweep(parent: Path) -> int:
    """Delete what is left in a folder of private folders and nobody holds; return how many files.

    Where the file system knows no locks, nothing is deleted.
    """
    removed = 0
    with suppress(FileNotFoundError):
        for name in {entry.name.removesuffix(_LOCK) for entry in os.scandir(parent)}:
            path = parent / name
            with suppress(OSError):
                if (descriptor := _hold(_lock_of(path))) is not None:
                    removed += _delete(path)
                    _release(_lock_of(path), descriptor)
    return removed


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + _LOCK)


def _delete(path: Path) -> int:
    """Delete a folder or a file, or nothing; count the files that are gone."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return 1
    files = [p for p in path.rglob("*") if not p.is_dir()]
    shutil.rmtree(path, ignore_errors=True)
    return sum(not os.path.lexists(p) for p in files)


def _hold(lock: Path) -> int | None:
    """Open and lock a file; None when somebody else holds it.

    Raises
    ------
    OSError
        It cannot be opened, or the file system knows no locks.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if lock_now(descriptor) and is_still(descriptor, lock):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _release(lock: Path, descriptor: int) -> None:
    with suppress(OSError):  # Windows does not delete a file that is open: the next sweep does
        lock.unlink()
    os.close(descriptor)
