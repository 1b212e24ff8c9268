"""Results as HTML, in the language of the page."""

from __future__ import annotations

from trivalent.report.renderer import Renderer
from trivalent.web.i18n import wording


def renderer() -> Renderer:
    """Return what draws results for the page that is being made."""
    return Renderer(wording(), live=True)
