"""The recording from left to right: verdicts, channels, pitch and loudness over one axis of time.

Horizontal positions are shares of the recording, vertical ones pixels, so that a lane is as wide as
its window and its signs keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trivalent.core.analysis import Analysis, UtteranceResult
from trivalent.core.types import LABELS, Modality, Status
from trivalent.report.attention import by_network
from trivalent.report.blocks import joined
from trivalent.report.curves import Curve, curves
from trivalent.report.wording import (
    GLYPHS,
    MIXED,
    UNSURE,
    Wording,
    capital,
    clock,
    modalities_of,
    top_label,
)

FUSED_TOP, FUSED, OPINION = 18, 52, 28  # px: marks, stacked probabilities below them, a channel's lane
THIN, THICK = 8, 16  # px: a block is thin + weight * thick high
GLYPH_SHARE = 0.022  # narrower blocks leave no room for a sign
MARK_SHARE = 0.012  # nor for a question mark above: their hatching says it
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
MAX_TICKS = 6
# (more blocks than this, class that widens the tracks, factor on the ticks)
DENSITIES = ((150, "tv-dense-3", 4), (60, "tv-dense-2", 3), (25, "tv-dense-1", 2))
MOST_REASONS = 4  # of one channel


@dataclass(frozen=True)
class Rect:
    """A rectangle in the pattern of a label, of `unsure` or, dashed, of a `gap`."""

    x: str
    width: str
    y: str
    height: str
    kind: str


@dataclass(frozen=True)
class Sign:
    """A sign centred at a point; `mark` is one of doubt above a block."""

    x: str
    y: str
    sign: str
    mark: bool = False


@dataclass(frozen=True)
class Block:
    """One utterance on one lane."""

    index: int
    start_s: float
    end_s: float
    title: str
    rects: tuple[Rect, ...]
    signs: tuple[Sign, ...]


@dataclass(frozen=True)
class Lane:
    """A lane of blocks: what all say together, or a channel."""

    name: str
    note: str
    height: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Tick:
    """A time on the axis."""

    at: str
    anchor: str
    words: str


@dataclass(frozen=True)
class Timeline:
    """Lanes over the recording; `weight` says what it is, `notes` are (channel, why it was not used)."""

    length: float
    density: str
    combined: Lane
    channels: tuple[Lane, ...]
    curves: tuple[Curve, ...]
    ticks: tuple[Tick, ...]
    is_joined: bool
    weight: str
    notes: tuple[tuple[str, str], ...]


def timeline(analysis: Analysis, say: Wording) -> Timeline | None:
    """Lay out the recording; None for a text, which has no time, and where there is nothing."""
    length = recording_length(analysis)
    if length <= 0 or analysis.source.kind == "text" or not analysis.utterances:
        return None
    blocks = joined(analysis.utterances, say)
    density, factor = next(((name, factor) for n, name, factor in DENSITIES if len(blocks) > n), ("", 1))
    return Timeline(
        length,
        density,
        Lane(
            say("result.combined"), "", FUSED_TOP + FUSED, tuple(_combined(u, length, say) for u in blocks)
        ),
        tuple(_channel(analysis, m, blocks, length, say) for m in modalities_of(analysis)),
        tuple(curves(analysis, length, say)),
        _ticks(length, MAX_TICKS * factor),
        len(blocks) < len(analysis.utterances),
        say.weight(by_network(analysis)),
        _notes(analysis, say),
    )


def recording_length(analysis: Analysis) -> float:
    """Seconds from the start to the last thing known of."""
    return max([analysis.source.duration_s or 0.0, *(u.end_s for u in analysis.utterances)])


def _combined(u: UtteranceResult, length: float, say: Wording) -> Block:
    """Stack the fused probabilities, negative at the bottom, under the marks of doubt."""
    x, width = _span(u, length)
    middle, bottom = _percentage(x + width / 2), float(FUSED_TOP + FUSED)
    rects, signs = [], []
    for label, p in zip(LABELS, u.verdict.probabilities, strict=True):
        height = FUSED * float(p)
        bottom -= height
        rects.append(_rect(x, width, bottom, height, label))
        if label == u.verdict.label and width >= GLYPH_SHARE:
            signs.append(Sign(middle, f"{bottom + height / 2:.0f}", GLYPHS[label]))
    marks = MIXED if u.mixed else ""
    if u.verdict.abstained:
        rects.append(_rect(x, width, FUSED_TOP, FUSED, "unsure"))
        marks = (UNSURE if width >= MARK_SHARE else "") + marks
    if marks:
        signs.append(Sign(middle, f"{FUSED_TOP / 2:.0f}", marks, mark=True))
    mixed = say("result.mixed_sentence") if u.mixed else ""
    said = (_times(u, say), say.sentence(u), capital(say.valence(u.verdict)), mixed, u.text)
    title = "\n".join(_shorten(words) for words in said if words)
    return Block(u.index, u.start_s, u.end_s, title, tuple(rects), tuple(signs))


def _channel(
    analysis: Analysis, modality: Modality, blocks: Sequence[UtteranceResult], length: float, say: Wording
) -> Lane:
    share = sum(u.modalities[modality].weight for u in analysis.utterances if modality in u.modalities)
    mean = say.percent(share / len(analysis.utterances))
    note = say("result.weight_short", share=mean) if share else say("result.not_used")
    drawn = tuple(_opinion(u, modality, length, say) for u in blocks if modality in u.modalities)
    return Lane(say.modality(modality), note, OPINION, drawn)


def _opinion(u: UtteranceResult, modality: Modality, length: float, say: Wording) -> Block:
    """Draw one expert's label, thicker the more it counted; a dashed gap where it said nothing."""
    e = u.modalities[modality]
    x, width = _span(u, length)
    signs: tuple[Sign, ...] = ()
    if e.status is not Status.OK or e.probabilities is None:
        said, rect = say.silence(e), _rect(x, width, OPINION / 2 - 5, 10, "gap")
    else:
        label = top_label(e.probabilities)
        height = THIN + THICK * min(max(e.weight, 0.0), 1.0)
        rect = _rect(x, width, (OPINION - height) / 2, height, label)
        if width >= GLYPH_SHARE:
            signs = (Sign(_percentage(x + width / 2), f"{OPINION / 2:.0f}", GLYPHS[label]),)
        share, weight = say.percent(float(e.probabilities.max())), say.percent(e.weight)
        said = say("result.says", label=say.label(label), share=share, weight=weight)
    title = say("result.channel_says", channel=say.modality(modality), time=_times(u, say), words=said)
    return Block(u.index, u.start_s, u.end_s, title, (rect,), signs)


