"""From probabilities to an answer: the label, whether to abstain, and the labels that are not excluded.

What is searched on validation data (`trivalent.lab.decide`) is applied here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.conformal import EVERY_LABEL, ConformalSets
from trivalent.bundle.files import MALFORMED, cut
from trivalent.core.analysis import Verdict
from trivalent.core.errors import BundleError, DataError, UsageError
from trivalent.core.types import LABELS, FloatArray, IntArray, Sentiment


class DecisionKind(StrEnum):
    """How probabilities become a label."""

    ARGMAX = "argmax"
    THRESHOLD = "threshold"  # one class where its probability reaches a threshold
    RATIO = "ratio"  # argmax of p / tau


def threshold_rule(
    probabilities: FloatArray, threshold: float, *, of: Sentiment = Sentiment.NEGATIVE
) -> IntArray:
    """Predict one class where its probability reaches the threshold, else the best of the others.

    Note that at a high threshold the class is not predicted although it is the most probable;
    below 1/3 it is predicted although another is more probable.

    Parameters
    ----------
    probabilities : array, shape (n, 3)
    threshold : float
        In (0, 1].
    of : Sentiment
        The class with the threshold.

    Returns
    -------
    int array, shape (n,)

    Examples
    --------
    >>> p = np.array([[.2, .5, .3], [.5, .2, .3]])
    >>> threshold_rule(p, .2).tolist(), threshold_rule(p, .6).tolist()
    ([0, 0], [1, 2])
    """
    p = check_table(probabilities)
    others = p.copy()
    others[:, of] = -np.inf
    return np.where(p[:, of] >= _threshold(threshold), int(of), others.argmax(1))


def ratio_rule(probabilities: FloatArray, tau: Sequence[float]) -> IntArray:
    """Predict argmax p / tau (Collell et al., Neurocomputing 2018); equal tau are the plain argmax.

    Parameters
    ----------
    probabilities : array, shape (n, 3)
    tau : sequence of 3 floats in (0, 1]
        The lower, the easier the class is predicted.

    Returns
    -------
    int array, shape (n,)

    Examples
    --------
    >>> ratio_rule(np.array([[.3, .3, .4]]), (.21, .5, .5)).tolist()
    [0]
    """
    p = check_table(probabilities)
    if len(tau) != p.shape[1]:
        raise UsageError("decision.tau", shape=p.shape[1], count=len(tau))
    return (p / np.array([_threshold(t) for t in tau])).argmax(1)


@dataclass(frozen=True)
class DecisionRule:
    """A rule with its values.

    Attributes
    ----------
    kind : DecisionKind
    values : tuple of float
        Nothing, the threshold, or tau of each class; in (0, 1].
    of : int
        The class with the threshold.

    Raises
    ------
    UsageError
        The values are not those of the kind.
    """

    kind: DecisionKind = DecisionKind.ARGMAX
    values: tuple[float, ...] = ()
    of: int = int(Sentiment.NEGATIVE)

    def __post_init__(self) -> None:
        wanted = {DecisionKind.ARGMAX: 0, DecisionKind.THRESHOLD: 1, DecisionKind.RATIO: len(Sentiment)}
        if len(self.values) == wanted[self.kind] and all(0 < t <= 1 for t in self.values):
            return
        given = ",".join(f"{t:g}" for t in self.values)
        if self.kind is DecisionKind.RATIO:
            raise UsageError("decision.thresholds_values", given=given)
        raise UsageError(
            "decision.rule_values", wanted=wanted[self.kind], kind=self.kind, given=given or "none"
        )

    def decide(self, probabilities: FloatArray) -> IntArray:
        """Choose a class for each row of probabilities, shape (n, 3).

        >>> DecisionRule(DecisionKind.RATIO, (.21, .5, .5)).decide(np.array([[.3, .3, .4]])).tolist()
        [0]
        """
        if self.kind is DecisionKind.THRESHOLD:
            return threshold_rule(probabilities, self.values[0], of=Sentiment(self.of))
        if self.kind is DecisionKind.RATIO:
            return ratio_rule(probabilities, self.values)
        return probabilities.argmax(1)


def ratio(tau: Sequence[float] = (1 / 3, 1 / 3, 1 / 3)) -> DecisionRule:
    """Make the rule that users may set: argmax p / tau."""
    return DecisionRule(DecisionKind.RATIO, tuple(tau))


@dataclass(frozen=True, eq=False)
class Answers:
    """What is said about n items.

    Attributes
    ----------
    probabilities : array, shape (n, 3)
    decisions : int array, shape (n,)
    confidence : array, shape (n,)
        Probability of the decision.
    answered : bool array, shape (n,)
        False where the confidence is too low for an answer.
    sets : bool array, shape (n, 3)
        Labels that are not excluded.
    """

    probabilities: FloatArray
    decisions: IntArray
    confidence: FloatArray
    answered: NDArray[np.bool_]
    sets: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Decision:
    """Everything between probabilities and answers; `decision` of a bundle.

    Attributes
    ----------
    rule : DecisionRule
    min_confidence : float
        Below, no answer is given (selective classification: Geifman & El-Yaniv, NeurIPS 2017).
    sets : ConformalSets
        Every label, unless prediction sets were calibrated.
    """

    rule: DecisionRule
    min_confidence: float = 0.0
    sets: ConformalSets = EVERY_LABEL

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise UsageError("decision.confidence_value", min_confidence=self.min_confidence)

    def decide(self, probabilities: FloatArray) -> Verdict:
        """Answer for one utterance, shape (3,).

        >>> Decision(ratio((.21, .5, .5))).decide(np.array([.3, .3, .4])).label
        'negative'
        """
        choice = Sentiment(int(self.rule.decide(probabilities[None])[0]))
        confidence = float(probabilities[choice])
        abstained = confidence < self.min_confidence
        return Verdict(
            choice.label,
            confidence,
            probabilities,
            abstained=abstained,
            prediction_set=self._prediction_set(probabilities),
        )

    def _prediction_set(self, probabilities: FloatArray) -> tuple[str, ...] | None:
        """Labels that are not excluded; None where no sets were calibrated."""
        if not self.sets.calibrated_on.any():
            return None
        (kept,) = self.sets.sets(probabilities[None])
        return tuple(label for label, inside in zip(LABELS, kept, strict=True) if inside)

    def answer(self, probabilities: FloatArray) -> Answers:
        """Answer for many items, shape (n, 3)."""
        p = probabilities
        decisions = self.rule.decide(p)
        confidence = p[np.arange(len(p)), decisions]
        return Answers(p, decisions, confidence, confidence >= self.min_confidence, self.sets.sets(p))

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json."""
        return {
            "kind": str(self.rule.kind),
            "values": list(self.rule.values),
            "of": LABELS[self.rule.of],
            "min_confidence": self.min_confidence,
            "sets": self.sets.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, where: str) -> Decision:
        """Invert `to_dict`.

        Raises
        ------
        BundleError
            A key is absent or a value is impossible.
        """
        try:
            values = tuple(map(float, content["values"]))
            rule = DecisionRule(DecisionKind(content["kind"]), values, LABELS.index(content["of"]))
            return cls(rule, float(content["min_confidence"]), ConformalSets.from_dict(content["sets"]))
        except (*MALFORMED, UsageError) as error:
            raise BundleError("bundle.decision_keys", where=where, given=cut(error)) from error


def check_table(probabilities: FloatArray) -> FloatArray:
    """Return probabilities as floats of shape (n, 3), or raise `DataError`."""
    p = np.asarray(probabilities, float)
    if p.ndim != 2 or p.shape[1] != len(Sentiment):
        raise DataError("decision.probabilities", count=len(Sentiment), shape=p.shape)
    return p


def _threshold(value: float) -> float:
    if not 0 < value <= 1:
        raise UsageError("decision.threshold", value=value)
    return float(value)
