"""Recordings that only the open page needs: they are not kept, but can be played for a while."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from trivalent.core.private_folders import SESSIONS, PrivateFolder

UNUSED_S = 2 * 3600.0  # a file that nobody played or looked at for so long is deleted
SWEEP_S = 300.0


class Scratch:
    """A folder of this process in `home/sessions`, with a keeper that deletes what is not used.

    What a killed process leaves there, the store's sweep deletes.

    Parameters
    ----------
    home : Path
        As in the settings.
    """

    def __init__(self, home: Path) -> None:
        self._own = PrivateFolder(home / SESSIONS)
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="scratch", daemon=True)
        self._keeper.start()

    def folder(self) -> tempfile.TemporaryDirectory[str]:
        """Make a folder that goes when it is forgotten, with its session."""
        return tempfile.TemporaryDirectory(dir=self._own.path, ignore_cleanup_errors=True)

    def close(self) -> None:
        """Delete everything of this process."""
        self._ended.set()
        self._own.close()

    def _keep(self) -> None:
        while True:
            sweep(self._own.path, now=time.time())
            if self._ended.wait(SWEEP_S):
                return


def use(path: Path) -> None:
    """Note that a file is used."""
    with suppress(OSError):
        os.utime(path)


def sweep(parent: Path, *, now: float) -> None:
    """Delete files and empty folders below `parent` that were not used for `UNUSED_S`."""
    try:
        found = sorted(parent.rglob("*"), reverse=True)  # a folder after what is in it
    except OSError:
        return  # a session ended while we looked: the next look will do
    for path in found:
        with suppress(OSError):
            if now - path.stat().st_mtime > UNUSED_S:
                if path.is_dir():
                    path.rmdir()
                else:
                    path.unlink()
