"""The switch between the languages of the app."""

from __future__ import annotations

import streamlit as st

from trivalent.web.i18n import LANGUAGE_NAMES, Language, language, t


def language_switch(place: str) -> None:
    """Let the user choose the language; everything follows at once.

    Parameters
    ----------
    place : str
        Tells the switch of one place from that of another: a widget that moves loses its value.
    """
    key = f"language-{place}"
    st.segmented_control(
        t("common.language"),
        list(Language),
        default=language(),
        key=key,
        format_func=LANGUAGE_NAMES.__getitem__,
        label_visibility="collapsed",
        required=True,
        on_change=_speak,
        args=(key,),
    )


def _speak(key: str) -> None:
    st.session_state["language"] = st.session_state[key]
