"""A page of the app without a browser, and what is on it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

from streamlit.testing.v1 import AppTest

from trivalent.core.settings import VARIABLE, Settings
from trivalent.web.server import SCRIPT


def open_app(monkeypatch: Any, settings: Settings, **query: str) -> AppTest:
    """Open the app as a new visitor; `query` is what follows ? in the address."""
    monkeypatch.setenv(VARIABLE, settings.to_json())
    # a page without a browser has no cookies
    monkeypatch.setattr("trivalent.web.login.remembered", lambda: None)
    page = AppTest.from_file(SCRIPT, default_timeout=60)
    page.query_params.update(query)
    return page.run()


def elements(page: AppTest) -> Iterator[Any]:
    """Everything on the page."""
    waiting = [page._tree]
    while waiting:
        block = waiting.pop()
        for child in getattr(block, "children", {}).values():
            waiting.append(child)
            yield child


def markup(page: AppTest) -> str:
    """Our own HTML on the page, without the style sheet."""
    bodies = [e.proto.body for e in elements(page) if e.type == "html"]
    return "".join(b for b in bodies if not b.startswith("<style>"))


def words(page: AppTest) -> str:
    """What our own HTML says."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup(page))).split())


def data_of(page: AppTest, component: str) -> dict[str, Any]:
    """What the server gave a component of ours."""
    found = [e.proto for e in elements(page) if e.type == "bidi_component"]
    return next(json.loads(p.json) for p in found if p.component_name == f"trivalent_{component}")


def button(page: AppTest, key: str) -> Any:
    """Button by its key, in a form or not."""
    return next(b for b in page.button if b.key == key)
