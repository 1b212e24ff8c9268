"""From the experts' opinions to one verdict: log-linear pooling with reliability weights.

Each expert m gives a calibrated posterior P_m under its own class prior pi_m. Its evidence
is the log-likelihood ratio log P_m - log pi_m, and the fused posterior is

    P(c)  proportional to  pi(c) * exp( sum_m w_m q_m [log P_m(c) - log pi_m(c)] / T )

(logarithmic opinion pool: Genest & Zidek, Statistical Science 1(1), 1986). `w_m` says what the
modality is worth on spontaneous speech, `q_m` in [0, 1] how much of it there was in this
utterance; beside words, voice and face count less, since they partly repeat them; and
T = 1 + kappa * conflict widens the answer when the experts disagree. A missing
modality simply has no term: any subset works, and none gives the prior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trivalent.bundle.files import MALFORMED, cut
from trivalent.core.analysis import Verdict
from trivalent.core.errors import BundleError, UsageError
from trivalent.core.types import FloatArray, Modality, Sentiment

_FLOOR = 1e-6  # no expert may be so sure that the others cannot answer


@dataclass(frozen=True, eq=False)
class Opinion:
    """A calibrated posterior, shape (3,), the prior it was made under, and its quality."""

    probabilities: FloatArray
    prior: FloatArray
    quality: float = 1.0


@dataclass(frozen=True, eq=False)
class Fused:
    """Fused posterior and what each modality contributed.

    `weights` are shares of the pooled exponents (they sum to 1 over the modalities present);
    `effects` are the fused probabilities minus those without the modality.
    """

    probabilities: FloatArray
    weights: dict[Modality, float]
    effects: Mapping[Modality, FloatArray]
    conflict: float
    mixed: bool


@dataclass(frozen=True, eq=False)
class FusionRule:
    """The parameters of the pool, kept in the bundle.

    Attributes
    ----------
    weights : dict of float
        w_m >= 0 per modality; 1 takes the expert at its word.
    prior : array, shape (3,)
        Class distribution expected in use.
    beside_words : float
        Factor on the weights of voice and face when there are words, which they partly repeat.
    kappa : float
        How much conflict widens the answer.
    mixed_above : float
        Conflict (Jensen-Shannon, bits) from which opposed experts are reported as mixed signals.
    """

    weights: dict[Modality, float]
    prior: FloatArray = field(default_factory=lambda: np.full(3, 1 / 3))
    beside_words: float = 1.0
    kappa: float = 1.0
    mixed_above: float = 0.15

    def fuse(self, opinions: Mapping[Modality, Opinion]) -> Fused:
        """Pool any subset of opinions about one utterance."""
        exponents = self._exponents(opinions)
        total = sum(exponents.values())
        conflict = float(self._conflict(opinions)) + 0.0  # no minus zero
        fused = self.pool(opinions)
        effects = {m: fused - self.pool({k: o for k, o in opinions.items() if k != m}) for m in opinions}
        return Fused(
            fused,
            {m: (e / total if total > 0 else 0.0) for m, e in exponents.items()},
            effects,
            conflict,
            conflict >= self.mixed_above and _opposed(self._counted(opinions)),
        )

    def pool(self, opinions: Mapping[Modality, Opinion]) -> FloatArray:
        """Fused posterior; opinions may hold many items, shape (n, 3), and so does the result."""
        evidence = np.zeros(len(Sentiment))
        for m, exponent in self._exponents(opinions).items():
            evidence = evidence + exponent * (_log(opinions[m].probabilities) - _log(opinions[m].prior))
        widened = 1 + self.kappa * self._conflict(opinions)
        return softmax(_log(self.prior) + evidence / widened[..., None])

    def _exponents(self, opinions: Mapping[Modality, Opinion]) -> dict[Modality, float]:
        factor = self.beside_words if Modality.TEXT in opinions else 1.0
        return {
            m: self.weights.get(m, 0.0) * o.quality * (1.0 if m is Modality.TEXT else factor)
            for m, o in opinions.items()
        }

    def _counted(self, opinions: Mapping[Modality, Opinion]) -> list[Opinion]:
        return [o for m, o in opinions.items() if self.weights.get(m, 0.0) * o.quality > 0]

    def _conflict(self, opinions: Mapping[Modality, Opinion]) -> FloatArray:
        """Jensen-Shannon divergence between the experts, in bits, weighted by w_m q_m (Lin 1991).

        Every expert is first moved to the common prior: two that differ only because they
        were calibrated on different class mixes do not disagree. The factor beside words is
        left out: a clear face against clear words is a conflict although it decides little.
        """
        weighted = {m: self.weights.get(m, 0.0) * o.quality for m, o in opinions.items()}
        total = sum(weighted.values())
        mean, entropies = np.zeros(len(Sentiment)), np.zeros(())
        for m, o in opinions.items():
            if weighted[m] > 0:
                p = softmax(_log(o.probabilities) - _log(o.prior) + _log(self.prior))
                mean = mean + weighted[m] / total * p
                entropies = entropies + weighted[m] / total * _entropy(p)
        return np.maximum(0.0, _entropy(mean) - entropies)

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json."""
        return {
            "weights": {str(m): w for m, w in self.weights.items()},
            "prior": self.prior.tolist(),
            "beside_words": self.beside_words,
            "kappa": self.kappa,
            "mixed_above": self.mixed_above,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FusionRule:
        """Read from bundle.json.

        Raises
        ------
        BundleError
            A key is absent, a number is negative or the prior is not a distribution.
        """
        try:
            weights = {Modality(m): float(w) for m, w in data["weights"].items()}
            prior = np.array(data["prior"], float)
            numbers = [float(data[key]) for key in ("beside_words", "kappa", "mixed_above")]
        except MALFORMED as error:
            raise BundleError(
                "expected weights, prior, beside_words, kappa, mixed_above under 'fusion', got "
                f"{cut(error)}"
            ) from error
        if not all(0 <= x < np.inf for x in (*weights.values(), *numbers)):
            raise BundleError("expected fusion weights >= 0, and beside_words, kappa, mixed_above >= 0")
        if prior.shape != (len(Sentiment),) or not (prior >= 0).all() or not np.isclose(prior.sum(), 1):
            raise BundleError("expected a fusion prior of three numbers >= 0 that sum to 1")
        return cls(weights, prior, *numbers)


@dataclass(frozen=True)
class DecisionRule:
    """How probabilities become a label: argmax of p / tau, and when to abstain.

    Equal thresholds are the plain argmax. Lowering tau of a class makes it easier to choose
    without touching the probabilities (ratio rule; Collell et al., Neurocomputing 2018).
    """

    thresholds: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(Sentiment) or not all(0 < t <= 1 for t in self.thresholds):
            given = ",".join(f"{t:g}" for t in self.thresholds)
            raise UsageError(
                f"expected three thresholds in (0, 1] for negative,neutral,positive, got {given}; "
                "for example 0.21,0.5,0.5"
            )
        if not 0 <= self.min_confidence <= 1:
            raise UsageError(f"expected a confidence between 0 and 1, got {self.min_confidence:g}")

    def decide(self, probabilities: FloatArray) -> Verdict:
        """Choose a label.

        >>> import numpy as np
        >>> DecisionRule((.21, .5, .5)).decide(np.array([.3, .3, .4])).label
        'negative'
        """
        choice = Sentiment(int(np.argmax(probabilities / np.asarray(self.thresholds))))
        confidence = float(probabilities[choice])
        abstained = confidence < self.min_confidence
        return Verdict(choice.label, confidence, probabilities, abstained=abstained)


def combine(probabilities: Sequence[FloatArray], durations: Sequence[float]) -> FloatArray:
    """Summarise a recording: the mean of its utterances' probabilities, weighted by duration.

    A linear pool, because the recording *contains* its utterances: a minute of joy and a
    minute of anger is half and half, not a compromise. Zero durations (texts) count equally.

    >>> combine([np.array([1., 0, 0]), np.array([0., 0, 1])], [1.0, 3.0]).tolist()
    [0.25, 0.0, 0.75]
    """
    weights = np.asarray(durations, float)
    if not weights.sum() > 0:
        weights = np.ones(len(probabilities))
    return np.average(np.asarray(probabilities), axis=0, weights=weights)


def softmax(logits: FloatArray) -> FloatArray:
    """Normalised exponentials over the last axis."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def _log(p: FloatArray) -> FloatArray:
    return np.log(np.clip(p, _FLOOR, 1.0))


def _entropy(p: FloatArray) -> FloatArray:
    return -(p * np.log2(np.clip(p, 1e-12, 1))).sum(-1)


def _opposed(opinions: Sequence[Opinion]) -> bool:
    """Tell whether one expert says negative and another positive."""
    said = {int(o.probabilities.argmax()) for o in opinions}
    return {Sentiment.NEGATIVE, Sentiment.POSITIVE} <= said
