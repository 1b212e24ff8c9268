"""Whether one label can stand for a whole recording: the one place that calls a recording mixed.

Mixed *signals* are of one utterance, whose words, voice and face disagree (`bundle.fusion`). A mixed
*recording* is one that its label does not describe, for either of two reasons:

parts
    At least `PARTS_SHARE` of the time is decidedly negative, and at least as much decidedly positive.
    Their mean is a compromise that nobody expressed at any time.
tie
    The label is the most probable one, but less than `TIE_MARGIN` before the next, so that the order of
    the two is next to chance. One that thresholds chose against the order does not rest on it.

Parts are told first: they say more. The label stays one of three in either case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from trivalent.bundle.fusion import combine
from trivalent.core.analysis import Overall, UtteranceResult, Verdict
from trivalent.core.types import LABELS, FloatArray, Sentiment, Status

# A listener calls a part of one in five a side of its own, and hardly less. By the scores of people (beyond
# half a point), 12 % of MOSEI's 1,789 videos of five segments or more are mixed at this share; in those the
# smaller side has two thirds of the time of the larger on average. At .15 they are 20 %, at .3 4 %.
PARTS_SHARE = 0.2
# Of MELD's validation texts, judged by the default bundle, version 3: where the two were less than .1 apart
# (119 texts), the first was right in 45 % and the second in 43 %; from .1 to .2 (122 texts), 57 % and 32 %.
TIE_MARGIN = 0.1
_ROUNDING = 1e-9  # of sums, which differ with the order of the utterances


def whole(verdict: Verdict, utterances: Sequence[UtteranceResult]) -> Overall:
    """Add to the verdict of a whole what its utterances make of it.

    Parameters
    ----------
    verdict : Verdict
        Of the whole.
    utterances : sequence of UtteranceResult
        Weighted by their length, or equally where they have none, as the sentences of a text.
    """
    shares = shares_of(utterances)
    reason = mixed_by(verdict.probabilities, shares, label=verdict.label) if heard(utterances) else None
    told = {f.name: getattr(verdict, f.name) for f in fields(Verdict) if f.init}
    return Overall(**told, shares=shares, mixed_by=reason)


def heard(utterances: Sequence[UtteranceResult]) -> bool:
    """Tell whether any expert had anything to say; otherwise there is but the prior, which is no tie."""
    return any(e.status is Status.OK for u in utterances for e in u.modalities.values())


def shares_of(utterances: Sequence[UtteranceResult]) -> FloatArray:
    """Share of the time that is decided for each label, shape (3,); without utterances there is none."""
    if not utterances:
        return np.zeros(len(LABELS))
    return combine([_decided(u.verdict) for u in utterances], [u.end_s - u.start_s for u in utterances])


def mixed_by(probabilities: FloatArray, shares: FloatArray, *, label: str) -> str | None:
    """Name the rule that calls it mixed, of `MIXED_BY`; None where the label stands for the whole.

    >>> mixed_by(np.array([.3, .25, .45]), np.array([.25, .25, .5]), label="positive")
    'parts'
    >>> mixed_by(np.array([.33, .32, .35]), np.array([0., 0., 1.]), label="positive")
    'tie'
    """
    if min(shares[Sentiment.NEGATIVE], shares[Sentiment.POSITIVE]) > PARTS_SHARE - _ROUNDING:
        return "parts"
    _, second, first = np.sort(probabilities)
    chosen = probabilities[LABELS.index(label)]
    return "tie" if chosen == first and first - second < TIE_MARGIN - _ROUNDING else None


def _decided(verdict: Verdict) -> FloatArray:
    return np.array([verdict.label == label and not verdict.abstained for label in LABELS], float)
