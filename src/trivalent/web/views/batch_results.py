"""What a batch found: one table with filters, a plot of all verdicts, failures with reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from trivalent.core.types import LABELS
from trivalent.report.renderer import esc
from trivalent.report.wording import GLYPHS, SIGNS, capital, clock, kind_of
from trivalent.store import BatchSummary, History, JobState, Order, Query, Record
from trivalent.web import state
from trivalent.web.comparison import label_counts
from trivalent.web.frame import go
from trivalent.web.i18n import t, translate, wording
from trivalent.web.views.batch_progress import all_jobs
from trivalent.web.views.distribution import distribution, legend
from trivalent.web.views.notices import plain
from trivalent.web.views.records import download, every, open_record, verdict_of

SHOWN = 100


def results(batch: BatchSummary) -> None:
    """Show what is done so far."""
    history = state.history()
    everything = every(history, Query(batch=batch.id, order=Order.OLDEST))
    if not everything:
        return
    st.subheader(t("batch.results"))
    with st.container(horizontal=True):
        download(history, [r.id for r in everything], label=t("batch.download"), key="batch-download")
        if st.button(t("batch.in_history"), icon=":material/history:", key="batch-history"):
            st.session_state["filter-batch"] = batch.id
            go("history")
    records = every(history, _filters(batch.id))
    if not records:
        st.info(t("batch.nothing"), icon=":material/search_off:")
        return
    if len(records) > SHOWN:
        st.caption(t("batch.first_shown", shown=SHOWN, count=len(records)))
    _table(records[:SHOWN])
    _plot(history, records)


def _filters(batch: str) -> Query:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            t("batch.find"),
            icon=":material/search:",
            key="batch-find",
            max_chars=1000,
            persist_state="session",
        )
        labels = st.pills(
            t("batch.label"),
            LABELS,
            selection_mode="multi",
            format_func=lambda label: f"{GLYPHS[label]} {wording().label(label)}",
            key="batch-labels",
            persist_state="session",
        )
        unsure = st.checkbox(t("batch.unsure_only"), key="batch-unsure", persist_state="session")
    return Query(
        batch=batch,
        text=text,
        labels=tuple(labels or ()),
        abstained=True if unsure else None,
        order=Order.OLDEST,
    )


def _table(records: Sequence[Record]) -> None:
    columns = [t(f"batch.column_{c}") for c in ("name", "verdict", "confidence", "valence")]
    # the sign behind the word: in front, a spreadsheet would take "+ Positive" for a formula
    shares = [f"{wording().label(label)} {GLYPHS[label]}" for label in LABELS]
    rest = [t(f"batch.column_{c}") for c in ("units", "length")]
    verdicts = [verdict_of(r) for r in records]
    rows = [
        (
            r.name,
            f"{wording().headline(verdict)} {SIGNS[kind_of(verdict)]}",
            100 * r.confidence,
            verdict.valence,
            *(100 * r.probabilities[label] for label in LABELS),
            r.utterances,
            clock(r.duration_s) if r.duration_s is not None else "",
        )
        for r, verdict in zip(records, verdicts, strict=True)
    ]
    share = st.column_config.ProgressColumn(min_value=0, max_value=100, format="%.0f %%")
    selection = st.dataframe(
        pd.DataFrame(rows, columns=[*columns, *shares, *rest]),
        hide_index=True,
        column_config={
            columns[2]: share,
            columns[3]: st.column_config.NumberColumn(format="%+.2f"),
            **dict.fromkeys(shares, st.column_config.NumberColumn(format="%.0f %%")),
        },
        on_select="rerun",
        selection_mode="single-row",
        key="batch-table",
        height=min(38 + 35 * len(rows), 458),
    )
    selected = selection["selection"]["rows"]
    name = plain(records[selected[0]].name) if selected else ""
    words = t("batch.open", name=name) if selected else t("batch.open_hint")
    if st.button(words, icon=":material/open_in_new:", disabled=not selected, key="batch-open"):
        open_record(records[selected[0]].id)


def _plot(history: History, records: Sequence[Record]) -> None:
    """Draw the verdicts of all files, and of the utterances of each."""
    st.subheader(t("batch.plot"))
    st.caption(t("batch.plot_note"))
    total = Counter(r.label for r in records)
    rows = [_bar(t("batch.plot_files"), [total[label] for label in LABELS], kind="tv-all")]
    rows += [_bar(r.name, _utterances(history, r.id)) for r in records[:SHOWN]]
    st.html(f'<div class="tv-summary">{legend()}{"".join(rows)}</div>')


def _bar(name: str, counts: Sequence[int], *, kind: str = "") -> str:
    return (
        f'<div class="tv-share {kind}"><span dir="auto" title="{esc(name)}">{esc(name)}</span>'
        f"{distribution(counts)}</div>"
    )


def _utterances(history: History, record_id: str) -> tuple[int, ...]:
    """Verdicts of an analysis by class, which never change and are counted once in a session."""
    known: dict[str, tuple[int, ...]] = st.session_state.setdefault("label-counts", {})
    if record_id not in known:
        known[record_id] = label_counts(history.analysis(record_id))
    return known[record_id]


def failures(batch: BatchSummary) -> None:
    """List the files without a result and why."""
    failed = all_jobs(batch.id, (JobState.FAILED,))
    if failed:
        st.subheader(t("batch.failures"))
        lines = [f"- **{plain(j.name)}**: {plain(capital(translate(j.error or '')))}" for j in failed]
        st.markdown("\n".join(lines))
