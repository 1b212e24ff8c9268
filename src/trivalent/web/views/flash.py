"""A message that outlives the rerun after an action, and does not move the page."""

from __future__ import annotations

import streamlit as st

_KEY = "flash"


def flash(message: str) -> None:
    """Say something on the next run of the page; Markdown, so user text goes through `plain`."""
    st.session_state[_KEY] = message


def show_flash() -> None:
    """Show what `flash` left."""
    if message := st.session_state.pop(_KEY, None):
        st.toast(message, icon=":material/check:")
