"""Extractors by name: those of this package, and what other packages bring.

Another package brings one by an entry point of the group `trivalent.extractors`, whose name is that of
the extractor and whose value is `module:object`. It is imported when it is asked for, so that one that is
broken is told then, by its name, and stops nobody else. Names of ours cannot be taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from trivalent.core.errors import FeatureError, UsageError
from trivalent.features.extractor import Extractor, Need

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "trivalent.extractors"
OWN: dict[str, str] = {
    "minilm": "trivalent.features.minilm:MINILM",
    "tokens": "trivalent.features.tokens:TOKENS",
    "glove": "trivalent.features.glove:GLOVE",
    "sentence_glove": "trivalent.features.sentence_glove:SENTENCE_GLOVE",
    "covarep": "trivalent.features.covarep:COVAREP",
    "face": "trivalent.features.face:FACE",
    "openface": "trivalent.features.openface.extractor:OPENFACE",
}


@cache
def extractor(name: str) -> Extractor:
    """Return the extractor of that name.

    Raises
    ------
    UsageError
        There is none.
    FeatureError
        Another package brings it, and it cannot be imported or is no extractor; or two bring it.

    Examples
    --------
    >>> extractor("covarep").columns[:2]
    ('F0', 'VUV')
    """
    if name in OWN:
        module, _, attribute = OWN[name].partition(":")
        own: Extractor = getattr(import_module(module), attribute)
        return own
    brought = [point for point in _entry_points() if point.name == name]
    if not brought:
        raise UsageError("extract.unknown", known=extractor_names(), name=name)
    if len(brought) > 1:
        where = " and ".join(sorted(map(_origin, brought)))
        raise FeatureError("extract.two_extractors", name=name, where=where)
    return _loaded(brought[0])


def own_extractors() -> Iterator[Extractor]:
    """Return the extractors of this package."""
    return map(extractor, OWN)


def extractor_names() -> list[str]:
    """Return the names of all extractors; nothing of another package is imported for it."""
    return list(dict.fromkeys([*OWN, *sorted(point.name for point in _entry_points())]))


@cache
def _entry_points() -> tuple[EntryPoint, ...]:
    from importlib.metadata import (
        entry_points,
    )  # not at the top: a fifth of a second for most who need none

    return tuple(entry_points(group=GROUP))


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


def _loaded(point: EntryPoint) -> Extractor:
    told = {"name": point.name, "value": point.value, "origin": _origin(point)}
    try:
        brought = point.load()
    except Exception as error:  # whatever another package raises is its fault
        reason = f"{type(error).__name__}: {error}"
        raise FeatureError("extract.registry_failed", reason=reason, **told) from error
    if not isinstance(brought, Extractor) or not is_dataclass(brought.options):
        raise FeatureError("extract.registry_kind", kind=type(brought).__name__, **told)
    if brought.name != point.name:
        raise FeatureError("extract.registry_name", other=brought.name, **told)
    if Need.PICTURES in brought.needs and not hasattr(brought.options(), "face_rate_hz"):
        raise FeatureError("extract.registry_pictures", **told)
    return brought


__all__ = ["GROUP", "OWN", "extractor", "extractor_names", "own_extractors"]
