"""The recording from left to right: verdicts, channels, pitch and loudness over one axis of time.

Horizontal positions are percentages, vertical ones pixels, so that a track is as wide as the window
and its signs keep their size. The component `player` seeks to what is chosen here.
"""

from __future__ import annotations

from trivalent.core.analysis import Analysis, Evidence, UtteranceResult
from trivalent.core.types import LABELS, Modality, Status
from trivalent.report.markup import esc
from trivalent.report.shapes import FUSED_TOP, MAX_TICKS, Shapes, density, recording_length, shorten
from trivalent.report.wording import GLYPHS, MIXED, UNSURE, clock, modalities_of, top_label
from trivalent.web.i18n import t
from trivalent.web.views.tracks import track_rows
from trivalent.web.views.words import (
    label_name,
    modality_name,
    percent,
    silence,
    verdict_sentence,
)

SHAPES = Shapes("tv-", fused=52, track=28, thin=8, thick=16)

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
    dense, factor = density(len(analysis.utterances))
    rows.append(_row("", "", SHAPES.axis(length, MAX_TICKS * factor)))
    return (
        f'{PATTERNS}<div class="tv-reel" tabindex="0" role="group" '
        f'aria-label="{esc(t("result.timeline"))}">'
        f'<div class="tv-tracks {dense}" data-length="{length:.3f}">{"".join(rows)}'
        f'<div class="tv-playhead" hidden></div></div></div>{_legend()}'
    )


def _row(name: str, note: str, svg: str) -> str:
    small = f"<small>{esc(note)}</small>" if note else ""
    return f'<div class="tv-track"><div class="tv-name"><b>{esc(name)}</b>{small}</div>{svg}</div>'


def _block(u: UtteranceResult, title: str, shapes: str, *, reached: bool) -> str:
    """One utterance on one track; only those of the first track are in the order of the Tab key."""
    label = f' role="button" tabindex="0" aria-label="{esc(title)}"' if reached else ' aria-hidden="true"'
    where = f'data-u="{u.index}" data-start="{u.start_s:.3f}"'
    return f'<g class="tv-block" {where}{label}><title>{esc(title)}</title>{shapes}</g>'


def _times(u: UtteranceResult) -> str:
    return t("result.from_to", start=clock(u.start_s), end=clock(u.end_s))


def _fused(analysis: Analysis, length: float) -> str:
    blocks = "".join(_fused_block(u, length) for u in analysis.utterances)
    return f'<svg class="tv-fused" height="{FUSED_TOP + SHAPES.fused}" role="group">{blocks}</svg>'


def _fused_block(u: UtteranceResult, length: float) -> str:
    parts = [
        _times(u),
        verdict_sentence(u.verdict),
        *([t("result.mixed_sentence")] if u.mixed else []),
        u.text,
    ]
    title = "\n".join(shorten(p) for p in parts if p)
    return _block(u, title, SHAPES.verdict(u, length), reached=True)


def _track(analysis: Analysis, modality: Modality, length: float) -> str:
    blocks = "".join(
        _track_block(u, modality, u.modalities[modality], length)
        for u in analysis.utterances
        if modality in u.modalities
    )
    return f'<svg height="{SHAPES.track}" aria-hidden="true">{blocks}</svg>'


def _track_block(u: UtteranceResult, modality: Modality, e: Evidence, length: float) -> str:
    said = silence(e)
    if e.status is Status.OK and e.probabilities is not None:
        label, share = label_name(top_label(e.probabilities)), percent(float(e.probabilities.max()))
        said = t("result.says", label=label, share=share, weight=percent(e.weight))
    title = f"{modality_name(modality)}, {_times(u)}: {said}"
    return _block(u, title, SHAPES.opinion(u, e, length), reached=False)


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
