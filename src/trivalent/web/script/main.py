"""The script that Streamlit runs for every session: who is there, in which language, on which page."""

from __future__ import annotations

from trivalent.web import login, state, style
from trivalent.web.frame import hide_navigation, navigate, prepare

prepare()
style.apply(state.settings().max_upload_mb)
admitted = login.admit()
login.keep_cookies()
if admitted:
    navigate()
else:
    hide_navigation()
    login.ask()
