r"""Text that comes from outside: names of files, transcripts, cards, messages of libraries.

Characters that act instead of being read (controls, escape sequences, text direction, what has no width,
halves of undecodable bytes) are dropped from what people read, written as escapes where nothing may be
lost, and never pass unseen. One function cleans every name that enters from outside: `clean_line`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

NAME_LIMIT = 200
_SURROGATE = re.compile("[\ud800-\udfff]")


def readable(text: str, *, keep: Iterable[str] = ()) -> str:
    r"""Drop characters that act instead of being read: controls, escapes, text direction.

    >>> readable("a\x1b[31mb\u202ec\nd"), readable("a\nb", keep="\n")
    ('a[31mbc d', 'a\nb')
    """
    return _replaced(text, lambda c: " " if c.isspace() else "", keep)


def escaped(text: str, *, keep: Iterable[str] = ()) -> str:
    r"""Write characters that act as Python does in a string, so that they are seen.

    >>> escaped("a\x1b[31mb\u202e\n"), escaped("a\nb", keep="\n")
    ('a\\x1b[31mb\\u202e\\n', 'a\nb')
    """
    return _replaced(text, lambda c: c.encode("unicode_escape").decode("ascii"), keep)


def escaped_json(document: str) -> str:
    r"""Write characters that act as JSON does in a string: the document says the same as before.

    >>> escaped_json('"a\x7fb\u202e"'), escaped_json('["\U000e0001"]')
    ('"a\\u007fb\\u202e"', '["\\udb40\\udc01"]')
    """
    return _replaced(document, _json_escape, "\n")


def clean_line(text: str) -> str:
    r"""Name or label in one line: NFC, one space between words, only what can be read.

    Half a character, as the name of a file may hold, becomes U+FFFD.

    >>> clean_line(" two\u202e \n words\x1b "), clean_line("caf\udce9")
    ('two words', 'caf\ufffd')
    """
    known = _SURROGATE.sub("\ufffd", text)
    return " ".join(readable(unicodedata.normalize("NFC", known)).split())


def clean_file_name(given: str, *, default: str) -> str:
    r"""Name of a file for showing, without its folders; it is never used as a path.

    Parameters
    ----------
    given : str
        As a browser, a client or an archive tells it.
    default : str
        Where nothing readable is left.

    >>> given = ("../../etc/passwd", "C:\\clips\\a\x00b.mp4", "..")
    >>> [clean_file_name(name, default="recording") for name in given]
    ['passwd', 'ab.mp4', 'recording']
    """
    name = clean_line(given.replace("\\", "/").rsplit("/", 1)[-1])
    if len(name) > NAME_LIMIT:
        stem, dot, suffix = name.rpartition(".")
        name = stem[: NAME_LIMIT - 9] + dot + suffix[:8] if dot else name[:NAME_LIMIT]
    return name if name.strip(". ") else default


def _replaced(text: str, instead: Callable[[str], str], keep: Iterable[str]) -> str:
    acting = {ord(c): instead(c) for c in set(text) - set(keep) if not c.isprintable()}
    return text.translate(acting) if acting else text


def _json_escape(character: str) -> str:
    pairs = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{pairs[i : i + 4]}" for i in range(0, len(pairs), 4))
