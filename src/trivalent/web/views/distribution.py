"""How many of each class: parts as wide as their share, each with its sign and number."""

from __future__ import annotations

from collections.abc import Sequence

from trivalent.core.types import LABELS
from trivalent.web.i18n import wording
from trivalent.web.views.drawing import renderer


def distribution(counts: Sequence[int]) -> str:
    """Draw one bar.

    Parameters
    ----------
    counts : sequence of int
        In the order of `LABELS`.
    """
    say, pairs = wording(), list(zip(LABELS, counts, strict=True))
    spoken = say.join(f"{n} {say.label(label)}" for label, n in pairs)
    return renderer().draw("distribution.html", counts=pairs, spoken=spoken)


def legend() -> str:
    """Say which sign and colour is which class."""
    return renderer().draw("legend.html")
