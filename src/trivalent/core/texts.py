"""Texts in every language: read from TOML tables, and filled with values.

A folder of texts holds one file per area, with one table per text: `en`, `zh`, and `one` where English
has a singular. A text is known as `area.key`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from importlib.resources.abc import Traversable

PLACEHOLDER = re.compile(r"{(\w+)}")
Text = dict[str, str]


class Language(StrEnum):
    """Languages of the app and of reports, by the code that browsers use."""

    ENGLISH = "en"
    CHINESE = "zh"


def read_texts(folder: Traversable) -> dict[str, Text]:
    """Read all texts of a folder, by `area.key`."""
    return {
        f"{file.name.removesuffix('.toml')}.{key}": text
        for file in folder.iterdir()
        if file.name.endswith(".toml")
        for key, text in tomllib.loads(file.read_text(encoding="utf-8")).items()
    }


def in_language(text: Text, language: Language, values: Mapping[str, object]) -> str:
    """Say a text; `count` equal to 1 chooses the English singular.

    >>> in_language({"one": "{count} hour", "en": "{count} hours"}, Language.ENGLISH, {"count": 1})
    '1 hour'
    """
    singular = language is Language.ENGLISH and values.get("count") == 1
    return filled(text.get("one", text["en"]) if singular else text[language], values)


def filled(template: str, values: Mapping[str, object]) -> str:
    """Put values in the places of a template; what comes out is no template again."""
    return PLACEHOLDER.sub(lambda match: str(values.get(match[1], match[0])), template)
