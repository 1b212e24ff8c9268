"""Who is there: the one local user, an account of ours, or one of an identity provider."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from trivalent.core.errors import AuthenticationError, BusyError, LockedError
from trivalent.core.settings import Auth
from trivalent.web import acting, state
from trivalent.web.access_tickets import TICKETS, Session
from trivalent.web.admission import VISITS, Admission
from trivalent.web.components import component
from trivalent.web.i18n import t
from trivalent.web.routes import COOKIE, PREFIX
from trivalent.web.sockets import HEADER
from trivalent.web.uploads import forget_uploads
from trivalent.web.views.language import language_switch

if TYPE_CHECKING:
    from trivalent.store import User

SESSION_DAYS = 30.0
TICKET_S = 60.0


def admit() -> bool:
    """Find the user of this session; tells whether somebody is there."""
    admission = _present()
    before: Admission | None = st.session_state.get("admission")
    if before is not None and (admission is None or before.user_id != admission.user_id):
        leave_nothing()  # the session ended elsewhere, or the account was closed
    if admission is None:
        return False
    if state.settings().auth is Auth.OIDC and (before is None or before.user_id != admission.user_id):
        state.store().accounts.let_in(admission.user_id, acting.address())
    st.session_state["admission"] = admission
    if socket := st.context.headers.get(HEADER):  # a page without a browser has none
        VISITS.enter(state.session_id(), socket, admission)
    return True


def _present() -> Admission | None:
    auth = state.settings().auth
    accounts = state.store().accounts
    if auth is Auth.NONE:
        return _admission(accounts.local_user())
    if auth is Auth.OIDC:
        user = _from_provider()
        return None if user is None else _admission(user)
    token = st.session_state.get("token") or remembered()
    user = accounts.session_user(token) if token else None
    if user is None:
        return None
    st.session_state["token"] = token
    return _admission(user, token)


def _admission(user: User, token: str | None = None) -> Admission:
    return Admission(lambda: state.store().accounts, user.id, token)


def remembered() -> str | None:
    """Token that the browser kept from an earlier visit."""
    return st.context.cookies.get(COOKIE)


def _from_provider() -> User | None:
    """Account of whom the identity provider vouches for, by issuer and subject."""
    claims = st.user
    if not claims.get("is_logged_in"):
        return None
    issuer, subject = str(claims.get("iss", "")), str(claims.get("sub", ""))
    name = next((str(claims[k]) for k in ("preferred_username", "email", "name") if claims.get(k)), subject)
    if not issuer or not subject:
        return None
    try:
        return state.store().accounts.external_user(issuer, subject, name)
    except AuthenticationError:  # closed here
        return None


def ask() -> None:
    """Show the login page."""
    _, middle, _ = st.columns([1, 2, 1])
    with middle, st.container(key="tv-login"):
        st.html(
            f'<div class="tv-login-head"><p class="tv-brand">Trivalent</p><p>{t("login.claim")}</p></div>'
        )
        if state.settings().auth is Auth.OIDC:
            _ask_provider()
        else:
            _ask_password()
        language_switch("login")


def _ask_password() -> None:
    with st.form("login"):
        name = st.text_input(t("login.name"), max_chars=200, autocomplete="username")
        password = st.text_input(
            t("login.password"), type="password", max_chars=1000, autocomplete="current-password"
        )
        pressed = st.form_submit_button(t("login.enter"), type="primary", width="stretch")
    if pressed:
        _try(name, password)
    st.caption(t("login.no_account"))


def _try(name: str, password: str) -> None:
    accounts = state.store().accounts
    try:
        user = accounts.verify(name, password, address=acting.address())
    except BusyError as error:
        st.warning(t("login.busy", count=math.ceil(error.retry_after_s)), icon=":material/hourglass_top:")
        return
    except LockedError as error:
        minutes = math.ceil(error.retry_after_s / 60)
        st.error(t("login.locked", count=minutes), icon=":material/lock_clock:")
        return
    except AuthenticationError:
        st.error(t("login.wrong"), icon=":material/error:")
        return
    enter(user)
    st.rerun()


def enter(user: User) -> None:
    """Open a session of an account, here and in the browser."""
    st.session_state["token"] = state.store().accounts.open_session(user, days=SESSION_DAYS)
    st.session_state["new_cookie"] = st.session_state["token"]


def _ask_provider() -> None:
    if st.user.get("is_logged_in"):  # known to the provider, but closed here
        st.error(t("login.closed"), icon=":material/error:")
        st.button(t("login.other"), on_click=st.logout, width="stretch")
    else:
        st.button(t("login.provider"), on_click=st.login, type="primary", width="stretch")


def log_out() -> None:
    """End the session here and in the browser; a callback."""
    if state.settings().auth is Auth.OIDC:
        leave_nothing()
        st.logout()
        return
    token = st.session_state.get("token")
    if token:
        state.store().accounts.close_session(token)
    leave_nothing()
    st.session_state["new_cookie"] = ""


def leave_nothing() -> None:
    """Forget what this session holds of its user, but for the language."""
    if left := st.session_state.get("admission"):
        TICKETS.revoke(left.user_id)
    VISITS.leave(state.session_id())
    forget_uploads(state.session_id())
    for name in list(st.session_state):
        if name != "language":
            del st.session_state[name]
    st.query_params.clear()


def keep_cookies() -> None:
    """Let the browser remember the language and, after a login or a logout, the session."""
    data = {"language": str(st.session_state["language"]), "session": "", "url": f"{PREFIX}/session"}
    if "new_cookie" in st.session_state:
        if (
            "cookie_ticket" not in st.session_state
            or st.session_state["cookie_ticket"][0] != (st.session_state["new_cookie"])
        ):
            right = Session(st.session_state["new_cookie"], SESSION_DAYS)
            name = TICKETS.issue(right, owner="", seconds=TICKET_S)
            st.session_state["cookie_ticket"] = (st.session_state["new_cookie"], name)
        data["session"] = st.session_state["cookie_ticket"][1]
    component("cookies")(key="cookies", data=data)
