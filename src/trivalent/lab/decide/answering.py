"""From a network's logits to answers: calibration, label, abstention, prediction set.

All of it is chosen on validation items; a test part is refused by its guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trivalent.bundle.calibration import VectorScaling
from trivalent.bundle.decision import Answers, Decision, DecisionKind, DecisionRule
from trivalent.core.errors import DataError, RecipeError
from trivalent.core.types import FloatArray, IntArray, Sentiment
from trivalent.lab.decide.abstention import abstain_for_coverage
from trivalent.lab.decide.calibration import fit_temperature, fit_vector_scaling
from trivalent.lab.decide.conformal import fit_conformal
from trivalent.lab.decide.thresholds import search_ratios, search_threshold
from trivalent.lab.named_choices import check_known
from trivalent.lab.problems.parts import Part


class Calibration(StrEnum):
    """How logits become probabilities."""

    NONE = "none"
    TEMPERATURE = "temperature"  # one number; never changes the argmax
    VECTOR = "vector"  # a scale and a bias per class


def find_decision(
    kind: DecisionKind | str, probabilities: FloatArray, *, labels: IntArray, of: int = 0
) -> DecisionRule:
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
        return DecisionRule()
    return DecisionRule(kind, found.thresholds, of)


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
                    "calibration.answering_range", name=name, top=top, value=getattr(self, name)
                )


@dataclass(frozen=True, eq=False)
class Answering:
    """Everything between logits and answers."""

    calibration: VectorScaling
    decision: Decision

    def answer(self, logits: FloatArray) -> Answers:
        """Answer for logits of shape (n, 3)."""
        return self.decision.answer(self.calibration.probabilities(logits))


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
        raise DataError("calibration.answering_count", count=len(labels), count2=len(logits))
    calibration = fit_calibration(config.calibration, logits, labels)
    p = calibration.probabilities(logits)
    rule = find_decision(config.decision, p, labels=labels, of=rare)
    chosen = rule.decide(p)
    threshold = 0.0
    if config.answered < 1:
        threshold = abstain_for_coverage(p[np.arange(len(p)), chosen], config.answered).threshold
    if apart is not None:
        p, labels = calibration.probabilities(apart[0]), apart[1].labels_to_select()
    sets = fit_conformal(p, labels, alpha=1 - config.coverage)
    return Answering(calibration, Decision(rule, threshold, sets))
