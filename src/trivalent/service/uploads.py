"""Uploads: streamed from the socket to a file in the home, measured on the way, never held in memory."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from trivalent.core.errors import StoreError
from trivalent.core.outside import clean_file_name
from trivalent.media.kinds import Kind
from trivalent.media.probe import foreign_kind, read_head
from trivalent.service.bodies import chunks
from trivalent.service.problems import ProblemError, Problems
from trivalent.work.pool import LOOK_S, Pool

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELDS_BYTES = 2_000_000  # all fields but the file: options with a transcript
MAX_PARTS = 50
TEXT_FIELDS = frozenset({"name", "tags", "keep_media", "options"})  # any other may hold a file by mistake


@dataclass
class Upload:
    """A form that has arrived: the file on disk, its shown name, and the other fields."""

    path: Path
    name: str = "recording"
    has_file: bool = False
    fields: dict[str, list[str]] = field(default_factory=dict)


@asynccontextmanager
async def received(request: Request, path: Path, *, limit: int) -> AsyncIterator[Upload]:
    """Stream a multipart form to disk; what is still there at the end is deleted.

    Parameters
    ----------
    request : Request
    path : Path
        Where the file shall lie; nothing is there yet.
    limit : int
        Bytes that the file may have. The rest of a larger one is not read.

    Raises
    ------
    ProblemError
        Too large, malformed, without a file, stalled, or the disk is full.
    """
    upload = Upload(path)
    try:
        try:
            with upload.path.open("xb") as file:
                await _parse(request, _Form(upload, file, limit))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ProblemError(Problems.STORAGE_FULL, "no room on disk for the upload") from error
            raise StoreError("service.upload", reason=error.strerror or error) from error
        if not upload.has_file:
            raise ProblemError(Problems.INVALID, "expected a field `file` with a file, got none")
        yield upload
    finally:
        upload.path.unlink(missing_ok=True)


async def _parse(request: Request, form: _Form) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > form.limit + MAX_FIELDS_BYTES:
        raise form.too_large()  # a larger claim is believed, a smaller one is not
    _, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if not boundary:
        raise ProblemError(Problems.MALFORMED, "expected a boundary in Content-Type, got none")
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for chunk in chunks(request):
            if chunk:
                await run_in_threadpool(parser.write, chunk)  # writes to disk
        parser.finalize()
    except FormParserError as error:
        raise ProblemError(
            Problems.MALFORMED, "expected a multipart form, got one that breaks off or is malformed"
        ) from error
    if not form.ended:
        raise ProblemError(Problems.MALFORMED, "expected the end of the multipart form, got none")


class _Form:
    """Callbacks of the parser: one part is the file, the others are short."""

    def __init__(self, upload: Upload, file: BinaryIO, limit: int) -> None:
        self.upload, self.file, self.limit = upload, file, limit
        self.ended = False
        self.parts = self.file_bytes = self.field_bytes = 0
        self._begin()

    def callbacks(self) -> MultipartCallbacks:
        """Name the callbacks as the parser does."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def too_large(self) -> ProblemError:
        """Say what the limit is."""
        return ProblemError(
            Problems.TOO_LARGE,
            f"expected a file of at most {self.limit / 1e6:g} MB, got a larger one; cut it into parts",
        )

    def _begin(self) -> None:
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._disposition = b""
        self._field = ""
        self._value = bytearray()
        self._is_file = False

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_end(self) -> None:
        self.parts += 1
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = self._field == "file"
        if self.parts > MAX_PARTS:
            raise ProblemError(Problems.MALFORMED, f"expected at most {MAX_PARTS} fields, got more")
        if not self._is_file and b"filename" in options and self._field not in TEXT_FIELDS:
            raise ProblemError(
                Problems.INVALID, f"expected a file in the field `file`, got one in {self._field[:50]!r}"
            )
        if self._is_file and self.upload.has_file:
            raise ProblemError(Problems.INVALID, "expected one file in a request, got several")
        if self._is_file:
            self.upload.has_file = True
            self.upload.name = shown_name(options.get(b"filename", b"").decode("utf-8", "replace"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.file_bytes += end - start
            if self.file_bytes > self.limit:
                raise self.too_large()
            self.file.write(data[start:end])
            return
        self.field_bytes += end - start
        if self.field_bytes > MAX_FIELDS_BYTES:
            raise ProblemError(
                Problems.TOO_LARGE, f"expected at most {MAX_FIELDS_BYTES:,} bytes beside the file, got more"
            )
        self._value.extend(data[start:end])

    def _end(self) -> None:
        if not self._is_file:
            try:
                value = self._value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ProblemError(
                    Problems.MALFORMED, f"expected UTF-8 in the field {self._field!r}, got other bytes"
                ) from error
            self.upload.fields.setdefault(self._field, []).append(value)

    def _finish(self) -> None:
        self.ended = True


def shown_name(given: str) -> str:
    r"""Clean a client's file name for showing; it is never used as a path.

    >>> shown_name("../../etc/passwd"), shown_name("C:\\clips\\a\x00b.mp4"), shown_name("..")
    ('passwd', 'ab.mp4', 'recording')
    """
    return clean_file_name(given, default="recording")


def sniffed_kind(upload: Upload, pool: Pool, *, owner: str) -> Kind:
    """Tell what an upload is, judged by its bytes and never by its name.

    A file that may be a recording is opened in a child process.

    Raises
    ------
    ProblemError
        It is neither.
    """
    if upload.path.stat().st_size == 0:
        raise ProblemError(Problems.UNSUPPORTED, "expected sound, video or a text, got an empty file")
    head = read_head(upload.path)
    foreign = foreign_kind(head)
    if foreign is None and _opens(upload.path, pool, owner=owner):
        return Kind.RECORDING
    if foreign == "a text file" or (foreign is None and _is_prose(head)):
        return Kind.TEXT
    what = foreign or "a file that no decoder can open"
    raise ProblemError(Problems.UNSUPPORTED, f"expected sound, video or a text, got {what}")


def _opens(path: Path, pool: Pool, *, owner: str) -> bool:
    return pool.call("probe", {"path": str(path)}, owner=owner, time_s=LOOK_S)["kind"] is not None


def _is_prose(head: bytes) -> bool:
    """Tell whether it may be a text of an old encoding: bytes, but no control characters."""
    return not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
