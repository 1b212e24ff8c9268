"""/v1/jobs: recordings that wait or are worked on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from trivalent.service.authentication import CurrentUser, TheService
from trivalent.service.openapi import KEYED, link_to, problems
from trivalent.service.problems import Problems
from trivalent.service.schemas import JobOut, JobPage
from trivalent.service.submission import job_document
from trivalent.store import JobState

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_ONE = problems(*KEYED, Problems.NOT_FOUND)


@router.get("", operation_id="listJobs", response_model=JobPage, responses=problems(*KEYED))
def list_jobs(
    service: TheService,
    user: CurrentUser,
    state: Annotated[list[JobState], Query(description="any of these")] = [],  # noqa: B006 - never changed
    batch: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[
        str | None, Query(max_length=1000, description="next_cursor of the last page")
    ] = None,
) -> dict[str, Any]:
    """List your jobs, newest first, a page at a time."""
    page = service.store.jobs.list(user, states=tuple(state), batch=batch, limit=limit, cursor=cursor)
    items = [job_document(service, job) for job in page.jobs]
    return {"items": items, "total": page.total, "next_cursor": page.next_cursor}


@router.get(
    "/{job_id}",
    operation_id="getJob",
    response_model=JobOut,
    responses={
        200: {
            "description": "How far it is",
            "headers": {
                "Location": {"description": "the analysis, when done", "schema": {"type": "string"}}
            },
            "links": link_to("getAnalysis", "analysis_id", source="$response.body#/analysis_id"),
        },
        **_ONE,
    },
)
def get_job(job_id: str, service: TheService, user: CurrentUser) -> Response:
    """Ask how far a job is."""
    document = job_document(service, service.store.jobs.get(user, job_id))
    headers = {"Location": document["analysis"]} if document["analysis"] else None
    return JSONResponse(document, headers=headers)


@router.post("/{job_id}/cancel", operation_id="cancelJob", response_model=JobOut, responses=_ONE)
def cancel_job(job_id: str, service: TheService, user: CurrentUser) -> dict[str, Any]:
    """Cancel a job that waits or runs; one that is over stays as it is."""
    return job_document(service, service.store.jobs.cancel(user, job_id))
