"""Analyze a text, a file or a recording made in the browser.

The page is in one of three states: asking, following a job, or showing a result. Which one is in the
address too, so that a reload comes back to it.
"""

from __future__ import annotations

import streamlit as st

from trivalent.core.errors import NotFoundError
from trivalent.store import JobState
from trivalent.web import state, submission
from trivalent.web.i18n import t
from trivalent.web.uploads import forget_uploads
from trivalent.web.views import job as jobs
from trivalent.web.views.ask_file import ask_file
from trivalent.web.views.ask_recording import ask_recording
from trivalent.web.views.ask_text import ask_text
from trivalent.web.views.notices import plain
from trivalent.web.views.result import show_result

TABS = {"text": "notes", "file": "upload_file", "record": "mic"}
SHOWN_JOBS = 5


def show() -> None:
    """Make the page."""
    kind, which = _where()
    try:
        if kind == "job":
            _job(which)
        elif kind == "record":
            _record(which)
        else:
            _ask()
    except NotFoundError:  # deleted meanwhile, or never this user's
        _turn("ask")
        st.info(t("analyze.gone"), icon=":material/info:")
        _ask()


def _where() -> tuple[str, str]:
    """State of the page: as the address says, else as this session left it."""
    for kind in ("job", "record"):
        if which := st.query_params.get(kind):
            st.session_state["analyze"] = (kind, which)
    kind, which = st.session_state.get("analyze", ("ask", ""))
    if kind != "ask":
        st.query_params[kind] = which
    return kind, which


def _turn(kind: str, which: str = "") -> None:
    """Bring the page into another state; a callback, or before a rerun."""
    st.session_state["analyze"] = (kind, which)
    st.query_params.clear()


def _ask() -> None:
    st.title(t("common.page_analyze"))
    st.markdown(f"{t('analyze.claim')}")
    _in_progress()
    tabs = st.tabs(
        [f":material/{icon}: {t(f'analyze.tab_{name}')}" for name, icon in TABS.items()], key="tabs"
    )
    for tab, ask in zip(tabs, (ask_text, ask_file, ask_recording), strict=True):
        with tab:
            target = ask()
        if target is not None:
            forget_uploads(state.session_id())  # the job has its own copy
            _turn(*target)
            st.rerun()


def _in_progress() -> None:
    """List what runs, so that leaving it does not lose it."""
    page = state.store().jobs.list(
        state.user(), states=(JobState.QUEUED, JobState.RUNNING), limit=SHOWN_JOBS
    )
    singles = [job for job in page.jobs if job.batch is None]
    for job in singles:
        with st.container(horizontal=True, vertical_alignment="center", key=f"tv-going-{job.id}"):
            st.markdown(f":material/hourglass_top: {plain(job.name)}")
            st.button(
                t("analyze.look"),
                key=f"look-{job.id}",
                type="tertiary",
                on_click=_turn,
                args=("job", job.id),
            )


def _job(job_id: str) -> None:
    st.title(t("common.page_analyze"))
    job = state.store().jobs.get(state.user(), job_id)
    if job.state is JobState.DONE and job.analysis_id is not None:
        submission.finished(job)
        _turn("record", job.analysis_id)
        st.rerun()
    if job.state in jobs.OVER:
        jobs.ended_badly(job)
        _new(t("analyze.again"))
        return
    jobs.follow(job_id, leave=lambda: _turn("ask"))
    st.caption(t("analyze.stays"))


def _record(record_id: str) -> None:
    record = state.history().get(record_id)
    _new(t("analyze.new"))
    show_result(record)


def _new(words: str) -> None:
    st.button(words, icon=":material/add:", key="new", on_click=_turn, args=("ask",))
