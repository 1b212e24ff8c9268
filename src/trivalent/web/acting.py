"""The store as the current user uses it: the audit log tells who did what, and from where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from trivalent.web import state

if TYPE_CHECKING:
    from trivalent.store import Store


def store() -> Store:
    """Store whose changes the audit log ascribes to the user of this page."""
    return state.store().by(state.user(), address())


def address() -> str:
    """Where the browser of this page is; Streamlit knows none where that is this computer."""
    return str(st.context.ip_address or "127.0.0.1")
