"""From what each modality says to one verdict: log-linear pooling, and what a neutral opinion may weigh.

An expert's opinion is what it says were all classes equally frequent, already as strong as its
reliability allows. Its evidence, the logarithm of it, has two parts:

    polar    d_m = log P_m(positive) - log P_m(negative)
    neutral  n_m = log P_m(neutral) - (log P_m(positive) + log P_m(negative)) / 2

and the fused posterior under the expected shares pi of the classes is

    P(-), P(0), P(+)  proportional to  pi(-) exp(-D/2), pi(0) exp(N), pi(+) exp(D/2)
    D = sum_m a_m d_m,    N = sum_m b_m n_m

a logarithmic opinion pool (Genest & Zidek, Statistical Science 1(1), 1986) with two exponents each. An
expert alone has exponents 1: its answer is passed on. Beside others they fall to `polar` and `neutral`
of its modality, for the modalities repeat each other; `neutral` may be far lower, since plain words over
an expressive face are an absence of evidence rather than evidence of calm. The fall is gradual, with the
reliability of the others: an opinion of reliability 0 is one that is missing.

All exponents are positive and `neutral` is at most `polar`, so that more evidence for a class never
lowers it, and experts that lean one way are not fused the other way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np

from trivalent.bundle.files import MALFORMED, cut
from trivalent.core.errors import BundleError
from trivalent.core.types import FloatArray, Modality, Sentiment

_FLOOR = 1e-6  # no expert may be so sure that the others cannot answer
MIXED_ABOVE = 0.2  # disagreement from which signals are mixed, unless a bundle says otherwise
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

    def expecting(self, prior: FloatArray) -> Self:
        """Return the same where classes are as frequent as told, shape (3,)."""

    def posterior(self, readings: Mapping[Modality, Reading], /) -> FloatArray:
        """Fuse what is there of n items, shape (n, 3); a modality that is left out is absent."""

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json."""


@dataclass(frozen=True, eq=False)
class Opinion:
    """What a modality says by itself, shape (3,) or (n, 3), and its reliability in [0, 1], or (n,).

    The probabilities are those of equally frequent classes, and already as near to equal as a poor
    reliability asks for: of reliability 0 they are 1/3 each. See `heard`.
    """

    probabilities: FloatArray
    reliability: FloatArray | float = 1.0


def heard(
    probabilities: FloatArray, *, prior: FloatArray, strength: float = 1.0, reliability: float = 1.0
) -> Opinion:
    """Turn an expert's calibrated posterior into an opinion.

    Parameters
    ----------
    probabilities : array, shape (3,)
    prior : array, shape (3,)
        Shares of the classes under which the expert was calibrated; they are divided out.
    strength : float
        How much of what the expert says holds for people who talk: an exponent of its evidence.
    reliability : float
        How much there was to judge, in [0, 1]; likewise an exponent.
    """
    evidence = floored_log(probabilities) - floored_log(prior)
    return Opinion(softmax(strength * reliability * evidence), reliability)


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

    Attributes
    ----------
    probabilities : array, shape (3,)
    weights : dict of Modality to float
        Share of each modality in the size of what was added up: they sum to 1, or are all 0 where
        nothing was said.
    effects : mapping of Modality to array, shape (3,)
        What it changed: the fused probabilities minus those without its evidence.
    conflict : float
        See `disagreement`.
    mixed : bool
        The conflict is at or above the bundle's limit.
    """

    probabilities: FloatArray
    weights: dict[Modality, float]
    effects: Mapping[Modality, FloatArray]
    conflict: float
    mixed: bool


@dataclass(frozen=True)
class Beside:
    """Exponents of a modality's polar and neutral evidence beside reliable others, in [0, 1]."""

    polar: float = 1.0
    neutral: float = 1.0


