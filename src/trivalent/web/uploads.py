"""Uploads into Streamlit's memory: of whom, how many at a time, and how much of them may lie there."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import runtime

from trivalent.core.settings import Settings
from trivalent.web.admission import Visits
from trivalent.web.refusal import RefusedError

if TYPE_CHECKING:
    from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

PATH = "/_stcore/upload_file/"
AT_ONCE, AT_ONCE_OF_ALL = 8, 32  # a browser sends six
FILES = 1000  # of one session
SHARE = 2  # one session may take half of what all may


def memory_mb(settings: Settings) -> float:
    """Megabytes that all uploads may take: what the settings say, but enough for one largest file."""
    return max(settings.upload_memory_mb, SHARE * settings.max_upload_mb)


class Uploads:
    """Takes files of those who are signed in, while there is room.

    Parameters
    ----------
    app : ASGI application
    visits : Visits
        Who is signed in.
    most : int
        Bytes that all files may take in memory, those that are on their way included.
    """

    def __init__(self, app: ASGIApp, visits: Visits, *, most: int) -> None:
        self.app, self.visits, self.most = app, visits, most
        self._coming: Counter[str] = Counter()  # bytes by session
        self._running: Counter[str] = Counter()  # uploads by session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one file, or delete one."""
        session = scope["path"].removeprefix(PATH).partition("/")[0]
        upload = _Upload(self, session, receive, send)
        try:
            await self._check(scope, session)
            if scope["method"] == "PUT":
                await self._take(upload, scope)
            else:
                await self.app(scope, receive, send)
        except RefusedError as error:
            if not upload.answered:
                await error.answer(scope, receive, send)

    async def _check(self, scope: Scope, session: str) -> None:
        if scope["method"] not in ("PUT", "DELETE"):
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "expected PUT or DELETE for an upload")
        await self.check(session)
        full = self._running[session] >= AT_ONCE or self._running.total() >= AT_ONCE_OF_ALL
        if full and scope["method"] == "PUT":
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "expected fewer uploads at a time; try again")

    async def check(self, session: str) -> None:
        """Ask the store whether a session is signed in.

        Raises
        ------
        RefusedError
        """
        admission = self.visits.of(session)
        if admission is None or not await run_in_threadpool(admission.holds):
            raise RefusedError(HTTPStatus.FORBIDDEN, "expected an upload of a page that is signed in")

    async def _take(self, upload: _Upload, scope: Scope) -> None:
        self._running[upload.session] += 1
        try:
            declared = Headers(scope=scope).get("content-length", "")
            self.reserve(upload, int(declared) if declared.isdecimal() else 0)
            await self.app(scope, upload.receive, upload.send)
        finally:
            self._running[upload.session] -= 1
            self._coming[upload.session] -= upload.reserved
            for counter in (self._running, self._coming):
                if not counter[upload.session]:
                    del counter[upload.session]

    def reserve(self, upload: _Upload, size: int) -> None:
        """Keep room for an upload of a size.

        Raises
        ------
        RefusedError
            There is none.
        """
        more = size - upload.reserved
        if more <= 0:
            return
        own, everything, files = _held(upload.session)
        if own + self._coming[upload.session] + more > self.most // SHARE or files >= FILES:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "expected fewer or smaller uploads of one page"
            )
        if everything + self._coming.total() + more > self.most:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, "expected room for an upload, found none; try again later"
            )
        self._coming[upload.session] += more
        upload.reserved = size


class _Upload:
    """One file on its way, counted as it comes."""

    def __init__(self, uploads: Uploads, session: str, receive: Receive, send: Send) -> None:
        self.uploads, self.session = uploads, session
        self._receive, self._send = receive, send
        self.reserved = self.came = 0
        self.answered = False

    async def receive(self) -> Message:
        """Pass a part on; with the last one it is asked again who sends it."""
        message = await self._receive()
        if message["type"] == "http.request":
            self.came += len(message.get("body", b""))
            self.uploads.reserve(self, self.came)
            if not message.get("more_body"):
                await self.uploads.check(self.session)
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on."""
        self.answered = True
        await self._send(message)


def _held(session: str) -> tuple[int, int, int]:
    """Bytes of a session and of all, and how many files the session has."""
    by_session = {name: list(files.values()) for name, files in list(_manager().file_storage.items())}
    sizes = {name: sum(len(file.data) for file in files) for name, files in by_session.items()}
    return sizes.get(session, 0), sum(sizes.values()), len(by_session.get(session, ()))


def forget_uploads(session: str) -> None:
    """Free the files of a session: they were taken over, or nobody wants them any more."""
    if runtime.exists():
        _manager().remove_session_files(session)


def _manager() -> MemoryUploadedFileManager:
    return cast("MemoryUploadedFileManager", runtime.get_instance().uploaded_file_mgr)
