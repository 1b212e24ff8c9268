"""From readings to verdicts: the one place where a recording is decided, at first and again later."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trivalent.bundle.decision import Decision, DecisionKind, ratio
from trivalent.bundle.fusion import Joint, Opinion, Pool, combine, joint_key
from trivalent.bundle.loading import Bundle
from trivalent.bundle.network import Network
from trivalent.core.analysis import Evidence, Overall, Score, Terms, UtteranceResult
from trivalent.core.errors import UsageError
from trivalent.core.messages import Message
from trivalent.core.types import LABELS, SCALE, FloatArray, Modality, Status, Utterance
from trivalent.experts.readings import Reading
from trivalent.experts.whole import heard, whole

ONLY_PRIOR = Message("reason.only_prior")


@dataclass(frozen=True, eq=False)
class Judge:
    """A bundle's way to fuse, with what the user chose.

    Attributes
    ----------
    bundle : Bundle
    fusion : Pool or Network
        The bundle's, where classes are as frequent as the user expects.
    modalities : tuple of Modality
        Those that count; the others are switched off.
    decision : Decision
    """

    bundle: Bundle[Any]
    fusion: Pool | Network
    modalities: tuple[Modality, ...]
    decision: Decision

    @classmethod
    def of(
        cls,
        bundle: Bundle[Any],
        *,
        modalities: Collection[str] | None = None,
        thresholds: Sequence[float] | None = None,
        min_confidence: float | None = None,
        prior: Sequence[float] | None = None,
    ) -> Judge:
        """Take the bundle's own choice for everything that is None.

        Raises
        ------
        UsageError
            A modality or threshold is not a valid value, or the bundle lacks the modality.
        """
        chosen, fusion = _chosen(modalities, bundle), bundle.fusion
        if prior is not None and not np.array_equal(prior, fusion.prior):  # else not even by a rounding
            fusion = fusion.expecting(np.array(prior, float))
        return cls(bundle, fusion, chosen, _decision(bundle.decision, thresholds, min_confidence))

    @property
    def terms(self) -> Terms:
        """What is decided with, as an analysis tells it."""
        rule = self.decision.rule
        thresholds = np.array(rule.values) if rule.kind is DecisionKind.RATIO else None
        return Terms(self.fusion.prior, thresholds, self.decision.min_confidence)

    def utterance(
        self, utterance: Utterance, readings: Mapping[Modality, Reading], *, joint: Joint | None = None
    ) -> UtteranceResult:
        """Fuse what was read in one utterance; modalities without a reading are told why.

        Parameters
        ----------
        utterance : Utterance
        readings : mapping of Modality to Reading
        joint : Joint, optional
            What a network said before; by default it is asked about the features of the readings.
        """
        fusion = self.fusion
        if isinstance(fusion, Network) and joint is None:
            joint = fusion.joint({m: r.features for m, r in readings.items() if r.features is not None})
            readings = {m: _with_opinion(r, joint.probabilities.get(m)) for m, r in readings.items()}
        opinions = {m: r.opinion for m, r in readings.items() if r.opinion is not None}
        fused = fusion.fuse(opinions, joint)
        verdict = self.decision.decide(fused.probabilities)
        if not fused.weights:
            verdict = replace(verdict, abstained=True)
        scores = {} if joint is None else dict(joint.scores)
        if (score := scores.get(joint_key(opinions))) is not None:
            verdict = replace(verdict, score=Score.of(score))
        modalities = {}
        for m in Modality:
            reading = readings.get(m) or self._unused(m)
            modalities[m] = Evidence(
                reading.status,
                reading.reason,
                None if reading.opinion is None else reading.opinion.probabilities,
                fused.weights.get(m, 0.0),
                fused.effects.get(m),
                reading.quality,
                reliability=0.0 if reading.opinion is None else float(reading.opinion.reliability),
            )
        return UtteranceResult(
            utterance.index,
            utterance.start_s,
            utterance.end_s,
            utterance.text,
            verdict,
            modalities,
            conflict=fused.conflict,
            mixed=fused.mixed,
            language=utterance.language,
            joint={} if joint is None else {k: p for k, p in joint.probabilities.items() if "+" in k},
            joint_scores=scores,
            attention=_attention(joint, opinions),
        )

    def overall(self, results: Sequence[UtteranceResult]) -> tuple[Overall, tuple[str, ...]]:
        """Decide the whole; with warnings, should it rest on nothing."""
        if not results:
            p = self.fusion.prior
        else:
            p = combine([r.verdict.probabilities for r in results], [r.end_s - r.start_s for r in results])
        verdict = replace(self.decision.decide(p), score=_mean_score(results))
        if heard(results):
            return whole(verdict, results), ()
        return whole(replace(verdict, abstained=True), results), (ONLY_PRIOR,)

    def _unused(self, modality: Modality) -> Reading:
        if modality not in self.bundle.modalities:
            return Reading.absent(Message("reason.no_expert", bundle=self.bundle.name, modality=modality))
        if modality not in self.modalities:
            return Reading.absent(Message("reason.off"), status=Status.OFF)
        return Reading.absent(Message("reason.source_is_text"))


def _mean_score(results: Sequence[UtteranceResult]) -> Score | None:
    """Mean of the scores there are, weighted by length as the probabilities are."""
    scored = [(r.verdict.score.value, r.end_s - r.start_s) for r in results if r.verdict.score is not None]
    if not scored:
        return None
    values, lengths = zip(*scored, strict=True)
    (mean,) = combine([np.array([value]) for value in values], lengths).tolist()
    return Score.of(min(max(mean, -SCALE), SCALE))  # a mean of 3 and 3 may miss 3 by a rounding


def _with_opinion(reading: Reading, probabilities: FloatArray | None) -> Reading:
    """Have a reading hold what the network said of it alone."""
    if probabilities is None:
        return reading
    return replace(reading, opinion=Opinion(probabilities, reading.reliability))


def _attention(joint: Joint | None, opinions: Collection[Modality]) -> dict[Modality, tuple[float, ...]]:
    """Return what the heads read, if that is what was decided by: all modalities together."""
    shares = {} if joint is None else dict(joint.attention)
    return shares if set(shares) == set(opinions) else {}


def _chosen(names: Collection[str] | None, bundle: Bundle[Any]) -> tuple[Modality, ...]:
    if names is None:
        return bundle.modalities
    wrong = [n for n in names if n not in list(Modality)]
    if wrong:
        raise UsageError("decision.modalities_unknown", modality=",".join(Modality), wrong=",".join(wrong))
    lacking = [n for n in names if Modality(n) not in bundle.modalities]
    if lacking:
        raise UsageError("decision.modalities_lacking", name=bundle.name, lacking=",".join(lacking))
    return tuple(m for m in Modality if m in names)


def _decision(
    default: Decision, thresholds: Sequence[float] | None, min_confidence: float | None
) -> Decision:
    if thresholds is not None and len(thresholds) != len(LABELS):
        raise UsageError(
            "decision.thresholds_count", count=len(LABELS), labels=",".join(LABELS), count2=len(thresholds)
        )
    return replace(
        default,
        rule=default.rule if thresholds is None else ratio(thresholds),
        min_confidence=default.min_confidence if min_confidence is None else min_confidence,
    )
