"""How results are said in the language of the page."""

from __future__ import annotations

from datetime import datetime

from trivalent.core.analysis import Analysis, Evidence, Model, Verdict
from trivalent.core.types import LABELS, FloatArray, Modality, Status
from trivalent.report.wording import clock, modalities_of
from trivalent.report.wording import percent as english_percent
from trivalent.web.i18n import Language, catalogue, language, t, translate


def percent(p: float) -> str:
    """Probability in whole percent, as the language writes it."""
    words = english_percent(p)
    return words.replace(" ", "") if language() is Language.CHINESE else words


def label_name(label: str) -> str:
    """Name of a class."""
    return t(f"common.{label}")


def modality_name(modality: Modality) -> str:
    """Name of a channel."""
    return t(f"common.{modality}")


def headline(verdict: Verdict) -> str:
    """Verdict in one or two words."""
    return t("result.unsure") if verdict.abstained else t(f"result.{verdict.label}")


def confidence_words(verdict: Verdict) -> str:
    """How sure the verdict is, or where it leans."""
    key = "result.leaning" if verdict.abstained else "result.confidence"
    return t(key, label=label_name(verdict.label), share=percent(verdict.confidence))


def verdict_sentence(verdict: Verdict) -> str:
    """Headline and confidence in one sentence."""
    return t("result.sentence", headline=headline(verdict), confidence=confidence_words(verdict))


def spoken(probabilities: FloatArray) -> str:
    """All three probabilities, for those who hear the page."""
    pairs = zip(LABELS, probabilities, strict=True)
    return t("result.join").join(f"{label_name(label)} {percent(float(p))}" for label, p in pairs)


def units(kind: str, count: int) -> str:
    """Count of utterances, called sentences in a text."""
    return t("result.sentences" if kind == "text" else "result.utterances", count=count)


def source_line(analysis: Analysis) -> str:
    """Kind, length and number of utterances."""
    kind = analysis.source.kind
    parts = [t(f"result.kind_{kind}")]
    if analysis.source.duration_s is not None:
        parts.append(clock(analysis.source.duration_s))
    parts.append(units(kind, len(analysis.utterances)))
    return " · ".join(parts)


def model_words(model: Model) -> str:
    """Bundle and version."""
    return t("result.model", name=model.name, version=model.version)


def silence(evidence: Evidence) -> str:
    """Why a modality was not used."""
    words = t(f"result.status_{evidence.status}")
    return (
        words
        if not evidence.reason
        else t("result.because", words=words, reason=translate(evidence.reason))
    )


def always_silent(analysis: Analysis) -> dict[Modality, str]:
    """Modalities that are silent throughout for one reason, which then is said once."""
    found: dict[Modality, str] = {}
    for modality in modalities_of(analysis):
        said = [u.modalities.get(modality) for u in analysis.utterances]
        reasons = {silence(e) for e in said if e is not None and e.status is not Status.OK}
        if len(reasons) == 1 and all(e is not None and e.status is not Status.OK for e in said):
            found[modality] = reasons.pop()
    return found


def measured(name: str, number: float) -> str:
    """One measured fact about an input, such as the seconds of voiced speech."""
    key = f"result.fact_{name}"
    if key not in catalogue():
        from trivalent.report.markup import measure

        return measure(name, number)
    return t(key, value=f"{number:.3g}")


def expression_name(blendshape: str) -> str:
    """Movement of the face, by its blendshape's name."""
    key = f"expressions.{blendshape}"
    if key not in catalogue():
        from trivalent.report.markup import spaced

        return spaced(blendshape)
    return t(key)


def when(moment: datetime) -> str:
    """Point in time in the time zone of the reader's browser."""
    import zoneinfo

    import streamlit as st

    try:
        zone = zoneinfo.ZoneInfo(st.context.timezone or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        zone = zoneinfo.ZoneInfo("UTC")
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")