@dataclass(frozen=True, eq=False)
class Pool:
    """The parameters of the pool, kept in the bundle.

    Attributes
    ----------
    beside : dict of Modality to Beside
        A modality that is not named counts fully.
    prior : array, shape (3,)
        Shares of the classes that are expected in use.
    mixed_above : float
        Disagreement from which signals are mixed.
    """

    kind: ClassVar[FusionKind] = FusionKind.POOL
    beside: dict[Modality, Beside] = field(default_factory=dict)
    prior: FloatArray = field(default_factory=lambda: np.full(3, 1 / 3))
    mixed_above: float = MIXED_ABOVE

    def fuse(self, opinions: Mapping[Modality, Opinion], joint: Joint | None = None) -> Fused:
        """Pool any subset of opinions about one utterance; there is nothing that they say only together."""
        parts = self._contributions(opinions)
        fused = self._posterior(list(parts.values()))
        effects = {m: fused - self._posterior([p for k, p in parts.items() if k != m]) for m in parts}
        sizes = {m: float(np.abs(part).sum()) for m, part in parts.items()}
        total = sum(sizes.values())
        conflict = disagreement(list(opinions.values()))
        return Fused(
            fused,
            {m: (size / total if total > 0 else 0.0) for m, size in sizes.items()},
            effects,
            conflict,
            conflict >= self.mixed_above,
        )

    def expecting(self, prior: FloatArray) -> Pool:
        """Return the same pool where classes are as frequent as told."""
        return replace(self, prior=prior)

    def posterior(self, opinions: Mapping[Modality, Opinion]) -> FloatArray:
        """Fused posterior; opinions may hold many items, shape (n, 3), and so does the result."""
        return self._posterior(list(self._contributions(opinions).values()))

    def _posterior(self, contributions: Sequence[FloatArray]) -> FloatArray:
        return softmax(sum(contributions, start=floored_log(self.prior)))

    def _contributions(self, opinions: Mapping[Modality, Opinion]) -> dict[Modality, FloatArray]:
        """Return what each modality adds to the logits, centred, of the shape of its probabilities."""
        reliabilities = {m: np.asarray(o.reliability, float) for m, o in opinions.items()}
        return {
            m: _contribution(
                floored_log(opinion.probabilities),
                self.beside.get(m, Beside()),
                sum((r for k, r in reliabilities.items() if k != m), start=np.zeros(())),
            )
            for m, opinion in opinions.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json."""
        return {
            "kind": str(self.kind),
            "beside": {str(m): dict(vars(beside)) for m, beside in self.beside.items()},
            "prior": self.prior.tolist(),
            "mixed_above": self.mixed_above,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Pool:
        """Read from bundle.json.

        Raises
        ------
        BundleError
            A key is absent, an exponent is outside [0, 1] or neutral above polar, or the prior is not
            a distribution.
        """
        try:
            beside = {
                Modality(m): Beside(float(entry["polar"]), float(entry["neutral"]))
                for m, entry in data["beside"].items()
            }
            prior = np.array(data["prior"], float)
            mixed_above = float(data["mixed_above"])
        except MALFORMED as error:
            raise BundleError("bundle.fusion_keys", given=cut(error)) from error
        if not (all(0 <= b.neutral <= b.polar <= 1 for b in beside.values()) and 0 <= mixed_above < np.inf):
            raise BundleError("bundle.fusion_weights")
        if not is_distribution(prior):
            raise BundleError("bundle.fusion_prior")
        return cls(beside, prior, mixed_above)


def _contribution(evidence: FloatArray, beside: Beside, company: FloatArray) -> FloatArray:
    """Weigh the polar and the neutral part of some evidence, (..., 3), beside others, (...)."""
    negative, neutral, positive = np.moveaxis(evidence, -1, 0)
    shared = np.minimum(1.0, company)
    polar = (1 - shared * (1 - beside.polar)) * (positive - negative)
    flat = (1 - shared * (1 - beside.neutral)) * (neutral - (positive + negative) / 2)
    third = flat / 3  # centred: what is added to all three classes changes nothing
    return np.stack([-polar / 2 - third, 2 * third, polar / 2 - third], axis=-1)


def is_distribution(values: FloatArray) -> bool:
    """Tell whether values are one probability a class."""
    fits = values.shape == (len(Sentiment),) and bool((values >= 0).all())
    return fits and bool(np.isclose(values.sum(), 1))


def disagreement(opinions: Sequence[Opinion]) -> float:
    """Say how far modalities contradict each other: 0 not at all, 1 entirely.

    It is the valence (P(positive) - P(negative)) of the most positive one, or the negated valence of the
    most negative one, whichever is less: so both sides speak at least as clearly as it says.

    >>> disagreement([Opinion(np.array([0.1, 0.1, 0.8])), Opinion(np.array([0.5, 0.3, 0.2]))])
    0.3
    """
    valences = [
        float(o.probabilities[Sentiment.POSITIVE] - o.probabilities[Sentiment.NEGATIVE]) for o in opinions
    ]
    return max(0.0, min(max(valences), -min(valences))) if valences else 0.0


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


def floored_log(p: FloatArray) -> FloatArray:
    """Logarithm of probabilities, none of which counts as less than one in a million."""
    return np.log(np.clip(p, _FLOOR, 1.0))


def joint_key(modalities: Iterable[Modality]) -> str:
    """Name a set of modalities, in their own order.

    >>> joint_key([Modality.FACE, Modality.TEXT])
    'text+face'
    """
    chosen = set(modalities)
    return "+".join(m for m in Modality if m in chosen)
