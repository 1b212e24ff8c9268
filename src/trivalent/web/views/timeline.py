"""The recording from left to right: verdicts, channels, pitch and loudness over one axis of time.

Horizontal positions are percentages, vertical ones pixels, so that a track is as wide as the window
and its signs keep their size. The component `player` seeks to what is chosen here.
"""

from __future__ import annotations

import math

from trivalent.analysis import Analysis, Evidence, UtteranceResult
from trivalent.markup import esc
from trivalent.report_timeline import (
    DENSITIES,
    GLYPH_SHARE,
    MARK_SHARE,
    MAX_TICKS,
    STEPS_S,
    recording_length,
)
from trivalent.types import LABELS, Modality, Status
from trivalent.web.i18n import t
from trivalent.web.views.tracks import track_rows
from trivalent.web.views.words import (
    label_name,
    modality_name,
    percent,
    silence,
    verdict_sentence,
)
from trivalent.wording import GLYPHS, MIXED, UNSURE, clock, modalities_of, top_label

FUSED_TOP, FUSED_HEIGHT = 18, 52  # px: marks above, stacked probabilities below
TRACK_HEIGHT, THIN, THICK = 28, 8, 16  # px: a block is THIN + weight * THICK high

PATTERNS = (
    '<svg class="tv-defs" width="0" height="0" aria-hidden="true"><defs>'
    '<pattern id="tv-p-negative" width="7" height="7" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="7" height="7" fill="#E74C3C"/>'
    '<rect width="2" height="7" fill="#fff" fill-opacity=".38"/></pattern>'
    '<pattern id="tv-p-neutral" width="7" height="7" patternUnits="userSpaceOnUse">'
    '<rect width="7" height="7" fill="#95A5A6"/><circle cx="3.5" cy="3.5" r="1.2" fill="#fff" '
    'fill-opacity=".6"/></pattern>'
    '<pattern id="tv-p-positive" width="8" height="8" patternUnits="userSpaceOnUse">'
    '<rect width="8" height="8" fill="#2ECC71"/></pattern>'
    '<pattern id="tv-p-unsure" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(-45)"><rect width="1.6" height="6" fill="#10171b" fill-opacity=".6"/>'
    "</pattern></defs></svg>"
)


def timeline(analysis: Analysis) -> str:
    """Draw the recording; nothing for a text, which has no time."""
    length = recording_length(analysis)
    if length <= 0 or analysis.source.kind == "text" or not analysis.utterances:
        return ""
    rows = [_row(t("result.combined"), "", _fused(analysis, length))]
    for modality in modalities_of(analysis):
        share = sum(u.modalities[modality].weight for u in analysis.utterances if modality in u.modalities)
        mean = share / len(analysis.utterances)
        note = t("result.weight_short", share=percent(mean)) if share else t("result.not_used")
        rows.append(_row(modality_name(modality), note, _track(analysis, modality, length)))
    rows += [_row(name, note, svg) for name, note, svg in track_rows(analysis, length)]
    count = len(analysis.utterances)
    dense, factor = next(((name, f) for n, name, f in DENSITIES if count > n), ("", 1))
    rows.append(_row("", "", _axis(length, MAX_TICKS * factor)))
    return (
        f'{PATTERNS}<div class="tv-reel" tabindex="0" role="group" '
        f'aria-label="{esc(t("result.timeline"))}">'
        f'<div class="tv-tracks {dense}" data-length="{length:.3f}">{"".join(rows)}'
        f'<div class="tv-playhead" hidden></div></div></div>{_legend()}'
    )


def _row(name: str, note: str, svg: str) -> str:
    small = f"<small>{esc(note)}</small>" if note else ""
    return f'<div class="tv-track"><div class="tv-name"><b>{esc(name)}</b>{small}</div>{svg}</div>'


def _pc(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.3f}%"


def _span(u: UtteranceResult, length: float) -> tuple[float, float]:
    """Left edge and width as shares of the recording; a moment keeps a visible width."""
    return u.start_s / length, max((u.end_s - u.start_s) / length, 0.0015)


def _rect(x: float, width: float, y: float, height: float, fill: str) -> str:
    box = f'x="{_pc(x)}" width="{_pc(width)}" y="{y:.2f}" height="{height:.2f}"'
    return f'<rect {box} fill="url(#tv-p-{fill})"/>'


def _sign(x: float, y: float, sign: str, kind: str = "tv-sign") -> str:
    return f'<text class="{kind}" x="{_pc(x)}" y="{y:.0f}">{sign}</text>'


def _block(u: UtteranceResult, title: str, shapes: str, *, reached: bool) -> str:
    """One utterance on one track; only those of the first track are in the order of the Tab key."""
    label = f' role="button" tabindex="0" aria-label="{esc(title)}"' if reached else ' aria-hidden="true"'
    where = f'data-u="{u.index}" data-start="{u.start_s:.3f}"'
    return f'<g class="tv-block" {where}{label}><title>{esc(title)}</title>{shapes}</g>'


