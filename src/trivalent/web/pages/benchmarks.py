"""Every table of `benchmarks/results`, with its caveats and plots."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from trivalent.web import figures
from trivalent.web.i18n import catalogue, t
from trivalent.web.views.notices import empty, plain
from trivalent.web.views.tables import table

_MANY = 12  # rows, above which a field to find some is worth its place
_FIRST = ("talking", "expert-text", "voice-corpora", "expert-face", "reliability", "paper-table", "speed")


def show() -> None:
    """Make the page."""
    st.title(t("common.page_benchmarks"))
    results = {r.name: r for r in figures.results()}
    if not results:
        empty(
            "table_chart", t("benchmarks.absent_title"), t("benchmarks.absent", variable=figures.VARIABLE)
        )
        return
    st.markdown(t("benchmarks.intro"))
    names = [n for n in _FIRST if n in results] + [n for n in results if n not in _FIRST]
    name = st.selectbox(t("benchmarks.choose"), names, format_func=_title, key="benchmark")
    _result(results[name])


def _title(name: str) -> str:
    key = f"benchmarks.title_{name}"
    return t(key) if key in catalogue() else name


def _result(result: figures.ResultFile) -> None:
    content = result.content
    st.header(_title(result.name))
    seeds = len(content["seeds"])
    told = [
        t("benchmarks.data", data=plain(str(content["data"]))),
        t("benchmarks.seeds", count=seeds) if seeds else t("benchmarks.seeds_none"),
        t("benchmarks.facts", **{k: plain(str(content[k])) for k in ("commit", "date", "machine")}),
    ]
    st.caption("  \n".join(told))
    _rows(result)
    if content["caveats"]:
        st.subheader(t("benchmarks.caveats"))
        st.markdown("\n".join(f"- {plain(str(c))}" for c in content["caveats"]))
    _claims(content.get("claims", []))
    if result.pictures:
        st.subheader(t("benchmarks.pictures"))
        for picture in result.pictures:
            st.image(str(picture), caption=picture.stem)
    st.download_button(
        t("benchmarks.download"),
        result.path.read_bytes(),
        file_name=result.path.name,
        mime="application/json",
        icon=":material/download:",
        on_click="ignore",
    )


def _rows(result: figures.ResultFile) -> None:
    rows, notes = result.rows(), result.notes()
    words: list[str] = []
    if len(rows) > _MANY:
        asked = st.text_input(
            t("benchmarks.find"), help=t("benchmarks.find_help"), key=f"find-{result.name}"
        )
        words = asked.lower().split()
    shown = {name: m for name, m in rows.items() if all(word in name.lower() for word in words)}
    if not shown:
        st.info(t("benchmarks.nothing"))
        return
    if len(rows) > _MANY:
        st.caption(t("benchmarks.shown", shown=len(shown), count=len(rows)))
    first = t("benchmarks.row")
    frame = pd.DataFrame(
        [
            {first: name, **{k: str(v) for k, v in metrics.items()}, **notes.get(name, {})}
            for name, metrics in shown.items()
        ]
    ).fillna("")
    frame.columns = [str(c).replace("_", " ") for c in frame.columns]
    st.dataframe(
        frame,
        hide_index=True,
        column_config={first: st.column_config.TextColumn(pinned=True, width="medium")},
        height=min(38 + 35 * len(frame), 560),
    )


def _claims(claims: list[dict[str, Any]]) -> None:
    if not claims:
        return
    st.subheader(t("benchmarks.claims"))
    head = [t(f"benchmarks.{column}") for column in ("claim", "verdict", "reason")]
    rows = [(str(c.get("claim")), str(c.get("verdict")), str(c.get("reason"))) for c in claims]
    st.html(table(head, rows, numbers_from=3))
