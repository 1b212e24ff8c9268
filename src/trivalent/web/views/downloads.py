"""A result to take away: JSON, CSV and a report in the language of the page, as it is decided now."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import streamlit as st

from trivalent.core.analysis import Analysis
from trivalent.core.errors import TrivalentError
from trivalent.report import writers as report
from trivalent.store import Record
from trivalent.web import state
from trivalent.web.i18n import t, wording

LONGEST_NAME = 60


def buttons(record: Record, analysis: Analysis) -> None:
    """Offer the three files; each is made when it is asked for."""
    name = safe_name(record.name)
    card, say = _card(analysis), wording()
    files = (
        ("json", "application/json", lambda: report.to_json([analysis])),
        ("csv", "text/csv", lambda: _csv(analysis)),
        ("html", "text/html", lambda: report.to_html([analysis], card=card, say=say)),
    )
    with st.container(horizontal=True, width="content", key="tv-downloads"):
        for suffix, kind, make in files:
            st.download_button(
                t(f"result.download_{suffix}"),
                state.still(make),
                file_name=f"{name}.{suffix}",
                mime=kind,
                on_click="ignore",
                icon=":material/download:",
                key=f"download-{suffix}-{record.id}",
            )


def safe_name(name: str) -> str:
    r"""Turn the name of a record into that of a file anywhere.

    >>> safe_name("../My talk: 1/2.mp4"), safe_name("我的 演讲.mp4"), safe_name("..\\"), safe_name("CON")
    ('My-talk-1-2', '我的-演讲', 'analysis', 'analysis-CON')
    """
    stem = re.sub(r"\.\w{1,5}$", "", name)
    words = re.sub(r"[^\w]+", "-", stem).strip("-_")[:LONGEST_NAME].strip("-_")
    if not words:
        return "analysis"
    # names that Windows keeps for devices
    return f"analysis-{words}" if re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", words) else words


def _csv(analysis: Analysis) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return report.write_csv([analysis], Path(folder) / "analysis.csv").read_bytes()


def _card(analysis: Analysis) -> dict[str, object] | None:
    """Card of the bundle that made the analysis, if it is still the same one."""
    try:
        bundle = state.bundle(analysis.model.name)
    except TrivalentError:
        return None
    return bundle.card if bundle.sha256 == analysis.model.sha256 else None
