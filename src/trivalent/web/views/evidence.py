"""What each expert said about an utterance, how much it counted and what it changed."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from trivalent.core.analysis import Evidence, KeyFrame, UtteranceResult
from trivalent.core.types import LABELS, Modality, Status
from trivalent.report.markup import esc
from trivalent.report.wording import clock, signed_points, top_label
from trivalent.web.i18n import t
from trivalent.web.views.bars import three_bars
from trivalent.web.views.words import (
    expression_name,
    label_name,
    measured,
    modality_name,
    percent,
    silence,
    verdict_sentence,
)

TOP_EXPRESSIONS = 3


def combined(u: UtteranceResult, *, timed: bool) -> str:
    """Fused probabilities, and how much the experts disagree."""
    used = sum(e.status is Status.OK for e in u.modalities.values())
    lines = [esc(verdict_sentence(u.verdict))]
    if used > 1:
        key = "result.conflict_mixed" if u.mixed else "result.conflict"
        lines.append(esc(t(key, conflict=f"{u.conflict:.2f}")))
    span = t("result.seconds_from_to", start=f"{u.start_s:.1f}", end=f"{u.end_s:.1f}")
    return _card(
        t("result.combined"),
        span if timed else "",
        three_bars(u.verdict.probabilities, marked=u.verdict.label) + "".join(f"<p>{x}</p>" for x in lines),
    )


def expert(modality: Modality, e: Evidence) -> str:
    """Opinion, weight, effect and measured facts of one channel."""
    name = modality_name(modality)
    if e.status is not Status.OK or e.probabilities is None:
        return _card(name, "", f"<p>{esc(silence(e))}</p>{_facts(e)}", kind="tv-silent")
    label = top_label(e.probabilities)
    said = t("result.says_short", label=label_name(label), weight=percent(e.weight))
    words = '<div class="tv-words" hidden></div>' if modality is Modality.TEXT else ""
    return _card(name, said, three_bars(e.probabilities, marked=label) + _effect(e) + _facts(e) + words)


def _card(title: str, note: str, body: str, *, kind: str = "") -> str:
    small = f"<small>{esc(note)}</small>" if note else ""
    return f'<div class="tv-expert {kind}"><h4>{esc(title)}{small}</h4>{body}</div>'


def _effect(e: Evidence) -> str:
    if e.effect is None:
        return ""
    changes = t("result.join").join(
        f"{esc(label_name(k))} <b>{signed_points(float(c))}</b>"
        for k, c in zip(LABELS, e.effect, strict=True)
    )
    return f"<p>{t('result.changed', changes=changes)}</p>"


def _facts(e: Evidence) -> str:
    if not e.quality:
        return ""
    facts = t("result.join").join(measured(name, number) for name, number in e.quality.items())
    return f"<p>{esc(t('result.measured', facts=facts))}</p>"


def picture(frame: KeyFrame) -> str:
    """One key frame with its strongest expressions."""
    strongest = sorted(_both_sides(frame.expressions).items(), key=lambda item: -item[1])[:TOP_EXPRESSIONS]
    moves = "".join(
        f'<li>{esc(expression_name(name))}<span class="tv-meter">'
        f'<span style="width:{100 * s:.0f}%"></span></span></li>'
        for name, s in strongest
    )
    at = clock(frame.time_s)
    return (
        f'<figure><button type="button" class="tv-frame" data-u="{frame.utterance}" '
        f'data-at="{frame.time_s:.3f}" aria-label="{esc(t("result.face_at", time=at))}">'
        f'<img src="data:image/jpeg;base64,{base64.b64encode(frame.jpeg).decode()}" alt="" '
        f'width="160" height="160" loading="lazy"><time>{at}</time></button>'
        f"<figcaption><ul>{moves}</ul></figcaption></figure>"
    )


def _both_sides(expressions: Mapping[str, float]) -> dict[str, float]:
    """Take the stronger of left and right: people see one smile."""
    found: dict[str, float] = {}
    for name, strength in expressions.items():
        movement = name.removesuffix("Left").removesuffix("Right")
        found[movement] = max(strength, found.get(movement, 0.0))
    return found
