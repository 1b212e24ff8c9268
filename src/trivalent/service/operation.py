"""Health, readiness, metrics and the page at /docs."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from trivalent.core.errors import StoreError, TrivalentError
from trivalent.service.authentication import TheService, administrator
from trivalent.service.docs_page import docs_page
from trivalent.service.openapi import KEYED, problems
from trivalent.service.schemas import Health, Readiness
from trivalent.store import Room

router = APIRouter(tags=["operation"])
RETRY_S = "5"


@router.get("/healthz", operation_id="getHealth", responses=problems())
async def get_health() -> Health:
    """Tell that the process answers."""
    return Health()


@router.get(
    "/readyz",
    operation_id="getReadiness",
    response_model=Readiness,
    responses={**problems(), 503: {"model": Readiness, "description": "Not ready"}},
)
def get_readiness(service: TheService) -> Response:
    """Tell whether new work is taken: database, disk and workers are well, and the queue has room.

    A full queue is no fault: the service still answers texts and everything else.
    """
    try:
        queue, database = service.store.jobs.room() is not Room.FULL, True
    except TrivalentError:
        queue = database = False
    workers = service.runner.alive and not service.draining.is_set()
    storage = _storage(service)
    well = database and workers and storage
    state = Readiness(
        status=("ready" if queue else "full") if well else "not ready",
        database=database,
        workers=workers,
        storage=storage,
        queue=queue,
    )
    headers = None if well else {"Retry-After": RETRY_S}
    return JSONResponse(state.model_dump(), 200 if well else 503, headers=headers)


def _storage(service: TheService) -> bool:
    try:
        service.store.check_storage()
    except StoreError:
        return False
    return True


@router.get(
    "/metrics",
    operation_id="getMetrics",
    dependencies=[Depends(administrator)],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(*KEYED)},
)
def get_metrics(service: TheService) -> Response:
    """Read figures for Prometheus; with accounts, an administrator's key is needed."""
    return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)


@router.get("/docs", include_in_schema=False)
def get_docs(request: Request) -> HTMLResponse:
    """Show the operations with examples."""
    return HTMLResponse(docs_page(request.app.openapi(), base=str(request.base_url).rstrip("/")))
