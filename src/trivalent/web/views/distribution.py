"""How many of each class: parts as wide as their share, each with its sign and number."""

from __future__ import annotations

from collections.abc import Sequence

from trivalent.core.types import LABELS
from trivalent.report.renderer import esc
from trivalent.report.wording import GLYPHS
from trivalent.web.i18n import t, wording


def distribution(counts: Sequence[int]) -> str:
    """Draw one bar.

    Parameters
    ----------
    counts : sequence of int
        In the order of `LABELS`.
    """
    spoken = t("result.join").join(f"{n} {wording().label(k)}" for k, n in zip(LABELS, counts, strict=True))
    parts = "".join(
        f'<span class="tv-fill tv-{label}" style="flex-grow:{n}"><i>{GLYPHS[label]}</i>{n}</span>'
        for label, n in zip(LABELS, counts, strict=True)
        if n
    )
    return f'<div class="tv-distribution" role="img" aria-label="{esc(spoken)}">{parts}</div>'


def legend() -> str:
    """Say which sign and colour is which class."""
    items = "".join(
        f'<li><span class="tv-key tv-fill tv-{label}"></span><i>{GLYPHS[label]}</i> '
        f"{esc(wording().label(label))}</li>"
        for label in LABELS
    )
    return f'<ul class="tv-legend">{items}</ul>'
