"""Every suffix that we know, once: what is taken for a recording or a text by its name.

What a file really is, its bytes tell (`probe`); a name tells which files of a folder are worth a look,
and which player may show them.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath

#: Suffix -> media type; video first. What no browser plays has none.
VIDEO: dict[str, str | None] = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm",
    ".mkv": "video/x-matroska", ".avi": "video/x-msvideo", ".mpg": "video/mpeg", ".mpeg": "video/mpeg",
    ".ogv": "video/ogg", ".3gp": None, ".3g2": None, ".flv": None, ".wmv": None, ".ts": None,
    ".mts": None, ".m2ts": None, ".vob": None,
}  # fmt: skip
SOUND: dict[str, str | None] = {
    ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".m4b": "audio/mp4", ".aac": "audio/aac",
    ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".oga": "audio/ogg",
    ".opus": "audio/ogg", ".mka": None, ".wma": None, ".amr": None, ".caf": None, ".aif": None,
    ".aiff": None,
}  # fmt: skip
TEXT = frozenset({".txt", ".md", ".text"})
RECORDINGS = VIDEO | SOUND
SUFFIXES = TEXT | RECORDINGS.keys()


def is_text(name: str | PurePath) -> bool:
    """Whether a name is that of a text.

    >>> is_text("Notes.TXT"), is_text("talk.mp4"), is_text("talk")
    (True, False, False)
    """
    return PurePath(name).suffix.lower() in TEXT


class Kind(StrEnum):
    """How a source is read."""

    TEXT = "text"
    RECORDING = "recording"


def kind_of(name: str | PurePath) -> Kind:
    """Tell from the suffix of a file.

    >>> str(kind_of("Notes.TXT")), str(kind_of("talk"))
    ('text', 'recording')
    """
    return Kind.TEXT if is_text(name) else Kind.RECORDING


def played_as(name: str | PurePath) -> str | None:
    """Media type under which a browser may play a recording; None where it cannot.

    >>> played_as("talk.MOV"), played_as("memo.amr")
    ('video/quicktime', None)
    """
    return RECORDINGS.get(PurePath(name).suffix.lower())
