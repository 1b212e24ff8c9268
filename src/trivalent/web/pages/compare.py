"""Two results side by side."""

from __future__ import annotations

import streamlit as st

from trivalent.core.analysis import STAGES, Analysis
from trivalent.core.errors import NotFoundError
from trivalent.core.types import LABELS, Modality
from trivalent.report.renderer import esc
from trivalent.report.wording import clock, seconds_words, signed, signed_points
from trivalent.store import History, Query, Record
from trivalent.web import comparison, state
from trivalent.web.comparison import Channel
from trivalent.web.frame import go
from trivalent.web.i18n import t, wording
from trivalent.web.views.distribution import distribution
from trivalent.web.views.drawing import renderer
from trivalent.web.views.notices import empty, plain
from trivalent.web.views.records import facts, open_record
from trivalent.web.views.tables import table

_OFFERED = 200  # of the newest, besides the two that were chosen


def show() -> None:
    """Make the page."""
    st.title(t("common.page_compare"))
    history = state.history()
    preset = _chosen(history)
    offered = {r.id: r for r in [*preset, *history.search(Query(limit=_OFFERED)).records]}
    if len(offered) < 2:
        empty("compare_arrows", t("history.compare_empty_title"), t("history.compare_empty"))
        if st.button(t("history.empty_button"), type="primary"):
            go("analyze")
        return
    st.markdown(t("history.compare_intro"))
    records = _ask(offered)
    if records[0].id == records[1].id:
        st.info(t("history.same"), icon=":material/info:")
        return
    analyses = [history.analysis(r.id) for r in records]
    for column, record, analysis in zip(st.columns(2), records, analyses, strict=True):
        with column:
            _side(record, analysis)
    _differences(analyses[0], analyses[1])
    _moved(analyses[0], analyses[1])
    _channels(analyses[0], analyses[1])
    _timing(analyses[0], analyses[1])


def _chosen(history: History) -> list[Record]:
    """Return the two that the history page sent, as long as they are there."""
    records = []
    for record_id in st.session_state.get("compare", ()):
        try:
            records.append(history.get(record_id))
        except NotFoundError:
            st.session_state.pop("compare-0", None)
            st.session_state.pop("compare-1", None)
    return records


def _ask(offered: dict[str, Record]) -> list[Record]:
    """Offer both places; what came from the history page fills them once."""
    ids = list(offered)
    if sent := st.session_state.pop("compare", None):
        for i, record_id in enumerate(sent):
            st.session_state[f"compare-{i}"] = record_id
    records = []
    for i, (column, name) in enumerate(zip(st.columns(2), ("first", "second"), strict=True)):
        key = f"compare-{i}"
        if st.session_state.get(key) not in ids:
            st.session_state[key] = ids[i]
        picked = column.selectbox(
            t(f"history.{name}"),
            ids,
            format_func=lambda record_id: offered[record_id].name,
            key=key,
            persist_state="session",
        )
        records.append(offered[picked])
    return records


def _side(record: Record, analysis: Analysis) -> None:
    if st.button(
        plain(record.name), type="tertiary", icon=":material/open_in_new:", key=f"open-{record.id}"
    ):
        open_record(record.id)
    st.caption(facts(record))
    st.html(f'<div class="tv-half">{renderer().verdict(analysis)}</div>')
    counts = comparison.label_counts(analysis)
    if sum(counts) > 1:
        st.html(f'<p class="tv-kicker">{esc(t("history.labels"))}</p>{distribution(counts)}')


def _differences(first: Analysis, second: Analysis) -> None:
    st.subheader(t("history.differs"))
    rows = [(name, a, b, change) for name, a, b, change in _facts(first, second) if a != b]
    if not rows:
        st.markdown(t("history.nothing_differs"))
        return
    head = ["", t("history.first"), t("history.second"), t("history.difference")]
    st.html(table(head, rows))


