"""What the benchmarks share: systems trained once for all seeds, and rows scored once on test."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.types import FloatArray, IntArray, Sentiment
from trivalent.lab.fusion.seed_training import System, Trained, train_system
from trivalent.lab.measure.metrics import (
    class_scores,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
)
from trivalent.lab.measure.result_files import Result, Value
from trivalent.lab.measure.statistics import bootstrap_interval, seed_interval
from trivalent.lab.measure.verdicts import Resamples, Spread, Verdict, figures_of
from trivalent.lab.problems.classification import Problem
from trivalent.lab.problems.parts import Part

log = logging.getLogger(__name__)
Figures = dict[str, NDArray[np.float64]]  # metric to its value for each seed
Spreads = Mapping[str, Spread]  # by metric


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
        Test metrics by row, for plots.
    spreads : dict of str to Spreads
        The same with the chance of other test videos, for intervals and claims; without ECE.
    confusions : dict of str to int array, shape (3, 3)
        Summed over seeds; rows are true classes.
    """

    seeds: tuple[int, ...]
    figures: dict[str, Figures] = field(default_factory=dict)
    spreads: dict[str, Spreads] = field(default_factory=dict)
    confusions: dict[str, IntArray] = field(default_factory=dict)
    _trained: dict[tuple[str, str], Trained] = field(default_factory=dict)
    _resamples: dict[bytes, Resamples] = field(default_factory=dict)  # by the groups of a test part

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
        of = Sentiment.NEGATIVE if minority is None else minority
        named = {} if classes != len(Sentiment) else {of.label if minority is None else "minority": int(of)}
        resamples = self._resamples_of(part)
        whole, drawn, calibration = [], [], []
        for i, seed in enumerate(self.seeds[: len(predictions.codes)]):
            p = None if predictions.probabilities is None else predictions.probabilities[i]

            def by(labels: IntArray, codes: IntArray, p: FloatArray | None = p) -> dict[str, Any]:
                found = {
                    "whole": confusion_matrix(labels, codes, classes=classes),
                    "drawn": resamples.confusions(labels, codes, classes=classes),
                }
                if p is None or classes != len(Sentiment):
                    return found
                return found | {"ece": expected_calibration_error(labels, p)}

            row = part.score(name, predictions.codes[i], seed=seed, by=by)
            whole.append(row["whole"])
            drawn.append(figures_of(row["drawn"], named=named))
            calibration += [row["ece"]] if "ece" in row else []
        self.confusions[name] = np.sum(whole, axis=0)
        figures = figures_of(np.array(whole), named=named)
        if classes != len(Sentiment):
            figures = {"accuracy": figures["accuracy"]}
        self.spreads[name] = {
            key: Spread(values, np.mean([d[key] for d in drawn], axis=0), resamples.groups)
            for key, values in figures.items()
        }
        self.figures[name] = figures | ({"ece": np.array(calibration)} if calibration else {})
        return self.figures[name]

    def _resamples_of(self, part: Part) -> Resamples:
        """Draw once for all rows of a test part."""
        key = part.groups.tobytes()
        if key not in self._resamples:
            self._resamples[key] = Resamples(part.groups)
        return self._resamples[key]

    def add(self, result: Result, name: str, *, notes: Mapping[str, str] | None = None) -> None:
        """Put a scored row into the table; intervals are over seeds and groups, of ECE over seeds."""
        result.add(name, notes=notes, **{key: self.value(name, key) for key in self.figures[name]})

    def value(self, name: str, metric: str) -> Value:
        """Return a figure of a row with its interval."""
        if metric not in self.spreads[name]:
            return interval(self.figures[name][metric])
        found = self.spreads[name][metric].estimate()
        return Value(found.mean, max(0.0, found.low), min(1.0, found.high))


def interval(
    values: Sequence[float] | NDArray[np.float64], *, limits: tuple[float, float] = (0.0, 1.0)
) -> Value:
    """Mean over seeds with its 95 % t-interval, cut at the limits of the metric.

    No interval for a constant prediction.
    """
    x = np.asarray(values, np.float64)
    if len(x) < 2 or np.ptp(x) < 1e-9:
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


def judge(claim: Claim, spreads: Mapping[str, Spreads]) -> dict[str, Any]:
    """Test a claim over seeds and over groups of the test part, paired.

    Returns
    -------
    dict
        claim, verdict (of `Verdict`), reason; of a claim that was tested also the difference with `low`,
        `high`, `p_value` and `visible` (`Estimate`).
    """
    if claim.untestable:
        return {"claim": claim.text, "verdict": str(Verdict.UNTESTABLE), "reason": claim.untestable}
    first, second = (spreads[name][claim.metric] for name in (claim.better, claim.worse))
    return told_claim(claim, first, second)


def told_claim(claim: Claim, first: Spread, second: Spread) -> dict[str, Any]:
    """Give a verdict on two spreads; see `judge`."""
    found = (first - second).estimate()
    metric = claim.metric.replace("_", " ")
    return {
        "claim": claim.text,
        "verdict": str(found.verdict),
        "reason": f"{metric} of {claim.better} minus {claim.worse}: {found.told()}",
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
        "visible": found.visible,
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
