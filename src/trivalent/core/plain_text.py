r"""Bytes to text and text to plain text: the one reader of encodings and the one text normaliser.

Whatever holds words (a text file, a transcript, a cell of a table, standard input) comes through here, so
that the same words are read alike however they were stored: with entities of HTML, soft hyphens, ligatures,
full-width letters, or as Windows-1252.

>>> plain("ter\u00adri\u200bble, isn&#39;t it?\n  \ufb01lm")
"terrible, isn't it? film"
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass

from trivalent.core.messages import Message

_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_SAMPLE = 4096  # bytes that tell UTF-16 without a mark
# An apostrophe of old Macs: no language has this capital between small letters.
_MAC_QUOTE = re.compile(rb"[a-z]\xd5[a-z]")

_SPACE = re.compile(r"[\s\u2800]+")
_SOFT_BREAK = re.compile("\u00ad[ \t]*(?:\r\n|\r|\n)[ \t]*")  # a word that a line end cuts
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ENTITIES_DEEP = 3  # what was escaped twice on its way, as titles of feeds are
_TAG = re.compile(
    r"</?(?:a|b|blockquote|br|center|code|del|div|em|font|h[1-6]|hr|i|img|ins|li|ol|p|pre|q|s|small|span"
    r"|strike|strong|sub|sup|table|td|th|tr|tt|u|ul)(?:\s[^<>]{0,1000})?/?>",
    re.IGNORECASE,
)
_CONTROL = {code: " " for code in (*range(0x20), 0x7F)}
# UTF-8 that was taken for Windows-1252 and saved so: its first characters are hardly ever neighbours else.
_DOUBLY = re.compile(
    "\u00e2\u20ac[\u0080-\u00bf\u0152-\u2122]|\u00e2[\u0080-\u00bf\u0152-\u2122]{2}"
    "|\u00c2[\u00a0-\u00bf]|\u00c3[\u0080-\u00bf\u0152-\u2122]|\u00f0\u0178[\u0080-\u00bf\u0152-\u2122]{2}"
)
# What is typed or printed for an apostrophe, before the few endings that have one.
_APOSTROPHE = re.compile(
    "(?<=[A-Za-z])[`\u00b4\u02bc\u02b9\u2032\ufffd](?=(?:t|s|re|ve|ll|d|m)\\b)", re.ASCII
)
_JOINER = "\u200d"
_NO_LETTER = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0}  # letters and marks that show nothing


@dataclass(frozen=True)
class Decoded:
    """A text, and the encoding that it had.

    Attributes
    ----------
    text : str
        Without a byte order mark.
    encoding : str
        As Python names it.
    """

    text: str
    encoding: str

    @property
    def name(self) -> str:
        """The encoding as people call it."""
        return _SPOKEN.get(self.encoding, self.encoding.upper())

    def warnings(self, name: str) -> list[str]:
        """Say that the encoding is a guess, if it is."""
        if self.encoding.startswith("utf"):
            return []
        return [Message("text.guessed_encoding", name=name, encoding=self.name)]


_SPOKEN = {"cp1252": "Windows-1252", "mac_roman": "Mac Roman"}


def decode(data: bytes) -> Decoded:
    r"""Read text of any encoding that people still meet.

    UTF-8, UTF-16 and UTF-32 are told by their mark or their structure; what is neither is Windows-1252, of
    which Latin-1 is the part without curly quotes, or Mac Roman where only that gives apostrophes.

    >>> decode(b"I don\x92t").text, decode("Très bien".encode("utf-16")).text
    ('I don’t', 'Très bien')

    Raises
    ------
    UnicodeDecodeError
        The mark of UTF-16 or UTF-32 is followed by something else.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return Decoded(data.decode(encoding), encoding)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding = "mac_roman" if _MAC_QUOTE.search(data) else "cp1252"
        return Decoded(_old(data, encoding), encoding)
    unmarked = _unmarked(data)
    return Decoded(text, "utf-8") if unmarked is None else Decoded(data.decode(unmarked), unmarked)


def _unmarked(data: bytes) -> str | None:
    """Tell UTF-16 without a mark: of plain English every second byte is 0."""
    head = data[:_SAMPLE]
    if len(data) % 2 or len(head) < 4:
        return None
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if head[first::2].count(0) > 0.8 * len(head[first::2]) and not head[1 - first :: 2].count(0):
            return encoding
    return None


