"""Texts are analysed at once, in this process: a few threads over models that stay loaded.

Texts are not joined into batches: on a processor, padding costs more than a batch saves.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

from trivalent.analysis import Analysis
from trivalent.analyzer import Analyzer
from trivalent.errors import QueueFullError
from trivalent.service.catalogue import Catalogue, Version
from trivalent.types import Modality

MAX_WAITING = 128  # texts that wait or are worked on; more are refused
MODELS_KEPT = 4
Kept = TypeVar("Kept")


class Texts:
    """Analyses texts with as many threads as there are cores.

    One thread of the pool works on one text with one thread of the model: more texts in a second
    than a model with several threads gives.
    """

    def __init__(self, catalogue: Catalogue, *, waiting: int = MAX_WAITING) -> None:
        self._catalogue = catalogue
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="text")
        self._places = threading.BoundedSemaphore(waiting)
        self._waiting = waiting
        self._loading = threading.Lock()
        self._analyzer = lru_cache(maxsize=MODELS_KEPT)(_load)

    def warm(self) -> None:
        """Load the default model, so that the first text does not wait for it."""
        self._analyze("All is well.", lambda _: None, name="text", version=self._catalogue.version(None))

    async def analyze(
        self, text: str, keep: Callable[[Analysis], Kept], *, name: str, version: Version
    ) -> Kept:
        """Analyse one text and keep it.

        Parameters
        ----------
        text : str
        keep : callable
            Writes the analysis down, in the same thread: as few writers wait for the database as texts
            are analysed at a time.
        name : str
        version : Version
            Bundle, as the catalogue tells it.

        Returns
        -------
        what `keep` returned

        Raises
        ------
        QueueFullError
            Too many texts wait already.
        TextError, UsageError
            The text, or the model for a text, cannot be used.
        """
        if not self._places.acquire(blocking=False):
            raise QueueFullError(f"expected at most {self._waiting} texts at a time, got one more; wait")
        future = self._pool.submit(self._analyze, text, keep, name=name, version=version)
        # also when the client has left: the place is free only when the work is done
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def _analyze(self, text: str, keep: Callable[[Analysis], Kept], *, name: str, version: Version) -> Kept:
        with self._loading:  # two threads must not load the same model
            analyzer = self._analyzer(version)
        return keep(analyzer.analyze_text(text, name=name))

    def close(self) -> None:
        """Finish what is being worked on and drop the rest."""
        self._pool.shutdown(cancel_futures=True)


def _load(version: Version) -> Analyzer:
    analyzer = Analyzer(version[0], modalities=[Modality.TEXT], threads=1)
    analyzer.analyze_text("All is well.")  # the graph is read on first use, which must be by one thread
    return analyzer
