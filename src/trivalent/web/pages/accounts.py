"""The users of this app, for its administrators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import streamlit as st

from trivalent.core.errors import TrivalentError
from trivalent.core.settings import Auth
from trivalent.store import Role, User
from trivalent.store.passwords import name_key
from trivalent.web import acting, state
from trivalent.web.i18n import t
from trivalent.web.views.erased import remember, show_report
from trivalent.web.views.flash import flash, show_flash
from trivalent.web.views.notices import plain, show_error
from trivalent.web.views.when import when


def show() -> None:
    """Make the page."""
    st.title(t("common.page_accounts"))
    show_flash()
    if state.settings().auth is Auth.NONE or state.user().role is not Role.ADMINISTRATOR:
        return  # the navigation does not offer it; this is for those who type the address
    st.markdown(t("account.users_note"))
    show_report()
    users = state.store().accounts.users()
    names = Counter(name_key(user.name) for user in users)
    for user in users:
        _row(user, alike=names[name_key(user.name)] > 1)
    if state.settings().auth is Auth.LOCAL:
        _add()
    else:
        st.caption(t("account.users_oidc"))


def _row(user: User, *, alike: bool) -> None:
    own = user.id == state.user().id
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"tv-user-{user.id}"):
        line = [t("account.since", when=when(user.created))]
        if alike:
            line.append(t("account.id", id=user.id))
        if not user.has_password:
            line.append(t("account.elsewhere"))
        st.markdown(f"**{plain(user.name)}**  \n{plain(' · '.join(line))}", width="stretch")
        if own:
            st.badge(t("account.you"), color="primary")
        st.badge(t(f"account.role_{user.role}"), color="gray")
        if not user.active:
            st.badge(t("account.inactive"), color="orange")
        _buttons(user, own=own)


def _buttons(user: User, *, own: bool) -> None:
    accounts = acting.store().accounts
    raised = user.role is not Role.ADMINISTRATOR
    words = t("account.make_administrator" if raised else "account.make_user")
    if st.button(words, key=f"role-{user.id}", disabled=own):
        role = Role.ADMINISTRATOR if raised else Role.USER
        _change(user, lambda: accounts.set_role(user.id, role))
    words = t("account.deactivate" if user.active else "account.activate")
    if st.button(words, key=f"active-{user.id}", disabled=own):
        _change(user, lambda: accounts.set_active(user.id, not user.active))
    if user.has_password:
        with st.popover(t("account.set_password"), disabled=own, key=f"password-{user.id}"):
            _set_password(user)
    with st.popover(t("account.end_access"), disabled=own, key=f"end-access-{user.id}"):
        st.markdown(t("account.end_access_of", name=f"**{plain(user.name)}**"))
        if st.button(t("account.end_access"), type="primary", key=f"end-access-sure-{user.id}"):
            _change(user, lambda: accounts.end_access(user.id))
    with st.popover(t("account.delete"), icon=":material/delete:", disabled=own, key=f"delete-{user.id}"):
        _delete(user)


def _change(user: User, action: Callable[[], object]) -> None:
    try:
        action()
    except TrivalentError as error:
        show_error(error)
        return
    flash(t("account.changed", name=plain(user.name)))
    st.rerun()


def _set_password(user: User) -> None:
    with st.form(f"set-password-{user.id}", border=False):
        new = st.text_input(t("account.password_new"), type="password", autocomplete="new-password")
        st.caption(t("account.password_note"))
        revoke = st.checkbox(t("account.password_revoke"), key=f"password-revoke-{user.id}")
        sent = st.form_submit_button(t("account.set_password"), type="primary")
    if sent:
        _change(user, lambda: acting.store().accounts.set_password(user.id, new, revoke_keys=revoke))


def _delete(user: User) -> None:
    st.markdown(t("account.delete_ask", name=f"**{plain(user.name)}**"))
    with st.form(f"delete-user-{user.id}", border=False):
        typed = st.text_input(t("account.delete_type"), autocomplete="off")
        sent = st.form_submit_button(t("account.delete"), type="primary")
    if not sent:
        return
    if typed.strip() != user.name:
        st.error(t("account.delete_type"), icon=":material/error:")
        return
    try:
        gone = acting.store().accounts.delete(user.id)
    except TrivalentError as error:
        show_error(error)
        return
    remember(gone, account=plain(user.name))
    st.rerun()


def _add() -> None:
    st.subheader(t("account.add"))
    with st.form("add-user", clear_on_submit=False):
        name = st.text_input(t("account.name"), max_chars=64, autocomplete="off")
        password = st.text_input(t("account.password"), type="password", autocomplete="new-password")
        role = st.selectbox(t("account.role"), list(Role), format_func=lambda r: t(f"account.role_{r}"))
        sent = st.form_submit_button(t("account.add_button"), type="primary")
    if sent:
        try:
            made = acting.store().accounts.create(name, password, role=role or Role.USER)
        except TrivalentError as error:
            show_error(error)
            return
        flash(t("account.added", name=plain(made.name)))
        st.rerun()
