"""What the benchmarks share: systems trained once for all seeds, and rows scored once on test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.types import FloatArray, Sentiment
from trivalent.lab.fusion.seed_training import System, Trained, train_system
from trivalent.lab.measure.metrics import (
    IntArray,
    class_scores,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
    macro_recall,
)
from trivalent.lab.measure.result_files import Result, Value
from trivalent.lab.measure.statistics import bootstrap_interval, paired_t, seed_interval
from trivalent.lab.problems.classification import Problem
from trivalent.lab.problems.parts import Part

log = logging.getLogger(__name__)
Figures = dict[str, NDArray[np.float64]]  # metric to its value for each seed


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a row predicts, for each seed.

    Attributes
    ----------
    codes : int array, shape (seeds, n)
        Predicted classes of the test part.
    probabilities : array, shape (seeds, n, classes), optional
        Where the row has some.
    note : str
        What was chosen on validation: thresholds, weights.
    """

    codes: IntArray
    probabilities: NDArray[np.float64] | None = None
    note: str = ""

    @classmethod
    def from_probabilities(cls, probabilities: NDArray[np.float64], note: str = "") -> Predictions:
        """Predict the likeliest class."""
        return cls(probabilities.argmax(axis=2), probabilities, note)


@dataclass(eq=False)
class Bench:
    """Trains each system once, whatever number of rows asks for it.

    Attributes
    ----------
    seeds : tuple of int
    figures : dict of str to Figures
        Test metrics by row, for claims and plots.
    confusions : dict of str to int array, shape (3, 3)
        Summed over seeds; rows are true classes.
    """

    seeds: tuple[int, ...]
    figures: dict[str, Figures] = field(default_factory=dict)
    confusions: dict[str, IntArray] = field(default_factory=dict)
    _trained: dict[tuple[str, str], Trained] = field(default_factory=dict)

    def train(self, system: System, problem: Problem) -> Trained:
        """Train, or return what was trained before."""
        key = (repr(system), f"{problem.name} {problem.classes} {problem.widths}")
        if key not in self._trained:
            log.info("training %s on %s", system, problem.name)
            self._trained[key] = train_system(system, problem, self.seeds)
        return self._trained[key]

    def score(
        self,
        name: str,
        predictions: Predictions,
        part: Part,
        *,
        classes: int = 3,
        minority: Sentiment | None = None,
    ) -> Figures:
        """Score a row on the test part, each seed once, and keep the figures.

        Recall and F1 of one class are among the metrics: of negative, or of `minority` under that name.
        """
        rows = []
        for i, seed in enumerate(self.seeds[: len(predictions.codes)]):
            probabilities = None if predictions.probabilities is None else predictions.probabilities[i]
            rows.append(
                part.score(
                    name, predictions.codes[i], seed=seed, by=_metrics(probabilities, classes, minority)
                )
            )
        confusion = sum(row.pop("confusion") for row in rows)
        self.confusions[name] = np.asarray(confusion)
        figures = {k: np.array([row[k] for row in rows]) for k in rows[0]}
        self.figures[name] = figures
        return figures

    def add(self, result: Result, name: str, *, notes: Mapping[str, str] | None = None) -> None:
        """Put a scored row into the table, with 95 % intervals over seeds."""
        metrics = {k: interval(v) for k, v in self.figures[name].items()}
        result.add(name, notes=notes, **metrics)


def _metrics(
    probabilities: NDArray[np.float64] | None, classes: int, minority: Sentiment | None
) -> Callable[[IntArray, IntArray], dict[str, Any]]:
    of = Sentiment.NEGATIVE if minority is None else minority
    name = of.label if minority is None else "minority"

    def by(labels: IntArray, codes: IntArray) -> dict[str, Any]:
        metrics: dict[str, Any] = {
            "accuracy": float((codes == labels).mean()),
            "confusion": confusion_matrix(labels, codes, classes=classes),
        }
        if classes == len(Sentiment):
            scores = class_scores(labels, codes)
            metrics |= {
                "macro_f1": macro_f1(labels, codes),
                "balanced_accuracy": macro_recall(labels, codes),
                f"{name}_f1": float(scores["f1"][of]),
                f"{name}_recall": float(scores["recall"][of]),
            }
            if probabilities is not None:
                metrics["ece"] = expected_calibration_error(labels, probabilities)
        return metrics

    return by


