"""One calm theme: what Streamlit's configuration says, and the style sheet for what it cannot say."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st

from trivalent.report.page import pieces_style
from trivalent.web.i18n import Language, language, t

# Streamlit ships the first; the others are for Chinese
_FONT = "'Source Sans', 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', 'Noto Sans SC', sans-serif"
_BOTH: dict[str, Any] = {
    "font": _FONT,
    "baseFontSize": 16,
    "baseRadius": "10px",
    "buttonRadius": "8px",
    "showWidgetBorder": True,
    "headingFontSizes": ["1.9rem", "1.35rem", "1.1rem", "1rem", "1rem", "1rem"],
    "headingFontWeights": [650, 600, 600, 600, 600, 600],
}
_LIGHT = {
    "primaryColor": "#1f5f7a",
    "backgroundColor": "#fbfbf9",
    "secondaryBackgroundColor": "#f1f4f1",
    "textColor": "#1c2529",
    "linkColor": "#1f5f7a",
    "borderColor": "#d9dedb",
    "sidebar.backgroundColor": "#f1f3f0",
    "sidebar.secondaryBackgroundColor": "#e4e8e5",
}
_DARK = {
    "primaryColor": "#6fb3d2",
    "backgroundColor": "#12171a",
    "secondaryBackgroundColor": "#1d2429",
    "textColor": "#e8ecec",
    "linkColor": "#8ec7e0",
    "borderColor": "#313b40",
    "sidebar.backgroundColor": "#171d21",
    "sidebar.secondaryBackgroundColor": "#242d32",
}


def theme() -> dict[str, Any]:
    """Options of Streamlit's configuration by their dotted names."""
    return {
        **{f"theme.{name}": value for name, value in _BOTH.items()},
        **{f"theme.light.{name}": value for name, value in _LIGHT.items()},
        **{f"theme.dark.{name}": value for name, value in _DARK.items()},
    }


@cache
def sheet() -> str:
    """Our style sheet; classes start with `tv-`."""
    return pieces_style() + (files("trivalent.web") / "app.css").read_text(encoding="utf-8")


def apply(upload_mb: float) -> None:
    """Put the style sheet into the page.

    Parameters
    ----------
    upload_mb : float
        Largest file, which the field for uploads says.
    """
    st.html(f"<style>{sheet()}{_upload_words(upload_mb)}</style>")


def _upload_words(upload_mb: float) -> str:
    """Say in other languages what Streamlit's field for uploads says in English only."""
    if language() is Language.ENGLISH:
        return ""
    zone = '[data-testid="stFileUploaderDropzone"]'
    limit = f'.st-key-file {zone} [data-testid="stFileUploaderDropzoneInstructions"] span'
    said = {
        f"{zone} button p": t("common.upload"),
        limit: t("common.upload_limit", size=f"{math.ceil(upload_mb)} MB"),
    }
    return "".join(
        f"{place}{{font-size:0}}"
        f"{place}::after{{content:{json.dumps(words, ensure_ascii=False)};font-size:.875rem}}"
        for place, words in said.items()
    )
