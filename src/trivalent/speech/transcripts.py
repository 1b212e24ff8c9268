"""Transcripts that the user supplies: .srt and .vtt with times, .txt without.

Parsing is strict about structure, and every error names the line. The content decides the
format: a .txt that holds SubRip or WebVTT cues is read as such.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from trivalent.core.errors import TranscriptError
from trivalent.core.messages import Message

MAX_BYTES = 4 * 1024 * 1024  # a day of speech takes about 2 MB
MAX_LINES = 1_000_000  # what a parser keeps of a line is many times the line, if that is empty
SUFFIXES = (".srt", ".vtt", ".txt")

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s+.*)?$", re.ASCII)
_INLINE_TIME = re.compile(r"<\d{2}:\d{2}[:.]\d{2}", re.ASCII)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}")
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
        UTF-8 (with or without BOM), UTF-16 with BOM, else taken as Latin-1 with a warning.
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
    lines = re.split(r"\r\n|\n|\r", text)
    if lines[0].startswith("WEBVTT") or suffix == ".vtt":
        cues = _parse_vtt(lines, name)
    elif suffix == ".srt" or _looks_like_srt(lines):
        cues = _parse_srt(lines, name)
    else:
        cues = [Cue(sentence) for sentence in _sentences(lines)]
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
    warnings: list[str] = []
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            text = data.decode("utf-16")
        else:
            text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.encoding.startswith("utf-16"):
            raise TranscriptError("transcript.utf16", name=name) from None
        text = data.decode("latin-1")
        warnings.append(Message("transcript.latin", name=name))
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise TranscriptError("transcript.binary", line=line, name=name)
    return text, warnings


def _has_word(text: str) -> bool:
    return any(c.isalnum() for c in text)


def _looks_like_srt(lines: list[str]) -> bool:
    filled = [line for line in lines if line.strip()][:2]
    return any(_TIMING.match(line) for line in filled)


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    ms = int(fraction.ljust(3, "0"))
    return (int(hours or 0) * 3_600_000 + int(minutes) * 60_000 + int(seconds) * 1000 + ms) / 1000


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


def _blocks(lines: list[str]) -> list[tuple[int, list[str]]]:
    """Group lines by blank lines: (number of the first line, lines)."""
    blocks: list[tuple[int, list[str]]] = []
    fresh = True
    for number, line in enumerate(lines, 1):
        if not line.strip():
            fresh = True
        elif fresh:
            blocks.append((number, [line]))
            fresh = False
        else:
            blocks[-1][1].append(line)
    return blocks


def _parse_srt(lines: list[str], name: str) -> list[Cue]:
    cues = []
    for number, block in _blocks(lines):
        if block[0].strip().isdigit() and len(block) > 1:
            number, block = number + 1, block[1:]
        start_s, end_s = _times(block[0], number, name)
        cues.append(Cue(_plain(block[1:]), start_s, end_s))
    return cues


def _parse_vtt(lines: list[str], name: str) -> list[Cue]:
    if not re.match(r"WEBVTT(?:[ \t].*)?$", lines[0]):
        raise TranscriptError("transcript.webvtt", name=name, lines=lines[0][:40])
    rolling = any(_INLINE_TIME.search(line) for line in lines)
    cues: list[Cue] = []
    last_line = ""
    for number, block in _blocks(lines):
        first = block[0]
        if number == 1 or re.match(r"(?:NOTE|STYLE|REGION)(?:\s|$)", first):
            continue
        if "-->" not in first and len(block) > 1:  # an identifier
            number, block = number + 1, block[1:]
        start_s, end_s = _times(block[0], number, name)
        body = [_unescape(_plain([line])) for line in block[1:]]
        body = [line for line in body if line]
        # Captions that roll (automatic ones do) show each line twice: keep it once.
        if rolling and body and body[0] == last_line:
            body = body[1:]
        last_line = body[-1] if body else last_line
        if body or not rolling:
            cues.append(Cue(" ".join(body), start_s, end_s))
    return cues


def _unescape(text: str) -> str:
    """Turn `&amp;` into what it stands for; a character's number beyond all sense stays as it is."""
    try:
        return html.unescape(text)
    except ValueError:  # int() takes 4,300 digits
        return text


def _plain(lines: list[str]) -> str:
    """Strip markup and join lines with single spaces."""
    return " ".join(" ".join(_TAG.sub("", line) for line in lines).split())


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


def _sentences(lines: list[str]) -> list[str]:
    """Split plain text into sentences; a line that wraps in mid-sentence is joined."""
    paragraphs: list[list[str]] = []
    for line in (" ".join(raw.split()) for raw in lines):
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
