"""SVG pieces of a timeline, which the HTML report and the app draw alike.

Horizontal positions are shares of the recording, vertical ones pixels, so that a track is as wide as
its window and its signs keep their size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trivalent.core.analysis import Analysis, Evidence, UtteranceResult
from trivalent.core.types import LABELS, Status
from trivalent.report.wording import GLYPHS, MIXED, UNSURE, clock, top_label

GLYPH_SHARE = 0.022  # narrower blocks leave no room for a sign
MARK_SHARE = 0.012  # nor for a question mark above: their hatching says it
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
MAX_TICKS = 6
# (more utterances than this, class that widens the tracks, factor on the ticks)
DENSITIES = ((150, "dense-3", 4), (60, "dense-2", 3), (25, "dense-1", 2))
FUSED_TOP = 18  # px: marks above, stacked probabilities below


@dataclass(frozen=True)
class Shapes:
    """Blocks and an axis in one style.

    Attributes
    ----------
    prefix : str
        Of the classes and of the patterns `p-LABEL`.
    fused : int
        Height of the stacked probabilities, in pixels.
    track : int
        Height of a modality's track.
    thin, thick : int
        A block is thin + weight * thick high.
    """

    prefix: str
    fused: int
    track: int
    thin: int
    thick: int

    def rect(self, x: float, width: float, y: float, height: float, label: str) -> str:
        """Draw a rectangle in the pattern of a label, or of `unsure`."""
        box = f'x="{percentage(x)}" width="{percentage(width)}" y="{y:.2f}" height="{height:.2f}"'
        return f'<rect {box} fill="url(#{self.prefix}p-{label})"/>'

    def sign(self, x: float, y: float, sign: str, kind: str = "sign") -> str:
        """Write a sign centred at a point."""
        return f'<text class="{self.prefix}{kind}" x="{percentage(x)}" y="{y:.0f}">{sign}</text>'

    def verdict(self, u: UtteranceResult, length: float) -> str:
        """Stack the fused probabilities, negative at the bottom, under the marks of doubt."""
        x, width = span(u, length)
        bottom = float(FUSED_TOP + self.fused)
        shapes = []
        for label, p in zip(LABELS, u.verdict.probabilities, strict=True):
            height = self.fused * float(p)
            bottom -= height
            shapes.append(self.rect(x, width, bottom, height, label))
            if label == u.verdict.label and width >= GLYPH_SHARE:
                shapes.append(self.sign(x + width / 2, bottom + height / 2, GLYPHS[label]))
        marks = ""
        if u.verdict.abstained:
            shapes.append(self.rect(x, width, FUSED_TOP, self.fused, "unsure"))
            marks += UNSURE if width >= MARK_SHARE else ""
        marks += MIXED if u.mixed else ""
        if marks:
            shapes.append(self.sign(x + width / 2, FUSED_TOP / 2, marks, "mark"))
        return "".join(shapes)

    def opinion(self, u: UtteranceResult, e: Evidence, length: float) -> str:
        """Draw one expert's label, thicker the more it counted; a dashed gap where it said nothing."""
        x, width = span(u, length)
        middle = self.track / 2
        if e.status is not Status.OK or e.probabilities is None:
            box = f'x="{percentage(x)}" width="{percentage(width)}" y="{middle - 5:.0f}" height="10"'
            return f'<rect class="{self.prefix}gap" {box}/>'
        label = top_label(e.probabilities)
        height = self.thin + self.thick * min(max(e.weight, 0.0), 1.0)
        shape = self.rect(x, width, middle - height / 2, height, label)
        if width >= GLYPH_SHARE:
            shape += self.sign(x + width / 2, middle, GLYPHS[label])
        return shape

    def axis(self, length: float, most: int) -> str:
        """Draw the axis of time with at most about `most` ticks."""
        step = next((s for s in STEPS_S if length / s <= most), math.ceil(length / most))
        ticks = []
        for second in range(0, int(length) + 1, step):
            at = second / length
            anchor = "start" if at < 0.02 else "end" if at > 0.96 else "middle"
            ticks.append(
                f'<line x1="{percentage(at)}" x2="{percentage(at)}" y1="0" y2="5"/>'
                f'<text class="{self.prefix}tick" x="{percentage(at)}" y="18" text-anchor="{anchor}">'
                f"{clock(second)}</text>"
            )
        line = '<line x1="0" x2="100%" y1="0" y2="0"/>'
        return f'<svg class="{self.prefix}axis" height="24" aria-hidden="true">{line}{"".join(ticks)}</svg>'


def recording_length(analysis: Analysis) -> float:
    """Seconds from the start to the last thing known of."""
    return max([analysis.source.duration_s or 0.0, *(u.end_s for u in analysis.utterances)])


def density(utterances: int) -> tuple[str, int]:
    """Return the class that widens the tracks of many utterances, and the factor on the ticks."""
    return next(((name, factor) for n, name, factor in DENSITIES if utterances > n), ("", 1))


def span(u: UtteranceResult, length: float) -> tuple[float, float]:
    """Left edge and width as shares of the recording; a moment keeps a visible width."""
    return u.start_s / length, max((u.end_s - u.start_s) / length, 0.0015)


def percentage(share: float) -> str:
    """Write a share of the width, cut to [0, 1].

    >>> percentage(0.25), percentage(1.2)
    ('25.000%', '100.000%')
    """
    return f"{100 * min(max(share, 0.0), 1.0):.3f}%"


def shorten(text: str, limit: int = 140) -> str:
    """Cut a text for a tooltip."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
