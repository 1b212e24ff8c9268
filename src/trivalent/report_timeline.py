"""The timeline of the HTML report: inline SVG tracks that scale without JavaScript.

Horizontal positions are percentages of the recording, vertical ones are pixels, so that a
track is as wide as its reader's window and its glyphs keep their size.
"""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np

from trivalent.analysis import Analysis, Evidence, Track, UtteranceResult
from trivalent.markup import esc
from trivalent.types import LABELS, FloatArray, Modality, Status
from trivalent.wording import (
    GLYPHS,
    MIXED,
    MODALITY_NAMES,
    UNSURE,
    clock,
    modalities_of,
    percent,
    silence,
    silences,
    top_label,
    verdict_sentence,
)

FUSED_TOP, FUSED_HEIGHT = 18, 60  # px: marks above, stacked probabilities below
TRACK_HEIGHT, THIN, THICK = 30, 8, 18  # px: a block is THIN + weight * THICK high
CURVE_HEIGHT, CURVE_WIDTH = 34, 10_000  # px, and units that stretch to the width of the window
CURVE_NAMES = {"F0": "Pitch", "energy": "Energy"}
GLYPH_SHARE = 0.022  # narrower blocks leave no room for a sign
MARK_SHARE = 0.012  # nor for a question mark above: their hatching says it
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
MAX_TICKS = 6
# (more utterances than this, class that widens the tracks, factor on the ticks)
DENSITIES = ((150, "dense-3", 4), (60, "dense-2", 3), (25, "dense-1", 2))


def timeline(analysis: Analysis, *, prefix: str) -> str:
    """Draw the recording, or nothing for a text.

    Parameters
    ----------
    analysis : Analysis
    prefix : str
        Start of the anchors of its utterances: `prefix` + index.

    Returns
    -------
    str
        HTML; empty when there is no time to draw along.
    """
    length = recording_length(analysis)
    if length <= 0 or analysis.source.kind == "text":
        return ""
    rows = [_row("Combined", "", _fused(analysis, length, prefix))]
    for modality in modalities_of(analysis):
        share = sum(u.modalities[modality].weight for u in analysis.utterances if modality in u.modalities)
        note = f"{percent(share / len(analysis.utterances))} weight" if share else "not used"
        rows.append(_row(MODALITY_NAMES[modality], note, _track(analysis, modality, length, prefix)))
    rows += [_curve_row(track, length) for track in analysis.tracks if np.isfinite(track.values).any()]
    count = len(analysis.utterances)
    dense, factor = next(((name, f) for n, name, f in DENSITIES if count > n), ("", 1))
    rows.append(_row("", "", _axis(length, MAX_TICKS * factor)))
    return (
        '<section class="card timeline"><h3>Over the recording</h3>'
        # the tracks scroll sideways when they are many, so the keyboard must reach them
        '<div class="scroll" tabindex="0" role="group" aria-label="Timeline">'
        f'<div class="tracks {dense}">{"".join(rows)}</div></div>{_legend()}{_notes(analysis)}</section>'
    )


def recording_length(analysis: Analysis) -> float:
    """Seconds from the start to the last thing known of."""
    return max([analysis.source.duration_s or 0.0, *(u.end_s for u in analysis.utterances)])


def _row(name: str, note: str, svg: str) -> str:
    small = f"<small>{esc(note)}</small>" if note else ""
    return f'<div class="track"><div class="name"><b>{esc(name)}</b>{small}</div>{svg}</div>'


def _pc(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.3f}%"


def _span(u: UtteranceResult, length: float) -> tuple[float, float]:
    """Left edge and width as shares of the recording; a moment keeps a visible width."""
    return u.start_s / length, max((u.end_s - u.start_s) / length, 0.0015)


def _when(u: UtteranceResult) -> str:
    return f"{clock(u.start_s)} to {clock(u.end_s)}"


