"""What answers are worth: figures with intervals, by class, against constants, as JSON and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trivalent.bundle.decision import Answers
from trivalent.core.types import LABELS, FloatArray, IntArray, Sentiment
from trivalent.lab.measure import metrics
from trivalent.lab.measure.groups import resamples
from trivalent.lab.measure.uncertainty import risk_coverage
from trivalent.lab.problems.parts import Part

TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "MCC",
    "ece": "ECE",
    "brier": "Brier",
    "nll": "NLL",
    "aurc": "AURC",
}
# Least and greatest value of those that are no shares.
_LIMITS = {"mcc": (-1.0, 1.0), "brier": (0.0, 2.0), "nll": (0.0, np.inf)}


def limits(name: str) -> tuple[float, float]:
    """Least and greatest value of a figure of `TITLES`."""
    return _LIMITS.get(name, (0.0, 1.0))


def figures(labels: IntArray, decisions: IntArray, *, probabilities: FloatArray) -> dict[str, float]:
    """Headline figures: the first five of the decisions, the others of the probabilities.

    Parameters
    ----------
    labels, decisions : int array, shape (n,)
    probabilities : array, shape (n, 3)

    Examples
    --------
    >>> found = figures(np.array([0, 2]), np.array([0, 1]), probabilities=np.full((2, 3), 1 / 3))
    >>> found["accuracy"], round(found["nll"], 4)
    (0.5, 1.0986)
    """
    confidence = np.clip(probabilities[np.arange(len(labels)), decisions], 0, 1)
    return {
        "accuracy": metrics.accuracy(labels, decisions),
        "macro_f1": metrics.macro_f1(labels, decisions),
        "weighted_f1": metrics.weighted_f1(labels, decisions),
        "balanced_accuracy": metrics.balanced_accuracy(labels, decisions),
        "mcc": metrics.matthews_correlation(labels, decisions),
        "ece": metrics.expected_calibration_error(labels, probabilities),
        "brier": metrics.brier(labels, probabilities),
        "nll": metrics.negative_log_likelihood(labels, probabilities),
        "aurc": risk_coverage(confidence, labels == decisions).area,
    }


def intervals(
    labels: IntArray,
    decisions: IntArray,
    *,
    probabilities: FloatArray,
    groups: Sequence[str],
    rounds: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of all figures, resampling whole groups as `bootstrap_interval` does."""
    drawn = []
    for rows in resamples(groups, rounds=rounds, seed=seed):
        found = figures(labels[rows], decisions[rows], probabilities=probabilities[rows])
        drawn.append(list(found.values()))
    low, high = np.percentile(np.array(drawn), [2.5, 97.5], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(TITLES)}


