"""Choice of a system by cross-validation on training and validation data, for small data sets.

A validation part with five negatives chooses at random. All samples outside the test part, in five
folds by group, tell more: a candidate is trained without one fold and judged on it, in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import UsageError
from trivalent.core.types import Modality
from trivalent.lab.datasets.splits import stratified_folds
from trivalent.lab.fusion.seed_training import System, train_system
from trivalent.lab.measure.metrics import macro_f1
from trivalent.lab.problems.classification import Problem
from trivalent.lab.problems.parts import Part, Parts, Role

FOLDS = 5


@dataclass(frozen=True)
class SystemPool:
    """A pool of systems, each on some modalities; their probabilities are averaged.

    Attributes
    ----------
    members : tuple of (System, tuple of Modality)
        Trained without the choice of an epoch, since no fold is left to choose it on.
    """

    members: tuple[tuple[System, tuple[Modality, ...]], ...]

    def __post_init__(self) -> None:
        for system, _ in self.members:
            if system.training.validations_per_epoch:
                raise UsageError(
                    "benchmark.no_epochs", validations_per_epoch=system.training.validations_per_epoch
                )

    def probabilities(self, problem: Problem, part: Part, seeds: Sequence[int]) -> NDArray[np.float64]:
        """Train on the training part of a problem and predict a part, shape (seeds, n, 3)."""
        found = []
        for system, modalities in self.members:
            own = narrowed(problem, modalities)
            features = {m: part.features[m] for m in modalities}
            trained = train_system(system, own, seeds)
            found.append(trained.probabilities(replace(part, features=features)))
        return np.mean(found, axis=0)


def narrowed(problem: Problem, modalities: Sequence[Modality]) -> Problem:
    """Keep some modalities of a problem."""
    parts = problem.parts
    kept = {
        name: replace(part, features={m: part.features[m] for m in modalities})
        for name, part in (("train", parts.train), ("val", parts.val), ("test", parts.test))
    }
    return replace(problem, parts=Parts(**kept), cleaners={m: problem.cleaners[m] for m in modalities})


def joined(problem: Problem) -> Part:
    """Join training and validation samples as a training part; the guard refuses a test part."""
    train, val = problem.parts.train, problem.parts.val
    features = {m: np.concatenate([x, val.features[m]]) for m, x in train.features.items()}
    groups = np.concatenate([train.groups, val.groups])
    labels = np.concatenate([train.labels_to_fit(), val.labels_to_select()])
    scores = None
    if train.scored and val.scored:
        scores = np.concatenate([train.scores_to_fit(), val.scores_to_select()])
    return Part(Role.TRAIN, features, groups, labels, scores)


def cross_validate(
    candidates: Mapping[str, SystemPool], problem: Problem, seeds: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    """Judge candidates out of fold.

    Returns
    -------
    dict of str to array, shape (seeds,)
        Macro-F1 over all samples outside the test part, each predicted by a run without its fold.
    """
    everything = joined(problem)
    labels = everything.labels_to_fit()
    folds = stratified_folds(everything.groups, labels, count=FOLDS, seed=0)
    held = {name: np.zeros((len(seeds), len(labels), problem.classes)) for name in candidates}
    for fold in range(FOLDS):
        out = folds == fold
        inner = everything.take(~out), everything.take(out, Role.VAL)
        split = replace(problem, parts=Parts(*inner, problem.parts.test))
        for name, candidate in candidates.items():
            held[name][:, out] = candidate.probabilities(split, inner[1], seeds)
    return {name: np.array([macro_f1(labels, p.argmax(axis=1)) for p in own]) for name, own in held.items()}
