"""What every page has around it: language, navigation, the user's name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from trivalent.core.settings import Auth
from trivalent.web import login, state
from trivalent.web.i18n import Language, t
from trivalent.web.pages import ENTRIES, Entry
from trivalent.web.uploads import forget_uploads
from trivalent.web.views.language import language_switch
from trivalent.web.views.notices import plain

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

ICON = Path(__file__).with_name("icon.svg")
LOGO = Path(__file__).with_name("logo.svg")


def prepare() -> None:
    """Set up the page before anything is on it."""
    st.session_state.setdefault("language", _first_language())
    st.set_page_config(page_title=t("common.product"), page_icon=str(ICON), layout="wide")


def _first_language() -> Language:
    """Language of a new session: the address, the cookie, the server's choice, the browser's."""
    wanted = [st.query_params.get("lang"), st.context.cookies.get("trivalent_language")]
    wanted += [state.settings().language, (st.context.locale or "").split("-")[0].lower()]
    known = [code for code in wanted if code in list(Language)]
    return Language(known[0]) if known else Language.ENGLISH


def page_of(name: str) -> StreamlitPage:
    """Page of the navigation, for `st.page_link`."""
    entry = next(e for e in ENTRIES if e.name == name)
    return _page(entry)


def go(name: str) -> None:
    """Switch to another page."""
    st.switch_page(page_of(name))


def _page(entry: Entry) -> StreamlitPage:
    return st.Page(
        entry.show,
        title=t(f"common.page_{entry.name}"),
        icon=entry.icon,
        url_path=entry.name,
        default=entry is ENTRIES[0],
    )


def hide_navigation() -> None:
    """Keep the addresses of the pages, so that a login leads to the one that was asked for."""
    st.navigation([_page(entry) for entry in ENTRIES], position="hidden")


def navigate() -> None:
    """Show the navigation and the page that was chosen."""
    st.logo(str(LOGO), size="large", icon_image=str(ICON))
    allowed = [e for e in ENTRIES if e.allowed(state.settings(), state.user())]
    sections: dict[str, list[StreamlitPage]] = {}
    for entry in allowed:
        sections.setdefault(t(f"common.section_{entry.section}"), []).append(_page(entry))
    chosen = st.navigation(sections)
    if st.session_state.get("shown_page") != chosen.url_path:  # its fields are gone, and what was in them
        forget_uploads(state.session_id())
        st.session_state["shown_page"] = chosen.url_path
    with st.sidebar:
        _below_the_navigation()
    chosen.run()


def _below_the_navigation() -> None:
    with st.container(key="tv-side"):
        if state.settings().auth is not Auth.NONE:
            st.markdown(f":material/person: {plain(state.user().name)}")
            st.button(
                t("login.leave"),
                icon=":material/logout:",
                on_click=login.log_out,
                width="stretch",
                key="log-out",
            )
        language_switch("side")
