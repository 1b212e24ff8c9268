"""Puts the service together."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from trivalent.core.private_folders import TEMPORARY
from trivalent.core.settings import Auth, Settings, is_loopback
from trivalent.core.version import __version__
from trivalent.service import account, analyses, jobs, models, operation, problems
from trivalent.service.catalogue import Catalogue
from trivalent.service.context import Service
from trivalent.service.guard import Guard
from trivalent.service.metrics import Metrics
from trivalent.service.openapi import describe
from trivalent.serving.origin import LOOPBACK_NAMES
from trivalent.store import Store
from trivalent.work.pool import TEXT_S, Pool, text_task
from trivalent.work.runner import JobRunner

STOP_GRACE_S = 10.0
WAITING = 128  # tasks before the pool; with accounts, one may have a quarter


def create_app(store: Store, settings: Settings, *, host: str = "127.0.0.1") -> FastAPI:
    """Make the ASGI application; its lifespan starts and stops the workers.

    Parameters
    ----------
    store : Store
        Stays open: the caller closes it.
    settings : Settings
    host : str
        Address that the server listens on. Without accounts on a loopback address, requests under
        other host names are refused.
    """
    catalogue = Catalogue(settings)
    service = Service(
        store=store,
        settings=settings,
        runner=JobRunner(store, settings),
        catalogue=catalogue,
        pool=Pool(
            os.cpu_count() or 1,
            waiting=WAITING,
            waiting_each=WAITING if settings.auth is Auth.NONE else WAITING // 4,
            temporary=settings.home / TEMPORARY,
        ),
        metrics=Metrics(store),
    )
    app = FastAPI(
        title="Trivalent",
        version=__version__,
        docs_url=None,  # FastAPI's own pages load their scripts from a network
        redoc_url=None,
        lifespan=partial(_lifespan, service),
    )
    app.state.service = service
    accounts = settings.auth is not Auth.NONE
    app.openapi = partial(describe, app, accounts=accounts)  # type: ignore[method-assign]
    problems.install(app)
    for module in (analyses, jobs, models, account, operation):
        app.include_router(module.router)
    names = LOOPBACK_NAMES | {host.strip("[]")} if is_loopback(host) and not accounts else frozenset()
    app.add_middleware(Guard, metrics=service.metrics, local_names=names, accounts=accounts)
    return app


@asynccontextmanager
async def _lifespan(service: Service, _: FastAPI) -> AsyncIterator[None]:
    await run_in_threadpool(_start, service)
    try:
        yield
    finally:
        service.draining.set()
        await run_in_threadpool(_stop, service)


def _start(service: Service) -> None:
    service.runner.start()
    words = text_task("All is well.", "text", model=service.catalogue.version(None)[0])
    for _ in range(service.pool.children):  # the first text does not wait for a model
        service.pool.submit("text", words, owner="", time_s=TEXT_S)


def _stop(service: Service) -> None:
    """End the work: a running job goes back to the queue."""
    service.pool.close()
    service.runner.stop(STOP_GRACE_S)
