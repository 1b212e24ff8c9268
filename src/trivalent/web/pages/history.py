"""The history: find, open, rename, tag, export, compare and delete analyses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from trivalent.core.errors import NotFoundError, TrivalentError
from trivalent.store import History, Page, Query, Record
from trivalent.web import state
from trivalent.web.frame import go
from trivalent.web.i18n import t
from trivalent.web.views.filters import ask
from trivalent.web.views.flash import flash, show_flash
from trivalent.web.views.notices import empty, plain, show_error
from trivalent.web.views.records import details, download, every, open_record, verdict_line
from trivalent.web.views.result import show_result

PAGE_SIZE = 20
_NAMED = 5  # names shown before a deletion
_PICK = "pick-"


def show() -> None:
    """Make the page: one analysis in full where the address names it, else the list."""
    history = state.history()
    if which := st.query_params.get("record"):
        _one(history, which)
        return
    st.title(t("common.page_history"))
    show_flash()
    if not history.search(Query(limit=1)).total:
        empty("history", t("history.empty_title"), t("history.empty"))
        if st.button(t("history.empty_button"), type="primary"):
            go("analyze")
        return
    query = ask(history)
    page = _page(history, query)
    _actions(history, page, query)
    if not page.records:
        empty("search_off", t("history.nothing_title"), t("history.nothing"))
        return
    for record in page.records:
        _row(record)
    _paging(page)


def _one(history: History, which: str) -> None:
    st.button(
        t("history.back"), icon=":material/arrow_back:", type="tertiary", on_click=st.query_params.clear
    )
    try:
        record = history.get(which)
    except NotFoundError as error:
        show_error(error)
        return
    show_result(record)


def _page(history: History, query: Query) -> Page:
    """Fetch the page that was turned to; another query begins at its first page."""
    if st.session_state.get("history-query") != query:
        st.session_state["history-query"], st.session_state["history-cursors"] = query, [None]
    cursors = st.session_state["history-cursors"]
    return history.search(replace(query, limit=PAGE_SIZE, cursor=cursors[-1]))


def _paging(page: Page) -> None:
    cursors = st.session_state["history-cursors"]
    first = (len(cursors) - 1) * PAGE_SIZE + 1
    with st.container(horizontal=True, horizontal_alignment="center", vertical_alignment="center"):
        st.button(
            t("history.previous"),
            icon=":material/chevron_left:",
            disabled=len(cursors) == 1,
            on_click=cursors.pop,
        )
        last = first + len(page.records) - 1
        st.caption(t("history.range", first=first, last=last, count=page.total))
        st.button(
            t("history.next"),
            icon=":material/chevron_right:",
            icon_position="right",
            disabled=page.next_cursor is None,
            on_click=cursors.append,
            args=(page.next_cursor,),
        )


def _row(record: Record) -> None:
    with st.container(border=True, key=f"tv-row-{record.id}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False):
            st.checkbox(
                t("history.pick", name=plain(record.name)),
                key=_PICK + record.id,
                label_visibility="collapsed",
                width="content",
                persist_state="session",
            )
            if st.button(plain(record.name), type="tertiary", key=f"open-{record.id}", width="stretch"):
                open_record(record.id)
            st.html(verdict_line(record), width="content")
        st.html(details(record))


def _picked() -> list[str]:
    found = st.session_state.items()
    return [str(key).removeprefix(_PICK) for key, value in found if str(key).startswith(_PICK) and value]


def _pick(ids: Sequence[str], chosen: bool) -> None:
    for record_id in ids:
        st.session_state[_PICK + record_id] = chosen


def _actions(history: History, page: Page, query: Query) -> None:
    """Show what can be done with the selection; the buttons are always there, so that nothing jumps."""
    records = _known(history, _picked())
    ids = [r.id for r in records]
    with st.container(horizontal=True, vertical_alignment="center", key="tv-actions"):
        words = t("history.picked", count=len(ids)) if ids else t("history.found", count=page.total)
        st.caption(words, width="content")
        if ids:
            st.button(t("history.pick_none"), on_click=_pick, args=(ids, False), type="tertiary")
        else:
            shown = [r.id for r in page.records]
            label = t("history.pick_page")
            st.button(label, on_click=_pick, args=(shown, True), type="tertiary", disabled=not shown)
        st.space("stretch")
        one, two = len(ids) == 1, len(ids) == 2
        if st.button(t("history.rename"), icon=":material/edit:", disabled=not one):
            st.dialog(t("history.rename"))(_rename)(records[0])
        if st.button(t("history.tags"), icon=":material/label:", disabled=not ids):
            st.dialog(t("history.tags"))(_tag)(records)
        if st.button(t("history.compare"), icon=":material/compare_arrows:", disabled=not two):
            st.session_state["compare"] = tuple(ids)
            go("compare")
        label = t("history.export" if ids else "history.export_all")
        wanted = ids or [r.id for r in every(history, query)]
        download(history, wanted, label=label, key="export")
        if st.button(t("history.delete"), icon=":material/delete:", disabled=not ids):
            st.dialog(t("history.delete"))(_delete)(records)


def _known(history: History, ids: Sequence[str]) -> list[Record]:
    """Look the selection up; what was deleted elsewhere falls out of it."""
    found = []
    for record_id in ids:
        try:
            found.append(history.get(record_id))
        except TrivalentError:
            del st.session_state[_PICK + record_id]
    return found


def _rename(record: Record) -> None:
    with st.form("rename", border=False):
        name = st.text_input(t("history.rename_label"), record.name, max_chars=255)
        sent = st.form_submit_button(t("history.save"), type="primary")
    if sent:
        try:
            state.history().rename(record.id, name)
        except TrivalentError as error:
            show_error(error)
            return
        flash(t("history.renamed"))
        st.rerun()


def _tag(records: Sequence[Record]) -> None:
    """Change the tags that all records have in common; the others of each stay."""
    history = state.history()
    common = set.intersection(*(set(r.tags) for r in records))
    with st.form("tags", border=False):
        chosen = st.multiselect(
            t("history.tags_label"),
            sorted({*history.tags(), *common}),
            sorted(common),
            accept_new_options=True,
        )
        sent = st.form_submit_button(t("history.save"), type="primary")
    if sent:
        try:
            for record in records:
                history.set_tags(record.id, (set(record.tags) - common) | set(chosen))
        except TrivalentError as error:
            show_error(error)
            return
        flash(t("history.tagged"))
        st.rerun()


def _delete(records: Sequence[Record]) -> None:
    st.markdown(t("history.delete_ask", count=len(records)))
    names = [f"- {plain(r.name)}" for r in records[:_NAMED]]
    if len(records) > _NAMED:
        names.append(f"- {t('history.more', count=len(records) - _NAMED)}")
    st.markdown("\n".join(names))
    with st.container(horizontal=True):
        if st.button(t("history.delete"), type="primary", key="delete-sure"):
            count = state.history().delete([r.id for r in records])
            _forget([r.id for r in records])
            flash(t("history.deleted", count=count))
            st.rerun()
        if st.button(t("common.cancel"), key="delete-not"):
            st.rerun()


def _forget(ids: Sequence[str]) -> None:
    for record_id in ids:
        st.session_state.pop(_PICK + record_id, None)
