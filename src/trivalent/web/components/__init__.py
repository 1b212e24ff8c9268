"""The few things that need a script of ours in the browser: small, readable, without a build step.

They live in the page itself rather than in a frame, so that they share its style sheet and its
language; the markup that they show comes from the server, where everything is escaped.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer

_SKELETONS = {
    "player": (
        '<div class="tv-result"><div class="tv-watch">'
        '<div class="tv-player" data-part="player" hidden></div>'
        '<div class="tv-timeline" data-part="timeline" hidden></div>'
        '<div data-part="frames" hidden></div></div><div data-part="transcript"></div></div>'
    ),
    "counter": '<div class="tv-count" aria-live="off"></div>',
    "recorder": '<div class="tv-recorder"></div>',
    "cookies": "",
}


@cache
def component(name: str) -> ComponentRenderer:
    """Return one of ours, which is called to put it into the page.

    Parameters
    ----------
    name : str
        `player`, `counter`, `recorder` or `cookies`.
    """
    script = (files(__name__) / f"{name}.js").read_text(encoding="utf-8")
    return st.components.v2.component(
        f"trivalent_{name}", html=_SKELETONS[name], js=script, isolate_styles=False
    )
