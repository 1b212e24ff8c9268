"""Recordings as trees of their container's parts: taken apart, and put together with the right sizes.

MP4 atoms, EBML elements and RIFF chunks are trees; Ogg pages, FLV tags, transport packets, FLAC and MP3
frames are rows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass
class Part:
    """A part of a container: `head` is its name, or whatever its writer needs of the old header."""

    head: bytes
    payload: bytes = b""
    parts: list[Part] | None = None

    def copy(self) -> Part:
        """Return an independent copy."""
        return Part(self.head, self.payload, None if self.parts is None else [p.copy() for p in self.parts])


@dataclass(frozen=True)
class Container:
    """How a kind of file is taken apart and put together, and where its telling numbers lie."""

    read: Callable[[bytes], list[Part]]
    write: Callable[[list[Part]], bytes]
    # name of the part -> (offset, width, byte order) of sizes, rates, durations and counts
    numbers: dict[bytes, list[tuple[int, int, str]]] = field(default_factory=dict)


# --- containers

_ATOMS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"dinf", b"mvex", b"moof", b"traf"}
_MASTERS = {
    bytes.fromhex(name)
    for name in (
        *("1a45dfa3", "18538067", "1549a966", "1654ae6b", "ae", "e0", "e1", "1f43b675", "a0"),
        *("1c53bb6b", "bb", "b7", "114d9b74", "4dbb", "1254c367", "7373", "67c8"),
    )
}


def _read_atoms(data: bytes) -> list[Part]:
    found, at = [], 0
    while at + 8 <= len(data):
        size, head = struct.unpack(">I4s", data[at : at + 8])
        start = at + 8
        if size == 1 and at + 16 <= len(data):
            size, start = struct.unpack(">Q", data[at + 8 : at + 16])[0], at + 16
        end = len(data) if size < start - at else min(len(data), at + size)
        inner = data[start:end]
        found.append(Part(head, b"", _read_atoms(inner)) if head in _ATOMS else Part(head, inner))
        at = end
    return found


def _write_atoms(parts: list[Part]) -> bytes:
    out = b""
    for part in parts:
        inner = part.payload if part.parts is None else _write_atoms(part.parts)
        out += struct.pack(">I4s", len(inner) + 8, part.head) + inner
    return out


def _vint(data: bytes, at: int, *, keep_marker: bool) -> tuple[int, int]:
    """Return the number at a place and its width; (0, 0) if there is none."""
    width = 9 - data[at].bit_length() if at < len(data) else 0
    if not 0 < width <= 8 or at + width > len(data):
        return 0, 0
    value = int.from_bytes(data[at : at + width], "big")
    return value if keep_marker else value & ((1 << 7 * width) - 1), width


def _read_elements(data: bytes) -> list[Part]:
    found, at = [], 0
    while at < len(data):
        _, wide = _vint(data, at, keep_marker=True)
        size, width = _vint(data, at + wide, keep_marker=False)
        if not wide or not width:
            break
        head, start = data[at : at + wide], at + wide + width
        unknown = size == (1 << 7 * width) - 1
        end = len(data) if unknown else min(len(data), start + size)
        inner = data[start:end]
        found.append(Part(head, b"", _read_elements(inner)) if head in _MASTERS else Part(head, inner))
        at = end
    return found


def _write_elements(parts: list[Part]) -> bytes:
    out = b""
    for part in parts:
        inner = part.payload if part.parts is None else _write_elements(part.parts)
        out += part.head + b"\x01" + len(inner).to_bytes(7, "big") + inner
    return out


def _read_chunks(data: bytes) -> list[Part]:
    found, at = [], 0
    while at + 8 <= len(data):
        head, size = struct.unpack("<4sI", data[at : at + 8])
        end = min(len(data), at + 8 + size)
        inner = data[at + 8 : end]
        if head in (b"RIFF", b"LIST"):  # the form or the kind of list goes with the name
            found.append(Part(head + inner[:4], b"", _read_chunks(inner[4:])))
        else:
            found.append(Part(head, inner))
        at = end + size % 2
    return found


def _write_chunks(parts: list[Part]) -> bytes:
    out = b""
    for part in parts:
        inner = part.payload if part.parts is None else _write_chunks(part.parts)
        inner = part.head[4:] + inner
        out += struct.pack("<4sI", part.head[:4], len(inner)) + inner + bytes(len(inner) % 2)
    return out


def _read_pages(data: bytes) -> list[Part]:
    starts = list(_starts(data, b"OggS"))
    ends = [*starts[1:], len(data)]
    return [Part(b"OggS", data[a:b]) for a, b in zip(starts, ends, strict=True)]


def _write_pages(parts: list[Part]) -> bytes:
    """Each page has a checksum, without which a demuxer would not look at it."""
    out = b""
    for part in parts:
        page = bytearray(part.payload)
        if len(page) >= 27:
            page[22:26] = bytes(4)
            page[22:26] = struct.pack("<I", _ogg_checksum(page))
        out += bytes(page)
    return out


def _table() -> list[int]:
    rows = []
    for i in range(256):
        value = i << 24
        for _ in range(8):
            value = ((value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        rows.append(value)
    return rows


_TABLE = _table()


def _ogg_checksum(page: bytes | bytearray) -> int:
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _TABLE[(value >> 24) ^ byte]
    return value


def _read_tags(data: bytes) -> list[Part]:
    found, at = [Part(b"FLV", data[:13])], 13
    while at + 11 <= len(data):
        end = min(len(data), at + 15 + int.from_bytes(data[at + 1 : at + 4], "big"))
        found.append(Part(data[at : at + 1], data[at:end]))
        at = end
    return found


def _starts(data: bytes, mark: bytes) -> Iterator[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + len(mark))


def _split_at(mark: bytes) -> Callable[[bytes], list[Part]]:
    """Cut before each mark; what stands before the first one is the header."""

    def read(data: bytes) -> list[Part]:
        edges = [0, *(at for at in _starts(data, mark) if at), len(data)]
        return [Part(b"frame" if a else b"start", data[a:b]) for a, b in pairwise(edges)]

    return read


def _read_packets(data: bytes) -> list[Part]:
    return [Part(b"packet", data[at : at + 188]) for at in range(0, len(data), 188)]


def join(parts: list[Part]) -> bytes:
    return b"".join(part.payload if part.parts is None else join(part.parts) for part in parts)


_MP4 = Container(
    _read_atoms,
    _write_atoms,
    {
        b"mvhd": [(12, 4, ">"), (16, 4, ">"), (20, 4, ">")],
        b"tkhd": [(20, 4, ">"), (40, 4, ">"), (44, 4, ">"), (48, 4, ">"), (76, 4, ">"), (80, 4, ">")],
        b"mdhd": [(12, 4, ">"), (16, 4, ">")],
        b"elst": [(4, 4, ">"), (8, 4, ">"), (12, 4, ">"), (16, 4, ">")],
        b"stsd": [
            (4, 4, ">"),
            (8, 4, ">"),
            (24, 2, ">"),
            (32, 4, ">"),
            (40, 2, ">"),
            (42, 2, ">"),
            (96, 2, ">"),
        ],
        b"stts": [(4, 4, ">"), (8, 4, ">"), (12, 4, ">")],
        b"ctts": [(4, 4, ">"), (8, 4, ">"), (12, 4, ">")],
        b"stsz": [(4, 4, ">"), (8, 4, ">"), (12, 4, ">"), (16, 4, ">")],
        b"stsc": [(4, 4, ">"), (8, 4, ">"), (12, 4, ">"), (16, 4, ">")],
        b"stco": [(4, 4, ">"), (8, 4, ">")],
        b"stss": [(4, 4, ">"), (8, 4, ">")],
    },
)
_EBML = Container(
    _read_elements,
    _write_elements,
    {
        bytes.fromhex(name): [(0, 0, ">")]  # the whole of it
        for name in (
            *("b0", "ba", "54b0", "54ba", "2ad7b1", "4489", "b5", "78b5", "9f", "6264", "23e383"),
            *("e7", "9b", "d7", "83", "56aa", "56bb", "86", "63a2", "7670", "9a"),
        )
    },
)
_RIFF = Container(
    _read_chunks,
    _write_chunks,
    {
        b"fmt ": [(0, 2, "<"), (2, 2, "<"), (4, 4, "<"), (8, 4, "<"), (12, 2, "<"), (14, 2, "<")],
        b"avih": [(0, 4, "<"), (16, 4, "<"), (24, 4, "<"), (32, 4, "<"), (36, 4, "<")],
        b"strh": [(20, 4, "<"), (24, 4, "<"), (28, 4, "<"), (32, 4, "<"), (36, 4, "<"), (44, 4, "<")],
        b"strf": [(0, 4, "<"), (4, 4, "<"), (8, 4, "<"), (14, 2, "<"), (16, 4, "<")],
    },
)
_OGG = Container(
    _read_pages, _write_pages, {b"OggS": [(5, 1, "<"), (6, 8, "<"), (14, 4, "<"), (26, 1, "<")]}
)
_FLV = Container(_read_tags, join, {b"\x08": [(4, 4, ">")], b"\x09": [(4, 4, ">"), (11, 1, ">")]})
_FLAC = Container(
    _split_at(b"\xff\xf8"), join, {b"start": [(8, 2, ">"), (10, 2, ">"), (18, 4, ">"), (21, 4, ">")]}
)
CONTAINERS = {
    **dict.fromkeys(("mp4", "mov", "m4a"), _MP4),
    **dict.fromkeys(("mkv", "webm"), _EBML),
    **dict.fromkeys(("avi", "wav"), _RIFF),
    **dict.fromkeys(("ogg", "opus"), _OGG),
    "flv": _FLV,
    "flac": _FLAC,
    "ts": Container(
        _read_packets, join, {b"packet": [(1, 2, ">"), (4, 2, ">"), (6, 4, ">"), (13, 4, ">")]}
    ),
    "mp3": Container(_split_at(b"\xff\xfb"), join, {b"frame": [(2, 2, ">")], b"start": [(2, 2, ">")]}),
}
