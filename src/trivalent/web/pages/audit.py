"""Who did what, when and from where: the audit log, for administrators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import streamlit as st

from trivalent.core.errors import PermissionDeniedError
from trivalent.core.settings import Auth
from trivalent.store import Action, AuditLine, AuditQuery, Role, User
from trivalent.web import state
from trivalent.web.i18n import t
from trivalent.web.views.notices import empty
from trivalent.web.views.when import when

PAGE_SIZE = 50
_DAYS = {"day": 1, "week": 7, "month": 30, "all": None}


def show() -> None:
    """Make the page."""
    st.title(t("common.page_audit"))
    if state.settings().auth is Auth.NONE or state.user().role is not Role.ADMINISTRATOR:
        return  # the navigation does not offer it; this is for those who type the address
    st.markdown(t("account.audit_note", days=state.settings().audit_days))
    users = {user.id: user for user in state.store().accounts.users()}
    query = _ask(users)
    pages: list[int | None] = st.session_state.setdefault("audit-pages", [None])
    audit = state.store().audit
    total = audit.count(query)
    lines = audit.lines(replace(query, before=pages[-1], limit=PAGE_SIZE + 1))
    if not lines:
        empty("policy", t("account.audit_none"), t("account.audit_none_hint"))
        return
    with st.container(horizontal=True, vertical_alignment="center", key="tv-audit-head"):
        st.caption(t("account.audit_count", count=total), width="content")
        st.space("stretch")
        _downloads(query)
    st.dataframe(
        [_row(line, users) for line in lines[:PAGE_SIZE]],
        hide_index=True,
        width="stretch",
        height="content",
    )
    _turn(pages, lines)


def _ask(users: dict[str, User]) -> AuditQuery:
    with st.container(horizontal=True, vertical_alignment="bottom", key="tv-audit-filters"):
        action = st.selectbox(
            t("account.audit_action"),
            [None, *Action],
            format_func=lambda a: t("account.audit_any") if a is None else t(f"account.action_{a}"),
            on_change=_first_page,
            key="audit-action",
        )
        account = st.selectbox(
            t("account.audit_account"),
            [None, *users],
            format_func=lambda i: t("account.audit_any") if i is None else _named(i, users),
            on_change=_first_page,
            key="audit-account",
        )
        days = st.selectbox(
            t("account.audit_since"),
            list(_DAYS),
            index=1,
            format_func=lambda d: t(f"account.audit_{d}"),
            on_change=_first_page,
            key="audit-days",
            width=190,
        )
    limit = _DAYS[days or "all"]
    since = None if limit is None else datetime.now(UTC) - timedelta(days=limit)
    return AuditQuery(action=action, account=account, since=since)


def _first_page() -> None:
    st.session_state["audit-pages"] = [None]


def _turn(pages: list[int | None], lines: list[AuditLine]) -> None:
    with st.container(horizontal=True, key="tv-audit-pages"):
        if st.button(t("account.audit_newer"), disabled=len(pages) == 1, key="audit-newer"):
            pages.pop()
            st.rerun()
        if st.button(t("account.audit_older"), disabled=len(lines) <= PAGE_SIZE, key="audit-older"):
            pages.append(lines[PAGE_SIZE - 1].id)
            st.rerun()


def _row(line: AuditLine, users: dict[str, User]) -> dict[str, str]:
    id_ = line.actor_id or ""
    actor = _named(id_, users) if id_ in users else line.actor_name or id_
    details = ", ".join(f"{name} {value}" for name, value in line.details.items())
    return {
        t("account.audit_when"): when(line.at),
        t("account.audit_action"): t(f"account.action_{line.action}"),
        t("account.audit_who"): actor,
        t("account.audit_subject"): _named(line.subject_id, users) if line.subject_id else "",
        t("account.audit_details"): details,
        t("account.audit_address"): line.address,
        t("account.audit_origin"): line.origin,
    }


def _named(id_: str, users: dict[str, User]) -> str:
    """Name an account, with the start of its id, since names may look alike; anything else is an id."""
    return f"{users[id_].name} ({id_[:6]})" if id_ in users else id_


def _downloads(query: AuditQuery) -> None:
    for kind, mime in (("csv", "text/csv"), ("jsonl", "application/jsonl")):
        st.download_button(
            t(f"account.audit_{kind}"),
            state.still(_file(query, kind, state.user().id)),
            file_name=f"audit.{kind}",
            mime=mime,
            on_click="ignore",
            icon=":material/download:",
            key=f"audit-{kind}",
        )


def _file(query: AuditQuery, kind: str, user_id: str) -> Callable[[], bytes]:
    """Make a file when it is asked for, by somebody who is still an administrator then."""

    def made() -> bytes:
        user = state.store().accounts.get(user_id)
        if not user.active or user.role is not Role.ADMINISTRATOR:
            raise PermissionDeniedError("store.audit_administrator")
        return "".join(state.store().audit.export(query, kind)).encode()

    return made
