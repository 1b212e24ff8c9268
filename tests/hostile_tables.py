"""Files whose tables claim far more than they hold."""

from __future__ import annotations

import struct
import zipfile
from io import BytesIO
from pathlib import Path


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _full(kind: bytes, *parts: bytes) -> bytes:
    return _box(kind, bytes(4), *parts)


def write_claiming_mp4(path: Path, samples: int = 80_000_000) -> Path:
    """Write an mp4 of a kilobyte with one track of H.264 that claims `samples` samples of a byte each."""
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    entry = _box(b"avc1", bytes(6), struct.pack(">H", 1), bytes(16), struct.pack(">HH", 64, 64), bytes(50))
    table = _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1), entry),
        _full(b"stts", struct.pack(">III", 1, samples, 2)),
        _full(b"stsc", struct.pack(">IIII", 1, 1, samples, 1)),
        _full(b"stsz", struct.pack(">II", 1, samples)),
        _full(b"stco", struct.pack(">II", 1, 48)),
    )
    reference = _box(b"dinf", _full(b"dref", struct.pack(">I", 1), _box(b"url ", b"\0\0\0\1")))
    media = _box(
        b"mdia",
        _full(b"mdhd", struct.pack(">IIIIHH", 0, 0, 1000, 2 * samples, 0x55C4, 0)),
        _full(b"hdlr", bytes(4), b"vide", bytes(12), b"v\0"),
        _box(b"minf", _full(b"vmhd", bytes(8)), reference, table),
    )
    header = _full(b"tkhd", struct.pack(">IIIII", 0, 0, 1, 0, 2 * samples), bytes(16), matrix, bytes(8))
    movie = _full(
        b"mvhd", struct.pack(">IIIII", 0, 0, 1000, 2 * samples, 0x10000), bytes(12), matrix, bytes(28)
    )
    parts = [
        _box(b"ftyp", b"isom\0\0\2\0isomiso2mp41"),
        _box(b"mdat", bytes(100)),
        _box(b"moov", movie, _box(b"trak", header, media)),
    ]
    path.write_bytes(b"".join(parts))
    return path


def folder_entries_zip(entries: int) -> bytes:
    """Make a zip of nothing but folders: a small file, and a long list of members."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/", b"")
    one = buffer.getvalue()
    local_end = one.index(b"PK\1\2")
    central = one[local_end : one.index(b"PK\5\6")]
    body = central * entries
    count = min(entries, 0xFFFF)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(body), local_end, 0)
    if entries > 0xFFFF:
        where = local_end + len(body)
        end64 = struct.pack(
            "<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, len(body), local_end
        )
        end = end64 + struct.pack("<4sIQI", b"PK\6\7", 0, where, 1) + end
    return one[:local_end] + body + end
