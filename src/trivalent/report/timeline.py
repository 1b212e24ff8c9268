"""The timeline of the HTML report: inline SVG tracks that scale without JavaScript.

Horizontal positions are percentages of the recording, vertical ones are pixels, so that a
track is as wide as its reader's window and its glyphs keep their size.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from trivalent.core.analysis import Analysis, Evidence, Track, UtteranceResult
from trivalent.core.types import LABELS, FloatArray, Modality, Status
from trivalent.report.blocks import joined
from trivalent.report.markup import esc
from trivalent.report.shapes import FUSED_TOP, MAX_TICKS, Shapes, density, recording_length, shorten
from trivalent.report.wording import (
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

SHAPES = Shapes("", fused=60, track=30, thin=8, thick=18)
CURVE_HEIGHT, CURVE_WIDTH = 34, 10_000  # px, and units that stretch to the width of the window
CURVE_NAMES = {"F0": "Pitch", "energy": "Energy"}


def timeline(analysis: Analysis, *, prefix: str, anchors: Container[int] | None = None) -> str:
    """Draw the recording, or nothing for a text.

    Parameters
    ----------
    analysis : Analysis
    prefix : str
        Start of the anchors of its utterances: `prefix` + index.
    anchors : container of int, optional
        Indices of the utterances that are in the page; all of them if not given.

    Returns
    -------
    str
        HTML; empty when there is no time to draw along.
    """
    length = recording_length(analysis)
    if length <= 0 or analysis.source.kind == "text":
        return ""
    blocks = joined(analysis.utterances)
    links = _Links(prefix, anchors)
    rows = [_row("Combined", "", _fused(blocks, length, links))]
    for modality in modalities_of(analysis):
        share = sum(u.modalities[modality].weight for u in analysis.utterances if modality in u.modalities)
        note = f"{percent(share / len(analysis.utterances))} weight" if share else "not used"
        rows.append(_row(MODALITY_NAMES[modality], note, _track(blocks, modality, length, links)))
    rows += [_curve_row(track, length) for track in analysis.tracks if np.isfinite(track.values).any()]
    dense, factor = density(len(blocks))
    rows.append(_row("", "", SHAPES.axis(length, MAX_TICKS * factor)))
    return (
        '<section class="card timeline"><h3>Over the recording</h3>'
        # the tracks scroll sideways when they are many, so the keyboard must reach them
        '<div class="scroll" tabindex="0" role="group" aria-label="Timeline">'
        f'<div class="tracks {dense}">{"".join(rows)}</div></div>{_legend()}'
        f"{_notes(analysis, joined=len(blocks) < len(analysis.utterances))}</section>"
    )


def _row(name: str, note: str, svg: str) -> str:
    small = f"<small>{esc(note)}</small>" if note else ""
    return f'<div class="track"><div class="name"><b>{esc(name)}</b>{small}</div>{svg}</div>'


def _when(u: UtteranceResult) -> str:
    return f"{clock(u.start_s)} to {clock(u.end_s)}"


@dataclass(frozen=True)
class _Links:
    """Links from the blocks to the utterances that are in the page."""

    prefix: str
    anchors: Container[int] | None

    def wrap(self, u: UtteranceResult, title: str, shapes: str, *, tab: bool) -> str:
        inside = f"<title>{esc(title)}</title>{shapes}"
        if self.anchors is not None and u.index not in self.anchors:
            return f"<g>{inside}</g>"
        # one tab stop per utterance is enough: only the combined track is in the tab order
        skip = "" if tab else ' tabindex="-1"'
        return f'<a href="#{self.prefix}{u.index}"{skip}>{inside}</a>'


def _fused(blocks: Sequence[UtteranceResult], length: float, links: _Links) -> str:
    drawn = "".join(_fused_block(u, length, links) for u in blocks)
    height = FUSED_TOP + SHAPES.fused
    return f'<svg class="fused" height="{height}" role="group" aria-label="Combined verdict">{drawn}</svg>'


def _fused_block(u: UtteranceResult, length: float, links: _Links) -> str:
    words = f"{_when(u)}. {verdict_sentence(u.verdict)}{' Mixed signals.' if u.mixed else ''}"
    return links.wrap(u, f"{words}\n{shorten(u.text)}", SHAPES.verdict(u, length), tab=True)


def _track(blocks: Sequence[UtteranceResult], modality: Modality, length: float, links: _Links) -> str:
    drawn = "".join(
        _track_block(u, modality, u.modalities[modality], length, links)
        for u in blocks
        if modality in u.modalities
    )
    name = MODALITY_NAMES[modality]
    return f'<svg height="{SHAPES.track}" role="group" aria-label="{name}">{drawn}</svg>'


def _track_block(u: UtteranceResult, modality: Modality, e: Evidence, length: float, links: _Links) -> str:
    said = silence(e)
    if e.status is Status.OK and e.probabilities is not None:
        share = percent(float(e.probabilities.max()))
        said = f"{top_label(e.probabilities)} at {share}, weight {percent(e.weight)}"
    title = f"{MODALITY_NAMES[modality]}, {_when(u)}: {said}"
    return links.wrap(u, title, SHAPES.opinion(u, e, length), tab=False)


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


def _notes(analysis: Analysis, *, joined: bool) -> str:
    """Reasons in plain sight: a tooltip is no use to a finger or a screen reader."""
    total = len(analysis.utterances)
    lines = []
    if joined:
        lines.append("<li>More utterances than fit: a block is the mean of several in a row.</li>")
    for modality, reasons in silences(analysis).items():
        for reason, n in reasons.most_common(4):
            often = "throughout" if n == total else f"in {n} of {total} utterances"
            lines.append(f"<li><b>{MODALITY_NAMES[modality]}</b> {esc(reason)} ({often})</li>")
    return f'<ul class="notes">{"".join(lines)}</ul>' if lines else ""
