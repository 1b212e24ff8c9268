"""Everything that Trivalent says: a code with values, put into words once for each language.

The words stand in `data/messages/<area>.toml`, one table for each code `area.name`:

    [absent]
    en = "expected a recording, found no file {path}; check the path"
    zh = "需要录制文件，但找不到 {path}；请检查路径"

A `Message` is a string, in English, so that it goes wherever text goes; it remembers its code and values,
and says the same in another language when somebody asks. Nothing takes a sentence apart.
"""

from __future__ import annotations

import os
import string
import tomllib
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from trivalent.core.texts import Language

#: The language of what commands print, where it is one of ours.
VARIABLE = "TRIVALENT_LANGUAGE"


def chosen_language() -> Language:
    """Language of what a command prints: `$TRIVALENT_LANGUAGE`, else English."""
    given = os.environ.get(VARIABLE, "")
    return Language(given) if given in set(Language) else Language.ENGLISH


class Message(str):
    """A sentence of the catalogue: English as a string, any language by `said`.

    Parameters
    ----------
    code : str
        `area.name`. What is no code of the catalogue is taken as a sentence that somebody else wrote, and
        is the same in every language.
    **values
        For the placeholders: numbers, texts, other messages, errors (their messages), or sequences of them,
        which are listed; a tuple of whole numbers is a shape and stays one.

    Attributes
    ----------
    code : str
        Empty for somebody else's sentence.
    values : dict
        Plain: numbers, strings, None, messages, and lists of them.

    Raises
    ------
    KeyError
        A placeholder has no value, or there are values for no code.

    >>> message = Message("media.absent", path="talk.mp4")
    >>> print(message)
    expected a recording, found no file talk.mp4; check the path
    >>> print(message.said(Language.CHINESE))
    需要录制文件，但找不到 talk.mp4；请检查路径
    >>> Message.from_dict(message.to_dict()) == message
    True
    """

    code: str
    values: dict[str, Any]

    def __new__(cls, code: str, /, **values: object) -> Self:  # noqa: D102 (as the class says)
        known = _template(code)
        if known is None and values:
            raise KeyError(f"expected a code of data/messages, got {code!r}; add it there")
        plain = {name: _plain(value) for name, value in values.items()}
        text = code if known is None else _filled(known[Language.ENGLISH], plain, Language.ENGLISH)
        message = super().__new__(cls, text)
        message.code, message.values = "" if known is None else code, plain
        return message

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.code or str(self),), self.values

    def said(self, language: Language) -> str:
        """Say it in a language."""
        known = _template(self.code) if language is not Language.ENGLISH else None
        return str(self) if known is None else _filled(known[language], self.values, language)

    def renamed(self, path: Path, name: str) -> Message:
        """Call a file, or what lies below a folder, by another name in the values."""
        if not self.code:
            return self
        values = {key: _renamed(value, path, name) for key, value in self.values.items()}
        return Message(self.code, **values)

    def to_dict(self) -> dict[str, Any]:
        """Render as code, values and English text, plain enough for JSON."""
        return {"code": self.code, "values": _rendered(self.values), "text": str(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Invert `to_dict`; a code that this version does not know leaves the text."""
        if _template(data["code"]) is None:
            return cls(data["text"])
        return cls(data["code"], **{name: _read(value) for name, value in data["values"].items()})


def said(text: str, language: Language) -> str:
    """Say what may be a message, or a plain sentence, in a language."""
    return text.said(language) if isinstance(text, Message) else text


@cache
def area(name: str) -> dict[str, dict[str, str]]:
    """Messages of an area by name: `en` and `zh`. Empty where there is no such area.

    Raises
    ------
    tomllib.TOMLDecodeError
        Its file is not sound.
    """
    file = files("trivalent") / "data" / "messages" / f"{name}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")) if name.isidentifier() and file.is_file() else {}


def _template(code: str) -> dict[str, str] | None:
    name, dot, key = code.partition(".")
    return area(name).get(key) if dot else None


def _plain(value: Any) -> Any:
    """Make it what JSON can hold, or a message."""
    if isinstance(value, BaseException):
        value = getattr(value, "message", str(value))
    if isinstance(value, Message) or value is None:
        return value
    if isinstance(value, Enum):
        return _plain(value.value)
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        value = value.tolist()
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple) and all(isinstance(item, int) for item in value):
        return str(value)  # a shape
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [_plain(item) for item in value]
    return str(value)


def _renamed(value: Any, path: Path, name: str) -> Any:
    if isinstance(value, Message):
        return value.renamed(path, name)
    if isinstance(value, list):
        return [_renamed(item, path, name) for item in value]
    if value in (str(path), path.name):
        return name
    if isinstance(value, str) and value.startswith(f"{path}{os.sep}"):
        return name + value.removeprefix(str(path))
    return value


def _rendered(value: Any) -> Any:
    if isinstance(value, Message):
        return value.to_dict()
    if isinstance(value, dict):
        return {name: _rendered(item) for name, item in value.items()}
    return [_rendered(item) for item in value] if isinstance(value, list) else value


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return Message.from_dict(value)
    return [_read(item) for item in value] if isinstance(value, list) else value


class _Words(string.Formatter):
    """`str.format` for plain names: nothing reaches into a value."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def get_field(self, field_name: str, args: Any, kwargs: Mapping[str, Any]) -> Any:
        return self._in_words(kwargs[field_name]), field_name

    def _in_words(self, value: Any) -> Any:
        if isinstance(value, list):
            comma = "、" if self.language is Language.CHINESE else ", "
            return comma.join(str(self._in_words(item)) for item in value)
        return value.said(self.language) if isinstance(value, Message) else value


def _filled(template: str, values: Mapping[str, Any], language: Language) -> str:
    return _Words(language).vformat(template, (), values)


__all__ = ["VARIABLE", "Language", "Message", "area", "chosen_language", "said"]
