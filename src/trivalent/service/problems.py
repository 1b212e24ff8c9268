"""Errors as RFC 9457 problem documents, and which of ours becomes which."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from trivalent.core import errors

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its status, what it is called, and what to do about it."""

    status: int
    title: str
    remedy: str


class Problems(Enum):
    """Every problem that the service answers with; the page at /docs explains them."""

    MALFORMED = Kind(400, "The request cannot be read", "Send valid JSON, or a complete form.")
    UNAUTHENTICATED = Kind(401, "A valid API key is needed", "Send Authorization: Bearer tv_...")
    FORBIDDEN = Kind(403, "Not allowed", "Use an account, or an address, that may do this.")
    NOT_FOUND = Kind(404, "Not found", "It does not exist, or belongs to somebody else.")
    METHOD = Kind(405, "Method not allowed", "See the Allow header.")
    SLOW = Kind(408, "The request stalled", "Send it again over a steadier connection.")
    TOO_LARGE = Kind(413, "Too large", "Send less: the detail names the limit.")
    UNSUPPORTED = Kind(415, "Neither a recording nor a text", "Send sound, video or a text.")
    MISDIRECTED = Kind(421, "Wrong host name", "Reach this service as localhost.")
    INVALID = Kind(422, "The request is not valid", "The list under errors says what to change.")
    UNUSABLE = Kind(422, "The input cannot be analysed", "The detail says why, and what to change.")
    RATE_LIMITED = Kind(429, "Too many requests", "Wait for as long as Retry-After says.")
    QUOTA = Kind(429, "Your share is used up", "Wait until a job of yours is done, or cancel one.")
    INTERNAL = Kind(500, "Unexpected error", "Report the instance: it finds the cause in the log.")
    QUEUE_FULL = Kind(503, "The queue is full", "Wait for as long as Retry-After says.")
    UNAVAILABLE = Kind(503, "Not available now", "Wait for as long as Retry-After says.")
    DEADLINE = Kind(504, "It took too long", "Send less at a time, or ask again when there is less to do.")
    STORAGE_FULL = Kind(507, "The disk is full", "The operator has to make room.")

    @property
    def slug(self) -> str:
        """Name in the `type` of the document and anchor in the page at /docs.

        >>> Problems.TOO_LARGE.slug
        'problem-too-large'
        """
        return "problem-" + self.name.lower().replace("_", "-")


class ProblemError(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self,
        problem: Problems,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        items: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.problem, self.detail = problem, detail
        self.headers, self.items = dict(headers or {}), items


def wait(problem: Problems, detail: str, *, seconds: float) -> ProblemError:
    """Make a problem that goes away by waiting."""
    return ProblemError(problem, detail, headers={"Retry-After": str(max(1, -int(-seconds // 1)))})


def instance(request_id: str) -> str:
    """Name one occurrence, as in the log line of the request."""
    return f"urn:uuid:{request_id}"


def response(error: ProblemError, request_id: str) -> JSONResponse:
    """Render one occurrence."""
    kind = error.problem.value
    document: dict[str, Any] = {
        "type": f"/docs#{error.problem.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": error.detail,
        "instance": instance(request_id),
    }
    if error.items:
        document["errors"] = list(error.items)
    return JSONResponse(document, kind.status, headers=error.headers, media_type=MEDIA_TYPE)


_UNAVAILABLE_S = 5.0
# the first that fits; what is absent here is a fault of ours
_OF_ERROR: tuple[tuple[type[errors.TrivalentError], Problems], ...] = (
    (errors.NotFoundError, Problems.NOT_FOUND),
    (errors.QuotaError, Problems.QUOTA),
    (errors.QueueFullError, Problems.QUEUE_FULL),
    (errors.BusyError, Problems.UNAVAILABLE),
    (errors.StorageFullError, Problems.STORAGE_FULL),
    (errors.LockedError, Problems.RATE_LIMITED),
    (errors.AuthenticationError, Problems.UNAUTHENTICATED),
    (errors.PermissionDeniedError, Problems.FORBIDDEN),
    (errors.InputError, Problems.UNUSABLE),
    (errors.UsageError, Problems.UNUSABLE),
    (errors.StoreError, Problems.UNAVAILABLE),
)


def translate(error: errors.TrivalentError) -> ProblemError | None:
    """Turn an error of the library into a problem; None for a fault of ours."""
    for kind, problem in _OF_ERROR:
        if isinstance(error, kind):
            if problem is Problems.UNAUTHENTICATED:
                return ProblemError(problem, str(error), headers={"WWW-Authenticate": "Bearer"})
            if problem.value.status in (429, 503):
                if isinstance(error, errors.RetryLaterError):
                    return wait(problem, str(error), seconds=error.retry_after_s)
                return wait(problem, str(error), seconds=_UNAVAILABLE_S)
            return ProblemError(problem, str(error))
    return None


def install(app: FastAPI) -> None:
    """Have every error of the application answered with a problem document."""

    def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ProblemError)  # noqa: S101 - registered for it alone
        return response(error, request.state.request_id)

    def library(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, errors.TrivalentError)  # noqa: S101 - registered for it alone
        problem = translate(error)
        if problem is None:
            raise error  # answered and logged by the guard
        if problem.problem is Problems.UNAVAILABLE:
            log.error("request %s: %s", request.state.request_id, error)
            problem = wait(Problems.UNAVAILABLE, "the history cannot be reached", seconds=_UNAVAILABLE_S)
        if problem.problem is Problems.STORAGE_FULL:
            log.error("request %s: %s", request.state.request_id, error)
            problem = ProblemError(Problems.STORAGE_FULL, "no room on the server's disk")
        return response(problem, request.state.request_id)

    def validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
        return response(invalid(error.errors()), request.state.request_id)

    def routing(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
        known = {p.value.status: p for p in (Problems.MALFORMED, Problems.NOT_FOUND, Problems.METHOD)}
        problem = known.get(error.status_code, Problems.MALFORMED)
        detail = str(error.detail) if error.detail else HTTPStatus(error.status_code).phrase
        return response(ProblemError(problem, detail, headers=error.headers), request.state.request_id)

    app.add_exception_handler(ProblemError, ours)
    app.add_exception_handler(errors.TrivalentError, library)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, routing)


def invalid(found: Sequence[Any]) -> ProblemError:
    """Tell where a request breaks the schema, without repeating what was sent."""
    items = [
        {"location": ".".join(str(part) for part in e["loc"]) or "body", "message": str(e["msg"])}
        for e in found
    ]
    places = ", ".join(dict.fromkeys(item["location"] for item in items))
    return ProblemError(
        Problems.INVALID, f"expected a request that fits the schema; see {places}", items=items
    )
