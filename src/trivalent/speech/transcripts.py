"""Transcripts that the user supplies: .srt and .vtt with times, .txt without.

The content decides the format: a .txt that holds SubRip or WebVTT cues is read as such. Words are plain
text (`trivalent.core.plain_text`) in every format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from trivalent.core.errors import TranscriptError
from trivalent.core.messages import Message
from trivalent.core.plain_text import decode, join_soft_breaks, plain
from trivalent.speech.cues import looks_timed, read_cues, said_once

MAX_BYTES = 4 * 1024 * 1024  # a day of speech takes about 2 MB
MAX_LINES = 1_000_000  # what a parser keeps of a line is many times the line, if that is empty
SUFFIXES = (".srt", ".vtt", ".txt")

_LINE_END = re.compile(r"\r*\n|\r")  # a file that was twice converted has two \r
# It begins where a run of marks begins: tried from each of a million dots it would take hours.
_SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+\s+")
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:Mr|Mrs|Ms|Dr|Prof|St|vs|[A-Z])\.\s+$")


@dataclass(frozen=True)
class Cue:
    """A piece of a transcript; times in seconds, None in an untimed transcript."""

    text: str
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class Transcript:
    """What was said: cues in order of time that do not overlap, or sentences without times."""

    cues: tuple[Cue, ...]
    warnings: tuple[str, ...] = ()

    @property
    def timed(self) -> bool:
        """Whether the cues carry times."""
        return all(cue.start_s is not None for cue in self.cues)

    @property
    def text(self) -> str:
        """All words, cues joined by a space."""
        return " ".join(cue.text for cue in self.cues)


def read_transcript(path: str | Path) -> Transcript:
    """Read a transcript file.

    Raises
    ------
    TranscriptError
        Not a .srt, .vtt or .txt file, unreadable, malformed (with the line) or without words.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise TranscriptError("transcript.suffix", suffixes=list(SUFFIXES), name=path.name)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TranscriptError("transcript.unreadable", path=path, reason=reason) from error
    return parse_transcript(data, suffix=path.suffix.lower(), name=path.name)


def parse_transcript(data: bytes, *, suffix: str = ".txt", name: str = "the transcript") -> Transcript:
    r"""Parse the bytes of a transcript.

    Parameters
    ----------
    data : bytes
        Of any encoding that `trivalent.core.plain_text.decode` tells; a guess gives a warning.
    suffix : str
        One of `SUFFIXES`; what the content shows goes first.
    name : str
        Used in messages.

    Raises
    ------
    TranscriptError
        Malformed, without a single word, or of more than `MAX_BYTES` or `MAX_LINES`.

    Examples
    --------
    >>> parse_transcript(b"1\n00:00:01,000 --> 00:00:02,500\n<i>Well</i> done!\n", suffix=".srt").cues
    (Cue(text='Well done!', start_s=1.0, end_s=2.5),)
    """
    if len(data) > MAX_BYTES:
        raise TranscriptError("transcript.large", max_bytes=MAX_BYTES >> 20, name=name)
    text, warnings = _decode(data, name)
    if text.count("\n") + text.count("\r") - text.count("\r\n") > MAX_LINES:
        raise TranscriptError("transcript.many_lines", max_lines=MAX_LINES, name=name)
    lines = _LINE_END.split(join_soft_breaks(text))
    webvtt = suffix == ".vtt" or next(filter(str.strip, lines), "").startswith("WEBVTT")
    if webvtt or suffix == ".srt" or looks_timed(lines):
        cues = [Cue(*one) for one in said_once(read_cues(lines, name, webvtt=webvtt))]
    else:
        cues = [Cue(sentence) for sentence in _sentences(map(plain, lines))]
    empty = sum(not _has_word(cue.text) for cue in cues)
    cues = [cue for cue in cues if _has_word(cue.text)]
    if not cues:
        raise TranscriptError("transcript.no_words", name=name)
    if empty:
        warnings.append(Message("transcript.empty_cues", count=empty, name=name))
    if cues[0].start_s is not None:
        cues, notes = _order(cues, name)
        warnings += notes
    return Transcript(tuple(cues), tuple(warnings))


def to_srt(cues: Iterable[Cue]) -> str:
    r"""Write timed cues as SubRip; times are rounded to milliseconds.

    Raises
    ------
    TranscriptError
        A cue has no times.

    Examples
    --------
    >>> print(to_srt([Cue("Well done!", 1, 2.5)]), end="")
    1
    00:00:01,000 --> 00:00:02,500
    Well done!
    <BLANKLINE>
    """
    blocks = []
    for number, cue in enumerate(cues, 1):
        if cue.start_s is None or cue.end_s is None:
            raise TranscriptError("transcript.untimed", text=cue.text[:30])
        blocks.append(f"{number}\n{_stamp(cue.start_s)} --> {_stamp(cue.end_s)}\n{cue.text}\n")
    return "\n".join(blocks)


def _stamp(seconds: float) -> str:
    whole, ms = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d},{ms:03d}"


def _decode(data: bytes, name: str) -> tuple[str, list[str]]:
    try:
        decoded = decode(data)
    except UnicodeDecodeError:
        raise TranscriptError("text.damaged_utf16", name=name) from None
    if "\x00" in decoded.text:
        line = decoded.text[: decoded.text.index("\x00")].count("\n") + 1
        raise TranscriptError("transcript.binary", line=line, name=name)
    return decoded.text, decoded.warnings(name)


def _has_word(text: str) -> bool:
    return any(c.isalnum() for c in text)


def _order(cues: list[Cue], name: str) -> tuple[list[Cue], list[str]]:
    """Sort by start and end the overlaps: the earlier cue stops where the next begins."""
    notes: list[str] = []
    starts = [cue.start_s or 0.0 for cue in cues]
    if starts != sorted(starts):
        notes.append(Message("transcript.sorted", name=name))
    ordered: list[Cue] = []
    texts: list[list[str]] = []  # of each cue; joined at the end, since thousands may start at once
    overlaps = 0
    for cue in sorted(cues, key=lambda c: c.start_s or 0.0):
        last = ordered[-1] if ordered else None
        if last is not None and cue.start_s < last.end_s:  # type: ignore[operator]
            overlaps += 1
            if cue.start_s - last.start_s < 0.1:  # type: ignore[operator]  # both at once: one cue
                ordered[-1] = replace(last, end_s=max(cue.end_s or 0.0, last.end_s or 0.0))
                texts[-1].append(cue.text)
                continue
            ordered[-1] = replace(last, end_s=cue.start_s)
        ordered.append(cue)
        texts.append([cue.text])
    ordered = [replace(cue, text=" ".join(own)) for cue, own in zip(ordered, texts, strict=True)]
    if overlaps:
        notes.append(Message("transcript.overlaps", count=overlaps, name=name))
    return ordered, notes


def _sentences(lines: Iterable[str]) -> list[str]:
    """Split plain text into sentences; a line that wraps in mid-sentence is joined."""
    paragraphs: list[list[str]] = []
    for line in lines:
        last = paragraphs[-1][-1] if paragraphs else ""
        if last and last[-1] not in '.!?…"”' and line[:1].islower():
            paragraphs[-1].append(line)
        else:
            paragraphs.append([line])
    found = []
    for paragraph in map(" ".join, paragraphs):
        first = 0
        for match in _SENTENCE_END.finditer(paragraph):
            if not _ABBREVIATION.search(paragraph[max(0, match.end() - 12) : match.end()]):
                found.append(paragraph[first : match.end()].strip())
                first = match.end()
        found.append(paragraph[first:].strip())
    return [sentence for sentence in found if sentence]