def _link(u: UtteranceResult, prefix: str, title: str, shapes: str, *, tab: bool) -> str:
    # one tab stop per utterance is enough: only the combined track is in the tab order
    skip = "" if tab else ' tabindex="-1"'
    return f'<a href="#{prefix}{u.index}"{skip}><title>{esc(title)}</title>{shapes}</a>'


def _glyph(x: float, y: float, sign: str, kind: str) -> str:
    return f'<text class="{kind}" x="{_pc(x)}" y="{y:.0f}">{sign}</text>'


def _fused(analysis: Analysis, length: float, prefix: str) -> str:
    blocks = "".join(_fused_block(u, length, prefix) for u in analysis.utterances)
    height = FUSED_TOP + FUSED_HEIGHT
    return f'<svg class="fused" height="{height}" role="group" aria-label="Combined verdict">{blocks}</svg>'


def _fused_block(u: UtteranceResult, length: float, prefix: str) -> str:
    x, width = _span(u, length)
    bottom = float(FUSED_TOP + FUSED_HEIGHT)
    shapes = []
    for label, p in zip(LABELS, u.verdict.probabilities, strict=True):  # negative lies at the bottom
        height = FUSED_HEIGHT * float(p)
        bottom -= height
        shapes.append(_rect(x, width, bottom, height, f"url(#p-{label})"))
        if label == u.verdict.label and width >= GLYPH_SHARE:
            shapes.append(_glyph(x + width / 2, bottom + height / 2, GLYPHS[label], "sign"))
    marks = []
    if u.verdict.abstained:
        shapes.append(_rect(x, width, FUSED_TOP, FUSED_HEIGHT, "url(#p-unsure)"))
        if width >= MARK_SHARE:
            marks.append(UNSURE)
    if u.mixed:
        marks.append(MIXED)
    if marks:
        shapes.append(_glyph(x + width / 2, FUSED_TOP / 2, "".join(marks), "mark"))
    words = f"{_when(u)}. {verdict_sentence(u.verdict)}{' Mixed signals.' if u.mixed else ''}"
    return _link(u, prefix, f"{words}\n{_short(u.text)}", "".join(shapes), tab=True)


def _rect(x: float, width: float, y: float, height: float, fill: str) -> str:
    return f'<rect x="{_pc(x)}" width="{_pc(width)}" y="{y:.2f}" height="{height:.2f}" fill="{fill}"/>'


def _track(analysis: Analysis, modality: Modality, length: float, prefix: str) -> str:
    blocks = "".join(
        _track_block(u, modality, u.modalities[modality], length, prefix)
        for u in analysis.utterances
        if modality in u.modalities
    )
    name = MODALITY_NAMES[modality]
    return f'<svg height="{TRACK_HEIGHT}" role="group" aria-label="{name}">{blocks}</svg>'


def _track_block(u: UtteranceResult, modality: Modality, e: Evidence, length: float, prefix: str) -> str:
    x, width = _span(u, length)
    name = MODALITY_NAMES[modality]
    middle = TRACK_HEIGHT / 2
    if e.status is not Status.OK or e.probabilities is None:
        shape = f'<rect class="gap" x="{_pc(x)}" width="{_pc(width)}" y="{middle - 5:.0f}" height="10"/>'
        return _link(u, prefix, f"{name}, {_when(u)}: {silence(e)}", shape, tab=False)
    label = top_label(e.probabilities)
    height = THIN + THICK * min(max(e.weight, 0.0), 1.0)
    shape = _rect(x, width, middle - height / 2, height, f"url(#p-{label})")
    if width >= GLYPH_SHARE:
        shape += _glyph(x + width / 2, middle, GLYPHS[label], "sign")
    said = f"{label} at {percent(float(e.probabilities.max()))}, weight {percent(e.weight)}"
    return _link(u, prefix, f"{name}, {_when(u)}: {said}", shape, tab=False)


