"""One file over HTTP: resumed where it stopped, never a mixture of two versions.

The bytes lie in a part file; beside it a small JSON file remembers which version of the file they
belong to (its address, ETag, date and length), so that a later run asks the server to continue
only that version (RFC 9110, sections 13.1.5 and 14).
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from trivalent.core.errors import DataError, UnreachableError
from trivalent.core.files import write_text_atomic
from trivalent.core.version import __version__

Tell = Callable[[int, int | None], None]

_BLOCK = 1 << 18
_SPARE = 1 << 24  # bytes that a download leaves free
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Patience:
    """How long to wait, and how often to try again.

    Attributes
    ----------
    timeout_s : float
        For the connection, and for each read.
    tries : int
        In a row, without getting further.
    pause_s : float
        Before the second try; doubled for each further one. A server may ask for longer.
    longest_pause_s : float
    """

    timeout_s: float = 30.0
    tries: int = 5
    pause_s: float = 1.0
    longest_pause_s: float = 60.0


@dataclass(frozen=True)
class Placement:
    """Where the body of an answer belongs.

    Attributes
    ----------
    start : int
        First byte.
    end : int, optional
        Byte after the last one; None if the server does not say.
    total : int, optional
        Length of the whole file; None if the server does not say.
    """

    start: int
    end: int | None
    total: int | None


@dataclass(frozen=True)
class _Version:
    """Which version of a file the bytes of a part file belong to."""

    url: str
    etag: str | None = None
    modified: str | None = None
    total: int | None = None

    @property
    def validator(self) -> str | None:
        """What `If-Range` accepts: a strong ETag, else the date."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def other_than(self, new: _Version) -> bool:
        """Whether these are known to be two versions."""
        pairs: list[tuple[object, object]] = [(self.total, new.total)]
        if self.url == new.url:
            pairs += [(self.etag, new.etag), (self.modified, new.modified)]
        return any(a is not None and b is not None and a != b for a, b in pairs)