def _times(u: UtteranceResult) -> str:
    return t("result.from_to", start=clock(u.start_s), end=clock(u.end_s))


def _fused(analysis: Analysis, length: float) -> str:
    blocks = "".join(_fused_block(u, length) for u in analysis.utterances)
    height = FUSED_TOP + FUSED_HEIGHT
    return f'<svg class="tv-fused" height="{height}" role="group">{blocks}</svg>'


def _fused_block(u: UtteranceResult, length: float) -> str:
    x, width = _span(u, length)
    bottom = float(FUSED_TOP + FUSED_HEIGHT)
    shapes = []
    for label, p in zip(LABELS, u.verdict.probabilities, strict=True):  # negative lies at the bottom
        height = FUSED_HEIGHT * float(p)
        bottom -= height
        shapes.append(_rect(x, width, bottom, height, label))
        if label == u.verdict.label and width >= GLYPH_SHARE:
            shapes.append(_sign(x + width / 2, bottom + height / 2, GLYPHS[label]))
    marks = ""
    if u.verdict.abstained:
        shapes.append(_rect(x, width, FUSED_TOP, FUSED_HEIGHT, "unsure"))
        marks += UNSURE if width >= MARK_SHARE else ""
    marks += MIXED if u.mixed else ""
    if marks:
        shapes.append(_sign(x + width / 2, FUSED_TOP / 2, marks, "tv-mark"))
    parts = [
        _times(u),
        verdict_sentence(u.verdict),
        *([t("result.mixed_sentence")] if u.mixed else []),
        u.text,
    ]
    return _block(u, "\n".join(_short(p) for p in parts if p), "".join(shapes), reached=True)


def _track(analysis: Analysis, modality: Modality, length: float) -> str:
    blocks = "".join(
        _track_block(u, modality, u.modalities[modality], length)
        for u in analysis.utterances
        if modality in u.modalities
    )
    return f'<svg height="{TRACK_HEIGHT}" aria-hidden="true">{blocks}</svg>'


def _track_block(u: UtteranceResult, modality: Modality, e: Evidence, length: float) -> str:
    x, width = _span(u, length)
    middle = TRACK_HEIGHT / 2
    if e.status is not Status.OK or e.probabilities is None:
        shape = f'<rect class="tv-gap" x="{_pc(x)}" width="{_pc(width)}" y="{middle - 5:.0f}" height="10"/>'
        return _block(u, f"{modality_name(modality)}, {_times(u)}: {silence(e)}", shape, reached=False)
    label = top_label(e.probabilities)
    height = THIN + THICK * min(max(e.weight, 0.0), 1.0)
    shape = _rect(x, width, middle - height / 2, height, label)
    if width >= GLYPH_SHARE:
        shape += _sign(x + width / 2, middle, GLYPHS[label])
    share = percent(float(e.probabilities.max()))
    said = t("result.says", label=label_name(label), share=share, weight=percent(e.weight))
    return _block(u, f"{modality_name(modality)}, {_times(u)}: {said}", shape, reached=False)


def _axis(length: float, most: int) -> str:
    step = next((s for s in STEPS_S if length / s <= most), math.ceil(length / most))
    ticks = []
    for second in range(0, int(length) + 1, step):
        at = second / length
        anchor = "start" if at < 0.02 else "end" if at > 0.96 else "middle"
        ticks.append(
            f'<line x1="{_pc(at)}" x2="{_pc(at)}" y1="0" y2="5"/>'
            f'<text class="tv-tick" x="{_pc(at)}" y="18" text-anchor="{anchor}">{clock(second)}</text>'
        )
    line = '<line x1="0" x2="100%" y1="0" y2="0"/>'
    return f'<svg class="tv-axis" height="24" aria-hidden="true">{line}{"".join(ticks)}</svg>'


def _legend() -> str:
    def key(words: str, *fills: str) -> str:
        shapes = "".join(f'<rect width="100%" height="100%" fill="url(#tv-p-{f})"/>' for f in fills)
        return f'<li><svg class="tv-key" aria-hidden="true">{shapes}</svg>{esc(words)}</li>'

    dashed = '<rect class="tv-gap" x="1" y="4" width="24" height="9"/>'
    gap = f'<svg class="tv-key" aria-hidden="true">{dashed}</svg>'
    keys = [key(f"{GLYPHS[label]} {label_name(label)}", label) for label in LABELS]
    keys += [
        key(f"{UNSURE} {t('common.unsure')}", LABELS[-1], "unsure"),
        f"<li><b>{MIXED}</b>{esc(t('common.mixed'))}</li>",
        f"<li>{gap}{esc(t('result.not_used'))}</li>",
        f"<li>{esc(t('result.thickness'))}</li>",
    ]
    return f'<ul class="tv-legend">{"".join(keys)}</ul>'


def _short(text: str, limit: int = 140) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