def interval(
    values: Sequence[float] | NDArray[np.float64], *, limits: tuple[float, float] = (0.0, 1.0)
) -> Value:
    """Mean over seeds with its 95 % t-interval, cut at the limits of the metric.

    No interval for a constant prediction.
    """
    x = np.asarray(values, np.float64)
    if len(x) < 2 or np.ptp(x) == 0:
        return Value(float(x.mean()))
    t_interval = seed_interval(x, limits=limits)
    return Value(t_interval.mean, t_interval.low, t_interval.high)


def constant_rows(bench: Bench, result: Result, problem: Problem) -> None:
    """Add the predictions that need no model as rows, see `score_constants`."""
    for name in score_constants(bench, problem):
        bench.add(result, name)


def score_constants(
    bench: Bench,
    problem: Problem,
    *,
    prefix: str = "",
    suffix: str = "",
    minority: Sentiment | None = None,
) -> list[str]:
    """Score what needs no model: always one class, and at random by training shares.

    Returns
    -------
    list of str
        Names of the rows, each with prefix and suffix.
    """
    part, counts = problem.parts.test, problem.counts()
    names = [f"{prefix}always {sentiment.label}{suffix}" for sentiment in Sentiment]
    for sentiment, name in zip(Sentiment, names, strict=True):
        codes = np.full((1, len(part)), int(sentiment))
        bench.score(name, Predictions(codes), part, minority=minority)
    shares = counts / counts.sum()
    draws = [np.random.default_rng(seed).choice(len(counts), len(part), p=shares) for seed in bench.seeds]
    chance = f"{prefix}at random by training shares{suffix}"
    bench.score(chance, Predictions(np.array(draws)), part, minority=minority)
    return [*names, chance]


@dataclass(frozen=True)
class Claim:
    """A statement of the paper: the metric of one row lies above that of another.

    Attributes
    ----------
    text : str
    better, worse : str
        Names of rows.
    metric : str
    untestable : str
        Why it cannot be tested here; empty if it can.
    """

    text: str
    better: str = ""
    worse: str = ""
    metric: str = "macro_f1"
    untestable: str = ""


def judge(claim: Claim, figures: Mapping[str, Figures]) -> dict[str, Any]:
    """Test a claim over seeds, paired; a difference within chance does not hold.

    Returns
    -------
    dict
        claim, verdict (holds, does not hold, cannot be tested), reason.
    """
    if claim.untestable:
        return {"claim": claim.text, "verdict": "cannot be tested", "reason": claim.untestable}
    first, second = (figures[name][claim.metric] for name in (claim.better, claim.worse))
    if np.ptp(first - second) < 1e-9:
        difference, low, high, p = float((first - second)[0]), np.nan, np.nan, np.nan
        told = f"{difference:+.3f} for every seed"
        holds = difference > 0
    else:
        test = paired_t(first, second)
        difference, low, high, p = test.difference, test.low, test.high, test.p_value
        told = f"{difference:+.3f} [{low:+.3f}, {high:+.3f}], p = {p:.2g}"
        holds = low > 0
    metric = claim.metric.replace("_", " ")
    within = "" if holds or difference < 0 else "; within chance"
    return {
        "claim": claim.text,
        "verdict": "holds" if holds else "does not hold",
        "reason": f"{metric} of {claim.better} minus {claim.worse}: {told}{within}",
    }


def score_intervals(name: str, probabilities: FloatArray, part: Part) -> dict[str, Value]:
    """Score one prediction once, with 95 % bootstrap intervals over groups (videos, speakers)."""

    def by(labels: IntArray, p: FloatArray) -> dict[str, Value]:
        single = {
            "accuracy": lambda y, q: float((q.argmax(1) == y).mean()),
            "macro_f1": lambda y, q: macro_f1(y, q.argmax(1)),
            "negative_f1": lambda y, q: float(class_scores(y, q.argmax(1))["f1"][Sentiment.NEGATIVE]),
            "ece": expected_calibration_error,
        }
        values = {}
        for metric, function in single.items():
            low, high = bootstrap_interval(
                function, labels, probabilities=p, groups=part.groups.tolist(), rounds=1000
            )
            values[metric] = Value(float(function(labels, p)), low, high)
        return values

    return part.score(name, probabilities, seed=0, by=by)