class _DroppedError(Exception):
    """A try that may be repeated."""

    def __init__(self, reason: str, *, received: int = 0, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.received, self.wait_s = received, wait_s


def download(
    url: str,
    part: Path,
    *,
    size: int | None = None,
    checked: bool = False,
    patience: Patience | None = None,
    tell: Tell = lambda done, total: None,
) -> None:
    """Download into a part file, continuing what it holds already.

    Parameters
    ----------
    url : str
        An http or https address; redirects are followed.
    part : Path
        In an existing folder; only one process may use it at a time.
    size : int, optional
        Known bytes of the file; a server that announces others is refused.
    checked : bool
        The caller compares a checksum afterwards: a part may then be continued from another
        address, or where the server does not say which version it sends.
    patience : Patience, optional
    tell : callable
        Told of the bytes that there are, and of all of them (None if unknown).

    Raises
    ------
    DataError
        The address does not give the file; the message is the bare reason, to be told with others.
    UnreachableError
        There was no answer at all.
    OSError
        The disk is full or cannot be written.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DataError("fetch.download_no_http")
    patience, best, failures = patience or Patience(), 0, 0
    transfer = _Transfer(url, part, size, checked, patience.timeout_s, tell)
    while True:
        try:
            return transfer.attempt()
        except UnreachableError as error:
            if not best:  # the server has been silent from the beginning
                raise
            drop = _DroppedError(str(error))
        except _DroppedError as error:
            drop = error
        if drop.received and _length(part) > best:
            best, failures = _length(part), 0
        else:
            failures += 1
        if failures >= patience.tries:
            raise DataError("fetch.download_no_progress", drop=drop, failures=failures)
        pause = max(patience.pause_s * 2 ** max(0, failures - 1), drop.wait_s)
        time.sleep(min(pause, patience.longest_pause_s))


def discard(part: Path) -> None:
    """Remove a part file and what is remembered of it."""
    part.unlink(missing_ok=True)
    _memory(part).unlink(missing_ok=True)


def placement(
    status: int, *, have: int, content_range: str | None = None, length: int | None = None
) -> Placement | None:
    """Tell where the body of an answer to `Range: bytes=HAVE-` belongs; None if it makes no sense.

    >>> placement(206, have=5, content_range="bytes 5-9/10")
    Placement(start=5, end=10, total=10)
    >>> placement(200, have=5, length=10)  # the server sends all of it
    Placement(start=0, end=10, total=10)
    """
    if status == 200:
        return Placement(0, length, length)
    match = _RANGE.fullmatch((content_range or "").strip())
    if status != 206 or match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if first != have or last < first or (total is not None and last >= total):
        return None
    return Placement(first, last + 1, total)


def require_room(folder: Path, size: int) -> None:
    """Raise `OSError` (no space left) unless the disk of a folder has room for so many bytes more."""
    free = shutil.disk_usage(folder).free
    if size + _SPARE > free:
        needed = (size + _SPARE) / 1e9
        raise OSError(errno.ENOSPC, f"expected {needed:.2f} GB of free disk, got {free / 1e9:.2f} GB")


@dataclass(frozen=True)
class _Transfer:
    """What stays the same over all tries of one address."""

    url: str
    part: Path
    size: int | None
    checked: bool
    timeout_s: float
    tell: Tell

    def attempt(self) -> None:
        """Ask once and write what comes; returns when the part holds the whole file."""
        before = _remembered(self.part)
        have = self._usable(before)
        if have and have in (self.size, before.total if before else None):
            return  # the last run ended between the last byte and its check
        response = self._ask(have, before)
        if response is None:
            return
        with response:
            headers = response.headers
            place = placement(
                response.status,
                have=have,
                content_range=headers["Content-Range"],
                length=_count(headers["Content-Length"]),
            )
            total = place.total if place else None
            new = _Version(self.url, headers["ETag"], headers["Last-Modified"], total)
            if place is None or (place.start and before and before.other_than(new)):
                discard(self.part)
                raise _DroppedError("the server sent another part or version of the file than asked for")
            self._require_size(total)
            require_room(self.part.parent, (total or self.size or 0) - place.start)
            self._receive(response, place, new)

    def _usable(self, before: _Version | None) -> int:
        """Bytes of the part file that may be continued."""
        have = _length(self.part)
        same = before is not None and before.url == self.url and before.validator is not None
        limit = self.size if self.size is not None else before.total if before else None
        return have if (same or self.checked) and (limit is None or have <= limit) else 0

    def _ask(self, have: int, before: _Version | None) -> http.client.HTTPResponse | None:
        """Send the request; None if the server says that nothing is missing."""
        request = urllib.request.Request(self.url, headers={"User-Agent": f"trivalent/{__version__}"})  # noqa: S310
        if have:
            request.add_header("Range", f"bytes={have}-")
            if before and before.url == self.url and before.validator:
                request.add_header("If-Range", before.validator)
        try:
            answer: http.client.HTTPResponse = _opener().open(request, timeout=self.timeout_s)
        except HTTPError as error:
            with error:
                self._refused(error, have, before)
            return None
        except URLError as error:
            if isinstance(error.reason, OSError):  # raised while connecting
                raise UnreachableError(_reason(error.reason, self.timeout_s)) from error
            raise DataError(str(error.reason)) from error  # a redirect to another scheme
        except (http.client.InvalidURL, ValueError) as error:
            raise DataError("fetch.download_address", error=error) from error
        except (OSError, http.client.HTTPException) as error:
            raise _DroppedError(_reason(error, self.timeout_s)) from error
        return answer

    def _require_size(self, total: int | None) -> None:
        if total is not None and self.size is not None and total != self.size:
            raise DataError("fetch.download_other_size", size=self.size, total=total)

    def _refused(self, error: HTTPError, have: int, before: _Version | None) -> None:
        """Raise what an error of HTTP means; return if it says that nothing is missing."""
        if error.code == 416 and have:
            total = (error.headers["Content-Range"] or "").strip().removeprefix("bytes */")
            self._require_size(_count(total))
            if total == str(have) and (before is None or before.total in (None, have)):
                return
            discard(self.part)
            raise _DroppedError("the server has fewer bytes than it announced")
        reason = " ".join(f"HTTP {error.code} {error.reason}".split())[:160]
        if error.code in _TRANSIENT:
            raise _DroppedError(reason, wait_s=_count(error.headers["Retry-After"]) or 0)
        raise DataError(reason)

    def _receive(self, response: http.client.HTTPResponse, place: Placement, version: _Version) -> None:
        """Write the body where it belongs; raises `_DroppedError` if it ends early."""
        goal = place.total if place.total is not None else self.size
        position, failure = place.start, ""
        self.part.touch()
        with self.part.open("r+b") as stream:
            stream.truncate(place.start)
            write_text_atomic(_memory(self.part), json.dumps(asdict(version)))
            stream.seek(place.start)
            while goal is None or position <= goal:
                self.tell(position, goal)
                try:
                    block = response.read1(_BLOCK)
                except (OSError, http.client.HTTPException) as error:
                    failure = _reason(error, self.timeout_s)
                    break
                if not block:
                    break
                stream.write(block)
                position += len(block)
            stream.flush()
            os.fsync(stream.fileno())
        goal = goal if goal is not None else place.end
        if position < goal if goal is not None else failure:
            reason = f"{failure or 'connection dropped'} after {position:,} bytes"
            raise _DroppedError(reason, received=position - place.start)
        if goal is not None and position > goal:
            discard(self.part)
            raise DataError("fetch.download_more", goal=goal)


@cache
def _opener() -> urllib.request.OpenerDirector:
    """Speak http and https and nothing else, also after a redirect."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _memory(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _remembered(part: Path) -> _Version | None:
    try:
        found = _Version(**json.loads(_memory(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # absent, or half of an older form: begin anew
        return None
    return found


def _length(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _count(text: str | None) -> int | None:
    return int(text) if text and text.strip().isascii() and text.strip().isdigit() else None


def _reason(error: BaseException, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"timed out after {timeout_s:g} s"
    if isinstance(error, socket.gaierror):
        return f"DNS failure, {str(error.strerror).lower()}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused ({error.verify_message})"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:160].lower() or type(error).__name__
