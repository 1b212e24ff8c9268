"""From a network's logits to answers: calibration, label, abstention, prediction set.

All of it is chosen on validation items; a test part is refused by its guard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.files import MALFORMED, cut
from trivalent.core.errors import BundleError, DataError, RecipeError
from trivalent.core.types import LABELS, FloatArray, Sentiment
from trivalent.lab.abstention import abstain_for_coverage
from trivalent.lab.conformal import ConformalSets, Score, fit_conformal
from trivalent.lab.decide.calibration import VectorScaling, fit_temperature, fit_vector_scaling
from trivalent.lab.decisions import ratio_rule, search_ratios, search_threshold, threshold_rule
from trivalent.lab.measure.metrics import IntArray
from trivalent.lab.named_choices import check_known
from trivalent.lab.problems.parts import Part

CLASSES = len(Sentiment)


class Calibration(StrEnum):
    """How logits become probabilities."""

    NONE = "none"
    TEMPERATURE = "temperature"  # one number; never changes the argmax
    VECTOR = "vector"  # a scale and a bias per class


class DecisionKind(StrEnum):
    """How probabilities become a label."""

    ARGMAX = "argmax"
    THRESHOLD = "threshold"  # one class where its probability reaches a threshold
    RATIO = "ratio"  # argmax of p / tau


@dataclass(frozen=True)
class Decision:
    """A rule with what was found for it.

    Attributes
    ----------
    kind : DecisionKind
    values : tuple of float
        Nothing, the threshold, or tau of each class.
    of : int
        The class with the threshold.
    """

    kind: DecisionKind = DecisionKind.ARGMAX
    values: tuple[float, ...] = ()
    of: int = int(Sentiment.NEGATIVE)

    def decide(self, probabilities: FloatArray) -> IntArray:
        """Choose a class for each row of probabilities, shape (n, 3).

        >>> Decision(DecisionKind.RATIO, (.21, .5, .5)).decide(np.array([[.3, .3, .4]])).tolist()
        [0]
        """
        if self.kind is DecisionKind.THRESHOLD:
            return threshold_rule(probabilities, self.values[0], of=Sentiment(self.of))
        if self.kind is DecisionKind.RATIO:
            return ratio_rule(probabilities, self.values)
        return probabilities.argmax(1)


def find_decision(
    kind: DecisionKind | str, probabilities: FloatArray, *, labels: IntArray, of: int = 0
) -> Decision:
    """Find the rule's values by macro-F1 on validation items.

    Parameters
    ----------
    kind : DecisionKind
    probabilities : array, shape (n, 3)
        Of *validation* items.
    labels : int array, shape (n,)
    of : int
        The class with the threshold, usually the rarest of the training data.
    """
    kind = DecisionKind(kind)
    if kind is DecisionKind.THRESHOLD:
        found = search_threshold(probabilities, labels, of=Sentiment(of))
    elif kind is DecisionKind.RATIO:
        found = search_ratios(probabilities, labels)
    else:
        return Decision()
    return Decision(kind, found.thresholds, of)


def fit_calibration(kind: Calibration | str, logits: FloatArray, labels: IntArray) -> VectorScaling:
    """Fit scale and bias per class on validation items; a temperature T is a scale of 1 / T.

    >>> fit_calibration("none", np.zeros((1, 3)), np.array([0])).scale.tolist()
    [1.0, 1.0, 1.0]
    """
    kind, classes = Calibration(kind), np.shape(logits)[1]
    if kind is Calibration.VECTOR:
        return fit_vector_scaling(logits, labels)
    temperature = fit_temperature(logits, labels) if kind is Calibration.TEMPERATURE else 1.0
    return VectorScaling(np.full(classes, 1 / temperature), np.zeros(classes))


@dataclass(frozen=True)
class AnsweringConfig:
    """What is to be chosen.

    Attributes
    ----------
    calibration : str
        none, temperature or vector.
    decision : str
        argmax, threshold or ratio.
    answered : float
        Share of validation items that get an answer; 1 never abstains.
    coverage : float
        Stated probability that a prediction set holds the label.
    """

    calibration: str = "temperature"
    decision: str = "argmax"
    answered: float = 1.0
    coverage: float = 0.9

    def __post_init__(self) -> None:
        check_known("calibration", self.calibration, Calibration)
        check_known("decision", self.decision, DecisionKind)
        for name, top in (("answered", 1.0), ("coverage", 0.999)):
            if not 0 < getattr(self, name) <= top:
                raise RecipeError(
                    f"expected {name} in (0, {top:g}], got {getattr(self, name):g}; for example 0.9"
                )


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
class Answering:
    """Everything between logits and answers.

    Attributes
    ----------
    calibration : VectorScaling
    decision : Decision
    min_confidence : float
        Below, no answer is given.
    conformal : ConformalSets
    """

    calibration: VectorScaling
    decision: Decision
    min_confidence: float
    conformal: ConformalSets

    def answer(self, logits: FloatArray) -> Answers:
        """Answer for logits of shape (n, 3)."""
        p = self.calibration.probabilities(logits)
        decisions = self.decision.decide(p)
        confidence = p[np.arange(len(p)), decisions]
        return Answers(p, decisions, confidence, confidence >= self.min_confidence, self.conformal.sets(p))

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json; a limit that excludes nothing is null."""
        return {
            "calibration": {
                "scale": self.calibration.scale.tolist(),
                "bias": self.calibration.bias.tolist(),
            },
            "decision": {
                "kind": str(self.decision.kind),
                "values": list(self.decision.values),
                "of": LABELS[self.decision.of],
            },
            "min_confidence": self.min_confidence,
            "conformal": {
                "score": str(self.conformal.score),
                "coverage": 1 - self.conformal.alpha,
                "limits": [x if np.isfinite(x) else None for x in self.conformal.limits.tolist()],
                "calibrated_on": self.conformal.calibrated_on.tolist(),
            },
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, where: str) -> Answering:
        """Invert `to_dict`.

        Raises
        ------
        BundleError
            A key is absent or a value is impossible.
        """
        try:
            scaling, rule, sets = (content[k] for k in ("calibration", "decision", "conformal"))
            scale, bias = (np.array(scaling[k], float) for k in ("scale", "bias"))
            kind = DecisionKind(rule["kind"])
            decision = Decision(kind, tuple(map(float, rule["values"])), LABELS.index(rule["of"]))
            limits = np.array([np.inf if x is None else float(x) for x in sets["limits"]])
            conformal = ConformalSets(
                limits,
                1 - float(sets["coverage"]),
                Score(sets["score"]),
                False,
                np.array(sets["calibrated_on"], int),
            )
            found = cls(VectorScaling(scale, bias), decision, float(content["min_confidence"]), conformal)
        except MALFORMED as error:
            raise BundleError(
                f"expected calibration, decision, min_confidence and conformal in {where}, got "
                f"{cut(error)}; export the bundle anew"
            ) from error
        wanted = {DecisionKind.ARGMAX: 0, DecisionKind.THRESHOLD: 1, DecisionKind.RATIO: CLASSES}[kind]
        sizes = [scale.shape, bias.shape, limits.shape] == [(CLASSES,)] * 3
        values = len(decision.values) == wanted and all(0 < v <= 1 for v in decision.values)
        finite = np.isfinite(scale).all() and np.isfinite(bias).all() and 0 <= conformal.alpha <= 1
        sound = sizes and finite and values and (scale > 0).all() and 0 <= found.min_confidence <= 1
        if not sound or np.isnan(limits).any():
            raise BundleError(
                f"expected three positive scales, three limits and {wanted} values in (0, 1] for {kind} in "
                f"{where}, got others; export the bundle anew"
            )
        return found


