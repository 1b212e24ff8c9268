"""What is shown of an analysis: signs, words and numbers, computed once for the report and the app."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trivalent.core.analysis import Analysis, Evidence, KeyFrame, Terms, UtteranceResult, Verdict
from trivalent.core.types import LABELS, FloatArray, Modality, Status
from trivalent.report.attention import Attention, attention_view
from trivalent.report.wording import (
    GLYPHS,
    MIXED,
    SIGNS,
    UNSURE,
    WHOLE_MIXED,
    Wording,
    capital,
    clock,
    kind_of,
    signed,
    signed_points,
    top_label,
)

TOP_EXPRESSIONS = 3


@dataclass(frozen=True)
class Share:
    """Probability of one class; the class that was chosen may be marked."""

    label: str
    name: str
    p: float
    words: str
    marked: bool


@dataclass(frozen=True)
class Badge:
    """A sign and a word; `kind` is a class label, `mixed` (signals, or a whole), or `lean LABEL`."""

    kind: str
    sign: str
    words: str


@dataclass(frozen=True)
class VerdictView:
    """Card of a verdict; `kind` is a class label, `mixed` or `unsure`, `score` empty of most models.

    `terms` say what was decided with, as far as the analysis tells.
    """

    kind: str
    sign: str
    headline: str
    sure: str
    valence: str
    score: str
    shares: tuple[Share, ...]
    tally: str
    terms: tuple[str, ...]


@dataclass(frozen=True)
class Opinion:
    """What the whole, or one channel, says about an utterance; `changes` are (class, points).

    `explained`: there is room for what each of its words changed.
    """

    title: str
    note: str
    shares: tuple[Share, ...]
    changes: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]
    explained: bool = False


@dataclass(frozen=True)
class UtteranceView:
    """One utterance with its evidence; `number` is its time, or its place in a text."""

    index: int
    start_s: float
    end_s: float
    number: str
    text: str
    kinds: tuple[str, ...]
    badges: tuple[Badge, ...]
    certainty: str
    opinions: tuple[Opinion, ...]
    attention: Attention | None


@dataclass(frozen=True)
class Filter:
    """A way to show some of the utterances only."""

    kind: str
    words: str
    count: int


@dataclass(frozen=True)
class Moment:
    """A key frame: JPEG in base64, and its strongest movements as (name, strength)."""

    time_s: float
    time: str
    utterance: int
    jpeg: str
    movements: tuple[tuple[str, float], ...]


def shares(probabilities: FloatArray, say: Wording, *, marked: str | None = None) -> tuple[Share, ...]:
    """One share per class, negative first."""
    return tuple(
        Share(label, say.label(label), float(p), say.percent(float(p)), label == marked)
        for label, p in zip(LABELS, probabilities, strict=True)
    )


def badge(label: str, say: Wording) -> Badge:
    """Name a class."""
    return Badge(label, GLYPHS[label], say.label(label))


def verdict_badge(verdict: Verdict, say: Wording) -> Badge:
    """Name the class of a verdict, or where it leans: a label that should not be relied on is no fill."""
    if not verdict.abstained:
        whole = Badge("mixed", WHOLE_MIXED, say("common.mixed_whole"))
        return whole if kind_of(verdict) == "mixed" else badge(verdict.label, say)
    return Badge(f"lean {verdict.label}", UNSURE, say("result.leans", label=say.label(verdict.label)))


def verdict_view(analysis: Analysis, say: Wording) -> VerdictView:
    """Say what was found, how sure it is, and how the utterances were counted."""
    overall = analysis.overall
    kind = kind_of(overall)
    return VerdictView(
        kind,
        SIGNS[kind],
        say.headline(overall),
        capital(say.basis(analysis.utterances, overall)),
        say("result.valence_scale", value=signed(overall.valence)),
        say.score(overall),
        shares(overall.probabilities, say, marked=None if kind == "mixed" else overall.label),
        _tally(analysis, say),
        () if analysis.decided_with is None else _terms(analysis.decided_with, say),
    )


def _terms(terms: Terms, say: Wording) -> tuple[str, ...]:
    """Say the expected classes, thresholds other than equal ones, and the least confidence."""
    lines = [say("result.expected", shares=say.spoken(terms.prior))]
    if terms.thresholds is not None and np.ptp(terms.thresholds) > 0:
        each = zip(LABELS, terms.thresholds.tolist(), strict=True)
        values = say.join(f"{say.label(label)} {threshold:.2f}" for label, threshold in each)
        lines.append(say("result.thresholds", values=values))
    if terms.min_confidence > 0:
        lines.append(say("result.unsure_below", share=say.percent(terms.min_confidence)))
    return tuple(lines)


def _tally(analysis: Analysis, say: Wording) -> str:
    """Count the classes; one utterance alone needs no count."""
    utterances = analysis.utterances
    if len(utterances) < 2:
        return ""
    units = say.units(analysis.source.kind, len(utterances))
    tally = say("result.tally", units=units, counts=say.counts(utterances))
    doubts = [
        say(f"result.count_{name}", count=count)
        for name, count in (
            ("unsure", sum(u.verdict.abstained for u in utterances)),
            ("mixed", sum(u.mixed for u in utterances)),
        )
        if count
    ]
    return (
        say("result.tally_doubts", tally=tally, doubts=say("result.and").join(doubts)) if doubts else tally
    )


def warnings(analysis: Analysis, say: Wording) -> list[str]:
    """Say what to keep in mind about this result."""
    return [capital(say.message(w)) for w in analysis.warnings]


def filters(utterances: Sequence[UtteranceResult], say: Wording) -> list[Filter]:
    """All, then what there is of each kind; one utterance alone needs no filter."""
    if len(utterances) < 2:
        return []
    labels = [u.verdict.label for u in utterances]
    kinds = [
        Filter("all", say("result.all"), len(labels)),
        *(Filter(k, f"{GLYPHS[k]} {say.label(k)}", labels.count(k)) for k in LABELS),
        Filter("mixed", f"{MIXED} {say('common.mixed')}", sum(u.mixed for u in utterances)),
        Filter("unsure", f"{UNSURE} {say('common.unsure')}", sum(u.verdict.abstained for u in utterances)),
    ]
    return [kind for kind in kinds if kind.count]


def always_silent(analysis: Analysis, say: Wording) -> set[Modality]:
    """Modalities that are silent for one reason alone, which is said once and not per utterance."""
    total = len(analysis.utterances)
    return {m for m, why in say.silences(analysis).items() if len(why) == 1 and why.total() == total}


def utterance_view(
    u: UtteranceResult, say: Wording, *, timed: bool, silent: Collection[Modality], explained: bool
) -> UtteranceView:
    """Tell one utterance.

    Parameters
    ----------
    u : UtteranceResult
    say : Wording
    timed : bool
        Whether it has a time; a sentence of a text has none, and words alone speak for it.
    silent : collection of Modality
        Channels that have nothing to say in the whole recording.
    explained : bool
        Whether it can be told what each word changed.
    """
    v = u.verdict
    mixed = Badge("mixed", MIXED, say("common.mixed"))
    opinions = [
        _opinion(m, u.modalities[m], say, explained=explained and m is Modality.TEXT)
        for m in Modality
        if m in u.modalities and m not in silent
    ]
    if not timed:  # what is told of the whole stands with the words, which are alone
        opinions[:1] = [replace(o, lines=(*_told(v, say), *o.lines)) for o in opinions[:1]]
    return UtteranceView(
        u.index,
        u.start_s,
        u.end_s,
        clock(u.start_s) if timed else str(u.index + 1),
        u.text,
        (v.label, *(["mixed"] if u.mixed else []), *(["unsure"] if v.abstained else [])),
        (*([mixed] if u.mixed else []), verdict_badge(v, say)),
        say.percent(v.confidence),
        (*([_combined(u, say)] if timed else []), *opinions),
        attention_view(u, say),
    )


def _combined(u: UtteranceResult, say: Wording) -> Opinion:
    """Fused probabilities, and how much the experts disagree."""
    lines = [say.sentence(u), *_told(u.verdict, say)]
    if sum(e.status is Status.OK for e in u.modalities.values()) > 1:
        key = "result.conflict_mixed" if u.mixed else "result.conflict"
        lines.append(say(key, conflict=f"{u.conflict:.2f}"))
    span = say("result.seconds_from_to", start=f"{u.start_s:.1f}", end=f"{u.end_s:.1f}")
    told = shares(u.verdict.probabilities, say, marked=u.verdict.label)
    return Opinion(say("result.combined"), span, told, (), tuple(lines))


def _told(verdict: Verdict, say: Wording) -> list[str]:
    """Say the valence, the score of a network that has one, and the labels left where that is known."""
    lines, kept = [say("result.valence_scale", value=signed(verdict.valence))], verdict.prediction_set
    if verdict.score is not None:
        lines.append(say.score(verdict))
    if kept:
        lines.append(say("result.not_excluded", labels=say.join(map(say.label, kept))))
    elif kept is not None:
        lines.append(say("result.excluded"))
    return lines


def _opinion(modality: Modality, e: Evidence, say: Wording, *, explained: bool) -> Opinion:
    """Opinion, weight, effect and measured facts of one channel."""
    name = say.modality(modality)
    facts = [say.measured(*fact) for fact in e.quality.items()]
    measured = [say("result.measured", facts=say.join(facts))] if facts else []
    if e.status is not Status.OK or e.probabilities is None:
        return Opinion(name, "", (), (), (say.silence(e), *measured))
    label = top_label(e.probabilities)
    note = say("result.says_short", label=say.label(label), weight=say.percent(e.weight))
    changes: list[tuple[str, str]] = []
    if e.effect is not None:
        changes = [(say.label(k), signed_points(float(c))) for k, c in zip(LABELS, e.effect, strict=True)]
    told = shares(e.probabilities, say, marked=label)
    return Opinion(name, note, told, tuple(changes), tuple(measured), explained)


def moments(analysis: Analysis, say: Wording) -> list[Moment]:
    """Tell the pictures of the moments that the face said most."""
    return [_moment(k, say) for k in analysis.keyframes]


def _moment(frame: KeyFrame, say: Wording) -> Moment:
    strongest = sorted(_both_sides(frame.expressions).items(), key=lambda item: -item[1])[:TOP_EXPRESSIONS]
    return Moment(
        frame.time_s,
        clock(frame.time_s),
        frame.utterance,
        base64.b64encode(frame.jpeg).decode(),
        tuple((say.expression(name), strength) for name, strength in strongest),
    )


def _both_sides(expressions: Mapping[str, float]) -> dict[str, float]:
    """Take the stronger of left and right: people see one smile."""
    found: dict[str, float] = {}
    for name, strength in expressions.items():
        movement = name.removesuffix("Left").removesuffix("Right")
        found[movement] = max(strength, found.get(movement, 0.0))
    return found
