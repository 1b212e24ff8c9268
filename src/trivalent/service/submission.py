"""From an upload to a job, and how a job is shown."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from trivalent.core.errors import NotFoundError, QueueFullError, QuotaError
from trivalent.media.kinds import Kind
from trivalent.service.authentication import still_valid
from trivalent.service.bodies import checked, form_value, parse
from trivalent.service.catalogue import Version
from trivalent.service.context import Service
from trivalent.service.problems import ProblemError, Problems, invalid, wait
from trivalent.service.schemas import FormFields, JobOut, MediaOptions, TextRequest
from trivalent.service.uploads import TEXT_FIELDS, Upload, received, sniffed_kind
from trivalent.speech.weights import is_present
from trivalent.store import Job, JobState, Room, User

USUAL_JOB_S = 10.0  # while nothing was measured yet
LONGEST_WAIT_S = 600.0
MEASURED_JOBS = 20


async def submit(request: Request, service: Service, user: User) -> Job:
    """Take an upload and queue it.

    Raises
    ------
    ProblemError
        The queue, the account's share of it or the disk is full, or the form or its file cannot be
        taken.
    """
    await run_in_threadpool(_check_room, service, user)  # before a large file is sent in vain
    limit = service.settings.max_upload_bytes
    async with received(request, service.store.upload_path(), limit=limit) as upload:
        await run_in_threadpool(still_valid, request)
        job = await run_in_threadpool(_submit, service, user, upload)
    service.runner.wake()
    return job


def submit_text(service: Service, user: User, wanted: TextRequest) -> Job:
    """Queue a text that is too long to wait for.

    Raises
    ------
    ProblemError
        The queue, the account's share of it or the disk is full.
    """
    _check_room(service, user)
    upload = Upload(service.store.upload_path(), wanted.name)
    try:
        upload.path.write_text(wanted.text, encoding="utf-8", errors="replace")
        options = wanted.options.model_dump(exclude_none=True) | {"kind": Kind.TEXT}
        job = _enqueue(service, user, upload, options=options, keep_media=False, tags=wanted.tags)
    finally:
        upload.path.unlink(missing_ok=True)
    service.runner.wake()
    return job


def _check_room(service: Service, user: User) -> None:
    service.store.check_storage()
    room = service.store.jobs.room(user)
    if room is Room.OWN_FULL:
        raise _full(
            service, user, Problems.QUOTA, "expected room in your share of the queue, got none; wait"
        )
    if room is Room.FULL:
        most = service.settings.queue_limit
        told = f"expected at most {most} recordings in the queue, which is full; wait"
        raise _full(service, user, Problems.QUEUE_FULL, told)


def _full(service: Service, user: User, problem: Problems, told: str) -> ProblemError:
    """Refuse, and say when a place should be free: after one of the jobs that are under way."""
    seconds = usual_seconds(service, user) / service.settings.workers
    return wait(problem, told, seconds=min(LONGEST_WAIT_S, seconds))


def usual_seconds(service: Service, user: User) -> float:
    """Mean length of the user's last jobs that came to an end; `USUAL_JOB_S` before the first."""
    page = service.store.jobs.list(user, states=(JobState.DONE,), limit=MEASURED_JOBS)
    spent = [(j.finished - j.started).total_seconds() for j in page.jobs if j.finished and j.started]
    return sum(spent) / len(spent) if spent else USUAL_JOB_S


def _submit(service: Service, user: User, upload: Upload) -> Job:
    form = _form(upload)
    options = _options(service, form_value(upload.fields, "options"))
    options["kind"] = sniffed_kind(upload, service.pool, owner=user.id)
    keep = user.keep_media if user.keep_media is not None else service.settings.keep_media
    keep = keep if form.keep_media is None else form.keep_media
    return _enqueue(service, user, upload, options=options, keep_media=keep, tags=form.tags)


def _enqueue(
    service: Service,
    user: User,
    upload: Upload,
    *,
    options: dict[str, Any],
    keep_media: bool,
    tags: list[str],
) -> Job:
    try:
        return service.store.jobs.submit(
            user,
            upload.name,
            upload.path,
            options=options,
            origin="api",
            keep_media=keep_media,
            tags=tags,
        )
    except QueueFullError as error:
        problem = Problems.QUOTA if isinstance(error, QuotaError) else Problems.QUEUE_FULL
        raise _full(service, user, problem, str(error)) from error


def _form(upload: Upload) -> FormFields:
    fields = upload.fields
    if unknown := sorted(set(fields) - TEXT_FIELDS):
        raise invalid([{"loc": ("form", name[:50]), "msg": "unknown field"} for name in unknown[:5]])
    given = {"name": form_value(fields, "name"), "keep_media": form_value(fields, "keep_media")}
    form = checked(
        {k: v for k, v in given.items() if v is not None} | {"tags": fields.get("tags", [])}, FormFields
    )
    if form.name is not None:
        upload.name = form.name
    return form


def _options(service: Service, text: str | None) -> dict[str, Any]:
    """Check the options; only what was asked for is stored, the rest is the server's to choose."""
    options = MediaOptions() if text is None else parse(text, MediaOptions, where="form.options")
    chosen_model(service, options.model, where="form.options.model")
    if options.model == service.catalogue.default_name:
        options.model = None
    if options.whisper is not None and not is_present(options.whisper):
        raise ProblemError(
            Problems.INVALID, f"expected a recogniser that this server has, got {options.whisper!r}"
        )
    return options.model_dump(mode="json", exclude_none=True)


def chosen_model(service: Service, name: str | None, *, where: str) -> Version:
    """Find the bundle that a request names.

    Raises
    ------
    ProblemError
        There is none; `where` tells in which part of the request it was named.
    """
    try:
        return service.catalogue.version(name)
    except NotFoundError as error:
        raise invalid([{"loc": (where,), "msg": "not a model of this server; see /v1/models"}]) from error


def job_document(service: Service, job: Job) -> dict[str, Any]:
    """Show a job."""
    position = service.store.jobs.position(job) if job.state is JobState.QUEUED else None
    return JobOut(
        id=job.id,
        name=job.name,
        state=job.state,
        stage=job.stage,
        progress=job.progress,
        position=position,
        created=job.created,
        started=job.started,
        finished=job.finished,
        attempts=job.attempts,
        error=job.error,
        batch=job.batch,
        analysis_id=job.analysis_id,
        analysis=None if job.analysis_id is None else f"/v1/analyses/{job.analysis_id}",
    ).model_dump(mode="json")
