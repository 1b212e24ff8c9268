"""The page at /docs: every operation with a curl command, and every problem. No script, no network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from trivalent.report.page import render_page
from trivalent.report.renderer import esc
from trivalent.service.problems import Problems

_FOOTER = (
    "The machine-readable description is at /openapi.json. Nothing in this page is loaded from, or sent "
    "to, a network."
)
_BODIES = {
    "createAnalysis": (
        """-H 'Content-Type: application/json' -d '{"text": "I love how this turned out."}'""",
        """-F file=@talk.mp4 -F 'options={"whisper": "tiny.en"}' -F keep_media=false""",
    ),
    "changeAnalysis": ("""-H 'Content-Type: application/json' -d '{"tags": ["keep"]}'""",),
    "listAnalyses": ("-G -d label=negative -d since=2026-01-01T00:00:00Z -d limit=20",),
    "getReport": ("-o report.html",),
}


def docs_page(description: Mapping[str, Any], *, base: str) -> str:
    """Lay an OpenAPI description out.

    Parameters
    ----------
    description : mapping
        As served at /openapi.json.
    base : str
        Where the service is reached, such as http://127.0.0.1:8000.
    """
    sections = [
        '<section class="source"><header class="source-head">'
        f"<h2>REST service</h2><p>{esc(description['info']['description'])}</p></header>"
    ]
    if "securitySchemes" in description["components"]:
        sections.append(
            _card("Keys", "<p>Commands below take the key from the variable <code>KEY</code>.</p>")
        )
    for tag in description["tags"]:
        rows = "".join(
            _operation(method, path, operation, base=base)
            for path, method, operation in _operations(description)
            if operation["tags"] == [tag["name"]]
        )
        lead = f'<p class="lead">{esc(tag["description"])}</p>'
        sections.append(_card(tag["name"].capitalize(), f'<div class="tv-bars">{lead}{rows}</div>'))
    sections.append(_card("Problems", _problems()) + "</section>")
    return render_page(
        "\n".join(sections), title="REST service · Trivalent", kind="service", footer=_FOOTER
    )


def _operations(description: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _operation(method: str, path: str, operation: Mapping[str, Any], *, base: str) -> str:
    name = operation["operationId"]
    where = base + re.sub(r"\{(\w+)\}", lambda found: f"${found[1].upper()}", path)
    verb = "" if method in ("get", "post") else f"-X {method.upper()} "
    if method == "post" and name not in _BODIES:
        verb = "-X POST "
    key = '-H "Authorization: Bearer $KEY" ' if "security" in operation else ""
    commands = [
        f"curl {verb}{key}{extra + ' ' if extra else ''}{where}" for extra in _BODIES.get(name, ("",))
    ]
    words = operation.get("description", "")
    shown = "<br>".join(f"<code>{esc(c)}</code>" for c in commands)
    return (
        f'<div id="{esc(name)}"><h4>{esc(method.upper())} {esc(path)}<small>{esc(words)}</small></h4>'
        f'<p class="tv-said">{shown}</p></div>'
    )


def _problems() -> str:
    rows = "".join(
        f'<tr id="{p.slug}"><td>{p.value.status} <code>{p.slug}</code></td>'
        f'<td class="words">{esc(p.value.title)}. {esc(p.value.remedy)}</td></tr>'
        for p in Problems
    )
    lead = (
        '<p class="lead">An error is answered as an RFC 9457 problem document; its <code>instance</code> '
        "finds the request in the server's log.</p>"
    )
    head = '<tr><th>problem</th><th class="words">meaning</th></tr>'
    return f'{lead}<div class="scroll"><table class="figures">{head}{rows}</table></div>'


def _card(title: str, body: str) -> str:
    return f'<section class="tv-card"><h3>{esc(title)}</h3>{body}</section>'
