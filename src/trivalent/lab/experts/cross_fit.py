"""Cross-fitting: an ensemble in which every member leaves a fold of people out, and is judged by them.

The logits of a fold by members that never saw it give honest validation figures and the temperature.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from trivalent.bundle.fusion import softmax
from trivalent.bundle.spec import ExpertSpec
from trivalent.core.types import FloatArray, IntArray, Sentiment
from trivalent.lab.decide.calibration import fit_temperature
from trivalent.lab.experts.trained import TrainedExpert
from trivalent.lab.measure.metrics import summarize

log = logging.getLogger(__name__)
Member = TypeVar("Member", bound=nn.Module)
CLIP = 4.0  # standard deviations of features; the runtime clips alike


@dataclass(frozen=True, eq=False)
class CrossFitted(Generic[Member]):
    """An ensemble and what it says about whom its members had not seen.

    Attributes
    ----------
    members : list of nn.Module
        One per fold and seed.
    temperature : float
        Fitted on the out-of-fold logits.
    probabilities : array, shape (n, 3)
        Out of fold, calibrated, of the judged samples.
    labels : int array, shape (n,)
    prior : array, shape (3,)
        Mean of the probabilities, over weighted samples.
    metrics : dict of str to dict
        By collection, and of `all` if there are several.
    """

    members: list[Member]
    temperature: float
    probabilities: FloatArray
    labels: IntArray
    prior: FloatArray
    metrics: dict[str, dict[str, float]]

    def save(self, spec: ExpertSpec, *, out: Path, card: dict[str, Any]) -> TrainedExpert:
        """Leave the expert, whose graph is in `out`."""
        expert = TrainedExpert(spec, out, {"out_of_fold": self.metrics}, card)
        expert.save()
        return expert


def cross_fit(
    fit_member: Callable[[int, int], Member],
    logits_of: Callable[[Member, IntArray], FloatArray],
    *,
    folds: IntArray,
    labels: IntArray,
    sources: NDArray[np.str_],
    seeds: Sequence[int],
    weights: FloatArray | None = None,
) -> CrossFitted[Member]:
    """Train a member for each fold and seed, and calibrate the ensemble.

    Parameters
    ----------
    fit_member : callable of (fold, seed)
        Trains without the fold.
    logits_of : callable of (member, rows)
        Returns logits, shape (rows, 3).
    folds : int array, shape (n,)
        -1 for samples that nobody is judged by: altered ones, and those of the test part.
    labels : int array, shape (n,)
    sources : array of str, shape (n,)
        The collection that a sample belongs to.
    seeds : sequence of int
        Members of each fold.
    weights : array, shape (n,), optional
        How much samples count in the calibration and in the prior; equal by default.
    """
    members: list[Member] = []
    logits, judged = np.zeros((len(folds), len(Sentiment))), folds >= 0
    for fold in np.unique(folds[judged]).tolist():
        held = np.flatnonzero(folds == fold)
        for seed in seeds:
            member = fit_member(fold, seed)
            said = logits_of(member, held)
            logits[held] += said / len(seeds)
            members.append(member)
            log.info("fold %d, seed %d: %s", fold, seed, summarize(labels[held], softmax(said)))
    truth = labels[judged]
    weight = None if weights is None else weights[judged]
    temperature = fit_temperature(logits[judged], truth, weights=weight)
    calibrated = softmax(logits[judged] / temperature)
    metrics = _by_source(calibrated, truth, sources[judged])
    log.info("temperature %.3f, out-of-fold %s", temperature, metrics)
    prior = np.average(calibrated, axis=0, weights=weight)
    return CrossFitted(members, temperature, calibrated, truth, prior, metrics)


def cell_weights(sources: NDArray[np.str_], labels: IntArray) -> FloatArray:
    """Weigh samples so that every class of every collection counts alike, mean 1.

    >>> cell_weights(np.array(["a", "a", "a", "b"]), np.array([0, 0, 1, 0])).round(3).tolist()
    [0.667, 0.667, 1.333, 1.333]
    """
    _, cells, counts = np.unique(
        [f"{s}\n{c}" for s, c in zip(sources, labels, strict=True)], return_inverse=True, return_counts=True
    )
    return len(labels) / (len(counts) * counts[cells])


def _by_source(p: FloatArray, labels: IntArray, sources: NDArray[np.str_]) -> dict[str, dict[str, float]]:
    parts = {str(s): summarize(labels[sources == s], p[sources == s]) for s in np.unique(sources)}
    return parts if len(parts) == 1 else {**parts, "all": summarize(labels, p)}
