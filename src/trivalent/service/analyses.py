"""/v1/analyses: texts at once, recordings as jobs, and what came of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from trivalent.core.analysis import KINDS, Analysis
from trivalent.core.errors import BundleError, NotFoundError, QueueFullError
from trivalent.report.writers import to_html
from trivalent.service.authentication import CurrentUser, OwnHistory, TheService
from trivalent.service.bodies import read_json
from trivalent.service.documents import Label
from trivalent.service.openapi import KEYED, TEXT_OR_FILE, json_body, link_to, problems
from trivalent.service.problems import ProblemError, Problems, wait
from trivalent.service.schemas import (
    AnalysisOut,
    Change,
    JobOut,
    RecordOut,
    RecordPage,
    TextRequest,
)
from trivalent.service.submission import chosen_model, job_document, submit, submit_text
from trivalent.service.texts import analyze_text
from trivalent.store import Job, Order, Record
from trivalent.store import Query as HistoryQuery
from trivalent.store.mapping import TAG_LIMIT
from trivalent.work.pool import SMALL_TEXT

router = APIRouter(prefix="/v1/analyses", tags=["analyses"])
TEXT_WAIT_S = 1.0
_ONE = problems(*KEYED, Problems.NOT_FOUND)
_MADE = problems(
    *KEYED,
    Problems.SLOW,
    Problems.TOO_LARGE,
    Problems.UNSUPPORTED,
    Problems.UNUSABLE,
    Problems.QUOTA,
    Problems.QUEUE_FULL,
    Problems.STORAGE_FULL,
)


@router.post(
    "",
    operation_id="createAnalysis",
    status_code=201,
    response_model=AnalysisOut,
    openapi_extra=TEXT_OR_FILE,
    responses={
        201: {
            "description": "The text was analysed",
            "headers": {"Location": {"schema": {"type": "string"}}},
            "links": link_to("getAnalysis", "analysis_id", source="$response.body#/id"),
        },
        202: {
            "description": "The recording, or the long text, waits",
            "model": JobOut,
            "headers": {"Location": {"schema": {"type": "string"}}},
            "links": link_to("getJob", "job_id", source="$response.body#/id"),
        },
        **_MADE,
    },
)
async def create_analysis(request: Request, service: TheService, user: CurrentUser) -> Response:
    """Analyse a text (JSON), a long one as a job, or queue a file (multipart form)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _queued(service, await submit(request, service, user))
    if kind != "application/json":
        raise ProblemError(
            Problems.UNSUPPORTED, "expected application/json or multipart/form-data as Content-Type"
        )
    wanted = await read_json(request, TextRequest)
    version = chosen_model(service, wanted.options.model, where="body.options.model")
    if len(wanted.text) > SMALL_TEXT:
        return await _queued(service, await run_in_threadpool(submit_text, service, user, wanted))
    history = service.store.history(user)

    def keep(analysis: Analysis) -> dict[str, Any]:
        record = history.add(analysis, name=wanted.name, tags=wanted.tags, origin="api")
        return _document(record, analysis)

    try:
        document = await analyze_text(
            service.pool,
            wanted.text,
            keep,
            name=wanted.name,
            version=version,
            prior=wanted.options.prior,
            owner=user.id,
            request=request,
        )
    except QueueFullError as error:
        raise wait(Problems.QUEUE_FULL, str(error), seconds=TEXT_WAIT_S) from error
    return _created(document, 201, f"/v1/analyses/{document['id']}")


async def _queued(service: TheService, job: Job) -> JSONResponse:
    document = await run_in_threadpool(job_document, service, job)
    return _created(document, 202, f"/v1/jobs/{job.id}")


def _created(document: dict[str, Any], status: int, location: str) -> JSONResponse:
    return JSONResponse(document, status, headers={"Location": location})


def _document(record: Record, analysis: Analysis) -> dict[str, Any]:
    return {
        "id": record.id,
        "created": record.created.isoformat(),
        "name": record.name,
        "tags": list(record.tags),
        "analysis": analysis.to_dict(),
    }


