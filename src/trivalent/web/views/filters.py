"""Which analyses to list: a search field, an order, and filters behind a button."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta

import streamlit as st

from trivalent.core.analysis import KINDS
from trivalent.core.types import LABELS
from trivalent.report.wording import GLYPHS
from trivalent.store import History, Order, Query
from trivalent.web.i18n import t, wording
from trivalent.web.views.when import zone

_SURENESS = {"sure": False, "unsure": True}
_FILTERS = tuple(
    f"filter-{name}" for name in ("labels", "sureness", "kind", "model", "tag", "batch", "dates")
)


def ask(history: History) -> Query:
    """Show the controls and read them; what was set stays set while the session lasts."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="tv-filters"):
        text = st.text_input(
            t("history.search"),
            placeholder=t("history.search_hint"),
            icon=":material/search:",
            key="filter-text",
            max_chars=1000,
            persist_state="session",
        )
        order = st.selectbox(
            t("history.order"),
            list(Order),
            format_func=lambda o: t(f"history.order_{o}"),
            key="filter-order",
            width=190,
            persist_state="session",
        )
        count = sum(bool(st.session_state.get(key)) for key in _FILTERS)
        label = t("history.filters_active", count=count) if count else t("history.filters")
        with st.popover(label, icon=":material/filter_list:", key="filter-more"):
            chosen = _filters(history)
    return replace(chosen, text=text, order=order or Order.NEWEST)


def _filters(history: History) -> Query:
    labels = st.pills(
        t("history.label"),
        LABELS,
        selection_mode="multi",
        format_func=lambda label: f"{GLYPHS[label]} {wording().label(label)}",
        key="filter-labels",
        persist_state="session",
    )
    sureness = st.pills(
        t("history.sureness"),
        list(_SURENESS),
        format_func=lambda s: t(f"history.{s}"),
        key="filter-sureness",
        persist_state="session",
    )
    kind = st.pills(
        t("history.kind"),
        KINDS,
        format_func=lambda k: t(f"result.kind_{k}"),
        key="filter-kind",
        persist_state="session",
    )
    model = _choice("model", {name: name for name in history.models()})
    tag = _choice("tag", {tag: f"{tag} ({count})" for tag, count in history.tags().items()})
    batch = _choice("batch", {b.id: b.name for b in history.batches() if b.analyses})
    since, until = _dates()
    st.button(t("history.reset"), on_click=_reset, type="tertiary", icon=":material/filter_list_off:")
    return Query(
        labels=tuple(labels or ()),
        since=since,
        until=until,
        model=model,
        tag=tag,
        kind=kind,
        batch=batch,
        abstained=_SURENESS[sureness] if sureness else None,
    )


def _choice(name: str, options: dict[str, str]) -> str | None:
    """Offer one of several; nothing is asked where there is nothing to choose from."""
    key = f"filter-{name}"
    if not options:
        return None
    if st.session_state.get(key) not in options:
        st.session_state[key] = None
    return st.selectbox(
        t(f"history.{name}"),
        list(options),
        index=None,
        format_func=options.__getitem__,
        placeholder=t("history.any"),
        key=key,
        persist_state="session",
    )


def _dates() -> tuple[datetime | None, datetime | None]:
    """First moment of the first day, and of the day after the last, where the reader is."""
    days = st.date_input(t("history.dates"), value=[], key="filter-dates", persist_state="session")
    ends: tuple[date, ...] = days if isinstance(days, tuple) else (days,)
    if not ends:
        return None, None
    here = zone()
    since = datetime.combine(ends[0], time.min, here)
    if len(ends) == 1:
        return since, None
    return since, datetime.combine(ends[1] + timedelta(days=1), time.min, here)


def _reset() -> None:
    for key in _FILTERS:
        st.session_state.pop(key, None)
