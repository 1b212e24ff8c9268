"""Recordings made to hurt: bombs, absurd headers, thousands of tracks; each is small on disk."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from random import Random

import av
import numpy as np

from media_parts import CONTAINERS, Part
from media_samples import write_format, write_media

FLAC_BLOCK = 65535  # samples of one frame, the most there can be

# Names that a shell, a terminal, a header or a path would take amiss; bytes, as a file system has them.
NAMES: tuple[bytes, ...] = (
    b"two\nlines",
    b"quote\"'`quote",
    b"..",
    b"a..%2e%2e",
    b"caf\xe9 \xff\xfe",
    b"-i",
    b"http:",
    b"concat:a|b",
    b"a%03d*?[x]",
    b"\x1b[31mred",
    b"$(touch ran);",
    b"<img src=x onerror=alert(1)>&amp;",
    b"x" * 200,
    "\u202e4pm".encode(),
)


def wave(samples: np.ndarray, *, rate: int = 16000, channels: int = 1, kind: int = 3) -> bytes:
    """Write a WAV whose header says what it is told; kind 3 is floating point, 1 whole numbers."""
    data, width = samples.tobytes(), samples.dtype.itemsize
    align = channels * width & 0xFFFF
    head = struct.pack("<HHIIHH", kind, channels, rate, rate * align & 0xFFFFFFFF, align, 8 * width)
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _odd_samples(dtype: str) -> bytes:
    samples = np.sin(np.arange(16000) / 6).astype(dtype)
    samples[::7], samples[1::11], samples[2::13], samples[3::17] = np.nan, np.inf, -np.inf, 1e30
    return wave(samples)


def flac_of_silence(blocks: int, *, rate: int = 16000, channels: int = 1) -> bytes:
    """Write some 18 bytes for each 65,535 samples of silence."""
    total = blocks * FLAC_BLOCK
    packed = rate << 44 | (channels - 1) << 41 | 15 << 36 | min(total, (1 << 36) - 1)
    info = struct.pack(">HH", FLAC_BLOCK, FLAC_BLOCK) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    frames = [_flac_frame(i, channels) for i in range(blocks)]
    return b"fLaC\x80" + len(info).to_bytes(3, "big") + info + b"".join(frames)


def _flac_frame(number: int, channels: int) -> bytes:
    # as long as the header lets them be: 16-bit block size, rate and width of the stream
    head = b"\xff\xf8\x70" + bytes([(channels - 1) << 4]) + chr(number).encode("utf-8", "surrogatepass")
    head += struct.pack(">H", FLAC_BLOCK - 1)
    head += bytes([_checksum(head, 8, 0x07)])
    body = head + bytes(3 * channels)  # constant subframes of value 0
    return body + struct.pack(">H", _checksum(body, 16, 0x8005))


def _checksum(data: bytes, bits: int, polynomial: int) -> int:
    value, top, mask = 0, 1 << (bits - 1), (1 << bits) - 1
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & mask
    return value


def png(side: int) -> bytes:
    """Write a black picture of side x side pixels of one bit: 1000 times smaller than in memory."""
    squeeze, row = zlib.compressobj(9), bytes(1 + (side + 7) // 8)
    data = b"".join(squeeze.compress(row) for _ in range(side)) + squeeze.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def film_of_pngs(folder: Path, side: int, *, count: int = 20, suffix: str = "mov") -> bytes:
    """Write huge pictures as a film whose header says 64 x 64."""
    path, picture = folder / f"pngs.{suffix}", png(side)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb24"
        out.start_encoding()
        for i in range(count):
            packet = av.Packet(picture)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 10), True
            packet.pts = packet.dts = i
            out.mux(packet)
    return path.read_bytes()


def big_vp8(folder: Path, side: int = 16383) -> bytes:
    """Write a WebM whose key frames say that they are 16,383 pixels wide and high."""
    data = bytearray(write_format(folder, "webm").read_bytes())
    at = data.find(b"\x9d\x01\x2a")
    while at >= 0:
        data[at + 3 : at + 7] = struct.pack("<HH", side, side)
        at = data.find(b"\x9d\x01\x2a", at + 7)
    return bytes(data)


def _find(parts: list[Part], head: bytes) -> list[Part]:
    found = [part for part in parts if part.head == head]
    for part in parts:
        found += _find(part.parts or [], head)
    return found


def changed(data: bytes, format: str, change: Callable[[list[Part]], None]) -> bytes:
    """Take a clip apart, change its parts, and put it together again."""
    container = CONTAINERS[format]
    parts = container.read(data)
    change(parts)
    return container.write(parts)


def put(head: bytes, at: int, new: bytes) -> Callable[[list[Part]], None]:
    """Return a change that overwrites bytes in every part of a name."""

    def change(parts: list[Part]) -> None:
        for part in _find(parts, head):
            part.payload = part.payload[:at] + new + part.payload[at + len(new) :]

    return change


def all_of(*changes: Callable[[list[Part]], None]) -> Callable[[list[Part]], None]:
    """Return a change that makes several."""

    def change(parts: list[Part]) -> None:
        for one in changes:
            one(parts)

    return change


def copies(head: bytes, count: int) -> Callable[[list[Part]], None]:
    """Return a change that repeats the first part of a name."""

    def change(parts: list[Part]) -> None:
        for part in parts:
            if part.parts is not None:
                own = [p for p in part.parts if p.head == head]
                part.parts += [own[0].copy() for _ in range(count)] if own else []
                change(part.parts)

    return change


def without(head: bytes) -> Callable[[list[Part]], None]:
    """Return a change that removes all parts of a name."""

    def change(parts: list[Part]) -> None:
        parts[:] = [part for part in parts if part.head != head]
        for part in parts:
            change(part.parts or [])

    return change


def whole(payload: bytes, head: bytes) -> Callable[[list[Part]], None]:
    """Return a change that replaces the content of every part of a name."""

    def change(parts: list[Part]) -> None:
        for part in _find(parts, head):
            part.payload = payload

    return change


_HUGE = b"\xff\xff\xff\xff"
_ONE = struct.pack(">I", 1)
_MP4 = {
    "dimensions": all_of(put(b"stsd", 40, b"\xff" * 4), put(b"tkhd", 76, b"\xff" * 8)),
    "durations": all_of(put(b"mvhd", 16, _HUGE), put(b"mdhd", 16, _HUGE), put(b"tkhd", 20, _HUGE)),
    "a-clock-of-one-tick-a-second": all_of(put(b"mvhd", 12, _ONE), put(b"mdhd", 12, _ONE)),
    "a-clock-that-stands": all_of(put(b"mvhd", 12, bytes(4)), put(b"mdhd", 12, bytes(4))),
    "years-between-samples": all_of(put(b"mdhd", 12, _ONE), put(b"stts", 12, b"\x05\xf5\xe1\x00")),
    "no-samples": all_of(
        *(put(h, 4, bytes(4)) for h in (b"stts", b"stsc", b"stco")), put(b"stsz", 8, bytes(4))
    ),
    "eighty-million-samples": all_of(
        put(b"stsz", 4, _ONE + struct.pack(">I", 80_000_000)),
        whole(struct.pack(">IIII", 0, 1, 80_000_000, 1), b"stts"),
        whole(struct.pack(">IIIII", 0, 1, 1, 80_000_000, 1), b"stsc"),
    ),
    "no-index": without(b"stbl"),
    "no-data": without(b"mdat"),
    "five-thousand-tracks": copies(b"trak", 5000),
}
_EBML = {
    "dimensions": all_of(whole(b"\xff\xff", b"\xb0"), whole(b"\xff\xff", b"\xba")),
    "durations": whole(struct.pack(">d", 1e300), b"\x44\x89"),
    "endless": whole(struct.pack(">d", float("nan")), b"\x44\x89"),
    "a-slow-clock": whole(struct.pack(">Q", 1 << 50), b"\x2a\xd7\xb1"),
    "a-clock-that-stands": whole(b"\0", b"\x2a\xd7\xb1"),
    "years-ahead": whole(struct.pack(">Q", 1 << 44), b"\xe7"),
    "a-rate-without-end": whole(struct.pack(">d", float("inf")), b"\xb5"),
    "thousands-of-channels": whole(b"\xff\xff\xff", b"\x9f"),
    "no-clusters": without(b"\x1f\x43\xb6\x75"),
    "five-thousand-tracks": copies(b"\xae", 5000),
}
_AVI = {
    "dimensions": all_of(put(b"avih", 32, b"\xff" * 8), put(b"strf", 4, b"\xff\x7f\0\0\xff\x7f\0\0")),
    "durations": all_of(put(b"strh", 32, _HUGE), put(b"avih", 16, _HUGE)),
    "a-slow-clock": put(b"strh", 20, _HUGE + b"\x01\0\0\0"),
    "a-clock-that-stands": put(b"strh", 20, bytes(8)),
    "no-frames": without(b"00dc"),
    "two-thousand-tracks": copies(b"LISTstrl", 2000),
}


def _ogg_of_many(data: bytes) -> bytes:
    parts = CONTAINERS["ogg"].read(data)
    first = parts[0]
    own = [
        Part(b"OggS", first.payload[:14] + struct.pack("<I", i + 7) + first.payload[18:])
        for i in range(3000)
    ]
    return CONTAINERS["ogg"].write([first, *own, *parts[1:]])


def _squeezed_block(folder: Path) -> bytes:
    """Write a Matroska file whose blocks are said to be zlib, and are: 16 MB of zeros each."""
    encoding = bytes.fromhex("6d808e62408b5034844254810050318100")
    bomb = zlib.compress(bytes(16 * 2**20), 9)

    def change(parts: list[Part]) -> None:
        for part in _find(parts, b"\xae"):
            (part.parts or []).append(Part(encoding[:2], encoding[3:]))
        for part in _find(parts, b"\xa3"):
            part.payload = part.payload[:4] + bomb

    return changed(write_format(folder, "mkv").read_bytes(), "mkv", change)


def _changed_clip(folder: Path, format: str, change: Callable[[list[Part]], None]) -> bytes:
    return changed(write_format(folder, format).read_bytes(), format, change)


def hostile_clips(folder: Path) -> dict[str, Callable[[], bytes]]:
    """Return makers of all hostile recordings by `NAME.suffix`.

    Parameters
    ----------
    folder : Path
        For what PyAV writes on the way.
    """
    clips: dict[str, Callable[[], bytes]] = {
        "nan-samples.wav": lambda: _odd_samples("<f4"),
        "nan-samples-of-64-bits.wav": lambda: _odd_samples("<f8"),
        "one-sample-a-second.wav": lambda: wave(np.zeros(500_000, "<i2"), rate=1, kind=1),
        "no-rate.wav": lambda: wave(np.zeros(16000, "<i2"), rate=0, kind=1),
        "two-hundred-megahertz.wav": lambda: wave(np.zeros(32000, "<i2"), rate=228_737_632, kind=1),
        "four-gigahertz.wav": lambda: wave(np.zeros(16000, "<i2"), rate=0xFFFFFFFF, kind=1),
        "many-channels.wav": lambda: wave(np.zeros(200_000, "<i2"), channels=65535, kind=1),
        "sixty-channels.wav": lambda: wave(np.zeros(60_000, "<i2"), channels=60, kind=1),
        "no-samples.wav": lambda: wave(np.zeros(0, "<i2"), kind=1),
        "days-of-silence.flac": lambda: flac_of_silence(60_000),
        "days-of-silence-in-eight-channels.flac": lambda: flac_of_silence(3_000, rate=1000, channels=8),
        "one-sample-a-second.flac": lambda: flac_of_silence(200, rate=1),
        "no-frames.flac": lambda: flac_of_silence(0),
        "huge-pictures.mov": lambda: film_of_pngs(folder, 30_000),
        "huge-pictures.mp4": lambda: film_of_pngs(folder, 12_000, count=40, suffix="mp4"),
        "huge-pictures.avi": lambda: film_of_pngs(folder, 8_000, count=100, suffix="avi"),
        "huge-key-frames.webm": lambda: big_vp8(folder),
        "squeezed-blocks.mkv": lambda: _squeezed_block(folder),
        "three-thousand-streams.ogg": lambda: _ogg_of_many(write_format(folder, "ogg").read_bytes()),
        "one-megabyte-of-noise.mp3": lambda: b"\xff\xfb\x90\x64" + Random(0).randbytes(2**20),
        "one-megabyte-of-sync.mp3": lambda: b"\xff\xfb\x90\x64" * 2**18,
        "one-megabyte-of-sync.ts": lambda: (b"\x47" + bytes(187)) * (2**20 // 188),
    }
    for format, changes in (("mp4", _MP4), ("mov", _MP4), ("mkv", _EBML), ("webm", _EBML), ("avi", _AVI)):
        for name, change in changes.items():
            clips[f"{name}.{format}"] = partial(_changed_clip, folder, format, change)
    return clips


def write_seeds(folder: Path) -> dict[str, bytes]:
    """Write a whole clip of every format.

    Returns
    -------
    dict of str to bytes
        By suffix.
    """
    seeds = {suffix: write_format(folder, suffix).read_bytes() for suffix in CONTAINERS}
    # the standard .ogg holds Opus, as the .opus does
    flac = write_media(folder / "flac.ogg", video=None, audio="flac", rate=22050, channels=1)
    return seeds | {"ogg": flac.read_bytes()}
