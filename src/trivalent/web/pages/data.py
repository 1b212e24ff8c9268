"""The data sets: what `trivalent data list` and `trivalent data info` tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from trivalent.core.errors import DataError, MissingExtraError
from trivalent.core.types import LABELS
from trivalent.report.renderer import esc
from trivalent.web import data_sets
from trivalent.web.i18n import t, wording
from trivalent.web.views.drawing import renderer
from trivalent.web.views.notices import empty, plain, show_error
from trivalent.web.views.tables import table


@st.cache_data(show_spinner=False, ttl=3600)
def _listing() -> dict[str, dict[str, Any]]:
    return data_sets.listing()


@st.cache_data(show_spinner=False, ttl=3600)
def _information(name: str, protocol: str) -> dict[str, Any]:
    return data_sets.information(name, protocol)


def show() -> None:
    """Make the page."""
    st.title(t("common.page_data"))
    try:
        entries = _listing()
    except MissingExtraError:
        empty("database", t("data.lab_absent"), t("data.lab_absent_text"))
        return
    except DataError as error:
        show_error(error)
        return
    st.markdown(t("data.intro"))
    head = [t(f"data.{c}") for c in ("name", "what", "protocols", "licence")]
    rows = [(n, e["title"], ", ".join(e["protocols"]), e["licence"]) for n, e in entries.items()]
    st.html(table(head, rows, numbers_from=4))
    left, right = st.columns(2)
    name = left.selectbox(t("data.choose"), list(entries), key="data-name")
    protocols = entries[name]["protocols"]
    protocol = right.selectbox(t("data.protocol"), list(protocols), key=f"data-protocol-{name}")
    st.header(plain(name))
    st.markdown(f"{plain(entries[name]['title'])}  \n{plain(protocols[protocol])}")
    st.caption(f"{t('data.homepage')}: {entries[name]['homepage']}")
    _counts(name, protocol)


def _counts(name: str, protocol: str) -> None:
    if not data_sets.has_root():
        st.info(t("data.no_root", variable=data_sets.ROOT_VARIABLE, name=name), icon=":material/info:")
        return
    try:
        with st.spinner(t("data.reading", name=name)):
            content = _information(name, protocol)
    except DataError as error:
        st.info(f"{t('data.not_found')} {t('data.fetch', name=name)}", icon=":material/info:")
        st.caption(plain(str(error)))
        return
    if content["synthetic"]:
        st.warning(t("data.synthetic"))
    st.caption(t("data.reproduced" if content["known_counts"] == "reproduced" else "data.no_counts"))
    splits = content["splits"]
    _classes(splits)
    _durations(splits)
    _features(splits)
    if content["dropped"]:
        st.subheader(t("data.dropped"))
        rows = [(what, f"{count:,}") for what, count in content["dropped"].items()]
        st.html(table([t("data.what"), t("data.count")], rows))
    if "distribution" in content:
        _distribution(content["distribution"])


def _classes(splits: Mapping[str, Any]) -> None:
    st.subheader(t("data.classes"))
    st.html("".join(_share_row(f"{n}, {part['samples']:,}", part["percent"]) for n, part in splits.items()))
    head = [t("data.split"), t("data.samples"), t("data.groups")]
    rows = [
        (
            name,
            f"{part['samples']:,}",
            f"{part['groups']:,}",
            *(f"{part['classes'][label]:,} ({part['percent'][label]:.1f} %)" for label in LABELS),
            f"{part['imbalance_ratio']:.1f}",
        )
        for name, part in splits.items()
    ]
    st.html(table([*head, *map(wording().label, LABELS), t("data.ratio")], rows))


def _share_row(name: str, percent: Mapping[str, float]) -> str:
    """One labelled bar; the three shares are also written out, so that no colour is needed."""
    shares = np.array([percent[label] for label in LABELS]) / 100
    return f'<div class="tv-share"><span>{esc(name)}</span>{renderer().stack(shares)}</div>'


def _durations(splits: Mapping[str, Any]) -> None:
    rows = [
        (name, f"{s['median']:.1f} s", f"{s['p95']:.1f} s", t("data.hours", hours=f"{s['total_h']:.1f}"))
        for name, part in splits.items()
        if (s := part.get("seconds"))
    ]
    if rows:
        st.subheader(t("data.durations"))
        st.html(table([t(f"data.{c}") for c in ("split", "median", "p95", "total")], rows))


def _features(splits: Mapping[str, Any]) -> None:
    rows = [
        (
            name,
            t(f"common.{modality}"),
            gaps["extractor"],
            f"{gaps['columns']:,}",
            f"{gaps['samples_without']:,}",
            f"{gaps['cells_without_percent']:.2f} %",
        )
        for name, part in splits.items()
        for modality, gaps in part["features"].items()
    ]
    if rows:
        st.subheader(t("data.features"))
        columns = ("split", "modality", "extractor", "columns", "without", "cells")
        st.html(table([t(f"data.{c}") for c in columns], rows, numbers_from=3))


def _distribution(steps: list[dict[str, Any]]) -> None:
    st.subheader(t("data.distribution"))
    st.caption(t("data.distribution_note"))
    st.html("".join(_share_row(f"{s['samples']}, {s['label_map']}", s["percent"]) for s in steps))
    rows = [
        (
            s["samples"],
            s["label_map"],
            f"{s['count']:,}",
            *(f"{s['percent'][label]:.1f} %" for label in LABELS),
        )
        for s in steps
    ]
    head = [t("data.samples"), t("data.label_map"), t("data.count"), *map(wording().label, LABELS)]
    st.html(table(head, rows, numbers_from=2))
