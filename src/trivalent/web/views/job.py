"""A recording on its way: the steps, how far it is, and a way to stop it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from trivalent.analyzer import STAGES
from trivalent.core.errors import TrivalentError
from trivalent.report.renderer import esc
from trivalent.report.wording import capital, clock
from trivalent.store import Job, JobState
from trivalent.web import state
from trivalent.web.i18n import t, translate
from trivalent.web.views.notices import plain, show_error

OVER = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
LOOK_S = 0.7


def steps(job: Job) -> str:
    """Draw the five steps with the present one marked, and a bar for how far that one is."""
    at = STAGES.index(job.stage) if job.stage in STAGES else -1
    if job.state is JobState.DONE:
        at = len(STAGES)
    items = []
    for i, stage in enumerate(STAGES):
        kind = "tv-done" if i < at else "tv-at" if i == at else "tv-ahead"
        current = ' aria-current="step"' if i == at else ""
        share = 1.0 if i < at else job.progress if i == at else 0.0
        items.append(
            f'<li class="{kind}"{current}><span class="tv-step-name">'
            f"{esc(t(f'analyze.stage_{stage}'))}</span>"
            f'<span class="tv-step-bar"><span style="width:{100 * min(max(share, 0.0), 1.0):.0f}%"></span>'
            "</span></li>"
        )
    return f'<ol class="tv-steps">{"".join(items)}</ol>'


def follow(job_id: str, *, leave: Callable[[], None]) -> None:
    """Show a job until it is over; the page around it stays usable.

    Parameters
    ----------
    leave : callable
        Brings the page back to asking.

    Raises
    ------
    NotFoundError
        This user has no such job.
    """
    job = state.store().jobs.get(state.user(), job_id)
    if job.state in OVER:
        return
    _moving(job_id, leave)


@st.fragment(run_every=LOOK_S)
def _moving(job_id: str, leave: Callable[[], None]) -> None:
    try:
        job = state.store().jobs.get(state.user(), job_id)
    except TrivalentError as error:
        show_error(error)
        return
    if job.state in OVER:
        st.rerun(scope="app")
    st.html(card(job))
    with st.container(horizontal=True):
        st.button(
            t("common.cancel"),
            icon=":material/close:",
            key=f"cancel-{job_id}",
            on_click=_cancel,
            args=(job_id,),
        )
        if st.button(t("analyze.meanwhile"), icon=":material/add:", key="new", on_click=leave):
            st.rerun(scope="app")


def card(job: Job) -> str:
    """Name, time and steps of a job that waits or runs."""
    if job.state is JobState.RUNNING:
        since = (datetime.now(UTC) - (job.started or job.created)).total_seconds()
        words = t("analyze.running", time=clock(max(0.0, since)))
    else:
        place = state.store().jobs.position(job)
        words = t("analyze.next") if place <= 1 else t("analyze.waiting", count=place - 1)
    return (
        f'<section class="tv-card tv-job" aria-live="polite"><div class="tv-job-head">'
        f'<h3 dir="auto">{esc(job.name)}</h3><span class="tv-soft">{esc(words)}</span></div>'
        f"{steps(job)}</section>"
    )


def _cancel(job_id: str) -> None:
    state.store().jobs.cancel(state.user(), job_id)


def ended_badly(job: Job) -> None:
    """Say why a job has no result."""
    if job.state is JobState.CANCELLED:
        st.info(t("analyze.cancelled", name=plain(job.name)), icon=":material/cancel:")
    else:
        reason = capital(translate(job.error or ""))
        st.error(
            f"**{t('analyze.failed', name=plain(job.name))}**\n\n{plain(reason)}", icon=":material/error:"
        )
