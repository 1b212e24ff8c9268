"""The child of `fuzz.py`: opens recordings and looks at their pictures, one line of JSON for each."""

from __future__ import annotations

import json
import math
import os
import sys
import time
import traceback
from itertools import islice
from pathlib import Path
from typing import Any

from trivalent.core.errors import MediaError
from trivalent.media.recording import Recording, media_kind, open_recording

MOST_FRAMES = 200  # a film of two seconds has ten at the analyzer's rate
MAX_SIDE = 1280  # the analyzer's


def main() -> None:
    """Answer until the parent closes the pipe."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        _forget_peak()
        started = time.monotonic()
        answer = look(os.fsdecode(bytes.fromhex(json.loads(line)["path"])))
        answer |= {"seconds": time.monotonic() - started, "peak_mb": _peak_mb()}
        out.write(json.dumps(answer).encode() + b"\n")


def look(path: str) -> dict[str, Any]:
    """Walk through a recording and say what came of it."""
    try:
        media_kind(path)
        recording = open_recording(path)
        shown = check(recording)
    except MediaError as error:
        if "\n" in str(error) or not str(error).isprintable():
            return {"outcome": "exception", "what": f"a message of more than one line: {str(error)!r}"}
        return {"outcome": "error", "what": str(error)}
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(at.filename).name}:{at.lineno})"
        return {"outcome": "exception", "what": what[:500], "trace": traceback.format_exc()}
    return {"outcome": "result", "what": f"{recording.kind}, {recording.duration_s:.1f} s, {shown} frames"}


def check(recording: Recording) -> int:
    """Read what an analysis would; what cannot be true raises AssertionError."""
    shown, last_s = 0, -1.0
    for frame in islice(recording.frames(max_side=MAX_SIDE), MOST_FRAMES):
        assert last_s < frame.time_s < math.inf, f"a frame at {frame.time_s} s after {last_s} s"
        assert max(frame.image.shape[:2]) <= MAX_SIDE, f"a picture of {frame.image.shape}"
        shown, last_s = shown + 1, frame.time_s
    sound_s = 0.0 if recording.audio is None else recording.audio.duration_s
    assert 0 <= sound_s <= recording.duration_s < math.inf, (
        f"{sound_s} s of sound in {recording.duration_s} s"
    )
    assert len(recording.warnings) < 20, f"{len(recording.warnings)} warnings"
    assert not any("\n" in warning for warning in recording.warnings), "a warning of more than one line"
    return shown


def _forget_peak() -> None:
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def _peak_mb() -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


if __name__ == "__main__":
    main()
