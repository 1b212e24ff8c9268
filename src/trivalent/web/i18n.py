"""Every word of the app in English and Simplified Chinese.

`texts/<area>.toml` holds the texts of the pages, `report/texts` those that tell a result. A text is asked
for as `t("area.key", name=value)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.resources import files

from trivalent.core.errors import UsageError
from trivalent.core.texts import PLACEHOLDER, Language, Text, filled, in_language, read_texts
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
    spoken = chosen or language()

    def say(message: str) -> str:
        with speaking(spoken):
            return translate(message)

    return Wording(spoken, say)


def translate(message: str) -> str:
    """Say a sentence of the library (a warning, a reason, an error) in the language of the page.

    `texts/messages.toml` holds the sentences as patterns; one that it does not know stays English.

    >>> with speaking(Language.CHINESE):
    ...     translate("no face in 15 sampled frames"), translate("something new")
    ('在抽取的 15 帧中未发现人脸', 'something new')
    """
    if language() is Language.ENGLISH:
        return message
    for pattern, text in _patterns():
        if match := pattern.fullmatch(message):
            found = {name: translate(value) for name, value in match.groupdict().items()}
            return filled(text[language()], found)
    return message


@cache
def _patterns() -> list[tuple[re.Pattern[str], Text]]:
    """Messages as patterns; the ones with the most fixed words are tried first."""
    texts = [text for key, text in catalogue().items() if key.startswith("messages.")]
    texts.sort(key=lambda text: len(PLACEHOLDER.sub("", text["en"])), reverse=True)
    return [(_pattern(text["en"]), text) for text in texts]


def _pattern(template: str) -> re.Pattern[str]:
    parts = PLACEHOLDER.split(template)
    fixed, names = parts[::2], parts[1::2]
    groups = [f"(?P<{name}>.+?)" for name in names] + [""]
    return re.compile("".join(re.escape(f) + g for f, g in zip(fixed, groups, strict=True)), re.DOTALL)
