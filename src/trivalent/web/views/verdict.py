"""The verdict card: what was found, how sure it is, and how the utterances were counted."""

from __future__ import annotations

from collections import Counter

from trivalent.core.analysis import Analysis
from trivalent.core.types import LABELS
from trivalent.report.markup import esc
from trivalent.web.i18n import t, translate
from trivalent.web.views.bars import seal, three_bars
from trivalent.web.views.notices import capital
from trivalent.web.views.words import confidence_words, headline, label_name, units


def verdict_card(analysis: Analysis) -> str:
    """Seal, headline, confidence, three bars and a tally."""
    overall = analysis.overall
    heard = any(e.weight > 0 for u in analysis.utterances for e in u.modalities.values())
    sure = confidence_words(overall) if heard else t("result.no_basis")
    return (
        f'<section class="tv-card tv-verdict" aria-label="{esc(t("result.verdict"))}">'
        f'<div class="tv-verdict-words">{seal(overall)}<div>'
        f'<p class="tv-headline">{esc(headline(overall))}</p>'
        f'<p class="tv-soft">{esc(capital(sure))}</p></div></div>'
        f"{three_bars(overall.probabilities, marked=overall.label)}{_tally(analysis)}</section>"
    )


def _tally(analysis: Analysis) -> str:
    found = analysis.utterances
    if len(found) < 2:
        return ""
    counts = Counter(u.verdict.label for u in found)
    parts = [f"{counts[label]} {label_name(label)}" for label in LABELS if counts[label]]
    extra = [
        t("result.count_unsure", count=sum(u.verdict.abstained for u in found)),
        t("result.count_mixed", count=sum(u.mixed for u in found)),
    ]
    parts += [words for words in extra if not words.startswith("0")]
    line = t(
        "result.tally", units=units(analysis.source.kind, len(found)), counts=t("result.join").join(parts)
    )
    return f'<p class="tv-tally">{esc(line)}</p>'


def warnings_card(analysis: Analysis) -> str:
    """List what to keep in mind about this result; nothing when there is nothing."""
    if not analysis.warnings:
        return ""
    items = "".join(f"<li>{esc(capital(translate(w)))}</li>" for w in analysis.warnings)
    title = esc(t("result.warnings"))
    return f'<section class="tv-card tv-warnings"><h3>{title}</h3><ul>{items}</ul></section>'
