"""How results are said to people: glyphs, names, clocks and percentages.

The terminal and the HTML report share these, so that a sign means the same in both.
"""

from __future__ import annotations

from collections import Counter

from trivalent.core.analysis import Analysis, Evidence, Verdict
from trivalent.core.types import FloatArray, Modality, Sentiment, Status

GLYPHS: dict[str, str] = {
    Sentiment.NEGATIVE.label: "−",
    Sentiment.NEUTRAL.label: "○",
    Sentiment.POSITIVE.label: "+",
}
ASCII_GLYPHS: dict[str, str] = {
    Sentiment.NEGATIVE.label: "-",
    Sentiment.NEUTRAL.label: "o",
    Sentiment.POSITIVE.label: "+",
}
COLOURS: dict[str, str] = {
    Sentiment.NEGATIVE.label: "#E74C3C",
    Sentiment.NEUTRAL.label: "#95A5A6",
    Sentiment.POSITIVE.label: "#2ECC71",
}
MIXED, UNSURE = "≠", "?"
MODALITY_NAMES: dict[Modality, str] = {
    Modality.TEXT: "Words",
    Modality.AUDIO: "Voice",
    Modality.FACE: "Face",
}
STATUS_WORDS: dict[Status, str] = {
    Status.OK: "used",
    Status.MISSING: "missing",
    Status.FAILED: "failed",
    Status.OFF: "switched off",
}


def clock(seconds: float) -> str:
    """Position in a recording.

    >>> clock(7.96), clock(83), clock(3725)
    ('0:07', '1:23', '1:02:05')
    """
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def percent(p: float) -> str:
    """Probability in whole percent; certainty is only claimed when it is certain.

    >>> percent(0.714), percent(0.999), percent(0.001), percent(1.0), percent(0.0)
    ('71 %', '>99 %', '<1 %', '100 %', '0 %')
    """
    if 0 < p < 0.005:
        return "<1 %"
    if 0.995 <= p < 1:
        return ">99 %"
    return f"{100 * p:.0f} %"


def signed_points(change: float) -> str:
    """Change of a probability in percentage points.

    >>> signed_points(0.123), signed_points(-0.08), signed_points(0.001)
    ('+12', '−8', '±0')
    """
    points = round(100 * change)
    return "±0" if points == 0 else f"{'+' if points > 0 else '−'}{abs(points)}"


def seconds_words(seconds: float) -> str:
    """Wall-clock seconds with three significant digits at most.

    >>> seconds_words(0.0123), seconds_words(3.72), seconds_words(115.2)
    ('0.01 s', '3.72 s', '115 s')
    """
    return (
        f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"
    )


def top_label(probabilities: FloatArray) -> str:
    """Name of the most probable class."""
    return Sentiment(int(probabilities.argmax())).label


def headline(verdict: Verdict) -> str:
    """Verdict in one or two words: the label, or `Unsure`."""
    return "Unsure" if verdict.abstained else verdict.label.capitalize()


def confidence_words(verdict: Verdict) -> str:
    """Say after the headline how sure the verdict is, or where it leans."""
    share = percent(verdict.confidence)
    if verdict.abstained:
        return f"leaning {verdict.label} at {share}, below the confidence asked for"
    return f"{share} confidence"


def verdict_sentence(verdict: Verdict) -> str:
    """Headline and confidence in one sentence."""
    return f"{headline(verdict)}, {confidence_words(verdict)}."


def unit(analysis: Analysis, n: int) -> str:
    """Count of utterances, called sentences in a text: `8 utterances`."""
    noun = "sentence" if analysis.source.kind == "text" else "utterance"
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def source_line(analysis: Analysis) -> str:
    """Kind, length and number of utterances: `video, 0:31, 8 utterances`."""
    parts = [analysis.source.kind]
    if analysis.source.duration_s is not None:
        parts.append(clock(analysis.source.duration_s))
    parts.append(unit(analysis, len(analysis.utterances)))
    return ", ".join(parts)


def silence(evidence: Evidence) -> str:
    """Why a modality was not used: `missing: no face in 15 sampled frames`."""
    words = STATUS_WORDS[evidence.status]
    return f"{words}: {evidence.reason}" if evidence.reason else words


def silences(analysis: Analysis) -> dict[Modality, Counter[str]]:
    """How often, and why, each modality was not used, over the utterances."""
    found: dict[Modality, Counter[str]] = {}
    for utterance in analysis.utterances:
        for modality, evidence in utterance.modalities.items():
            if evidence.status is not Status.OK:
                found.setdefault(modality, Counter())[silence(evidence)] += 1
    return found


def modalities_of(analysis: Analysis) -> list[Modality]:
    """Modalities that any utterance speaks of, in the order of `Modality`."""
    present = {m for u in analysis.utterances for m in u.modalities}
    return [m for m in Modality if m in present]
