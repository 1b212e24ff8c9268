"""What recipes that adapt a bundle to your own table have in common: the table, its folds, the judging."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from trivalent.bundle.decision import Decision, DecisionRule
from trivalent.bundle.network import group_digest
from trivalent.core.errors import DataError, RecipeError
from trivalent.core.types import LABELS, FloatArray, IntArray
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.own import TRAIN_ALONE, OwnOptions, own_entry
from trivalent.lab.datasets.own_features import OwnFeatures
from trivalent.lab.datasets.own_training import check_classes
from trivalent.lab.datasets.recordings import FeaturePlan
from trivalent.lab.datasets.splits import stratified_folds
from trivalent.lab.measure import metrics as measures
from trivalent.lab.measure.evaluation import report_once
from trivalent.lab.measure.statistics import paired_bootstrap
from trivalent.lab.named_choices import check_known
from trivalent.lab.problems.parts import Part, Role
from trivalent.lab.recipes import build

log = logging.getLogger(__name__)
LEAST = 3  # folds, and thereby groups
ADAPTED, INSTALLED = "adapted", "installed"
EXPECTING = "installed, expecting the classes of the table"


@dataclass(frozen=True, kw_only=True)
class OwnRecipe:
    """A parsed recipe.

    Attributes
    ----------
    kind, name : str
    data : str
        Your own .csv.
    bundle : str
        Installed name or path: what is adapted. All else of it is kept.
    label_map : mapping
        What your labels mean.
    protocol : str
        How scores become classes; the first if empty.
    features : mapping
        Those of `OwnFeatures` that say how recordings are read.
    folds : int
        Of cross-validation by speaker.
    rounds : int
        Of the bootstrap.
    """

    readable: ClassVar[tuple[str, ...]] = ("whisper",)  # keys of features

    kind: str
    name: str
    data: str
    bundle: str = "default"
    label_map: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = ""
    features: Mapping[str, Any] = field(default_factory=dict)
    folds: int = 5
    rounds: int = 1000

    def __post_init__(self) -> None:
        for key in self.features:
            check_known("key of features", key, self.readable)
        if not self.data.lower().endswith(".csv"):
            raise RecipeError("recipe.own_table", name=self.name, data=self.data)
        if self.folds < LEAST:
            raise RecipeError("recipe.own_folds", least=LEAST, name=self.name, folds=self.folds)

    def own_features(self) -> OwnFeatures:
        """Return how recordings are read."""
        return build(OwnFeatures, self.features, where=f"features of {self.name}")

    def options(self, plan: FeaturePlan | None = None) -> OwnOptions:
        """Return how the table is read: all is cross-validated but what it names test."""
        return OwnOptions(
            fractions=TRAIN_ALONE,
            label_map=self.label_map,
            plan=plan,
            workers=self.own_features().workers,
            folds=LEAST,
            check=check_classes,
        )

    def read(self, plan: FeaturePlan | None = None) -> Dataset:
        """Read the table; with a plan, its utterances with their features.

        Raises
        ------
        DataError
            The table is faulty, or of one class.
        """
        entry = own_entry(Path(self.data), self.options(plan))
        data = entry.read(Path(), self.protocol or None, features=plan is not None)
        for label in check_classes(data):
            log.warning("%s: no recording to learn from is %s: it will hardly be said", data.name, label)
        return data

    def deal(self, recordings: Dataset) -> IntArray:
        """Deal recordings into folds, the same groups in none of two; shape (n,).

        Raises
        ------
        DataError
            Fewer than three groups, or one class.
        """
        groups = len(np.unique(recordings.groups))
        if groups < LEAST:
            raise DataError("own.few_groups", name=recordings.name, least=LEAST, count=groups)
        check_classes(recordings)
        return stratified_folds(recordings.groups, recordings.labels, count=min(self.folds, groups))


def shares_of(labels: IntArray) -> FloatArray:
    """Shares of the classes, shape (3,); one sample of each is added, so that none is impossible.

    >>> shares_of(np.array([0, 0, 0, 2])).round(2).tolist()
    [0.57, 0.14, 0.29]
    """
    counts = np.bincount(labels, minlength=len(LABELS)) + 1
    return counts / counts.sum()


def judged(
    recipe: OwnRecipe, role: Role, data: Dataset, answers: Mapping[str, FloatArray], shares: FloatArray
) -> dict[str, Any]:
    """Report on probabilities, shape (n, 3) by who gave them; each once."""
    part = Part(role, {}, data.groups, data.labels)
    plain = Decision(DecisionRule())  # the most probable class
    return {
        name: report_once(
            part, plain.answer(p), name=name, prior=shares, coverage=1.0, rounds=recipe.rounds
        )
        for name, p in answers.items()
    }


def outcome(
    recipe: OwnRecipe, bundle: str, data: Dataset, answers: Mapping[str, FloatArray], shares: FloatArray
) -> dict[str, Any]:
    """Tell of the recordings adapted to, and what the answers to them out of fold are worth."""
    return {
        "data": data.name,
        "protocol": data.protocol,
        "bundle": bundle,
        "left_out": dict(data.dropped),
        "shares": shares.tolist(),
        "out_of_fold": judged(recipe, Role.TRAIN, data, answers, shares),
        "gain": _gains(recipe, data, answers),
    }


def _gains(recipe: OwnRecipe, data: Dataset, answers: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Compare adapted with installed that expects the same classes, resampling groups; more is better."""

    def macro_f1(labels: IntArray, p: FloatArray) -> float:
        return measures.macro_f1(labels, p.argmax(1))

    def log_score(labels: IntArray, p: FloatArray) -> float:
        return -measures.negative_log_likelihood(labels, p)

    found = {}
    for name, function in (("macro_f1", macro_f1), ("log_score", log_score)):
        test = paired_bootstrap(
            function,
            data.labels,
            first=answers[ADAPTED],
            second=answers[EXPECTING],
            groups=data.groups.tolist(),
            rounds=recipe.rounds,
        )
        found[name] = {"difference": test.difference, "low": test.low, "high": test.high}
    return found


def seen(recordings: Dataset) -> list[str]:
    """Digests of the groups, by which an evaluation knows them again."""
    return sorted({group_digest(group) for group in recordings.groups.tolist()})


def lines(metrics: Mapping[str, Any]) -> list[str]:
    """Tell what `outcome` found, and warn of what may be chance."""
    told = []
    for part in ("out_of_fold", "test"):
        for who, found in metrics.get(part, {}).items():
            figures = ", ".join(
                f"{title} {_value(found['figures'][key])}"
                for key, title in (("macro_f1", "macro-F1"), ("nll", "log-loss"))
            )
            told.append(f"  {part.replace('_', ' ')}, {who}: {figures}; {found['n']} recordings")
    best = max(own["macro_f1"] for own in metrics["out_of_fold"][ADAPTED]["baselines"].values())
    told.append(f"  best constant: macro-F1 {best:.3f}")
    if metrics["gain"]["log_score"]["low"] <= 0:
        log.warning(
            "%s: out of fold, adapted is not surely better than installed: more recordings would tell",
            metrics["data"],
        )
    return told


def _value(v: Mapping[str, float | None]) -> str:
    interval = "" if v["low"] is None else f" [{v['low']:.3f}, {v['high']:.3f}]"
    return f"{v['value']:.3f}{interval}"


__all__ = [
    "ADAPTED",
    "EXPECTING",
    "INSTALLED",
    "LEAST",
    "OwnRecipe",
    "judged",
    "lines",
    "outcome",
    "seen",
    "shares_of",
]
