"""Captions as they stand in SubRip and WebVTT: which lines are shown when, and what is new in them.

A time line begins a cue, whatever stands before it; an empty line ends it, one of blanks does not (W3C,
WebVTT, 6.1). So no cue is lost where empty lines are missing, as many tools write files. What belongs to
no cue is an error that names the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from trivalent.core.errors import TranscriptError
from trivalent.core.messages import Message
from trivalent.core.plain_text import plain

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{2})(?:[.,](\d{1,3}))?"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s+.*)?$", re.ASCII)
_MEANT = re.compile(r"\d:\d.*-->|-->.*\d:\d", re.ASCII)  # a time line, maybe a damaged one
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}")
_COMMENT = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")
_HEADER = re.compile(r"WEBVTT(?:[ \t].*)?$")

ABUTS_S = 0.1  # captions that are further apart do not roll
FLASH_S = 0.1  # rolling captions stand still for so long at most before the next line comes


@dataclass
class Shown:
    """What is on the screen for a while: lines without markup, from and to a time in seconds."""

    start_s: float
    end_s: float
    lines: list[str] = field(default_factory=list)


def looks_timed(lines: Iterable[str]) -> bool:
    """Tell whether captions begin here: with a time line, or a number above one."""
    filled = [line for line in lines if line.strip()][:2]
    return any(_TIMING.match(line) for line in filled)


def read_cues(lines: Sequence[str], name: str, *, webvtt: bool) -> list[Shown]:
    """Read the lines of a file.

    Raises
    ------
    TranscriptError
        A time line or the header is malformed, or words stand in no cue; the message names the line.
    """
    reader = _Reader(name, webvtt=webvtt)
    for number, line in enumerate(lines, 1):
        reader.read(number, line)
    reader.end_block()
    return [
        Shown(cue.start_s, cue.end_s, [text for text in map(_without_markup, cue.lines) if text])
        for cue in reader.cues
    ]


class _Reader:
    """Takes line after line.

    `waiting` are lines in no cue yet: the name of the next one, or words that are lost.
    """

    def __init__(self, name: str, *, webvtt: bool) -> None:
        self.name, self.webvtt = name, webvtt
        self.cues: list[Shown] = []
        self.waiting: list[tuple[int, str]] = []
        self.header, self.comment, self.inside = webvtt, False, False
        self.numbered = self.blank = False  # the last cue has a number; there was a blank line in it

    def read(self, number: int, line: str) -> None:
        if not line or (not self.inside and not line.strip()):
            self.end_block()
        elif self.comment:
            return
        elif self.header and not self.waiting and not _HEADER.match(line):
            raise TranscriptError("transcript.webvtt", name=self.name, lines=line[:40])
        elif "-->" in line and (not self.inside or _MEANT.search(line)):
            self.begin_cue(number, line)
        elif self.inside:
            self.blank = self.blank or not line.strip()
            self.cues[-1].lines.append(line)
        elif self.webvtt and not self.waiting and _COMMENT.match(line):
            self.comment = True
        else:
            self.waiting.append((number, line))

    def end_block(self) -> None:
        """Take an empty line; without a header there is none to end."""
        if self.waiting and not self.header:  # where the time line should be
            number, line = next((w for w in self.waiting if not w[1].strip().isdigit()), self.waiting[0])
            _times(line, number, self.name)
        self.header = self.header and not self.waiting
        self.inside = self.comment = False
        self.waiting = []

    def begin_cue(self, number: int, line: str) -> None:
        above = self.taken_back() if self.inside else [text for _, text in self.waiting]
        if len(above) > 1 and not self.header:
            self.end_block()
        self.cues.append(Shown(*_times(line, number, self.name)))
        self.numbered = bool(above) and above[-1].strip().isdigit()
        self.header, self.inside, self.blank, self.waiting = False, True, False, []

    def taken_back(self) -> list[str]:
        """Take the name of the next cue from the last one, where no empty line stands between them."""
        lines = self.cues[-1].lines
        if not lines or not lines[-1].strip():
            return []
        apart = len(lines) > 1 and not lines[-2].strip()
        if (lines[-1].strip().isdigit() and (self.numbered or self.blank)) or (apart and self.webvtt):
            return [lines.pop()]
        return []


def _without_markup(line: str) -> str:
    return plain(_TAG.sub("", line))


def _times(line: str, number: int, name: str) -> tuple[float, float]:
    match = _TIMING.match(line)
    where = Message("transcript.where", line=number, name=name)
    if match is None:
        raise TranscriptError("transcript.time_line", line=line.strip()[:40], where=where)
    groups = match.groups()
    if any(int(sixtieth) > 59 for part in (groups[:4], groups[4:]) for sixtieth in part[1:3]):
        raise TranscriptError("transcript.sixtieths", line=line.strip()[:40], where=where)
    start_s, end_s = _seconds(*groups[:4]), _seconds(*groups[4:])
    if end_s < start_s:
        raise TranscriptError("transcript.end", line=line.strip()[:40], where=where)
    return start_s, end_s


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    ms = int((fraction or "0").ljust(3, "0"))
    return (int(hours or 0) * 3_600_000 + int(minutes) * 60_000 + int(seconds) * 1000 + ms) / 1000


def said_once(shown: Sequence[Shown]) -> list[tuple[str, float, float]]:
    """Return the words that each caption adds, with its times.

    Captions that roll (automatic ones do) show a line once more above the next one, those that grow show it
    with every word. A speaker may repeat a line, too: only where captions that begin with the words before
    them are common does each hold but what is new in it, and none if nothing is.
    """
    pairs = [(_new(a, b), a, b) for a, b in pairwise(shown)]
    going_on = sum(new is not None and bool(new) for new, _, _ in pairs)
    flashes = sum(new == [] and b.end_s - b.start_s <= FLASH_S for new, _, b in pairs)
    afresh = sum(new is None for new, _, _ in pairs)
    rolling = going_on >= 1 and going_on + flashes >= 2 and 2 * going_on >= afresh
    added = [None, *(new for new, _, _ in pairs)] if rolling else [None] * len(shown)
    told = zip(shown, added, strict=True)
    return [
        (" ".join(one.lines if new is None else new), one.start_s, one.end_s)
        for one, new in told
        if new != []
    ]


def _new(before: Shown, after: Shown) -> list[str] | None:
    """Return the words by which a caption goes on from the one before; None if it begins afresh."""
    if after.start_s - before.end_s > ABUTS_S:
        return None
    words = [line.split() for line in before.lines]
    now = [word for line in after.lines for word in line.split()]
    for first in range(len(words)):
        kept = [word for line in words[first:] for word in line]
        if now[: len(kept)] == kept:
            return now[len(kept) :]
    return None


__all__ = ["Shown", "looks_timed", "read_cues", "said_once"]
