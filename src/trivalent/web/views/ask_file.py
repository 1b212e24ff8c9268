"""The tab for files, and the options that recordings share."""

from __future__ import annotations

import streamlit as st

from trivalent.core.errors import TrivalentError
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import Modality
from trivalent.media.kinds import Kind, kind_of
from trivalent.speech.transcripts import SUFFIXES
from trivalent.web import state, submission
from trivalent.web.i18n import t, wording
from trivalent.web.submission import Wishes
from trivalent.web.views.ask_text import Target
from trivalent.web.views.mix import ask_mix
from trivalent.web.views.notices import show_error

RECOGNISERS = (AnalyzerOptions.whisper, "base.en", "base", "small.en", "small")


def ask_file() -> Target | None:
    """Take a file, or the clip of the package; returns the state to which the page should turn."""
    file = st.file_uploader(t("analyze.file_label"), key="file", help=t("analyze.file_help"))
    wishes = ask_wishes("file")
    with st.container(horizontal=True, key="tv-file-buttons"):
        pressed = st.button(
            t("analyze.start"),
            type="primary",
            icon=":material/play_arrow:",
            key="analyze-file",
            disabled=file is None or wishes is None,
        )
        sample = st.button(t("analyze.sample"), icon=":material/movie:", key="analyze-sample")
    try:
        if sample:
            # nobody's recording: kept, so that it still plays after a reload
            job = submission.submit(
                "sample.mp4", state.sample(), Wishes(keep_media=True), kind=Kind.RECORDING
            )
            return "job", job.id
        if pressed and file is not None and wishes is not None:
            kind = kind_of(file.name)
            return "job", submission.submit(file.name, file.getvalue(), wishes, kind=kind).id
    except TrivalentError as error:
        show_error(error)
    return None


def ask_wishes(key: str) -> Wishes | None:
    """Ask how to analyse and whether to keep; nothing while the answer is impossible.

    Parameters
    ----------
    key : str
        Tells the widgets of one tab from those of another.
    """
    keep = st.checkbox(
        t("analyze.keep"), value=usually_kept(), key=f"{key}-keep", help=t("analyze.keep_help")
    )
    judged = _judged()
    with st.expander(t("analyze.options"), icon=":material/tune:"):
        modalities = st.pills(
            t("analyze.modalities"),
            judged,
            selection_mode="multi",
            default=judged,
            format_func=wording().modality,
            key="-".join([key, "modalities", *judged]),  # another model begins with all of its own
        )
        whisper = st.selectbox(
            t("analyze.recogniser"),
            RECOGNISERS,
            format_func=lambda size: t(f"analyze.recogniser_{size.replace('.', '_')}"),
            key=f"{key}-whisper",
            help=t("analyze.recogniser_help"),
        )
        prior = ask_mix(key)
        file = st.file_uploader(
            t("analyze.transcript"),
            type=[suffix.lstrip(".") for suffix in SUFFIXES],
            key=f"{key}-transcript",
            max_upload_size=submission.TRANSCRIPT_MB,
            help=t("analyze.transcript_help"),
        )
    if not modalities:
        st.warning(t("analyze.no_modality"), icon=":material/warning:")
        return None
    chosen = None if len(modalities) == len(judged) else [str(m) for m in judged if m in modalities]
    return Wishes(chosen, whisper, file, keep, prior)


def _judged() -> tuple[Modality, ...]:
    """Channels of the chosen model; of one that cannot be loaded, which the analysis will tell, all."""
    try:
        return state.bundle(state.chosen_model()).modalities
    except TrivalentError:
        return tuple(Modality)


def usually_kept() -> bool:
    """Whether recordings stay unless the user says otherwise here."""
    choice = state.user().keep_media
    return state.settings().keep_media if choice is None else choice
