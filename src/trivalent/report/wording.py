"""How results are said to people: signs, names, clocks and percentages, in English and Chinese.

The terminal, the report and the app share these, so that a sign and a word mean the same in all of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from trivalent.core.analysis import Analysis, Evidence, Overall, UtteranceResult, Verdict
from trivalent.core.messages import said
from trivalent.core.texts import Language, Text, in_language, read_texts
from trivalent.core.types import LABELS, FloatArray, Modality, Sentiment, Status

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
MIXED, UNSURE, WHOLE_MIXED = "≠", "?", "±"  # signals of an utterance, a verdict, a whole recording
SIGNS: dict[str, str] = {**GLYPHS, "unsure": UNSURE, "mixed": WHOLE_MIXED}  # by `kind_of` a verdict


@cache
def texts() -> Mapping[str, Text]:
    """All texts that tell a result, by `area.key`."""
    return read_texts(files("trivalent.report") / "texts")


@dataclass(frozen=True)
class Wording:
    """How to say results in one language.

    Attributes
    ----------
    language : Language
    """

    language: Language = Language.ENGLISH

    def __call__(self, key: str, **values: object) -> str:
        """Text of a key of `report/texts`, with values in its places.

        >>> Wording()("result.utterances", count=1), Wording(Language.CHINESE)("common.negative")
        ('1 utterance', '消极')
        """
        return in_language(texts()[key], self.language, values)

    def message(self, text: str) -> str:
        """Say a message (a warning, a reason, an error); a plain sentence stays as it is."""
        return said(text, self.language)

    def join(self, parts: Iterable[str]) -> str:
        """Put the parts of a list after each other."""
        return self("result.join").join(parts)

    def percent(self, p: float) -> str:
        """Probability in whole percent, as the language writes it."""
        return percent(p).replace(" ", "") if self.language is Language.CHINESE else percent(p)

    def label(self, label: str) -> str:
        """Name of a class."""
        return self(f"common.{label}")

    def modality(self, modality: Modality) -> str:
        """Name of a channel."""
        return self(f"common.{modality}")

    def headline(self, verdict: Verdict) -> str:
        """Verdict in one or two words: the label, `Unsure`, or `Mixed` of a whole."""
        return self(f"result.{kind_of(verdict)}")

    def confidence(self, verdict: Verdict) -> str:
        """Say after the headline how sure the verdict is, where it leans, or why it is mixed."""
        if isinstance(verdict, Overall) and kind_of(verdict) == "mixed":
            return self._why_mixed(verdict)
        key = "result.leaning" if verdict.abstained else "result.confidence"
        return self(key, label=self.label(verdict.label), share=self.percent(verdict.confidence))

    def _why_mixed(self, overall: Overall) -> str:
        if overall.mixed_by == "parts" and overall.shares is not None:
            negative, _, positive = (self.percent(float(share)) for share in overall.shares)
            label, share = self.label(overall.label), self.percent(overall.confidence)
            return self(
                "result.mixed_parts", negative=negative, positive=positive, label=label, share=share
            )
        p = overall.probabilities
        first, second, _ = (f"{self.label(LABELS[i])} {self.percent(float(p[i]))}" for i in np.argsort(-p))
        return self("result.mixed_tie", first=first, second=second)

    def basis(self, utterances: Iterable[UtteranceResult], verdict: Verdict) -> str:
        """Say how sure a verdict on utterances is, or that no channel had anything to say."""
        heard = any(e.weight > 0 for u in utterances for e in u.modalities.values())
        return self.confidence(verdict) if heard else self("result.no_basis")

    def valence(self, verdict: Verdict) -> str:
        """Say the valence of a verdict."""
        return self("result.valence", value=signed(verdict.valence))

    def sentence(self, u: UtteranceResult) -> str:
        """Headline and confidence of an utterance in one sentence."""
        said = self.basis([u], u.verdict)
        return self("result.sentence", headline=self.headline(u.verdict), confidence=said)

    def score(self, verdict: Verdict) -> str:
        """Say the score of a network that has one, else nothing."""
        if verdict.score is None:
            return ""
        value, seven = verdict.score.value, verdict.score.seven
        return self("result.score", value=typeset(f"{value:+.1f}"), seven=typeset(f"{seven:+d}"))

    def spoken(self, probabilities: FloatArray) -> str:
        """All three probabilities, for those who hear the page."""
        pairs = zip(LABELS, probabilities, strict=True)
        return self.join(f"{self.label(label)} {self.percent(float(p))}" for label, p in pairs)

    def units(self, kind: str, count: int) -> str:
        """Count of utterances, called sentences in a text: `8 utterances`."""
        return self("result.sentences" if kind == "text" else "result.utterances", count=count)

    def counts(self, utterances: Iterable[UtteranceResult]) -> str:
        """How many are of which class: `2 negative, 1 positive`."""
        tally = Counter(u.verdict.label for u in utterances)
        return self.join(
            self("result.count_label", count=tally[label], label=self.label(label))
            for label in LABELS
            if tally[label]
        )

    def source(self, analysis: Analysis) -> str:
        """Kind, length and number of utterances: `Video · 0:31 · 8 utterances`."""
        kind = analysis.source.kind
        parts = [self(f"result.kind_{kind}"), self.units(kind, len(analysis.utterances))]
        if analysis.source.duration_s is not None:
            parts.insert(1, clock(analysis.source.duration_s))
        return " · ".join(parts)

    def silence(self, evidence: Evidence) -> str:
        """Why a modality was not used: `missing: no face in 15 sampled frames`."""
        words = self(f"result.status_{evidence.status}")
        reason = self.message(evidence.reason) if evidence.reason else words
        return words if reason == words else self("result.because", words=words, reason=reason)

    def silences(self, analysis: Analysis) -> dict[Modality, Counter[str]]:
        """How often, and why, each modality was not used, over the utterances."""
        found: dict[Modality, Counter[str]] = {}
        for utterance in analysis.utterances:
            for modality, evidence in utterance.modalities.items():
                if evidence.status is not Status.OK:
                    found.setdefault(modality, Counter())[self.silence(evidence)] += 1
        return found

    def weight(self, by_network: bool | None) -> str:
        """Say what the weight of a channel is, where channels shared it."""
        if by_network is None:
            return ""
        return self("result.weight_of_network" if by_network else "result.weight_of_pool")

    def measured(self, name: str, number: float) -> str:
        """One measured fact about an input, such as the seconds of voiced speech.

        >>> Wording().measured("voiced_s", 1.92), Wording().measured("frames_on_fire", 1234.5)
        ('voiced 1.92 s', 'frames on fire 1234')
        """
        key, value = f"result.fact_{name}", three_digits(number)
        return self(key, value=value) if key in texts() else f"{spaced(name)} {value}"

    def expression(self, movement: str) -> str:
        """Movement of the face, by its blendshape's name without the side."""
        key = f"expressions.{movement}"
        return self(key) if key in texts() else spaced(movement)


