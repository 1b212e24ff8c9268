"""Every word of the app in English and Simplified Chinese.

`texts/<area>.toml` holds one table per key: `en`, `zh`, and `one` where English has a singular.
A text is asked for as `t("area.key", name=value)`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from functools import cache
from importlib.resources import files

from trivalent.core.errors import UsageError


class Language(StrEnum):
    """Languages of the app, by the code that browsers use."""

    ENGLISH = "en"
    CHINESE = "zh"


LANGUAGE_NAMES: dict[Language, str] = {Language.ENGLISH: "English", Language.CHINESE: "简体中文"}
_PLACEHOLDER = re.compile(r"{(\w+)}")
_chosen: ContextVar[Language | None] = ContextVar("language", default=None)

Text = dict[str, str]


@cache
def catalogue() -> dict[str, Text]:
    """All texts by `area.key`."""
    found: dict[str, Text] = {}
    for file in (files("trivalent.web") / "texts").iterdir():
        if file.name.endswith(".toml"):
            area = file.name.removesuffix(".toml")
            table = tomllib.loads(file.read_text(encoding="utf-8"))
            found |= {f"{area}.{key}": text for key, text in table.items()}
    return found


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
        raise UsageError(f"expected a text under {key!r} in web/texts, found none; add it there")
    code = language()
    template = (
        text.get("one", text["en"]) if code is Language.ENGLISH and values.get("count") == 1 else text[code]
    )
    return _fill(template, values)


def _fill(template: str, values: Mapping[str, object]) -> str:
    return _PLACEHOLDER.sub(lambda match: str(values.get(match[1], match[0])), template)


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
            return _fill(text[language()], found)
    return message


@cache
def _patterns() -> list[tuple[re.Pattern[str], Text]]:
    """Messages as patterns; the ones with the most fixed words are tried first."""
    texts = [text for key, text in catalogue().items() if key.startswith("messages.")]
    texts.sort(key=lambda text: len(_PLACEHOLDER.sub("", text["en"])), reverse=True)
    return [(_pattern(text["en"]), text) for text in texts]


def _pattern(template: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(template)
    fixed, names = parts[::2], parts[1::2]
    groups = [f"(?P<{name}>.+?)" for name in names] + [""]
    return re.compile("".join(re.escape(f) + g for f, g in zip(fixed, groups, strict=True)), re.DOTALL)
