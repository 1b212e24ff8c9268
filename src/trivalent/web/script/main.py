"""The script that Streamlit runs for every session: who is there, in which language, on which page."""

from __future__ import annotations

import streamlit as st

from trivalent.core.errors import AuthenticationError
from trivalent.web import login, state, style
from trivalent.web.frame import hide_navigation, navigate, prepare


def main() -> None:
    """Make the page that this session asked for, or the login."""
    prepare()
    style.apply(state.settings().max_upload_mb)
    admitted = login.admit()
    login.keep_cookies()
    if admitted:
        try:
            navigate()
        except AuthenticationError:  # shut out while the page was made
            login.leave_nothing()
            st.rerun()
    else:
        hide_navigation()
        login.ask()


if __name__ == "__main__":  # so does Streamlit call it; who looks for doctests imports it
    main()
