"""Key frames of recordings that are not kept: in memory, for the session that still has the recording."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from trivalent.core.analysis import Analysis, KeyFrame
from trivalent.store import Record

RECORDINGS = 32  # some 100 kB each


class RecentFrames:
    """The last recordings' key frames; nothing of them is written anywhere."""

    def __init__(self) -> None:
        self._frames: OrderedDict[str, tuple[KeyFrame, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, record: Record, analysis: Analysis) -> None:
        """Remember those that the store does not; called by a worker."""
        if record.has_media or not analysis.keyframes:
            return
        with self._lock:
            self._frames[record.id] = analysis.keyframes
            while len(self._frames) > RECORDINGS:
                self._frames.popitem(last=False)

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Drop those of the analyses of which `gone`, given an id, says so."""
        with self._lock:
            for record_id in [i for i in self._frames if gone(i)]:
                del self._frames[record_id]

    def of(self, record_id: str) -> tuple[KeyFrame, ...]:
        """Return the key frames of an analysis, none when they are forgotten."""
        with self._lock:
            return self._frames.get(record_id, ())