def _facts(first: Analysis, second: Analysis) -> list[tuple[str, str, str, str]]:
    """All that can be compared in a word or number; equal rows are dropped later."""
    a, b = first, second
    rows = [(t("history.row_verdict"), wording().headline(a.overall), wording().headline(b.overall), "")]
    valences = signed(a.overall.valence), signed(b.overall.valence)
    moved = signed(b.overall.valence - a.overall.valence)
    rows.append((t("history.row_valence"), *valences, moved))
    for label, p, q in zip(LABELS, a.overall.probabilities, b.overall.probabilities, strict=True):
        name = t("history.row_probability", label=wording().label(label))
        change = t("history.points", points=signed_points(float(q - p)))
        rows.append((name, wording().percent(float(p)), wording().percent(float(q)), change))
    own, other = comparison.channels(a), comparison.channels(b)
    for m in Modality:
        weights = own[m].weight, other[m].weight
        change = t("history.points", points=signed_points(weights[1] - weights[0]))
        name = t("history.row_weight", channel=wording().modality(m))
        rows.append((name, wording().percent(weights[0]), wording().percent(weights[1]), change))
    rows += [
        (
            t("history.row_model"),
            f"{a.model.name} {a.model.version}",
            f"{b.model.name} {b.model.version}",
            "",
        ),
        (t("history.row_fingerprint"), a.model.sha256[:12], b.model.sha256[:12], ""),
        (
            t("history.row_kind"),
            t(f"result.kind_{a.source.kind}"),
            t(f"result.kind_{b.source.kind}"),
            "",
        ),
        (t("history.row_length"), _length(a), _length(b), ""),
        (
            t("history.row_units"),
            wording().units(a.source.kind, len(a.utterances)),
            wording().units(b.source.kind, len(b.utterances)),
            "",
        ),
        (t("history.row_mixed"), _count(a, "mixed"), _count(b, "mixed"), ""),
        (t("history.row_unsure"), _count(a, "unsure"), _count(b, "unsure"), ""),
    ]
    return rows


def _length(analysis: Analysis) -> str:
    return "" if analysis.source.duration_s is None else clock(analysis.source.duration_s)


def _count(analysis: Analysis, what: str) -> str:
    return str(sum(u.mixed if what == "mixed" else u.verdict.abstained for u in analysis.utterances))


def _moved(first: Analysis, second: Analysis) -> None:
    pairs = comparison.paired(first, second)
    if pairs is None:
        return
    st.subheader(t("history.moved"))
    different = comparison.moved(pairs)
    if not different:
        st.markdown(t("history.moved_none"))
        return
    st.caption(t("history.moved_note"))
    items = "".join(
        f'<li><q dir="auto">{esc(a.text)}</q><span class="tv-verdict-line">{renderer().badge(a.verdict)} → '
        f"{renderer().badge(b.verdict)}</span></li>"
        for a, b in different
    )
    st.html(f'<ul class="tv-moved">{items}</ul>')


def _channels(first: Analysis, second: Analysis) -> None:
    st.subheader(t("history.channels"))
    own, other = comparison.channels(first), comparison.channels(second)
    for modality in Modality:
        if not own[modality].used and not other[modality].used:
            continue
        both = (("first", own[modality]), ("second", other[modality]))
        for column, (place, channel) in zip(st.columns(2), both, strict=True):
            with column:
                st.html(_channel(f"{wording().modality(modality)} · {t(f'history.{place}')}", channel))


def _channel(title: str, channel: Channel) -> str:
    if channel.probabilities is None:
        note, bars = t("history.channel_absent"), ""
    else:
        values = {"used": channel.used, "total": channel.total, "weight": wording().percent(channel.weight)}
        note, bars = t("history.channel_note", **values), renderer().bars(channel.probabilities)
    return f'<div class="tv-expert"><h4>{esc(title)}<small>{esc(note)}</small></h4>{bars}</div>'


def _timing(first: Analysis, second: Analysis) -> None:
    st.subheader(t("history.timing"))
    spent = [{**a.timing.stages, "total": a.timing.total_s} for a in (first, second)]
    rows = [
        (t(f"history.stage_{name}"), seconds_words(a), seconds_words(b))
        for name in (*STAGES, "total")
        if (a := spent[0][name]) + (b := spent[1][name]) > 0
    ]
    st.html(table([t("history.stage"), t("history.first"), t("history.second")], rows))
