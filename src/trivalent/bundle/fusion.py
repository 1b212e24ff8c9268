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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from trivalent.bundle.files import MALFORMED, cut
from trivalent.core.errors import BundleError
from trivalent.core.types import FloatArray, Modality, Sentiment

_FLOOR = 1e-6  # no expert may be so sure that the others cannot answer
Reading = TypeVar("Reading", contravariant=True)


class FusionKind(StrEnum):
    """What makes one answer of several modalities."""

    POOL = "pool"  # of the experts' opinions: this module
    NETWORK = "network"  # over the features of all: `trivalent.bundle.network`


class Fusion(Protocol[Reading]):
    """What every kind of fusion can; it is written under `fusion` in bundle.json."""

    kind: ClassVar[FusionKind]

    @property
    def prior(self) -> FloatArray:
        """What is answered where there is nothing to go by, shape (3,)."""

    def fuse(self, opinions: Mapping[Modality, Opinion], joint: Joint | None = None) -> Fused:
        """Make one answer about one utterance of opinions, and of what was only said of them together."""

    def posterior(self, readings: Mapping[Modality, Reading], /) -> FloatArray:
        """Fuse what is there of n items, shape (n, 3); a modality that is left out is absent."""

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json."""


@dataclass(frozen=True, eq=False)
class Opinion:
    """A calibrated posterior, shape (3,), the prior it was made under, and its reliability."""

    probabilities: FloatArray
    prior: FloatArray
    reliability: float = 1.0


@dataclass(frozen=True, eq=False)
class Joint:
    """What a network said about one utterance, by the modalities that it was shown.

    Attributes
    ----------
    probabilities : dict of str to array, shape (3,)
        By `joint_key`.
    attention : dict of Modality to tuple of float
        Share of each modality in what each head read, where all were shown; empty without attention.
    scores : dict of str to float
        From -3 to 3, by `joint_key`; empty of a network that was trained on classes alone.
    """

    probabilities: Mapping[str, FloatArray] = field(default_factory=dict)
    attention: Mapping[Modality, tuple[float, ...]] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)


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
class Pool:
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

    kind: ClassVar[FusionKind] = FusionKind.POOL
    weights: dict[Modality, float]
    prior: FloatArray = field(default_factory=lambda: np.full(3, 1 / 3))
    beside_words: float = 1.0
    kappa: float = 1.0
    mixed_above: float = 0.15

    def fuse(self, opinions: Mapping[Modality, Opinion], joint: Joint | None = None) -> Fused:
        """Pool any subset of opinions about one utterance; there is nothing that they say only together."""
        exponents = self._exponents(opinions)
        total = sum(exponents.values())
        conflict = float(self._conflict(opinions)) + 0.0  # no minus zero
        fused = self.posterior(opinions)
        effects = {
            m: fused - self.posterior({k: o for k, o in opinions.items() if k != m}) for m in opinions
        }
        return Fused(
            fused,
            {m: (e / total if total > 0 else 0.0) for m, e in exponents.items()},
            effects,
            conflict,
            conflict >= self.mixed_above and opposed(self._counted(opinions)),
        )

    def posterior(self, opinions: Mapping[Modality, Opinion]) -> FloatArray:
        """Fused posterior; opinions may hold many items, shape (n, 3), and so does the result."""
        evidence = np.zeros(len(Sentiment))
        for m, exponent in self._exponents(opinions).items():
            evidence = evidence + exponent * (_log(opinions[m].probabilities) - _log(opinions[m].prior))
        widened = 1 + self.kappa * self._conflict(opinions)
        return softmax(_log(self.prior) + evidence / widened[..., None])

    def _exponents(self, opinions: Mapping[Modality, Opinion]) -> dict[Modality, float]:
        factor = self.beside_words if Modality.TEXT in opinions else 1.0
        return {
            m: self.weights.get(m, 0.0) * o.reliability * (1.0 if m is Modality.TEXT else factor)
            for m, o in opinions.items()
        }

    def _counted(self, opinions: Mapping[Modality, Opinion]) -> list[Opinion]:
        return [o for m, o in opinions.items() if self.weights.get(m, 0.0) * o.reliability > 0]

    def _conflict(self, opinions: Mapping[Modality, Opinion]) -> FloatArray:
        """Jensen-Shannon divergence between the experts, in bits, weighted by w_m q_m (Lin 1991).

        Every expert is first moved to the common prior: two that differ only because they
        were calibrated on different class mixes do not disagree. The factor beside words is
        left out: a clear face against clear words is a conflict although it decides little.
        """
        weighted = {m: self.weights.get(m, 0.0) * o.reliability for m, o in opinions.items()}
        counted = [m for m, weight in weighted.items() if weight > 0]
        return divergence(
            [
                softmax(_log(opinions[m].probabilities) - _log(opinions[m].prior) + _log(self.prior))
                for m in counted
            ],
            weights=[weighted[m] for m in counted],
        )

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json."""
        return {
            "kind": str(self.kind),
            "weights": {str(m): w for m, w in self.weights.items()},
            "prior": self.prior.tolist(),
            "beside_words": self.beside_words,
            "kappa": self.kappa,
            "mixed_above": self.mixed_above,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Pool:
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
            raise BundleError("bundle.fusion_keys", given=cut(error)) from error
        if not all(0 <= x < np.inf for x in (*weights.values(), *numbers)):
            raise BundleError("bundle.fusion_weights")
        if prior.shape != (len(Sentiment),) or not (prior >= 0).all() or not np.isclose(prior.sum(), 1):
            raise BundleError("bundle.fusion_prior")
        return cls(weights, prior, *numbers)


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


def divergence(
    probabilities: Sequence[FloatArray], *, weights: Sequence[float] | None = None
) -> FloatArray:
    """Jensen-Shannon divergence of distributions, in bits (Lin 1991); of equal weights by default.

    >>> float(divergence([np.array([1., 0, 0]), np.array([0., 0, 1])]))
    1.0
    """
    weights = [1.0] * len(probabilities) if weights is None else weights
    total = sum(weights)
    mean, entropies = np.zeros(len(Sentiment)), np.zeros(())
    for p, weight in zip(probabilities, weights, strict=True):
        mean = mean + weight / total * p
        entropies = entropies + weight / total * _entropy(p)
    return np.maximum(0.0, _entropy(mean) - entropies)


def joint_key(modalities: Iterable[Modality]) -> str:
    """Name a set of modalities, in their own order.

    >>> joint_key([Modality.FACE, Modality.TEXT])
    'text+face'
    """
    chosen = set(modalities)
    return "+".join(m for m in Modality if m in chosen)


def opposed(opinions: Sequence[Opinion]) -> bool:
    """Tell whether one expert says negative and another positive."""
    said = {int(o.probabilities.argmax()) for o in opinions}
    return {Sentiment.NEGATIVE, Sentiment.POSITIVE} <= said
