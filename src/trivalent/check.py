"""What was understood of a file, before anybody is judged by it: for people who wonder about a result."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivalent.core.csv_table import LABELLED, TOLD, CsvReader
from trivalent.core.errors import InputError
from trivalent.core.messages import Message
from trivalent.core.plain_text import decode
from trivalent.experts.text import sign_warnings
from trivalent.features.extractor import Material
from trivalent.features.openface.csv_file import read_openface
from trivalent.features.registry import extractor
from trivalent.media.kinds import is_text
from trivalent.media.recording import Recording
from trivalent.media.sound_tracks import SoundTrack
from trivalent.speech.activity import find_speech
from trivalent.speech.heard import open_heard
from trivalent.speech.language import tongues
from trivalent.speech.transcripts import MAX_BYTES, SUFFIXES, Transcript, parse_transcript

_WORD = re.compile(r"[\w'’]+")
PICTURES = 12  # that are searched for a face, about
_LIST = CsvReader(("path",), (*LABELLED, *TOLD), InputError)


@dataclass(frozen=True)
class Understood:
    """What was understood of a file.

    Attributes
    ----------
    name : str
    facts : tuple of Message
        One line each; their codes and values are for programs.
    warnings : tuple of str
    """

    name: str
    facts: tuple[Message, ...]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Render as JSON knows it."""
        return {
            "name": self.name,
            "facts": [fact.to_dict() for fact in self.facts],
            "warnings": [w.to_dict() if isinstance(w, Message) else {"text": w} for w in self.warnings],
        }


def check(path: str | Path, *, audio_track: int | None = None) -> Understood:
    """Tell how a recording, a text, a transcript, a list or a table of OpenFace is read.

    Parameters
    ----------
    path : str or Path
    audio_track : int, optional
        Sound track to look at, as in an analysis.

    Raises
    ------
    InputError, DataError
        It cannot be read; the message is that of an analysis.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        return _table(path)
    if is_text(path) or path.suffix.lower() in SUFFIXES:
        return _text(path)
    return _recording(open_heard(path, audio_track=audio_track))


def _table(path: Path) -> Understood:
    if _looks_like_openface(path):
        table = read_openface(path)
        frames, lost = table.meta["frames"], table.meta["frames_without_face"]
        facts = [
            Message("check.openface", columns=len(table.columns), frames=frames),
            Message("check.openface_faces", found=frames - lost, frames=frames),
        ]
        if unclear := table.meta.get("no_number"):
            facts.append(Message("check.openface_cells", count=unclear))
        return Understood(path.name, tuple(facts), tuple(table.meta.get("warnings", ())))
    listed = _LIST.read(path)
    facts = [Message("check.list", rows=len(listed.rows), columns=list(listed.columns))]
    absent = [row.cells["path"] for row in listed.rows if not (path.parent / row.cells["path"]).exists()]
    if absent:
        facts.append(Message("check.list_absent", count=len(absent), first=absent[0]))
    if "transcript" in listed.columns:
        facts.append(
            Message(
                "check.list_transcripts", count=sum(bool(row.cells["transcript"]) for row in listed.rows)
            )
        )
    if listed.unknown:
        facts.append(Message("check.list_unused", columns=list(listed.unknown)))
    return Understood(path.name, tuple(facts))


def _looks_like_openface(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            header = stream.readline(MAX_BYTES)
    except OSError:
        return False  # the reader of tables says why
    return {b"timestamp", b"success"} <= {name.strip() for name in header.split(b",")}


def _text(path: Path) -> Understood:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError("text.unreadable", path=path, strerror=error.strerror) from error
    suffix = path.suffix.lower()
    read = parse_transcript(data, suffix=suffix if suffix in SUFFIXES else ".txt", name=path.name)
    facts = [Message("check.encoding", encoding=decode(data).name, bytes=len(data)), *_cues(read)]
    counts = Counter(tongue.code for tongue in tongues([cue.text for cue in read.cues]))
    told = ", ".join(f"{code or '?'} ({count})" for code, count in counts.most_common())
    facts.append(Message("check.languages", languages=told))
    return Understood(path.name, tuple(facts), (*read.warnings, *sign_warnings([read.text])))


def _cues(read: Transcript) -> Iterator[Message]:
    first, last = read.cues[0], read.cues[-1]
    if read.timed:
        yield Message("check.cues", count=len(read.cues), start_s=first.start_s, end_s=last.end_s)
    else:
        yield Message("check.sentences", count=len(read.cues))
    yield Message("check.words", count=len(_WORD.findall(read.text)))
    yield Message("check.begins", text=first.text[:60])
    if len(read.cues) > 1:
        yield Message("check.ends", text=last.text[-60:])


def _recording(recording: Recording) -> Understood:
    facts = [
        Message(
            "check.video" if recording.kind == "video" else "check.audio", duration_s=recording.duration_s
        )
    ]
    facts += [_track(track, used=track.number == recording.track) for track in recording.tracks]
    if recording.audio is not None:
        spoken_s = sum(high - low for low, high in find_speech(recording.audio))
        facts.append(Message("check.speech", spoken_s=spoken_s, duration_s=recording.audio.duration_s))
    if recording.kind == "video":
        facts.append(_faces(recording))
    # looking at the pictures may have added to the warnings
    return Understood(recording.name, tuple(facts), tuple(recording.warnings))


def _track(track: SoundTrack, *, used: bool) -> Message:
    named = " ".join(filter(None, (track.language, track.title))) or "-"
    return Message(
        "check.track_used" if used else "check.track",
        number=track.number,
        codec=track.codec,
        channels=track.channels,
        rate=track.rate,
        named=named,
    )


def _faces(recording: Recording) -> Message:
    face = extractor("face")  # as an analysis looks for it, at fewer pictures
    rate_hz = min(5.0, max(0.1, PICTURES / max(recording.duration_s, 1.0)))
    seen = face.extract(
        Material(pictures=recording.frames), face.options(face_rate_hz=rate_hz), columns=["jawOpen"]
    )
    told = seen.meta
    return Message(
        "check.faces",
        found=told["frames_with_face"],
        count=told["frames_sampled"],
        most=told["faces_max"],
    )


__all__ = ["Understood", "check"]
