"""HTML pages in one file: the report of analyses, and the frame that other pages of ours share.

One style sheet, no script, no network.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from trivalent.core.analysis import Analysis, Timing, UtteranceResult
from trivalent.report.fold import LONGEST, Fold, fold
from trivalent.report.renderer import Renderer
from trivalent.report.wording import Wording, kind_of, seconds_words

_HIDDEN = {"name", "version", "sha256"}  # of a model card: they are told by the analysis


def render_page(body: str, *, title: str, kind: str, footer: str) -> str:
    """Put a body into the frame.

    Parameters
    ----------
    body : str
        HTML; everything in it is escaped already.
    title, kind, footer : str
        Plain text; `kind` follows the name of the software on top of the page.
    """
    words = {"title": title, "kind": kind, "footer": footer}
    safe = Markup(body)  # noqa: S704 - escaped by the caller
    return Renderer().draw("page.html", body=safe, **words, **_styles())


def _styles() -> dict[str, str]:
    """Style sheet and its hash: the policy names it, so that injected styles would not apply."""
    digest = hashlib.sha256(_style().encode()).digest()
    return {"style": _style(), "style_hash": base64.b64encode(digest).decode()}


@cache
def _style() -> Markup:
    return pieces_style() + _sheet("page.css")


def pieces_style() -> Markup:
    """Style sheet of everything that `Renderer` draws; its classes start with `tv-`."""
    return _sheet("pieces.css")


def _sheet(name: str) -> Markup:
    return Markup((files("trivalent") / "data" / "templates" / name).read_text(encoding="utf-8"))  # noqa: S704


def report_page(
    analyses: Sequence[Analysis],
    *,
    card: Mapping[str, Any] | None,
    failures: Sequence[tuple[str, str]],
    say: Wording,
) -> str:
    """Lay out a report; see `writers.to_html`."""
    draw = Renderer(say)
    alone = len(analyses) == 1
    title = _title(analyses[0], say) if alone else say("report.title_many", count=len(analyses))
    return draw.draw(
        "report.html",
        title=f"{title} · Trivalent",
        kind=say("report.kind"),
        footer=say("report.footer"),
        **_styles(),
        index=() if alone and not failures else analyses,
        failures=failures,
        renderer=draw,
        sources=[_source(a, draw, name=f"s{i}") for i, a in enumerate(analyses)],
        models=dict.fromkeys(a.model for a in analyses),
        card={k: v for k, v in (card or {}).items() if k not in _HIDDEN},
    )


def _title(analysis: Analysis, say: Wording) -> str:
    overall = analysis.overall
    told = say.headline(overall)
    if kind_of(overall) != "mixed":  # whose label has a share that says little
        told = f"{told} {say.percent(overall.confidence)}"
    return say("report.title", name=analysis.source.name, told=told)


def _source(analysis: Analysis, draw: Renderer, *, name: str) -> dict[str, Any]:
    """Everything about one source; its anchors start with `name`.

    The page takes it in piece by piece: a long report is large, and copies of it are, too.
    """
    say, kind, prefix = draw.say, analysis.source.kind, f"{name}-u"
    one = draw.utterances(analysis, prefix=prefix)
    folded = fold(
        analysis.utterances,
        full=lambda u: one.full(_cut(u, say)),
        line=lambda u: one.line(_cut(u, say)),
        gap=lambda run: draw.draw("gap.html", units=say.units(kind, len(run)), counts=say.counts(run)),
    )
    links: dict[str, Any] = {"prefix": prefix, "anchors": folded.anchors}
    return {
        "name": name,
        "title": analysis.source.name,
        "facts": say.source(analysis),
        "pieces": [
            draw.verdict(analysis),
            draw.warnings(analysis),
            draw.timeline(analysis, **links),
            draw.moments(analysis, **links),
            draw.transcript(analysis, folded.pieces, name=name, folded=_told(analysis, folded, say)),
        ],
        "took": _took(analysis.timing, say),
        "stages": _stages(analysis.timing, say),
    }


def _cut(u: UtteranceResult, say: Wording) -> UtteranceResult:
    if len(u.text) <= LONGEST:
        return u
    return replace(u, text=say("report.cut", start=u.text[:LONGEST], count=f"{len(u.text):,}"))


def _told(analysis: Analysis, folded: Fold, say: Wording) -> str:
    """Say what is folded, and where it is in full."""
    if not folded.lines and not folded.counted:
        return ""
    ways = (("full", folded.full), ("lines", folded.lines), ("counted", folded.counted))
    told = say.join(say(f"report.folded_{way}", count=f"{n:,}") for way, n in ways if n)
    units = say.units(analysis.source.kind, len(analysis.utterances))
    return say("report.folded", units=units, ways=told)


def _took(timing: Timing, say: Wording) -> str:
    if timing.total_s <= 0:
        return ""
    time, factor = seconds_words(timing.total_s), timing.realtime_factor
    return time if factor is None else say("report.times_length", time=time, factor=f"{factor:.2g}")


def _stages(timing: Timing, say: Wording) -> list[tuple[str, float, str]]:
    """Name, share of the whole time, and seconds of each stage."""
    total = max(timing.total_s, 1e-9)
    return [
        (say(f"report.stage_{name}"), min(seconds / total, 1.0), seconds_words(seconds))
        for name, seconds in timing.stages.items()
    ]
