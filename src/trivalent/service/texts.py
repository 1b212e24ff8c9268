"""Small texts are analysed at once, in children whose models stay loaded; larger ones are jobs.

Texts are not joined into batches: on a processor, padding costs more than a batch saves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from trivalent.core.analysis import Analysis
from trivalent.service.catalogue import Version
from trivalent.work.isolated import as_analysis
from trivalent.work.pool import TEXT_S, Pool, text_task

Kept = TypeVar("Kept")


async def analyze_text(
    pool: Pool,
    text: str,
    keep: Callable[[Analysis], Kept],
    *,
    name: str,
    version: Version,
    prior: Sequence[float] | None,
    owner: str,
    request: Request,
) -> Kept:
    """Analyse one small text and keep it.

    Parameters
    ----------
    pool : Pool
    text : str
    keep : callable
        Writes the analysis down, in a thread of the pool: as few writers wait for the database as
        texts are analysed at a time.
    name : str
    version : Version
        Bundle, as the catalogue tells it.
    prior : three floats, optional
        Expected shares of the classes; the bundle's by default.
    owner : str
        Whose turn it takes.
    request : Request
        Its body was read; if the client leaves, the work stops.

    Returns
    -------
    what `keep` returned

    Raises
    ------
    QueueFullError
        Too many texts wait already, or this one waited too long.
    TextError, UsageError
        The text, or the model for a text, cannot be used.
    LimitError
        It took too long or too much memory.
    ClientDisconnect
        Nobody waits for the answer.
    """
    arguments = text_task(text, name, model=version[0], prior=prior)
    call = pool.submit(
        "text", arguments, owner=owner, time_s=TEXT_S, then=lambda answer: keep(as_analysis(answer))
    )
    leaving = asyncio.create_task(_left(request))
    answer = asyncio.wrap_future(call.future)
    try:
        await asyncio.wait({answer, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        return answer.result()
    finally:
        leaving.cancel()
        call.cancel()  # changes nothing once it is done


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
