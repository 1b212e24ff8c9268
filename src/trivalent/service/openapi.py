"""The OpenAPI description: problem documents, keys, and request bodies in two forms."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from trivalent.core.version import __version__
from trivalent.service.documents import components
from trivalent.service.problems import MEDIA_TYPE, Problems
from trivalent.service.schemas import Change, FormFields, MediaOptions, Problem, TextRequest

DESCRIPTION = (
    "Negative, neutral or positive from the words, the voice and the face. A small text is answered at "
    "once; a long one, or a recording, becomes a job that survives a restart. Everything belongs to the "
    "account whose key is sent: another's id is answered like one that does not exist."
)
TAGS = [
    {"name": "analyses", "description": "Make, find, change and delete analyses."},
    {"name": "jobs", "description": "Recordings that wait or are worked on."},
    {"name": "models", "description": "The model bundles of this server."},
    {"name": "account", "description": "The account of the key."},
    {"name": "operation", "description": "For those who run the server."},
]
RETRY = {
    "Retry-After": {
        "description": "seconds to wait",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    }
}


def problems(*kinds: Problems) -> dict[int | str, dict[str, Any]]:
    """Describe the problems that an operation answers with, besides those that all have."""
    described: dict[int | str, dict[str, Any]] = {}
    for kind in (*kinds, *_COMMON):
        status = kind.value.status
        entry = described.setdefault(
            status,
            {
                "description": kind.value.title,
                "content": {MEDIA_TYPE: {"schema": _ref("Problem"), "examples": {}}},
            },
        )
        entry["content"][MEDIA_TYPE]["examples"][kind.slug] = {"value": _example(kind)}
        if status in (429, 503):
            entry["headers"] = RETRY
    return described


_COMMON = (
    Problems.MALFORMED,
    Problems.FORBIDDEN,
    Problems.INVALID,
    Problems.INTERNAL,
    Problems.DEADLINE,
    Problems.UNAVAILABLE,
    Problems.MISDIRECTED,
)
KEYED = (Problems.UNAUTHENTICATED, Problems.RATE_LIMITED)


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _example(kind: Problems) -> dict[str, Any]:
    return {
        "type": f"/docs#{kind.slug}",
        "title": kind.value.title,
        "status": kind.value.status,
        "detail": kind.value.remedy,
        "instance": "urn:uuid:0e5ef8a0-2f4a-4f7c-8f65-5b5ac1cbb2a7",
    }


def json_body(model: type) -> dict[str, Any]:
    """Describe a JSON body that an operation reads by itself, with a limit."""
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(model.__name__)}}}
    }


TEXT_OR_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _ref("TextRequest")},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "sound, video or a text; judged by its bytes",
                        },
                        **FormFields.model_json_schema()["properties"],
                        "options": _ref("MediaOptions"),
                    },
                },
                "encoding": {"options": {"contentType": "application/json"}},
            },
        },
    },
}


def link_to(operation: str, parameter: str, *, source: str) -> dict[str, Any]:
    """Tell where an answer leads: an OpenAPI link."""
    return {operation: {"operationId": operation, "parameters": {parameter: source}}}


def describe(app: FastAPI, *, accounts: bool) -> dict[str, Any]:
    """Build the description once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title="Trivalent",
        version=__version__,
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
        license_info={"name": "MIT", "identifier": "MIT"},
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (Problem, TextRequest, MediaOptions, Change):
        _add(schemas, model)
    schemas |= components()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    if accounts:
        document["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "trivalent key create"}
        }
        for path in document["paths"].values():
            for operation in path.values():
                if "401" in operation["responses"]:
                    operation["security"] = [{"key": []}]
    app.openapi_schema = document
    return document


def _add(schemas: dict[str, Any], model: type) -> None:
    """Add a model that no operation names in Python, and what it is made of."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")  # type: ignore[attr-defined]
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema


__all__ = ["KEYED", "TEXT_OR_FILE", "describe", "json_body", "link_to", "problems"]