def by_class(labels: IntArray, decisions: IntArray) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and number of samples of each class."""
    scores = metrics.class_scores(labels, decisions)
    return {s.label: {name: float(values[s]) for name, values in scores.items()} for s in Sentiment}


def baselines(labels: IntArray, prior: FloatArray) -> dict[str, dict[str, float]]:
    """Judge the constant answers: each class always, with the training shares as probabilities.

    Parameters
    ----------
    labels : int array, shape (n,)
    prior : array, shape (3,)
        Shares of the classes in the training data.
    """
    p = np.tile(np.asarray(prior, float), (len(labels), 1))
    scores = {}
    for s in Sentiment:
        decided = np.full(len(labels), int(s))
        scores[f"always {s.label}"] = figures(labels, decided, probabilities=p)
    return scores


def report(
    labels: IntArray,
    answers: Answers,
    *,
    groups: Sequence[str],
    prior: FloatArray,
    coverage: float,
    rounds: int = 1000,
) -> dict[str, Any]:
    """Everything about the answers to one part, as a JSON object.

    Parameters
    ----------
    labels : int array, shape (n,)
    answers : Answers
    groups : sequence of str, length n
        Video or speaker.
    prior : array, shape (3,)
        Of the constant baselines.
    coverage : float
        Stated by the prediction sets.
    rounds : int
        Of the bootstrap; 0 leaves the intervals out.
    """
    labels = np.asarray(labels)
    values = figures(labels, answers.decisions, probabilities=answers.probabilities)
    bounds: Mapping[str, tuple[float | None, float | None]] = {}
    if rounds:
        bounds = intervals(
            labels,
            answers.decisions,
            probabilities=answers.probabilities,
            groups=groups,
            rounds=rounds,
        )
    right, kept = labels == answers.decisions, answers.answered
    return {
        "n": len(labels),
        "groups": len(np.unique(np.asarray(groups))),
        "figures": {
            name: dict(zip(("value", "low", "high"), (x, *bounds.get(name, (None, None))), strict=True))
            for name, x in values.items()
        },
        "classes": by_class(labels, answers.decisions),
        "confusion": metrics.confusion_matrix(labels, answers.decisions).tolist(),
        "baselines": baselines(labels, prior),
        "abstention": {
            "answered": float(kept.mean()),
            "accuracy_of_answers": float(right[kept].mean()) if kept.any() else None,
        },
        "sets": {
            "stated_coverage": coverage,
            "coverage": float(answers.sets[np.arange(len(labels)), labels].mean()),
            "labels_per_set": float(answers.sets.sum(1).mean()),
        },
    }


def report_once(
    part: Part, answers: Answers, *, name: str, prior: FloatArray, coverage: float, rounds: int
) -> dict[str, Any]:
    """Report on the answers of one system to a part, through its guard; see `report`.

    Raises
    ------
    LeakageError
        A system of this name was scored on this test part before.
    """
    return part.score(
        name,
        answers.decisions,
        seed=0,
        by=lambda labels, _: report(
            labels,
            answers,
            groups=part.groups.tolist(),
            prior=prior,
            coverage=coverage,
            rounds=rounds,
        ),
    )


def render(content: Mapping[str, Any]) -> list[str]:
    """Lay a report out as lines of text.

    Parameters
    ----------
    content : mapping
        What `report` returned.
    """
    lines = [f"n {content['n']:,} in {content['groups']:,} videos or speakers"]
    lines += [f"  {TITLES[k]:18}{_value(v)}" for k, v in content["figures"].items()]
    lines += ["", f"  {'':10}{'precision':>10}{'recall':>8}{'F1':>8}{'n':>8}"]
    for label, scores in content["classes"].items():
        numbers = f"{scores['precision']:>10.3f}{scores['recall']:>8.3f}{scores['f1']:>8.3f}"
        lines.append(f"  {label:10}{numbers}{scores['support']:>8.0f}")
    lines += ["", f"  {'true, predicted':18}" + "".join(f"{label:>10}" for label in LABELS)]
    for label, row in zip(LABELS, content["confusion"], strict=True):
        lines.append(f"  {label:18}" + "".join(f"{count:>10}" for count in row))
    lines.append("")
    for name, scores in content["baselines"].items():
        lines.append(f"  {name:18}accuracy {scores['accuracy']:.3f}, macro-F1 {scores['macro_f1']:.3f}")
    sets, kept = content["sets"], content["abstention"]
    lines.append(
        f"  {'prediction sets':18}hold the label in {100 * sets['coverage']:.1f} % (stated: "
        f"{100 * sets['stated_coverage']:.0f} %), {sets['labels_per_set']:.2f} labels each"
    )
    if kept["answered"] < 1 and kept["accuracy_of_answers"] is not None:
        lines.append(
            f"  {'answered':18}{100 * kept['answered']:.1f} %, of them right "
            f"{100 * kept['accuracy_of_answers']:.1f} %"
        )
    return lines


def _value(v: Mapping[str, float | None]) -> str:
    interval = "" if v["low"] is None else f"  [{v['low']:.3f}, {v['high']:.3f}]"
    return f"{v['value']:.3f}{interval}"
