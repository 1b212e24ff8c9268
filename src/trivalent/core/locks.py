"""The lock of the operating system on an open file, which ends with its process, however that ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def lock_now(descriptor: int) -> bool:
    """Take the lock of an open file without waiting; tells whether it was free.

    Raises
    ------
    OSError
        The file system knows no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_still(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one at a path: its last holder may have deleted what was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
