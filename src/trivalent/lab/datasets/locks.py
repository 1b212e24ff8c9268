"""One worker at a time: a lock that its owner cannot leave behind.

The operating system holds the lock (flock, on Windows a byte range), so that it ends with the
process that took it, however that ends. An owner that lives but does not get on loses it after
a time; where there are no locks at all (some network folders) everyone gets one. A lock
therefore saves work; what it guards must be correct without it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from trivalent.core.locks import is_still, lock_now

PATIENCE_S = 3600.0
_POLL_S = 0.05


@contextlib.contextmanager
def locked(path: Path, *, patience_s: float = PATIENCE_S) -> Iterator[bool]:
    """Hold the lock file `path` as long as the context lasts.

    Parameters
    ----------
    path : Path
        In an existing folder; the file is removed afterwards.
    patience_s : float
        How long to wait for another owner before going on without the lock.

    Yields
    ------
    bool
        Whether the lock is held.
    """
    descriptor = _acquire(path, time.monotonic() + patience_s)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):  # Windows does not remove a file that is open
                path.unlink()
            os.close(descriptor)


def _acquire(path: Path, deadline: float) -> int | None:
    pause = _POLL_S
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:
            return None  # another user's: his file tells that the work is being done
        try:
            free = lock_now(descriptor)
        except OSError:  # no locks on this file system
            os.close(descriptor)
            return None
        if free and is_still(descriptor, path):
            return descriptor
        os.close(descriptor)
        if free:
            continue
        if time.monotonic() > deadline:
            return None
        time.sleep(pause)
        pause = min(1.0, 1.5 * pause)


__all__ = ["PATIENCE_S", "locked"]
