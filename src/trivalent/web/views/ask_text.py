"""The tab for texts."""

from __future__ import annotations

import secrets

import streamlit as st

from trivalent.analyzer import MAX_TEXT_CHARACTERS
from trivalent.core.errors import TrivalentError
from trivalent.media.kinds import Kind
from trivalent.web import state, submission
from trivalent.web.components import component
from trivalent.web.i18n import language, t
from trivalent.web.views.mix import Mix, ask_mix
from trivalent.web.views.notices import show_error
from trivalent.work.isolated import as_analysis
from trivalent.work.pool import SMALL_TEXT, TEXT_S, text_task

NAME_LENGTH = 60
EXAMPLES = ("praise", "complaint", "fact", "torn")

Target = tuple[str, str]


def ask_text() -> Target | None:
    """Take a text; returns the state to which the page should turn."""
    with st.form("text-form", border=False):
        text = st.text_area(
            t("analyze.text_label"), key="text", height=190, placeholder=t("analyze.text_placeholder")
        )
        component("counter")(
            key="counter",
            data={
                "field": "text",
                "template": t("analyze.count"),
                "most": MAX_TEXT_CHARACTERS,
                "language": str(language()),
            },
        )
        pressed = st.form_submit_button(
            t("analyze.start"), type="primary", icon=":material/play_arrow:", key="analyze-text"
        )
    _examples()
    with st.expander(t("analyze.options"), icon=":material/tune:"):
        prior = ask_mix("text")
    if not pressed:
        return None
    try:
        if SMALL_TEXT < len(text) <= MAX_TEXT_CHARACTERS:
            return _as_job(text, prior)
        with st.spinner(t("analyze.reading")):
            return _at_once(text, prior)
    except TrivalentError as error:
        show_error(error)
        return None


def _examples() -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="tv-examples"):
        st.caption(t("analyze.examples"), width="content")
        for name in EXAMPLES:
            st.button(
                t(f"analyze.example_{name}_title"), key=f"example-{name}", on_click=_put, args=(name,)
            )


def _put(name: str) -> None:
    """Fill the field with an example; the model reads English, so examples stay English."""
    st.session_state["text"] = t(f"examples.{name}")


def _at_once(text: str, prior: Mix | None) -> Target:
    name = _name(text)
    wanted = text_task(text, name, model=state.bundle_place(state.chosen_model()), prior=prior)
    analysis = as_analysis(state.ask_child("text", TEXT_S, **wanted))
    record = state.history().add(analysis, name=name)
    return "record", record.id


def _as_job(text: str, prior: Mix | None) -> Target:
    path = state.session_folder() / f"{secrets.token_hex(8)}.txt"
    path.write_text(text, encoding="utf-8")
    job = submission.submit(_name(text), path, submission.Wishes(prior=prior), kind=Kind.TEXT)
    return "job", job.id


def _name(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= NAME_LENGTH else words[: NAME_LENGTH - 1].rstrip(" .,;:!?") + "…"
