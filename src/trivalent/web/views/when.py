"""Points in time, where the reader is."""

from __future__ import annotations

import zoneinfo
from datetime import datetime

import streamlit as st


def zone() -> zoneinfo.ZoneInfo:
    """Time zone of the reader's browser."""
    try:
        return zoneinfo.ZoneInfo(st.context.timezone or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return zoneinfo.ZoneInfo("UTC")


def when(moment: datetime) -> str:
    """Point in time, to the minute.

    >>> from datetime import UTC
    >>> when(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02 03:04'
    """
    return moment.astimezone(zone()).strftime("%Y-%m-%d %H:%M")
