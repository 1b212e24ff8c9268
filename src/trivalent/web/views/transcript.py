"""What was said, utterance by utterance: coloured by sentiment, each with its evidence inside."""

from __future__ import annotations

from collections.abc import Sequence

from trivalent.core.analysis import Analysis, KeyFrame, UtteranceResult
from trivalent.core.types import LABELS, Modality
from trivalent.report.markup import esc
from trivalent.report.wording import GLYPHS, MIXED, UNSURE, clock
from trivalent.web.i18n import t
from trivalent.web.views.bars import mixed_badge, verdict_badge
from trivalent.web.views.evidence import combined, expert
from trivalent.web.views.words import always_silent, label_name, modality_name, percent

PAGE = 100  # utterances that are written out at a time


def transcript(analysis: Analysis, *, page: int = 0) -> str:
    """List one page of the utterances, with filters above."""
    if not analysis.utterances:
        return f'<p class="tv-soft">{esc(t("result.nothing_said"))}</p>'
    timed = analysis.source.kind != "text"
    silent = always_silent(analysis)
    told = silent if timed else {}  # a text has no voice and no face: no need to say so
    shown = analysis.utterances[page * PAGE : (page + 1) * PAGE]
    items = "".join(_utterance(u, timed=timed, silent=set(silent)) for u in shown)
    filters = _filters(shown) if len(shown) > 1 else ""
    return f'{_said_once(told)}{filters}<ol class="tv-utterances">{items}</ol>'


def pages(analysis: Analysis) -> int:
    """How many pages the transcript has."""
    return max(1, -(-len(analysis.utterances) // PAGE))


def page_of(analysis: Analysis, index: int) -> int:
    """Page on which an utterance stands."""
    places = [u.index for u in analysis.utterances]
    return places.index(index) // PAGE if index in places else 0


def _said_once(silent: dict[Modality, str]) -> str:
    lines = "".join(f"<li><b>{esc(modality_name(m))}</b> {esc(why)}</li>" for m, why in silent.items())
    return f'<ul class="tv-notes">{lines}</ul>' if lines else ""


def _filters(utterances: Sequence[UtteranceResult]) -> str:
    """Buttons that the component turns into a filter; each tells its count."""
    kinds = [("all", t("result.all"), len(utterances))]
    kinds += [
        (k, f"{GLYPHS[k]} {label_name(k)}", sum(u.verdict.label == k for u in utterances)) for k in LABELS
    ]
    kinds += [
        ("mixed", f"{MIXED} {t('common.mixed')}", sum(u.mixed for u in utterances)),
        ("unsure", f"{UNSURE} {t('common.unsure')}", sum(u.verdict.abstained for u in utterances)),
    ]
    buttons = "".join(
        f'<button type="button" class="tv-pick" data-show="{kind}" aria-pressed="'
        f'{"true" if kind == "all" else "false"}">{esc(words)} <b>{count}</b></button>'
        for kind, words, count in kinds
        if count or kind == "all"
    )
    return f'<div class="tv-picks" role="group" aria-label="{esc(t("result.show"))}">{buttons}</div>'


def _utterance(u: UtteranceResult, *, timed: bool, silent: set[Modality]) -> str:
    v = u.verdict
    kinds = [v.label, *(["mixed"] if u.mixed else []), *(["unsure"] if v.abstained else [])]
    marks = (mixed_badge() if u.mixed else "") + verdict_badge(v)
    number = f"<time>{clock(u.start_s)}</time>" if timed else f"<time>{u.index + 1}</time>"
    said = f'<span class="tv-said" dir="auto">{esc(u.text)}</span>'
    if not u.text.strip():
        said = f'<span class="tv-said tv-nothing">{esc(t("result.no_words"))}</span>'
    return (
        f'<li class="tv-u {" ".join("tv-" + k for k in kinds)}" data-u="{u.index}" '
        f'data-start="{u.start_s:.3f}" data-end="{u.end_s:.3f}" data-kinds="{" ".join(kinds)}">'
        f"<details><summary>{number}{said}"
        f'<span class="tv-marks">{marks}<b class="tv-certainty">{percent(v.confidence)}</b></span>'
        "</summary>"
        f'<div class="tv-evidence">{combined(u, timed=timed) if timed else ""}'
        f"{''.join(expert(m, u.modalities[m]) for m in Modality if m in u.modalities and m not in silent)}"
        "</div></details></li>"
    )


def keyframes(analysis: Analysis) -> str:
    """Pictures of the moments that the face said most; each seeks the player."""
    from trivalent.web.views.evidence import picture

    known = {u.index for u in analysis.utterances}
    frames: list[KeyFrame] = [k for k in analysis.keyframes if k.utterance in known]
    if not frames:
        return ""
    return f'<div class="tv-frames">{"".join(picture(k) for k in frames)}</div>'
