"""Which sound track of a recording is listened to: the one in which people speak."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from trivalent.core.messages import Message
from trivalent.media.recording import Progress, Recording, open_recording
from trivalent.speech.activity import find_speech

# Of a film in several languages every track has speech: the one that players take stays, should it have
# that much speech for its length, or for the speech in another.
SPOKEN_SHARE = 0.2
OTHER_SHARE = 0.5


def open_heard(
    path: str | Path, *, audio_track: int | None = None, progress: Progress | None = None
) -> Recording:
    """Open a recording; of several sound tracks take the one that players take, or one with more speech.

    Parameters
    ----------
    path : str or Path
    audio_track : int, optional
        Take this one, whatever is heard in it; from 1 on.
    progress : callable or None
        Gets the fraction done, 0 to 1.

    Raises
    ------
    MediaError
        As `open_recording`.
    """
    first = open_recording(path, audio_track=audio_track, progress=progress)
    if audio_track is not None or len(first.tracks) < 2 or first.track is None:
        return first
    spoken_s = _spoken_s(first)
    if spoken_s >= SPOKEN_SHARE * first.duration_s:
        return _told(first, "media.track_of", number=first.track)
    others = (open_recording(path, audio_track=t.number) for t in first.tracks if t.number != first.track)
    best_s, best = max(((_spoken_s(r), r) for r in others), key=lambda found: found[0])
    if best_s <= 0 or spoken_s > OTHER_SHARE * best_s:
        return _told(first, "media.track_of", number=first.track)
    return _told(best, "media.track_spoken", number=best.track, first=first.track)


def _spoken_s(recording: Recording) -> float:
    if recording.audio is None:
        return 0.0
    return sum(high - low for low, high in find_speech(recording.audio))


def _told(recording: Recording, code: str, **values: object) -> Recording:
    note = Message(code, count=len(recording.tracks), **values)
    return replace(recording, warnings=[note, *recording.warnings])


__all__ = ["open_heard"]
