"""Sections of the HTML report: verdict, transcript, key frames, timing, model card."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Any

from trivalent.core.analysis import Analysis, Evidence, KeyFrame, UtteranceResult
from trivalent.core.types import LABELS, Modality, Status
from trivalent.report.fold import LONGEST, Fold, fold
from trivalent.report.markup import badge, esc, facts, measure, spaced, stacked_bar, three_bars, value
from trivalent.report.timeline import timeline
from trivalent.report.wording import (
    GLYPHS,
    MIXED,
    MODALITY_NAMES,
    UNSURE,
    clock,
    confidence_words,
    headline,
    percent,
    seconds_words,
    signed_points,
    silence,
    silences,
    source_line,
    top_label,
    unit,
    verdict_sentence,
)

TOP_EXPRESSIONS = 3


def source_section(analysis: Analysis, *, number: int) -> str:
    """Everything about one source; its anchors start with `s<number>`."""
    prefix = f"s{number}-u"
    folded = _folded(analysis, prefix)
    parts = [
        f'<section class="source" id="s{number}">',
        f'<header class="source-head"><h2 dir="auto">{esc(analysis.source.name)}</h2>'
        f"<p>{esc(source_line(analysis))}</p></header>",
        _verdict(analysis),
        _warnings(analysis.warnings),
        timeline(analysis, prefix=prefix, anchors=folded.anchors),
        _keyframes(analysis, prefix=prefix, anchors=folded.anchors),
        _transcript(analysis, folded, name=f"s{number}"),
        _timing(analysis),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def index_section(analyses: Sequence[Analysis], failures: Sequence[tuple[str, str]]) -> str:
    """Table of all sources, for a report on more than one."""
    rows = [
        f'<li><a href="#s{i}"><span class="index-name" dir="auto">{esc(a.source.name)}</span>'
        f"{_overall_badge(a)}<span>{percent(a.overall.confidence)}</span>"
        f"{stacked_bar(a.overall.probabilities, title=_spoken(a.overall.probabilities))}</a></li>"
        for i, a in enumerate(analyses)
    ]
    rows += [
        f'<li class="failure"><span class="index-name" dir="auto">{esc(name)}</span>'
        f'<span class="badge plain">not analysed</span><span class="why">{esc(reason)}</span></li>'
        for name, reason in failures
    ]
    return f'<nav class="card index" aria-label="Sources"><h2>Sources</h2><ul>{"".join(rows)}</ul></nav>'


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _spoken(p: Any) -> str:
    return ", ".join(f"{label} {percent(float(x))}" for label, x in zip(LABELS, p, strict=True))


def _overall_badge(analysis: Analysis) -> str:
    if analysis.overall.abstained:
        return f'<span class="badge plain"><i>{UNSURE}</i> unsure</span>'
    return badge(analysis.overall.label)


def _verdict(analysis: Analysis) -> str:
    overall = analysis.overall
    sign = UNSURE if overall.abstained else GLYPHS[overall.label]
    kind = "unsure" if overall.abstained else ""
    tally = Counter(u.verdict.label for u in analysis.utterances)
    counts = ", ".join(f"{tally[label]} {label}" for label in LABELS)
    extra = [
        f"{n} {words}"
        for n, words in (
            (sum(u.verdict.abstained for u in analysis.utterances), "unsure"),
            (sum(u.mixed for u in analysis.utterances), "with mixed signals"),
        )
        if n
    ]
    of_these = f"; of these {' and '.join(extra)}" if extra else ""
    return (
        f'<section class="card verdict"><div class="verdict-words">'
        f'<span class="seal {overall.label} {kind}" aria-hidden="true">{sign}</span>'
        f'<div><p class="headline">{headline(overall)}</p>'
        f"<p>{esc(_capital(confidence_words(overall)))}.</p></div></div>"
        f"{three_bars(overall.probabilities)}"
        f'<p class="tally">{unit(analysis, len(analysis.utterances))}: {counts}{of_these}.</p></section>'
    )


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{esc(w)}</li>" for w in warnings)
    return f'<section class="card warnings"><h3>Please note</h3><ul>{items}</ul></section>'


def _keyframes(analysis: Analysis, *, prefix: str, anchors: Container[int]) -> str:
    if not analysis.keyframes:
        return ""
    figures = "".join(
        _keyframe(k, prefix=prefix, linked=k.utterance in anchors) for k in analysis.keyframes
    )
    return f'<section class="card"><h3>Key frames</h3><div class="frames">{figures}</div></section>'


def _keyframe(frame: KeyFrame, *, prefix: str, linked: bool) -> str:
    strongest = sorted(frame.expressions.items(), key=lambda item: -item[1])[:TOP_EXPRESSIONS]
    moves = "".join(f"<li>{esc(spaced(name))} <b>{strength:.2f}</b></li>" for name, strength in strongest)
    picture = (
        f'<img src="data:image/jpeg;base64,{base64.b64encode(frame.jpeg).decode()}" '
        f'alt="Face at {clock(frame.time_s)}" width="160" height="120">'
    )
    when = f"<b>{clock(frame.time_s)}</b>"
    if linked:
        picture = f'<a href="#{prefix}{frame.utterance}">{picture}</a>'
    return f"<figure>{picture}<figcaption>{when}<ul>{moves}</ul></figcaption></figure>"


def _folded(analysis: Analysis, prefix: str) -> Fold:
    timed = analysis.source.kind != "text"
    always = _silent_throughout(analysis)
    return fold(
        analysis.utterances,
        full=lambda u: _utterance(u, prefix=prefix, timed=timed, always=always),
        line=lambda u: _line(u, prefix=prefix, timed=timed),
        gap=lambda run: _gap(analysis, run),
    )


def _silent_throughout(analysis: Analysis) -> set[Modality]:
    """Modalities that are silent for one reason alone, which is said once and not per utterance."""
    total = len(analysis.utterances)
    return {m for m, why in silences(analysis).items() if len(why) == 1 and why.total() == total}


def _transcript(analysis: Analysis, folded: Fold, *, name: str) -> str:
    if not analysis.utterances:
        return '<section class="card"><h3>Transcript</h3><p>Nothing was said or seen.</p></section>'
    timed = analysis.source.kind != "text"
    said_once = "" if timed else _said_once(analysis, _silent_throughout(analysis))
    title = "Transcript" if timed else "Sentence by sentence"
    return (
        f'<section class="card transcript"><h3>{title}</h3>{said_once}{_told(analysis, folded)}'
        f'{_filters(analysis, name=name)}<ol class="utterances">{"".join(folded.pieces)}</ol></section>'
    )


def _told(analysis: Analysis, folded: Fold) -> str:
    """Say what is folded, and where it is in full."""
    if not folded.lines and not folded.counted:
        return ""
    ways = [
        f"{n:,} {words}"
        for n, words in (
            (folded.full, "with the evidence"),
            (folded.lines, "in one line each"),
            (folded.counted, "only counted"),
        )
        if n
    ]
    total = unit(analysis, len(analysis.utterances))
    return (
        f'<p class="folded">To keep this page small, not all of the {total} are shown in full: '
        f"{', '.join(ways)}. The JSON and the CSV hold everything.</p>"
    )


def _gap(analysis: Analysis, run: Sequence[UtteranceResult]) -> str:
    tally = Counter(u.verdict.label for u in run)
    counts = ", ".join(f"{tally[label]} {label}" for label in LABELS if tally[label])
    return f'<li class="left-out">{unit(analysis, len(run))} left out here: {counts}</li>'


def _said_once(analysis: Analysis, always: set[Modality]) -> str:
    lines = "".join(
        f"<li><b>{MODALITY_NAMES[m]}</b> {esc(next(iter(why)))}</li>"
        for m, why in silences(analysis).items()
        if m in always
    )
    return f'<ul class="notes">{lines}</ul>' if lines else ""


def _filters(analysis: Analysis, *, name: str) -> str:
    """Radio buttons that CSS alone turns into a filter; each tells its count."""
    utterances = analysis.utterances
    choices = [("all", "all", len(utterances))]
    choices += [(k, f"{GLYPHS[k]} {k}", sum(u.verdict.label == k for u in utterances)) for k in LABELS]
    choices += [
        ("mixed", f"{MIXED} mixed", sum(u.mixed for u in utterances)),
        ("unsure", f"{UNSURE} unsure", sum(u.verdict.abstained for u in utterances)),
    ]
    return "".join(
        f'<input type="radio" class="pick pick-{kind}" name="{name}-show" id="{name}-show-{kind}"'
        f"{' checked' if kind == 'all' else ''}>"
        f'<label for="{name}-show-{kind}">{words} <b>{n}</b></label>'
        for kind, words, n in choices
        if n or kind == "all"
    )


def _utterance(u: UtteranceResult, *, prefix: str, timed: bool, always: set[Modality]) -> str:
    return (
        f'<li class="u {_kinds(u)}"><details><summary>{_heading(u, timed=timed)}</summary>'
        # the anchor is inside: jumping to it opens the details without a script
        f'<div class="evidence" id="{prefix}{u.index}">{_combined(u, timed=timed)}'
        f"{''.join(_expert(m, u.modalities[m]) for m in Modality if m in u.modalities and m not in always)}"
        "</div></details></li>"
    )


def _line(u: UtteranceResult, *, prefix: str, timed: bool) -> str:
    return f'<li class="u brief {_kinds(u)}" id="{prefix}{u.index}">{_heading(u, timed=timed)}</li>'


def _kinds(u: UtteranceResult) -> str:
    v = u.verdict
    return " ".join([v.label, *(["is-mixed"] if u.mixed else []), *(["is-unsure"] if v.abstained else [])])


def _heading(u: UtteranceResult, *, timed: bool) -> str:
    v = u.verdict
    marks = f'<span class="badge plain"><i>{MIXED}</i> mixed signals</span>' if u.mixed else ""
    if v.abstained:  # no full fill for a label that should not be relied on
        marks += f'<span class="badge leaning {v.label}"><i>{UNSURE}</i> leaning {v.label}</span>'
    else:
        marks += badge(v.label)
    text = (
        f'<span class="said" dir="auto">{esc(_said(u.text))}</span>'
        if u.text.strip()
        else ('<span class="said nothing">no words</span>')
    )
    when = f"<time>{clock(u.start_s)}</time>" if timed else f"<time>{u.index + 1}</time>"
    return f'{when}{text}<span class="marks">{marks}<b class="share">{percent(v.confidence)}</b></span>'


def _said(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}… ({len(text):,} characters, all in the JSON and the CSV)"


def _combined(u: UtteranceResult, *, timed: bool) -> str:
    used = sum(e.status is Status.OK for e in u.modalities.values())
    lines = [f"<p>{esc(verdict_sentence(u.verdict))}</p>"]
    if used > 1:
        lines.append(
            f"<p>Disagreement of the experts <b>{u.conflict:.2f}</b> on a scale of 0 to 1"
            f"{', called mixed signals' if u.mixed else ''}.</p>"
        )
    when = f" <small>{u.start_s:.1f} to {u.end_s:.1f} s</small>" if timed else ""
    bars = three_bars(u.verdict.probabilities)
    return f'<div class="expert"><h4>Combined{when}</h4>{bars}{"".join(lines)}</div>'


def _expert(modality: Modality, e: Evidence) -> str:
    name = MODALITY_NAMES[modality]
    if e.status is not Status.OK or e.probabilities is None:
        return f'<div class="expert silent"><h4>{name}</h4><p>{esc(silence(e))}</p>{_quality(e)}</div>'
    label = top_label(e.probabilities)
    change = (
        ""
        if e.effect is None
        else (
            "<p>What it changed: "
            + ", ".join(
                f"{k} <b>{signed_points(float(c))}</b>" for k, c in zip(LABELS, e.effect, strict=True)
            )
            + " points.</p>"
        )
    )
    return (
        f'<div class="expert"><h4>{name} <small>says {label}, weight {percent(e.weight)}</small></h4>'
        f"{three_bars(e.probabilities)}{change}{_quality(e)}</div>"
    )


def _quality(e: Evidence) -> str:
    if not e.quality:
        return ""
    return f"<p>Measured: {esc(', '.join(measure(k, v) for k, v in e.quality.items()))}.</p>"


def _timing(analysis: Analysis) -> str:
    t = analysis.timing
    total = t.total_s
    if total <= 0:
        return ""
    rows = "".join(
        f'<div class="bar"><span class="bar-name">{name}</span><svg aria-hidden="true">'
        f'<rect class="rail" width="100%" height="100%"/>'
        f'<rect class="spent" width="{min(100 * s / total, 100):.2f}%" height="100%"/></svg>'
        f'<span class="bar-value">{seconds_words(s)}</span></div>'
        for name, s in t.stages.items()
    )
    factor = "" if t.realtime_factor is None else f", {t.realtime_factor:.2g} times its length"
    return (
        '<details class="card fold"><summary><h3>Timing</h3>'
        f"<span>{seconds_words(total)}{factor}</span></summary>"
        f'<div class="bars timing">{rows}</div></details>'
    )


def model_section(analyses: Sequence[Analysis], card: Mapping[str, Any] | None) -> str:
    """Say once which bundle spoke, and what its card tells about it."""
    models = dict.fromkeys(a.model for a in analyses)
    blocks = [
        facts(
            [
                ("bundle", f"{esc(m.name)}, version {esc(m.version)}"),
                ("sha256", f'<code class="hash">{esc(m.sha256)}</code>'),
            ]
        )
        for m in models
    ]
    shown = {k: v for k, v in (card or {}).items() if k not in {"name", "version", "sha256"}}
    if shown:
        blocks.append(value(shown))
    if not blocks:
        return ""
    names = ", ".join(f"{esc(m.name)} {esc(m.version)}" for m in models)
    return (
        f'<details class="card fold" open><summary><h3>Model card</h3><span>{names}</span></summary>'
        f"{''.join(blocks)}</details>"
    )
