"""What a deletion removed, where, and what is left of it: shown until it is put away."""

from __future__ import annotations

import streamlit as st

from trivalent.store import Deleted
from trivalent.web.i18n import t

_KEY = "erased"


def remember(gone: Deleted, *, copies: int = 0, account: str | None = None) -> None:
    """Keep a report for the next run of the page.

    Parameters
    ----------
    copies : int
        Recordings of the open page that were deleted.
    account : str, optional
        Name of an account that was deleted, escaped.
    """
    st.session_state[_KEY] = (gone, copies, account)


def show_report() -> None:
    """Show what `remember` left."""
    if _KEY not in st.session_state:
        return
    gone, copies, account = st.session_state[_KEY]
    with st.container(border=True, key="tv-erased"):
        title = t("account.erased") if account is None else t("account.deleted", name=account)
        st.markdown(f"**{title}**")
        st.markdown("\n".join(f"- {line}" for line in _lines(gone, copies)))
        st.caption(t("account.erased_rest"))
        st.button(
            t("account.erased_away"), on_click=lambda: st.session_state.pop(_KEY, None), key="erased-away"
        )


def _lines(gone: Deleted, copies: int) -> list[str]:
    overwritten = "account.erased_overwritten" if gone.overwritten else "account.erased_later"
    return [
        t("account.erased_rows", analyses=gone.analyses, jobs=gone.jobs),
        t("account.erased_files", media=gone.media, uploads=gone.uploads),
        t("account.erased_copies", copies=copies, temporary=gone.temporary),
        t(overwritten),
    ]