def _curve_row(track: Track, length: float) -> str:
    low, high = float(np.nanmin(track.values)), float(np.nanmax(track.values))
    said = f"{_signed(low)} to {_signed(high)} {track.unit}"
    name = CURVE_NAMES.get(track.name, track.name)
    # pitch is heard in octaves, and decibels are a logarithm already
    scale = np.log2 if track.unit == "Hz" else np.positive
    bottom, span = scale(low), scale(high) - scale(low)
    heights = (scale(track.values) - bottom) / (span or 1.0)
    svg = (
        f'<svg class="curve" height="{CURVE_HEIGHT}" viewBox="0 0 {CURVE_WIDTH} {CURVE_HEIGHT}" '
        f'preserveAspectRatio="none" role="img" aria-label="{esc(f"{name}, {said}")}">'
        f'<path d="{_path(track.times_s / length, heights)}"/></svg>'
    )
    return _row(name, said, svg)


def _path(x: FloatArray, y: FloatArray) -> str:
    """Line through points given as shares [0, 1], broken where y is NaN; a lone point is a dot."""
    points = [
        f"{CURVE_WIDTH * min(max(a, 0.0), 1.0):.0f},{CURVE_HEIGHT - 2 - (CURVE_HEIGHT - 4) * b:.1f}"
        for a, b in zip(x.tolist(), y.tolist(), strict=True)
    ]
    runs = (list(run) for known, run in groupby(range(len(y)), lambda i: bool(np.isfinite(y[i]))) if known)
    return "".join(f"M{points[run[0]]}h0L{' '.join(points[i] for i in run)}" for run in runs)


def _signed(number: float) -> str:
    return f"{number:.0f}".replace("-", "−")


def _axis(length: float, most: int) -> str:
    step = next((s for s in STEPS_S if length / s <= most), math.ceil(length / most))
    ticks = []
    for second in range(0, int(length) + 1, step):
        at = second / length
        anchor = "start" if at < 0.02 else "end" if at > 0.96 else "middle"
        ticks.append(
            f'<line x1="{_pc(at)}" x2="{_pc(at)}" y1="0" y2="5"/>'
            f'<text class="tick" x="{_pc(at)}" y="18" text-anchor="{anchor}">{clock(second)}</text>'
        )
    line = '<line x1="0" x2="100%" y1="0" y2="0"/>'
    return f'<svg class="axis" height="24" aria-hidden="true">{line}{"".join(ticks)}</svg>'


def _legend() -> str:
    def key(words: str, *fills: str) -> str:
        shapes = "".join(f'<rect width="100%" height="100%" fill="url(#p-{fill})"/>' for fill in fills)
        return f'<li><svg class="key" aria-hidden="true">{shapes}</svg>{words}</li>'

    gap = '<svg class="key" aria-hidden="true"><rect class="gap" x="1" y="4" width="26" height="10"/></svg>'
    keys = [key(f"{GLYPHS[label]} {label}", label) for label in LABELS]
    keys += [
        key(f"{UNSURE} unsure", LABELS[-1], "unsure"),
        f"<li><b>{MIXED}</b> mixed signals</li>",
        f"<li>{gap}not used</li>",
        "<li>The thicker a block, the more it counted. Choose one to read it.</li>",
    ]
    return f'<ul class="legend">{"".join(keys)}</ul>'


def _notes(analysis: Analysis) -> str:
    """Reasons in plain sight: a tooltip is no use to a finger or a screen reader."""
    total = len(analysis.utterances)
    lines = []
    for modality, reasons in silences(analysis).items():
        for reason, n in reasons.most_common(4):
            often = "throughout" if n == total else f"in {n} of {total} utterances"
            lines.append(f"<li><b>{MODALITY_NAMES[modality]}</b> {esc(reason)} ({often})</li>")
    return f'<ul class="notes">{"".join(lines)}</ul>' if lines else ""


def _short(text: str, limit: int = 140) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