@router.get("", operation_id="listAnalyses", response_model=RecordPage, responses=problems(*KEYED))
def list_analyses(
    history: OwnHistory,
    text: Annotated[str, Query(max_length=500, description="words in the name or in what was said")] = "",
    label: Annotated[list[Label], Query(description="any of these")] = [],  # noqa: B006 - never changed
    since: datetime | None = None,
    until: datetime | None = None,
    model: Annotated[str | None, Query(max_length=200)] = None,
    tag: Annotated[str | None, Query(max_length=TAG_LIMIT)] = None,
    kind: Annotated[str | None, Query(pattern=f"^({'|'.join(KINDS)})$")] = None,
    origin: Annotated[str | None, Query(pattern="^(app|api|batch)$")] = None,
    batch: Annotated[str | None, Query(max_length=64)] = None,
    abstained: bool | None = None,
    order: Order = Order.NEWEST,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[
        str | None, Query(max_length=1000, description="next_cursor of the last page")
    ] = None,
) -> RecordPage:
    """List your analyses, a page at a time; a time without a zone is taken as UTC."""
    page = history.search(
        HistoryQuery(
            text=text,
            labels=tuple(label),
            since=_in_utc(since),
            until=_in_utc(until),
            model=model,
            tag=tag,
            kind=kind,
            origin=origin,
            batch=batch,
            abstained=abstained,
            order=order,
            limit=limit,
            cursor=cursor,
        )
    )
    items = [RecordOut.model_validate(r) for r in page.records]
    return RecordPage(items=items, total=page.total, next_cursor=page.next_cursor)


def _in_utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is None:
        return moment and moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # the first or last day of the calendar, in another zone
        raise ProblemError(Problems.INVALID, "expected a time between the years 1 and 9999") from error


@router.get("/{analysis_id}", operation_id="getAnalysis", response_model=AnalysisOut, responses=_ONE)
def get_analysis(analysis_id: str, history: OwnHistory) -> Response:
    """Read an analysis in full."""
    return JSONResponse(_document(history.get(analysis_id), history.analysis(analysis_id)))


@router.patch(
    "/{analysis_id}",
    operation_id="changeAnalysis",
    response_model=RecordOut,
    openapi_extra=json_body(Change),
    responses={**_ONE, **problems(*KEYED, Problems.NOT_FOUND, Problems.SLOW, Problems.TOO_LARGE)},
)
async def change_analysis(analysis_id: str, request: Request, history: OwnHistory) -> RecordOut:
    """Give an analysis another name or other tags."""
    change = await read_json(request, Change)
    return await run_in_threadpool(_change, history, analysis_id, change)


def _change(history: OwnHistory, analysis_id: str, change: Change) -> RecordOut:
    if change.name is not None:
        history.rename(analysis_id, change.name)
    if change.tags is not None:
        history.set_tags(analysis_id, change.tags)
    return RecordOut.model_validate(history.get(analysis_id))


@router.delete("/{analysis_id}", operation_id="deleteAnalysis", status_code=204, responses=_ONE)
def delete_analysis(analysis_id: str, history: OwnHistory) -> None:
    """Delete an analysis, with its recording if that was kept."""
    if not history.delete([analysis_id]):
        raise NotFoundError("service.analysis")


@router.get(
    "/{analysis_id}/report",
    operation_id="getReport",
    response_class=HTMLResponse,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}, **_ONE},
)
def get_report(analysis_id: str, history: OwnHistory, service: TheService) -> HTMLResponse:
    """Read an analysis as one self-contained HTML page."""
    analysis = history.analysis(analysis_id)
    return HTMLResponse(to_html([analysis], card=_card(service, analysis)))


def _card(service: TheService, analysis: Analysis) -> dict[str, Any] | None:
    """Card of the very bundle that spoke; None when it is gone or was replaced."""
    try:
        bundle = service.catalogue.bundle(analysis.model.name)
    except (NotFoundError, BundleError):
        return None
    return bundle.card if bundle.sha256 == analysis.model.sha256 else None
