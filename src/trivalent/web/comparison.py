"""Two analyses held against each other: figures only, no words and no page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from trivalent.core.analysis import Analysis, UtteranceResult
from trivalent.core.types import LABELS, FloatArray, Modality, Status

SAME_START_S = 0.5


@dataclass(frozen=True, eq=False)
class Channel:
    """What one modality said over a whole source.

    Attributes
    ----------
    probabilities : array, shape (3,), or None
        Mean of the expert's opinions, weighted by the utterances' durations.
    weight : float
        Mean share over all utterances, weighted likewise.
    used, total : int
        Utterances with an opinion, and all of them.
    """

    probabilities: FloatArray | None
    weight: float
    used: int
    total: int


def channels(analysis: Analysis) -> dict[Modality, Channel]:
    """Sum up each modality over the utterances."""
    return {m: _channel(analysis, m) for m in Modality}


def _channel(analysis: Analysis, modality: Modality) -> Channel:
    spans = _spans(analysis)
    said: list[tuple[float, FloatArray]] = []
    weight = 0.0
    for span, utterance in zip(spans, analysis.utterances, strict=True):
        evidence = utterance.modalities.get(modality)
        if evidence is not None and evidence.status is Status.OK and evidence.probabilities is not None:
            said.append((span, evidence.probabilities))
            weight += span * evidence.weight
    if not said:
        return Channel(None, 0.0, 0, len(spans))
    mean = np.average([p for _, p in said], axis=0, weights=[span for span, _ in said])
    return Channel(mean, weight / float(spans.sum()), len(said), len(spans))


def _spans(analysis: Analysis) -> FloatArray:
    """Durations of the utterances; ones for a text, which has none."""
    spans = np.array([u.end_s - u.start_s for u in analysis.utterances], float)
    return spans if spans.size and (spans > 0).all() else np.ones(len(spans))


def label_counts(analysis: Analysis) -> tuple[int, ...]:
    """Count the utterances of each class, in the order of `LABELS`."""
    counts = Counter(u.verdict.label for u in analysis.utterances)
    return tuple(counts[label] for label in LABELS)


Pairs = list[tuple[UtteranceResult, UtteranceResult]]


def paired(first: Analysis, second: Analysis) -> Pairs | None:
    """Pair the utterances of two analyses of the same thing; None when they are of different things."""
    if not first.utterances or len(first.utterances) != len(second.utterances):
        return None
    pairs = list(zip(first.utterances, second.utterances, strict=True))
    same = all(abs(a.start_s - b.start_s) < SAME_START_S and _words(a) == _words(b) for a, b in pairs)
    return pairs if same else None


def _words(utterance: UtteranceResult) -> list[str]:
    return utterance.text.casefold().split()


def moved(pairs: Pairs) -> Pairs:
    """Select the pairs whose verdicts differ, or of which only one should be relied on."""
    return [
        (a, b)
        for a, b in pairs
        if a.verdict.label != b.verdict.label or a.verdict.abstained != b.verdict.abstained
    ]
