"""Entries of the history as pages list them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from trivalent.core.analysis import Overall
from trivalent.core.types import probabilities_array
from trivalent.report.renderer import esc
from trivalent.report.wording import clock, kind_of
from trivalent.store import History, Query, Record
from trivalent.web import state
from trivalent.web.frame import page_of
from trivalent.web.i18n import t, wording
from trivalent.web.views.drawing import renderer
from trivalent.web.views.when import when


def verdict_of(record: Record) -> Overall:
    """Verdict that the history keeps beside the evidence."""
    probabilities = probabilities_array(record.probabilities)
    return Overall(
        record.label,
        record.confidence,
        probabilities,
        abstained=record.abstained,
        mixed_by=record.mixed_by,
    )


def facts(record: Record) -> str:
    """When, what kind, how long, by which model, in one line of plain text."""
    parts = [when(record.created), t(f"result.kind_{record.kind}")]
    if record.duration_s is not None:
        parts.append(clock(record.duration_s))
    units = wording().units(record.kind, record.utterances)
    parts += [units, f"{record.model_name} {record.model_version}"]
    if record.has_media:
        parts.append(t("history.media_kept"))
    return " · ".join(parts)


def verdict_line(record: Record) -> str:
    """Badge and confidence; that of a mixed recording says little."""
    verdict = verdict_of(record)
    share = "" if kind_of(verdict) == "mixed" else f"<b>{wording().percent(record.confidence)}</b>"
    return f'<span class="tv-verdict-line">{renderer().badge(verdict)}{share}</span>'


def details(record: Record) -> str:
    """Bar, facts and tags beneath the name."""
    tags = "".join(f'<span class="tv-tag" dir="auto">{esc(tag)}</span>' for tag in record.tags)
    return (
        f'<div class="tv-record">{renderer().stack(probabilities_array(record.probabilities))}'
        f"<p>{esc(facts(record))}{tags}</p></div>"
    )


def open_record(record_id: str) -> None:
    """Show an analysis in full, on the page of the history."""
    st.switch_page(page_of("history"), query_params={"record": record_id})


def every(history: History, query: Query) -> list[Record]:
    """All that a query describes, not only a page of it."""
    found: list[Record] = []
    cursor = None
    while True:
        page = history.search(replace(query, limit=500, cursor=cursor))
        found += page.records
        cursor = page.next_cursor
        if cursor is None:
            return found


def download(history: History, ids: Sequence[str], *, label: str, key: str) -> None:
    """Offer a .zip of analyses; it is made when it is asked for.

    Parameters
    ----------
    history : History
        Taken here, because the archive is made in another thread, which has no session. There it is
        asked again whether the user is still let in.
    """
    wanted = tuple(ids)

    def archive() -> bytes:
        with TemporaryDirectory() as scratch:
            return history.export(wanted, Path(scratch) / "analyses.zip").read_bytes()

    st.download_button(
        label,
        state.still(archive),
        file_name="trivalent-analyses.zip",
        mime="application/zip",
        icon=":material/download:",
        disabled=not wanted,
        on_click="ignore",
        key=key,
    )
