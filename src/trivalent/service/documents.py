"""The analysis document in the OpenAPI description, as `core.analysis` defines it."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import RootModel

from trivalent.core.analysis import KINDS, MIXED_BY, Analysis
from trivalent.core.types import LABELS

Kind = Literal[KINDS]  # type: ignore[valid-type] # spelled where an analysis is defined
Label = Literal[LABELS]  # type: ignore[valid-type]
MixedBy = Literal[MIXED_BY]  # type: ignore[valid-type]


class AnalysisDocument(RootModel[dict[str, Any]]):
    """Stands where the document does; `components` describes it."""


class Probabilities(RootModel[dict[str, float]]):
    """Stands where probabilities do; `components` describes them."""


def components() -> dict[str, Any]:
    """Describe the document and its parts, by the names that clients know."""
    names = {name: f"{name}Out" for name in ("Overall", "Evidence", "Source", "Model", "Timing")}
    names |= {"Analysis": "AnalysisDocument", "UtteranceResult": "UtteranceOut"}

    def named(found: re.Match[str]) -> str:
        return f'"#/components/schemas/{names.get(found[1], found[1])}"'

    root = Analysis.json_schema()
    del root["$schema"]
    parts = root.pop("$defs") | {root["title"]: root}
    parts = {names.get(name, name): part | {"title": names.get(name, name)} for name, part in parts.items()}
    described: dict[str, Any] = json.loads(re.sub(r'"#/\$defs/(\w+)"', named, json.dumps(parts)))
    return described
