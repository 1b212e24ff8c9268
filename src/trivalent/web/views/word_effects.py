"""The words of an utterance, tinted by what each of them changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trivalent.core.types import LABELS
from trivalent.experts.occlusion import WordEffect
from trivalent.report.wording import signed_points
from trivalent.web.i18n import t, wording
from trivalent.web.views.drawing import renderer

NOTABLE = 0.02  # smaller changes are noise of a quantised graph
FULL = 0.35  # a change from which the tint is full
TOP_WORDS = 4


@dataclass(frozen=True)
class Tint:
    """The class that a word speaks for, how strongly in [0, 1], and all changes in words."""

    label: str
    strength: float
    title: str


def word_map(text: str, effects: Sequence[WordEffect]) -> str:
    """Mark up the text: every word that speaks for a class has its colour, underline and numbers.

    The strongest words follow in a list: a tint cannot be heard.
    """
    ranked = sorted(effects, key=_strength, reverse=True)[:TOP_WORDS]
    strongest = [
        (e.word, LABELS[int(e.effects.argmax())], signed_points(_strength(e)))
        for e in ranked
        if _strength(e) >= NOTABLE
    ]
    title = t("result.words_matter" if strongest else "result.words_even")
    return renderer().draw("words.html", parts=_parts(text, effects), strongest=strongest, title=title)


def _strength(effect: WordEffect) -> float:
    return float(effect.effects.max())


def _parts(text: str, effects: Sequence[WordEffect]) -> Iterator[tuple[str, Tint | None]]:
    """Words with their tints, and what stands between them."""
    end = 0
    for effect in effects:
        yield text[end : effect.start], None
        yield effect.word, _tint(effect) if _strength(effect) >= NOTABLE else None
        end = effect.end
    yield text[end:], None


def _tint(effect: WordEffect) -> Tint:
    say = wording()
    pairs = zip(LABELS, effect.effects, strict=True)
    title = say.join(f"{say.label(k)} {signed_points(float(c))}" for k, c in pairs)
    return Tint(LABELS[int(np.argmax(effect.effects))], min(1.0, _strength(effect) / FULL), title)
