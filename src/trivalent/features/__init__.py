"""Feature extractors: each returns a `FeatureTable`. This is their one registry.

An entry is the module that has NAME, VERSION and COLUMNS; it is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from trivalent.core.errors import UsageError

EXTRACTORS: dict[str, str] = {
    "minilm": "trivalent.features.text",
    "glove": "trivalent.features.glove",
    "covarep": "trivalent.features.covarep",
    "face": "trivalent.features.face",
}
# These run a program of the user's own: `trivalent extract` knows them, a bundle cannot rely on them.
EXTERNAL: dict[str, str] = {"openface": "trivalent.features.openface"}


def _module(name: str) -> ModuleType:
    known = EXTRACTORS | EXTERNAL
    if name not in known:
        raise UsageError(f"expected an extractor among {', '.join(known)}, got {name!r}")
    return import_module(known[name])


def extractor_version(name: str) -> str:
    """Return the version that a bundle must state to be used with this extractor."""
    return str(_module(name).VERSION)


def extractor_columns(name: str) -> tuple[str, ...]:
    """Return the columns that an extractor computes by default."""
    return tuple(_module(name).COLUMNS)


__all__ = ["EXTERNAL", "EXTRACTORS", "extractor_columns", "extractor_version"]