def kind_of(verdict: Verdict) -> str:
    """Class of a verdict that can be relied on, else `unsure`, or `mixed` of a whole."""
    if verdict.abstained:
        return "unsure"
    return "mixed" if isinstance(verdict, Overall) and verdict.mixed else verdict.label


def signed(valence: float) -> str:
    """Valence with its sign.

    >>> signed(0.424), signed(-0.3), signed(-0.001)
    ('+0.42', '−0.30', '0.00')
    """
    rounded = f"{abs(valence):.2f}"
    return rounded if rounded == "0.00" else f"{'+' if valence > 0 else '−'}{rounded}"


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


def typeset(number: str) -> str:
    """Write a sign as people do, and none before zero.

    >>> typeset("+1.4"), typeset("-0.2"), typeset("-0.0"), typeset("+0")
    ('+1.4', '−0.2', '0.0', '0')
    """
    return number.replace("-", "−") if number.strip("+-0.") else number.lstrip("+-")


def seconds_words(seconds: float) -> str:
    """Wall-clock seconds with three significant digits at most.

    >>> seconds_words(0.0123), seconds_words(3.72), seconds_words(115.2)
    ('0.01 s', '3.72 s', '115 s')
    """
    return (
        f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"
    )


def three_digits(number: float) -> str:
    """Three significant digits; large numbers have no exponent.

    >>> three_digits(24.94), three_digits(0.1726), three_digits(1080.0)
    ('24.9', '0.173', '1080')
    """
    return f"{number:.0f}" if abs(number) >= 999.5 else f"{number:.3g}"


def spaced(name: str) -> str:
    """Turn `snake_case` and `camelCase` into words.

    >>> spaced("mouthSmile"), spaced("frames_with_face"), spaced("macro_f1")
    ('mouth smile', 'frames with face', 'macro F1')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").strip()
    lowered = words.lower() if words != words.upper() else words
    return re.sub(r"\bf1\b", "F1", lowered)


def capital(sentence: str) -> str:
    """Begin a sentence with a capital letter."""
    return sentence[:1].upper() + sentence[1:]


def top_label(probabilities: FloatArray) -> str:
    """Name of the most probable class."""
    return Sentiment(int(probabilities.argmax())).label


def modalities_of(analysis: Analysis) -> list[Modality]:
    """Modalities that any utterance speaks of, in the order of `Modality`."""
    present = {m for u in analysis.utterances for m in u.modalities}
    return [m for m in Modality if m in present]
