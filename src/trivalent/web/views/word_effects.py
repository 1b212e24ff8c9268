"""The words of an utterance, tinted by what each of them changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trivalent.core.types import LABELS
from trivalent.experts.occlusion import WordEffect
from trivalent.report.renderer import esc
from trivalent.report.wording import GLYPHS, signed_points
from trivalent.web.i18n import t, wording

NOTABLE = 0.02  # smaller changes are noise of a quantised graph
FULL = 0.35  # a change from which the tint is full
TOP_WORDS = 4


def word_map(text: str, effects: Sequence[WordEffect]) -> str:
    """Mark up the text: every word that speaks for a class has its colour, underline and numbers."""
    parts, end = [], 0
    for effect in effects:
        parts += [esc(text[end : effect.start]), _word(effect)]
        end = effect.end
    parts.append(esc(text[end:]))
    return f'<p class="tv-word-map" dir="auto">{"".join(parts)}</p>{_strongest(effects)}'


def _word(effect: WordEffect) -> str:
    side = int(np.argmax(effect.effects))
    strength = float(effect.effects[side])
    if strength < NOTABLE:
        return esc(effect.word)
    tint = min(1.0, strength / FULL)
    return (
        f'<span class="tv-word tv-{LABELS[side]}" style="--tint:{tint:.2f}" '
        f'title="{esc(_changes(effect))}">{esc(effect.word)}</span>'
    )


def _changes(effect: WordEffect) -> str:
    pairs = zip(LABELS, effect.effects, strict=True)
    return t("result.join").join(f"{wording().label(k)} {signed_points(float(c))}" for k, c in pairs)


def _strongest(effects: Sequence[WordEffect]) -> str:
    """Say the same in words: a tint cannot be heard."""
    ranked = sorted(effects, key=lambda e: -float(e.effects.max()))[:TOP_WORDS]
    items = "".join(_item(e) for e in ranked if float(e.effects.max()) >= NOTABLE)
    if not items:
        return f"<p>{esc(t('result.words_even'))}</p>"
    return f"<p>{esc(t('result.words_matter'))}</p><ul>{items}</ul>"


def _item(effect: WordEffect) -> str:
    label = LABELS[int(effect.effects.argmax())]
    points = signed_points(float(effect.effects.max()))
    side = f"<i>{GLYPHS[label]}</i> {esc(wording().label(label))}"
    return f"<li><q>{esc(effect.word)}</q> {side} <b>{points}</b></li>"
