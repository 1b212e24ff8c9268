"""Room on the disk that is kept for deleting: on a full disk nothing can be written, not even that.

A file of the home holds the room. A deletion gives it up where the disk is nearly full, writes its log
there, and takes it back at its end, before somebody else fills it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SIZE = 8 * 2**20  # bytes; the log of a portion of analyses is smaller
ABUNDANT = 4  # times as much must be free before the first file is made


class Reserve:
    """The room that is kept in a file, which need not exist."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def is_needed(self) -> bool:
        """Whether the disk has no room for more recordings and analyses."""
        return shutil.disk_usage(self._file.parent).free < SIZE

    def fill(self) -> None:
        """Keep the room, unless the disk has little to give."""
        if self._size() < SIZE and shutil.disk_usage(self._file.parent).free >= ABUNDANT * SIZE:
            self._take()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Give the room up for a while, where it is needed."""
        needed = self.is_needed and self._size() > 0
        if needed:
            self._file.unlink(missing_ok=True)
        try:
            yield
        finally:
            if needed:
                self._take()

    def _size(self) -> int:
        with suppress(OSError):
            return self._file.stat().st_size
        return 0

    def _take(self) -> None:
        # as much as there is: a full disk is the very case
        with suppress(OSError), self._file.open("ab") as file:
            self._file.chmod(0o600)
            while (size := self._size()) < SIZE:
                file.write(bytes(min(2**20, SIZE - size)))
                file.flush()
