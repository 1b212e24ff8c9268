"""A batch on its way: how far, what runs, and buttons to stop, resume and give up."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from trivalent.report.renderer import esc
from trivalent.store import BatchSummary, Job, JobState
from trivalent.web import state
from trivalent.web.i18n import t
from trivalent.web.views.job import OVER, STAGES

LOOK_S = 1.0
SHOWN = 100
_OPEN = (JobState.RUNNING, JobState.QUEUED, JobState.PAUSED)


def all_jobs(batch: str, states: Sequence[JobState] = ()) -> list[Job]:
    """Fetch the jobs of a batch of the current user, in the order in which they were submitted."""
    found: list[Job] = []
    cursor = None
    while True:
        page = state.store().jobs.list(state.user(), batch=batch, states=states, limit=500, cursor=cursor)
        found += page.jobs
        cursor = page.next_cursor
        if cursor is None:
            return found[::-1]


def progress(batch: BatchSummary) -> None:
    """Show how far a batch is; it looks again while something runs."""
    active = any(batch.counts.get(s) for s in (JobState.RUNNING, JobState.QUEUED))
    over = sum(batch.counts.get(s, 0) for s in OVER)
    # a fragment keeps its rhythm, so there is one for each
    (_moving if active else _still)(batch.id, over)


@st.fragment(run_every=LOOK_S)
def _moving(batch: str, over: int) -> None:
    _content(batch, over)


@st.fragment
def _still(batch: str, over: int) -> None:
    _content(batch, over)


def _content(batch: str, over: int) -> None:
    jobs = all_jobs(batch)
    if sum(job.state in OVER for job in jobs) != over:
        st.rerun(scope="app")  # there is a new result
    counts = {s: sum(job.state is s for job in jobs) for s in JobState}
    share = sum(map(_share, jobs)) / max(len(jobs), 1)
    told = [t(f"batch.state_{s}") + f" {n}" for s, n in counts.items() if n]
    st.progress(share, f"{t('batch.progress', over=over, count=len(jobs))} · {' · '.join(told)}")
    if any(counts[s] for s in _OPEN):
        _buttons(batch, counts)
        _list(sorted((j for j in jobs if j.state in _OPEN), key=lambda j: _OPEN.index(j.state)))


def _share(job: Job) -> float:
    if job.state in OVER:
        return 1.0
    if job.state is not JobState.RUNNING or job.stage not in STAGES:
        return 0.0
    return (STAGES.index(job.stage) + min(max(job.progress, 0.0), 1.0)) / len(STAGES)


def _buttons(batch: str, counts: dict[JobState, int]) -> None:
    jobs, user = state.store().jobs, state.user()
    with st.container(horizontal=True):
        if counts[JobState.PAUSED]:
            if st.button(
                t("batch.resume"), icon=":material/play_arrow:", type="primary", key="batch-resume"
            ):
                jobs.resume_batch(user, batch)
                state.runner().wake()
                st.rerun(scope="app")
        elif st.button(
            t("batch.stop"),
            icon=":material/pause:",
            key="batch-stop",
            help=t("batch.stop_help"),
            disabled=not counts[JobState.QUEUED],
        ):
            jobs.pause_batch(user, batch)
            st.rerun(scope="app")
        with st.popover(t("batch.cancel_rest"), icon=":material/close:", key="batch-cancel"):
            st.markdown(t("batch.cancel_ask"))
            if st.button(t("batch.cancel_rest"), type="primary", key="batch-cancel-sure"):
                for job in all_jobs(batch, _OPEN):
                    jobs.cancel(user, job.id)
                st.rerun(scope="app")


def _list(jobs: Sequence[Job]) -> None:
    items = "".join(_line(job) for job in jobs[:SHOWN])
    if len(jobs) > SHOWN:
        items += f"<li>{esc(t('batch.more', count=len(jobs) - SHOWN))}</li>"
    st.html(f'<ul class="tv-jobs">{items}</ul>')


def _line(job: Job) -> str:
    words = t(f"batch.state_{job.state}")
    if job.state is JobState.RUNNING and job.stage in STAGES:
        words = t(f"analyze.stage_{job.stage}")
    return (
        f'<li class="tv-job-{job.state}"><span class="tv-job-name" dir="auto">{esc(job.name)}</span>'
        f'<span class="tv-soft">{esc(words)}</span>'
        f'<span class="tv-rail"><span class="tv-step-fill" style="width:{100 * _share(job):.0f}%"></span>'
        "</span></li>"
    )
