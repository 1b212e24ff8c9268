"""Probabilities as bars: colour, pattern and sign say the same thing three times."""

from __future__ import annotations

from trivalent.core.analysis import Verdict
from trivalent.core.types import LABELS, FloatArray
from trivalent.report.markup import esc
from trivalent.report.wording import GLYPHS, MIXED, UNSURE
from trivalent.web.i18n import t
from trivalent.web.views.words import headline, label_name, percent, spoken


def badge(label: str, words: str | None = None) -> str:
    """Fill a pill with the sign and name of a class."""
    return (
        f'<span class="tv-badge tv-{label}"><i>{GLYPHS[label]}</i>{esc(words or label_name(label))}</span>'
    )


def verdict_badge(verdict: Verdict) -> str:
    """Pill of a verdict; only outlined when it should not be relied on."""
    if not verdict.abstained:
        return badge(verdict.label)
    words = t("result.leans", label=label_name(verdict.label))
    return f'<span class="tv-badge tv-lean tv-{verdict.label}"><i>{UNSURE}</i>{esc(words)}</span>'


def mixed_badge() -> str:
    """Pill of an utterance whose channels contradict each other."""
    return f'<span class="tv-badge tv-plain"><i>{MIXED}</i>{esc(t("common.mixed"))}</span>'


def stacked_bar(probabilities: FloatArray) -> str:
    """One bar of three parts, negative on the left, positive on the right."""
    parts = "".join(
        f'<span class="tv-fill tv-{label}" style="width:{100 * p:.2f}%"></span>'
        for label, p in zip(LABELS, probabilities, strict=True)
    )
    return f'<div class="tv-stack" role="img" aria-label="{esc(spoken(probabilities))}">{parts}</div>'


def three_bars(probabilities: FloatArray, *, marked: str | None = None) -> str:
    """One row per class: sign, name, bar, share; the class `marked` is set in bold."""
    rows = "".join(
        f'<div class="tv-bar{" tv-marked" if label == marked else ""}">'
        f'<span class="tv-bar-name"><i>{GLYPHS[label]}</i>{esc(label_name(label))}</span>'
        '<span class="tv-rail">'
        f'<span class="tv-fill tv-{label}" style="width:{100 * p:.2f}%"></span></span>'
        f'<span class="tv-bar-share">{percent(float(p))}</span></div>'
        for label, p in zip(LABELS, probabilities, strict=True)
    )
    return f'<div class="tv-bars">{rows}</div>'


def seal(verdict: Verdict) -> str:
    """Round sign of a verdict."""
    sign = UNSURE if verdict.abstained else GLYPHS[verdict.label]
    kind = "tv-unsure" if verdict.abstained else f"tv-{verdict.label}"
    return f'<span class="tv-seal {kind}" aria-hidden="true">{sign}</span>'


def small_verdict(verdict: Verdict) -> str:
    """Seal and headline in a line, for lists."""
    return f'<span class="tv-small-verdict">{seal(verdict)}<b>{esc(headline(verdict))}</b></span>'