def _old(data: bytes, encoding: str) -> str:
    """Decode; the five bytes that Windows-1252 leaves open are what Latin-1 has there, as browsers do."""
    return (
        data.decode(encoding, "replace")
        if encoding != "cp1252"
        else "".join(map(_WINDOWS.__getitem__, data))
    )


_WINDOWS = [bytes([b]).decode("cp1252", "ignore") or chr(b) for b in range(256)]
_C1 = {b: _WINDOWS[b] if _WINDOWS[b] != chr(b) else " " for b in range(0x80, 0xA0)}


def join_soft_breaks(text: str) -> str:
    """Join words that a soft hyphen divides at the end of a line."""
    return _SOFT_BREAK.sub("", text) if "\u00ad" in text else text


def plain(text: str) -> str:
    r"""Return the text as it is meant: characters of one form, one blank between words.

    Entities and the usual tags of HTML become what they stand for; ligatures, full-width, mathematical,
    circled and raised letters the letters that they show; what shows nothing goes. What means something of
    its own ("…", "™", "½", an emoji) stays. Of a text in plain characters only the white space changes.

    >>> plain("a\x00b"), plain("Ｇｒｅａｔ&nbsp;ﬁlm!")
    ('a b', 'Great film!')
    """
    text = join_soft_breaks(text)
    for _ in range(_ENTITIES_DEEP):
        if "&" not in text or (read := _ENTITY.sub(lambda found: html.unescape(found[0]), text)) == text:
            break
        text = read
    if "<" in text:
        text = _TAG.sub(" ", text)
    if not text.isascii():
        text = _DOUBLY.sub(_once, text).translate(_C1)
        text = "".join(map(_shown, text.translate(_LETTERS if _CJK.search(text) else _FOLDED)))
        if _JOINER in text:
            text = _LONE_JOINER.sub("", text)
    text = _APOSTROPHE.sub("'", text)
    return _SPACE.sub(" ", text.translate(_CONTROL)).strip()


def _once(found: re.Match[str]) -> str:
    try:
        return bytes(map(_WINDOWS.index, found[0])).decode("utf-8")
    except ValueError:
        return found[0]


def _shown(character: str) -> str:
    """Drop what is not shown, and put a blank for what has no meaning."""
    if character < "\u0100" and character != "\u00ad":
        return character
    category = unicodedata.category(character)
    if (category == "Cf" and character != _JOINER) or ord(character) in _NO_LETTER:
        return ""
    return " " if category[0] == "C" and character != _JOINER else character


_CJK = re.compile("[\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# A joiner holds two emoji together; elsewhere it only shapes letters.
_LONE_JOINER = re.compile(
    f"(?<![\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]){_JOINER}|{_JOINER}(?![\u2190-\u2bff\U0001f000-\U0001faff])"
)


def _compatible() -> dict[int, str]:
    """Characters that only look different, with what they show."""
    ranges = (
        (0x0132, 0x0133), (0x013F, 0x0140), (0x0149, 0x0149), (0x017F, 0x017F), (0x01C4, 0x01CC),
        (0x01F1, 0x01F3), (0x02B0, 0x02B8), (0x02E0, 0x02E4), (0x1D2C, 0x1D6A), (0x1D9B, 0x1DBF),
        (0x2024, 0x2025), (0x2071, 0x2071), (0x207F, 0x207F), (0x2090, 0x209C), (0x2160, 0x217F),
        (0x2460, 0x24FF), (0xFB00, 0xFB06), (0xFE50, 0xFE6B), (0xFF01, 0xFFDC), (0x1D400, 0x1D7FF),
        (0x1F100, 0x1F169),
    )  # fmt: skip
    found = {
        code: unicodedata.normalize("NFKC", chr(code))
        for low, high in ranges
        for code in range(low, high + 1)
    }
    letterlike = (code for code in range(0x2100, 0x2150) if unicodedata.category(chr(code))[0] == "L")
    found |= {code: unicodedata.normalize("NFKC", chr(code)) for code in letterlike}
    # white letters on black, which Unicode does not say to be letters
    for first in (0x1F150, 0x1F170):
        found |= {first + i: chr(ord("A") + i) for i in range(26)}
    found |= {0x2010: "-", 0x2011: "-", 0xFF02: '"', 0xFF07: "'"}
    return {code: read for code, read in found.items() if read != chr(code)}


_FOLDED = _compatible()
# The commas and full stops of Chinese and Japanese are full-width by nature.
_LETTERS = {code: read for code, read in _FOLDED.items() if not 0xFF01 <= code <= 0xFF5E or read.isalnum()}

__all__ = ["Decoded", "decode", "join_soft_breaks", "plain"]
