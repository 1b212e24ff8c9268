"""What a file is, judged by its bytes and never by its name; safe opening with FFmpeg."""

from __future__ import annotations

from pathlib import Path

import av
from av.container import InputContainer

from trivalent.core.errors import MediaError
from trivalent.core.messages import Message

# Only demuxers of sound and moving pictures. Playlists (hls, concat, dash, sdp) are left out:
# they would make FFmpeg read other files or hosts that the file names.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,wav,w64,mp3,flac,ogg,aac,ac3,eac3,aiff,au,caf,amr,"
    "asf,mpeg,mpegts,mpegvideo,m4v,h264,hevc,ivf,dv,mxf,nut,wv,ape,tta,rm,dts,live_flv,obu,av1"
)
# Pictures beyond 8K (8192 x 4608) are not decoded: one of 16,383 x 16,383 takes 400 MB and seconds, and
# a film of them fits into a small file.
MAX_PIXELS = 8192 * 4608
_PICTURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"\x00\x00\x01\x00", "icon"),
    (b"8BPS", "Photoshop"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"qoif", "QOI"),
)
_DOCUMENTS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "rar"),
)
# Sizes that stand for one that is not known yet: the greatest of 31 or 32 bits, less a header or a block.
_BLOCK = 2**16
_UNKNOWN_SIZES = (2**31 - _BLOCK, 2**32 - _BLOCK)
_STILL_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"}


def read_head(path: Path, size: int = 4096) -> bytes:
    """Return the first bytes of a file that can be analysed at all.

    Raises
    ------
    MediaError
        No such file, a folder, not readable, or empty.
    """
    if path.is_dir():
        raise MediaError("media.folder", path=path)
    try:
        with path.open("rb") as stream:
            head = stream.read(size)
    except FileNotFoundError as error:
        raise MediaError("media.absent", path=path) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError("media.unreadable", path=path, reason=reason) from error
    if not head:
        raise MediaError("media.empty", path=path)
    return head


def foreign_kind(head: bytes) -> Message | None:
    r"""Name the kind of a file that is no recording; None when it may be one.

    >>> foreign_kind(b"GIF89a..."), foreign_kind(b"Dear all,")
    ('a picture (GIF)', 'a text file')
    >>> foreign_kind(b"RIFF\x24\x7d\x00\x00WAVEfmt ")
    """
    for magic, name in _PICTURES:
        if head.startswith(magic):
            return Message("media.kind_picture", format=name)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Message("media.kind_picture", format="WebP")
    if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        return Message("media.kind_picture", format="HEIF or AVIF")
    for magic, name in _DOCUMENTS:
        if head.startswith(magic):
            return Message(f"media.kind_{name}")
    return Message("media.kind_text") if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and len(head) > 3:
        # An MPEG audio frame may start with ff fe too, but is no valid UTF-16 prose.
        try:
            return head[: len(head) // 2 * 2].decode("utf-16").isprintable()
        except UnicodeDecodeError:
            return False
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head):
        return False
    for cut in range(4):  # the head may end inside a character
        try:
            head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return True
    return False


def open_container(path: Path) -> InputContainer:
    """Open a recording for reading; the caller closes it.

    Raises
    ------
    MediaError
        Not a file, not a recording, or damaged beyond opening.
    """
    kind = foreign_kind(read_head(path))
    if kind is not None:
        raise MediaError("media.foreign", kind=kind, name=path.name)
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
    probing = {"max_pixels": str(MAX_PIXELS)}
    try:
        # Tags of old files are in any encoding; they are not used and must not stop the file.
        return av.open(
            str(path.resolve()), options=probing, container_options=options, metadata_errors="replace"
        )
    except av.error.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise MediaError("media.unknown", name=path.name, reason=reason) from error


def riff_share(path: str | Path) -> float:
    """Return the share (0, 1] of a WAV or AVI file that is there, by the size in its header.

    FFmpeg takes the length of a WAV from the size of the file, so that it announces a file
    that was cut short as whole. 1.0 for any other file and for headers without a size, or with what
    a program that writes to a pipe puts in its place.
    """
    path = Path(path)
    head = read_head(path, 8)
    stated = int.from_bytes(head[4:8], "little") + 8
    unknown = stated == 8 or any(0 <= stated - low < 2 * _BLOCK for low in _UNKNOWN_SIZES)
    if head[:4] != b"RIFF" or unknown:
        return 1.0
    return min(1.0, path.stat().st_size / stated)
