"""Bodies of requests: read with limits of size and time, checked against a schema."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from trivalent.service.problems import ProblemError, Problems, invalid

MAX_JSON_BYTES = 3_000_000  # the longest text, each of its characters written as an escape
STALL_S = 60.0  # a client that sends nothing for so long is given up
Model = TypeVar("Model", bound=BaseModel)


async def chunks(request: Request) -> AsyncIterator[bytes]:
    """Yield a body as it comes.

    Raises
    ------
    ProblemError
        Nothing came for `STALL_S`.
    """
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(STALL_S):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise ProblemError(
                Problems.SLOW, f"expected more of the body within {STALL_S:g} s, got nothing"
            ) from error
        if chunk is None:
            return
        yield chunk


async def read_json(request: Request, model: type[Model]) -> Model:
    """Read and check a body.

    Raises
    ------
    ProblemError
        Too large, no JSON, or not what the schema says.
    """
    body = bytearray()
    async for chunk in chunks(request):
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise ProblemError(
                Problems.TOO_LARGE, f"expected at most {MAX_JSON_BYTES:,} bytes of JSON, got more"
            )
    return parse(bytes(body), model, where="body")


def parse(text: str | bytes, model: type[Model], *, where: str) -> Model:
    """Check a JSON text.

    Raises
    ------
    ProblemError
        No JSON, or not what the schema says; `where` tells in which part of the request.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        if any(e["type"] == "json_invalid" for e in found):
            raise ProblemError(
                Problems.MALFORMED, f"expected valid JSON in {where}; {found[0]['msg']}"
            ) from error
        raise invalid([{**e, "loc": (where, *e["loc"])} for e in found]) from error


def form_value(fields: Mapping[str, list[str]], name: str) -> str | None:
    """Return the only value of a field of a form, or None.

    Raises
    ------
    ProblemError
        It was given more than once.
    """
    values = fields.get(name, [])
    if len(values) > 1:
        raise ProblemError(
            Problems.INVALID, f"expected the field {name!r} once, got it {len(values)} times"
        )
    return values[0] if values else None


def checked(values: Mapping[str, Any], model: type[Model]) -> Model:
    """Check the fields of a form.

    Raises
    ------
    ProblemError
        They are not what the schema says.
    """
    return parse(json.dumps(values), model, where="form")
