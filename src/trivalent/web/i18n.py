"""Every word of the app in English and Simplified Chinese.

`texts/<area>.toml` holds the texts of the pages, `report/texts` those that tell a result. A text is asked
for as `t("area.key", name=value)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.resources import files

from trivalent.core.errors import UsageError
from trivalent.core.messages import said
from trivalent.core.texts import Language, Text, in_language, read_texts
from trivalent.report.wording import Wording, texts

LANGUAGE_NAMES: dict[Language, str] = {Language.ENGLISH: "English", Language.CHINESE: "简体中文"}
_chosen: ContextVar[Language | None] = ContextVar("language", default=None)


@cache
def catalogue() -> dict[str, Text]:
    """All texts by `area.key`, those that tell a result among them."""
    return {**texts(), **read_texts(files("trivalent.web") / "texts")}


def language() -> Language:
    """Language of the page that is being made."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    if get_script_run_ctx(suppress_warning=True) is None:
        return Language.ENGLISH
    import streamlit as st

    return Language(st.session_state.get("language", Language.ENGLISH))


@contextmanager
def speaking(chosen: Language) -> Iterator[None]:
    """Set the language of everything inside, whatever the page says."""
    token = _chosen.set(chosen)
    try:
        yield
    finally:
        _chosen.reset(token)


def t(key: str, **values: object) -> str:
    """Text of a key in the language of the page.

    Parameters
    ----------
    key : str
        `area.key`.
    **values
        For the placeholders; `count` equal to 1 chooses the English singular.

    >>> with speaking(Language.CHINESE):
    ...     t("common.negative")
    '消极'

    Raises
    ------
    UsageError
        There is no such text.
    """
    text = catalogue().get(key)
    if text is None:
        raise UsageError("service.app_no_text", key=key)
    return in_language(text, language(), values)


def wording(chosen: Language | None = None) -> Wording:
    """How to say results in a language; in that of the page by default."""
    return Wording(chosen or language())


def translate(message: str) -> str:
    """Say a message of the library (a warning, a reason, an error) in the language of the page.

    A plain sentence, such as one of a document that an earlier version wrote, stays as it is.

    >>> from trivalent.core.messages import Message
    >>> with speaking(Language.CHINESE):
    ...     translate(Message("reason.no_face", count=15))
    '在抽取的 15 帧中未发现人脸'
    """
    return said(message, language())
