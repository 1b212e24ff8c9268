"""The user's own page: what is kept, the password, API keys, and deleting everything."""

from __future__ import annotations

import streamlit as st

from trivalent.core.errors import TrivalentError
from trivalent.core.settings import Auth
from trivalent.store import ApiKey, User
from trivalent.web import acting, login, state
from trivalent.web.i18n import t
from trivalent.web.views.erased import remember, show_report
from trivalent.web.views.flash import flash, show_flash
from trivalent.web.views.notices import plain, show_error
from trivalent.web.views.when import when

LONGEST_DAYS = 36_500
_MEDIA = {"usual": None, "keep": True, "drop": False}


def show() -> None:
    """Make the page."""
    st.title(t("common.page_account"))
    show_flash()
    user = state.user()
    with st.container(key="tv-narrow"):
        _who(user)
        _keeping(user)
        if state.settings().auth is not Auth.NONE:
            _keys(user)
        if user.has_password:
            _password(user)
            _access()
        _danger()


def _who(user: User) -> None:
    if state.settings().auth is Auth.NONE:
        st.markdown(t("account.local"))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(t("account.signed_in", name=f"**{plain(user.name)}**"), width="content")
        st.badge(t(f"account.role_{user.role}"), color="gray")
        st.space("stretch")
        st.button(t("account.leave"), icon=":material/logout:", on_click=login.log_out, key="leave")


def _keeping(user: User) -> None:
    """Ask for the user's own choices; None leaves each to the settings."""
    settings = state.settings()
    st.subheader(t("account.keeping"))
    usual = t("account.media_kept" if settings.keep_media else "account.media_dropped")
    words = {
        "usual": t("account.media_default", choice=usual),
        "keep": t("account.media_keep"),
        "drop": t("account.media_drop"),
    }
    media = st.radio(
        t("account.media"),
        list(_MEDIA),
        index=list(_MEDIA.values()).index(user.keep_media),
        format_func=words.__getitem__,
        help=t("account.media_note"),
        key="keep-media",
    )
    days = _retention(user)
    if st.button(t("account.save"), type="primary", key="save-keeping"):
        try:
            acting.store().accounts.set_preferences(user.id, keep_media=_MEDIA[media], retention_days=days)
        except TrivalentError as error:
            show_error(error)
            return
        flash(t("account.saved"))
        st.rerun()


def _retention(user: User) -> int | None:
    usual = state.settings().retention_days
    told = t("account.retention_after", count=usual) if usual else t("account.retention_never")
    words = {"usual": t("account.retention_default", choice=told), "own": t("account.retention_own")}
    choice = st.radio(
        t("account.retention"),
        list(words),
        index=int(user.retention_days is not None),
        format_func=words.__getitem__,
        help=t("account.retention_note"),
        key="retention",
    )
    own = choice == "own"
    # always there, so that choosing moves nothing
    days = st.number_input(
        t("account.days"),
        min_value=1,
        max_value=LONGEST_DAYS,
        value=user.retention_days or usual or 90,
        disabled=not own,
        width=160,
    )
    return int(days) if own else None


def _keys(user: User) -> None:
    accounts = acting.store().accounts
    st.subheader(t("account.keys"))
    st.markdown(t("account.keys_note"))
    if secret := st.session_state.get("new-key"):
        with st.container(border=True):
            st.warning(t("account.key_once"), icon=":material/key:")
            st.code(secret, language=None, wrap_lines=True)
            st.button(t("account.key_done"), on_click=lambda: st.session_state.pop("new-key", None))
    keys = accounts.keys(user)
    if not keys:
        st.caption(t("account.keys_none"))
    for key in keys:
        _key(user, key)
    with st.form("new-key-form", clear_on_submit=True):
        label = st.text_input(t("account.key_label"), max_chars=100)
        highest = accounts.highest_rate(user)
        rate = st.number_input(
            t("account.key_rate", most=highest),
            min_value=1,
            max_value=highest,
            value=min(60, highest),
            width=260,
        )
        sent = st.form_submit_button(t("account.key_create"))
    if sent:
        try:
            _, secret = accounts.create_key(user, label, per_minute=int(rate))
        except TrivalentError as error:
            show_error(error)
            return
        st.session_state["new-key"] = secret
        st.rerun()


def _key(user: User, key: ApiKey) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        line = t("account.key_line", prefix=key.prefix, rate=key.per_minute, created=when(key.created))
        used = t("account.key_used", when=when(key.last_used)) if key.last_used else t("account.key_unused")
        st.markdown(f"**{plain(key.label)}**  \n{plain(line)} · {plain(used)}", width="stretch")
        if key.revoked:
            st.badge(t("account.key_revoked"), color="gray")
            return
        with st.popover(t("account.key_revoke"), key=f"revoke-{key.id}"):
            st.markdown(t("account.key_revoke_ask", label=f"**{plain(key.label)}**"))
            if st.button(t("account.key_revoke"), type="primary", key=f"revoke-sure-{key.id}"):
                acting.store().accounts.revoke_key(user, key.id)
                flash(t("account.key_gone"))
                st.rerun()


def _password(user: User) -> None:
    st.subheader(t("account.password"))
    with st.form("password"):
        old = st.text_input(t("account.password_old"), type="password", autocomplete="current-password")
        new = st.text_input(t("account.password_new"), type="password", autocomplete="new-password")
        again = st.text_input(t("account.password_again"), type="password", autocomplete="new-password")
        st.caption(t("account.password_note"))
        revoke = st.checkbox(t("account.password_revoke"), key="password-revoke")
        sent = st.form_submit_button(t("account.password_change"))
    if not sent:
        return
    if new != again:
        st.error(t("account.password_differs"), icon=":material/error:")
        return
    accounts = acting.store().accounts
    try:
        accounts.verify(user.name, old, address=acting.address())
        accounts.set_password(user.id, new, revoke_keys=revoke)  # ends every session, this one, too
    except TrivalentError as error:
        show_error(error)
        return
    login.enter(user)
    flash(t("account.password_changed"))
    st.rerun()


def _access() -> None:
    st.subheader(t("account.access"))
    st.markdown(t("account.access_note"))
    with st.popover(t("account.end_access"), icon=":material/lock_reset:", key="end-access"):
        st.markdown(t("account.end_access_ask"))
        st.button(t("account.end_access"), type="primary", on_click=_end_access, key="end-access-sure")


def _end_access() -> None:
    acting.store().accounts.end_access(state.user().id)
    login.log_out()


def _danger() -> None:
    st.subheader(t("account.danger"))
    show_report()
    with st.form("danger", clear_on_submit=True):
        st.markdown(t("account.danger_note"))
        word = t("account.danger_word")
        typed = st.text_input(t("account.danger_type", word=word), autocomplete="off")
        sent = st.form_submit_button(t("account.danger_button"), icon=":material/delete_forever:")
    if sent and typed.strip().casefold() == word.casefold():
        history = acting.store().history(state.user())
        try:
            # first: afterwards nobody knows whose they were
            state.services().frames.forget(history.has)
            gone = history.delete_everything()
        except TrivalentError as error:
            show_error(error)
            return
        remember(gone, copies=_forget_copies())
        st.rerun()
    elif sent:
        st.error(t("account.danger_type", word=word), icon=":material/error:")


def _forget_copies() -> int:
    """Delete the recordings that this page kept to play them; return how many."""
    copies = [path for path in state.session_folder().rglob("*") if path.is_file()]
    for path in copies:
        path.unlink(missing_ok=True)
    return len(copies)