def _ticks(length: float, most: int) -> tuple[Tick, ...]:
    """At most about `most` ticks."""
    step = next((s for s in STEPS_S if length / s <= most), math.ceil(length / most))
    return tuple(
        Tick(
            _percentage(second / length),
            "start" if second < 0.02 * length else "end" if second > 0.96 * length else "middle",
            clock(second),
        )
        for second in range(0, int(length) + 1, step)
    )


def _notes(analysis: Analysis, say: Wording) -> tuple[tuple[str, str], ...]:
    """Reasons in plain sight: a tooltip is no use to a finger or a screen reader."""
    total = len(analysis.utterances)
    return tuple(
        (
            say.modality(modality),
            say(
                "result.throughout" if n == total else "result.in_some", reason=reason, count=n, total=total
            ),
        )
        for modality, reasons in say.silences(analysis).items()
        for reason, n in reasons.most_common(MOST_REASONS)
    )


def _times(u: UtteranceResult, say: Wording) -> str:
    return say("result.from_to", start=clock(u.start_s), end=clock(u.end_s))


def _span(u: UtteranceResult, length: float) -> tuple[float, float]:
    """Left edge and width as shares of the recording; a moment keeps a visible width."""
    return u.start_s / length, max((u.end_s - u.start_s) / length, 0.0015)


def _rect(x: float, width: float, y: float, height: float, kind: str) -> Rect:
    return Rect(_percentage(x), _percentage(width), f"{y:.2f}", f"{height:.2f}", kind)


def _percentage(share: float) -> str:
    """Write a share of the width, cut to [0, 1]."""
    return f"{100 * min(max(share, 0.0), 1.0):.3f}%"


def _shorten(text: str, limit: int = 140) -> str:
    """Cut a text for a tooltip."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
