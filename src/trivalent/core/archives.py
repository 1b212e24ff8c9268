"""How large the table of a zip claims to be, told before anybody reads it.

Python reads the whole table into objects of a kilobyte each: a few megabytes of names of folders cost
half a minute and gigabytes.
"""

from __future__ import annotations

import struct
from pathlib import Path

_END, _LOCATOR, _END64 = b"PK\5\6", b"PK\6\7", b"PK\6\6"
_END_BYTES, _LOCATOR_BYTES, _END64_BYTES = 22, 20, 56
_TAIL = _END_BYTES + (1 << 16)  # with the longest comment


def table_bytes(archive: Path) -> int:
    """Return the bytes of a zip's table as its end states them; 0 for what is no zip.

    Where the record of large archives (zip64) states another size, the larger one.
    """
    size = archive.stat().st_size
    with archive.open("rb") as stream:
        stream.seek(max(0, size - _TAIL - _LOCATOR_BYTES - _END64_BYTES))
        tail = stream.read()
    stated = 0
    at = tail.find(_END)
    while at >= 0:  # whichever of these a reader takes for the end
        if at + _END_BYTES <= len(tail):
            stated = max(stated, _plain(tail, at), _large(tail, at - _LOCATOR_BYTES))
        at = tail.find(_END, at + 1)
    return stated


def _plain(tail: bytes, at: int) -> int:
    found: int = struct.unpack_from("<I", tail, at + 12)[0]
    return 0 if found == 0xFFFFFFFF else found


def _large(tail: bytes, locator: int) -> int:
    at = locator - _END64_BYTES
    if at < 0 or not tail.startswith(_LOCATOR, locator) or not tail.startswith(_END64, at):
        return 0
    found: int = struct.unpack_from("<Q", tail, at + 40)[0]
    return found
