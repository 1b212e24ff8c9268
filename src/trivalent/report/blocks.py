"""Blocks of a timeline: one per utterance, or one per run of them when they are too many to draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trivalent.core.analysis import Evidence, UtteranceResult, Verdict
from trivalent.core.types import FloatArray, Modality, Status
from trivalent.report.wording import Wording, top_label

MOST_BLOCKS = 400  # a block is a few pixels wide then


def joined(
    utterances: Sequence[UtteranceResult], say: Wording, *, most: int = MOST_BLOCKS
) -> list[UtteranceResult]:
    """Join runs of equally many neighbours, so that at most `most` are left.

    A run has the mean of the probabilities and weights of its members; its text tells how many they are,
    and its index is that of the first.
    """
    length = -(-len(utterances) // most)
    if length <= 1:
        return list(utterances)
    return [_joined(utterances[i : i + length], say) for i in range(0, len(utterances), length)]


def _joined(run: Sequence[UtteranceResult], say: Wording) -> UtteranceResult:
    return UtteranceResult(
        index=run[0].index,
        start_s=run[0].start_s,
        end_s=max(u.end_s for u in run),
        text=say("result.mean_of", count=len(run), counts=say.counts(run)),
        verdict=_verdict([u.verdict.probabilities for u in run]),
        modalities={
            m: _evidence([u.modalities[m] for u in run if m in u.modalities])
            for m in Modality
            if any(m in u.modalities for u in run)
        },
    )


def _verdict(probabilities: Sequence[FloatArray]) -> Verdict:
    mean = np.mean(probabilities, axis=0)
    return Verdict(top_label(mean), float(mean.max()), mean)


def _evidence(of_run: Sequence[Evidence]) -> Evidence:
    opinions = [e.probabilities for e in of_run if e.status is Status.OK and e.probabilities is not None]
    if not opinions:
        return of_run[0]
    weight = float(np.mean([e.weight for e in of_run]))
    return Evidence(Status.OK, None, np.mean(opinions, axis=0), weight)
