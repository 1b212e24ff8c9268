"""Write docs/analysis.md: the two documents of an analysis and the columns of tables, as they are defined.

Usage: python tools/analysis_docs.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trivalent.core.analysis import DOCUMENT, EXTRAS, SUMMARY, UTTERANCE
from trivalent.core.columns import Columns
from trivalent.core.files import write_text_atomic
from trivalent.core.schema import json_schema

PAGE = Path(__file__).resolve().parents[1] / "docs" / "analysis.md"
INTRO = """# The result of an analysis

Written by `python tools/analysis_docs.py` from `src/trivalent/core/analysis.py`, which also reads, checks
and writes what is told here; a test compares the two. `Analysis.json_schema()` returns the same as JSON
Schema, and the service shows it in `/openapi.json`.

A later version may add keys; who reads a document leaves alone those that it does not know. What changes
otherwise gets another `schema`.
"""
DOCUMENTS = """## The document

What `trivalent analyze --json`, `Analysis.to_dict()` and the service write. Several sources, or one that
failed, are `{"schema": "trivalent.analyses/1", "analyses": [...], "failures": [{"source", "reason"}]}`.
"""
SECOND = """## The second document

Key frames are pictures of a face and tracks are long: they stay out of the first document, and
`Analysis.extras_to_dict()` writes them. `Analysis.from_dict(document, extras)` takes the two back.
"""
TABLES = """## Columns of tables

One row per utterance: `--csv`, `Analysis.rows()`, `Analysis.to_frame()`, and `utterances` of a
[batch](batch.md). In front stands `source`, the name of the recording; at the end what was decided with,
the last columns of the table below from `prior_negative` on. An empty cell is null in the document.
"""
FILES = """One row per file: what `files` of a batch holds of the analysis. A list is joined, or counted.
"""
WORDS = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true or false"}


def page() -> str:
    """Render the whole page."""
    parts = [INTRO, DOCUMENTS, *_document(json_schema(DOCUMENT)), SECOND, *_document(json_schema(EXTRAS))]
    return "\n".join([*parts, TABLES, _columns(UTTERANCE), FILES, _columns(SUMMARY)])


def _document(schema: Mapping[str, Any]) -> Iterator[str]:
    yield _keys(schema)
    for name, part in schema["$defs"].items():
        yield f"### {name}\n"
        yield f"{part['description']}\n"
        if "properties" in part:
            yield _keys(part)
        else:
            yield f"{_choices(part)}\n"


def _keys(schema: Mapping[str, Any]) -> str:
    rows = []
    for key, told in schema["properties"].items():
        optional = "" if key in schema["required"] else "; may be absent"
        rows.append([f"`{key}`", _kind(told) + optional, told.get("description", "")])
    return _table(["key", "value", ""], rows)


def _kind(told: Mapping[str, Any]) -> str:
    """Say in words what a value may be."""
    if "$ref" in told:
        name = told["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in told:
        return " or ".join(map(_kind, told["anyOf"]))
    if "const" in told:
        return f'`"{told["const"]}"`'
    if "enum" in told:
        return _choices(told)
    match told["type"]:
        case "array":
            return f"list of {_kind(told['items'])}"
        case "object":
            keys = _kind(told["propertyNames"]) if "propertyNames" in told else "text"
            return f"object: {_kind(told['additionalProperties'])} by {keys}"
        case "null":
            return "null"
    coded = ", base64" if "contentEncoding" in told else ""
    return WORDS[told["type"]] + _bounds(told) + coded


def _bounds(told: Mapping[str, Any]) -> str:
    low, high = told.get("minimum"), told.get("maximum")
    if high is None:
        return "" if low is None else f", at least {low}"
    return f", {low} to {high}"


def _choices(told: Mapping[str, Any]) -> str:
    return ", ".join(f"`{choice}`" for choice in told["enum"])


def _columns(columns: Columns) -> str:
    rows = [[f"`{name}`", columns.types[name], f"`{place}`"] for name, place in columns.places.items()]
    return _table(["column", "type", "in the document"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_text_atomic(PAGE, page())
    print(PAGE)
