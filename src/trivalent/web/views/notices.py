"""Empty states and errors, designed rather than left over."""

from __future__ import annotations

import re

import streamlit as st

from trivalent.core.errors import TrivalentError
from trivalent.core.outside import readable
from trivalent.report.wording import capital
from trivalent.web.i18n import t, translate

_MARKS = re.compile(r"[\\`*_{}\[\]<>#+|~$:!]|&(?=[#\w])")
# a list, a rule or a heading at the start of a line
_LINE_START = re.compile(r"^(\s*\d*)([-=.)])(?=[\s=-]|$)", re.MULTILINE)
# Addresses are made links after the escapes are gone, so that these do not help: a joiner, which has
# no width, parts what would be found.
_ADDRESS = re.compile(r"(?<=http)(?=s?\\?://)|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)
_JOINER = "\u2060"


def plain(text: str) -> str:
    r"""Escape a text for Streamlit's Markdown, so that it is shown as it was written, and never a link.

    >>> plain("a *b* [c](d) :smile: $x$")
    'a \\*b\\* \\[c\\](d) \\:smile\\: \\$x\\$'
    >>> plain("www.example.com"), plain("2. take")
    ('www\u2060.example.com', '2\\. take')
    """
    escaped = _MARKS.sub(r"\\\g<0>", readable(text, keep="\n"))
    return _ADDRESS.sub(_JOINER, _LINE_START.sub(r"\1\\\2", escaped))


def show_error(error: TrivalentError) -> None:
    """Say what was expected, what came and what to do, in the language of the page."""
    st.error(plain(capital(translate(error.message))), icon=":material/error:")


def empty(icon: str, title: str, text: str) -> None:
    """Say in the middle of the page why there is nothing yet and what to do.

    Parameters
    ----------
    icon : str
        Name of a Material symbol, such as `history`.
    title, text : str
        Translated; Markdown in `text` is allowed.
    """
    with st.container(horizontal_alignment="center", key=f"tv-empty-{icon}"):
        st.markdown(f":material/{icon}:", text_alignment="center")
        st.markdown(f"**{title}**", text_alignment="center")
        st.caption(text, text_alignment="center")


def unexpected(error: Exception) -> None:
    """Say that something broke which is not the user's doing."""
    st.error(t("common.unexpected", kind=type(error).__name__), icon=":material/error:")