def choose_answering(
    logits: FloatArray,
    part: Part,
    *,
    config: AnsweringConfig,
    rare: int = 0,
    apart: tuple[FloatArray, Part] | None = None,
) -> Answering:
    """Choose calibration, decision, abstention and prediction sets on validation data.

    Parameters
    ----------
    logits : array, shape (n, 3)
        Of the items of `part`.
    part : Part
        Validation data.
    config : AnsweringConfig
    rare : int
        The class that a threshold is searched for.
    apart : pair of logits and Part, optional
        Validation data that nothing was chosen on, for the prediction sets; only then is their
        coverage more than approximate.

    Raises
    ------
    LeakageError
        A part is the test part.
    DataError
        Logits and part differ in length.
    """
    labels = part.labels_to_select()
    if len(logits) != len(labels):
        raise DataError(
            f"expected logits of {len(labels)} items, got {len(logits)}; pass those of the part"
        )
    calibration = fit_calibration(config.calibration, logits, labels)
    p = calibration.probabilities(logits)
    decision = find_decision(config.decision, p, labels=labels, of=rare)
    chosen = decision.decide(p)
    threshold = 0.0
    if config.answered < 1:
        threshold = abstain_for_coverage(p[np.arange(len(p)), chosen], config.answered).threshold
    if apart is not None:
        p, labels = calibration.probabilities(apart[0]), apart[1].labels_to_select()
    sets = fit_conformal(p, labels, alpha=1 - config.coverage)
    return Answering(calibration, decision, threshold, sets)
