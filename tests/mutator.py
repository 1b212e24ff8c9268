"""Spoil recordings, always in the same way for the same seed.

A clip is taken apart (`media_parts`), changed, and written with the sizes and checksums that belong to
what was changed, so that damage reaches the decoders and is not all caught by the first length. Other
changes go straight into the bytes.
"""

from __future__ import annotations

import struct
from random import Random

from media_parts import CONTAINERS, Container, Part, join

MAX_BYTES = 4 * 2**20  # of a spoiled clip: what grows by copies is cut here


# --- changes of parts


def _siblings(parts: list[Part]) -> list[list[Part]]:
    """All lists of parts in a tree, the outermost first."""
    found = [parts] if parts else []
    for part in parts:
        found += _siblings(part.parts or [])
    return found


def _all(parts: list[Part]) -> list[Part]:
    return [part for row in _siblings(parts) for part in row]


def _remove(parts: list[Part], random: Random) -> None:
    row = random.choice(_siblings(parts))
    del row[random.randrange(len(row))]


def _double(parts: list[Part], random: Random) -> None:
    row = random.choice(_siblings(parts))
    at = random.randrange(len(row))
    size = max(1, len(_write_size(row[at])))
    times = min(random.choice([1, 1, 2, 40, 3000]), max(1, MAX_BYTES // 2 // size))
    row[at:at] = [row[at].copy() for _ in range(times)]


def _write_size(part: Part) -> bytes:
    return part.payload if part.parts is None else join(part.parts)


def _swap(parts: list[Part], random: Random) -> None:
    row = random.choice(_siblings(parts))
    a, b = random.randrange(len(row)), random.randrange(len(row))
    row[a], row[b] = row[b], row[a]


def _move(parts: list[Part], random: Random) -> None:
    rows = _siblings(parts)
    source, target = random.choice(rows), random.choice(rows)
    part = source.pop(random.randrange(len(source))).copy()
    target.insert(random.randint(0, len(target)), part)


def _rename(parts: list[Part], random: Random) -> None:
    known = _all(parts)
    random.choice(known).head = random.choice(known).head


def _empty(parts: list[Part], random: Random) -> None:
    part = random.choice(_all(parts))
    part.payload, part.parts = b"", None if part.parts is None else []


def _nest(parts: list[Part], random: Random) -> None:
    """Put a part into itself, many times over."""
    inner = [p for p in _all(parts) if p.parts is not None]
    if not inner:
        return _double(parts, random)
    part = random.choice(inner)
    for _ in range(random.choice([2, 20, 300])):
        part.parts = [Part(part.head, b"", part.parts)]
    return None


STRUCTURE = {f.__name__[1:]: f for f in (_remove, _double, _swap, _move, _rename, _empty, _nest)}


def _absurd(width: int, random: Random) -> bytes:
    """Return a number of so many bytes that no honest file holds."""
    bits = 8 * width
    choices = [0, 1, 2, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1, 1 << (bits // 2)]
    if bits >= 16:
        choices += [0xFFFF, 0x7FFF, 16384, 8192]
    if width in (4, 8) and random.random() < 0.2:
        number = random.choice([float("nan"), float("inf"), -float("inf"), 1e30, -1.0, 1e-30])
        return struct.pack(">f" if width == 4 else ">d", number)
    return (random.choice(choices) & ((1 << bits) - 1)).to_bytes(width, "big")


def _number(parts: list[Part], random: Random, container: Container) -> None:
    """Put an absurd number where a size, rate, duration or count is told."""
    known = [(p, place) for p in _all(parts) for place in container.numbers.get(p.head, ())]
    if not known:
        return
    for part, (at, width, order) in random.sample(known, min(len(known), random.choice([1, 1, 2, 4]))):
        new = _absurd(width or len(part.payload) or 1, random)
        end = at + (width or len(part.payload))
        part.payload = part.payload[:at] + (new if order == ">" else new[::-1]) + part.payload[end:]


# --- changes of bytes


def _truncate(data: bytes, random: Random) -> bytes:
    return data[: random.choice([random.randrange(len(data)), random.randrange(min(len(data), 2048))])]


def _flip(data: bytes, random: Random) -> bytes:
    out = bytearray(data)
    # headers are small beside what they describe: half of the flips go there
    reach = random.choice([len(data), min(len(data), 1024)])
    for _ in range(random.choice([1, 3, 30, 300])):
        out[random.randrange(reach)] ^= 1 << random.randrange(8)
    return bytes(out)


def _overwrite(data: bytes, random: Random) -> bytes:
    length = random.choice([1, 4, 64, 1024, len(data) // 4])
    at = random.randrange(len(data))
    new = random.choice([bytes(length), b"\xff" * length, random.randbytes(length)])
    return data[:at] + new + data[at + length :]


def _cut_out(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + data[at + random.choice([1, 7, 188, len(data) // 3]) :]


def _insert(data: bytes, random: Random) -> bytes:
    at, first = random.randrange(len(data)), random.randrange(len(data))
    piece = data[first : first + random.choice([1, 8, 500, len(data) // 2])]
    return data[:at] + piece * random.choice([1, 1, 50]) + data[at:]


BYTES = {f.__name__[1:]: f for f in (_truncate, _flip, _overwrite, _cut_out, _insert)}
CHANGES = (*BYTES, *STRUCTURE, "number")


def mutate(data: bytes, format: str, random: Random) -> tuple[bytes, str]:
    """Spoil a clip.

    Parameters
    ----------
    data : bytes
        A whole clip.
    format : str
        One of `CONTAINERS`.
    random : Random
        Its state decides everything.

    Returns
    -------
    data : bytes
    changes : str
        Names of what was done, in order.
    """
    container, done = CONTAINERS[format], []
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        if not data:
            break
        # "number" hits what the decoders believe most, so that it gets more than its share
        name = random.choice([*CHANGES, "number", "number", "number"])
        done.append(name)
        if name in BYTES:
            data = BYTES[name](data, random)[:MAX_BYTES]
            continue
        parts = container.read(data)
        if not parts:
            continue
        if name == "number":
            _number(parts, random, container)
        else:
            STRUCTURE[name](parts, random)
        data = container.write(parts)[:MAX_BYTES]
    return data, "+".join(done)
