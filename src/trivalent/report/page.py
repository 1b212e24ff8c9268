"""The frame of every HTML page that we write: one style sheet, no script, no network."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from string import Template

from trivalent.report.markup import esc


def render_page(body: str, *, title: str, kind: str, footer: str) -> str:
    """Put a body into the frame.

    Parameters
    ----------
    body : str
        HTML; everything in it is escaped already.
    title, kind, footer : str
        Plain text; `kind` follows the name of the software on top of the page.
    """
    folder = files("trivalent") / "data" / "templates"
    style = (folder / "report.css").read_text(encoding="utf-8")
    page = Template((folder / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=esc(title),
        kind=esc(kind),
        footer=esc(footer),
        # the policy names the one style sheet by its hash: injected styles would not apply
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        style=style,
        body=body,
    )
