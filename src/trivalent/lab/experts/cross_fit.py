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
    metrics : dict of str to dict
        By collection, and of `all` if there are several.
    """

    members: list[Member]
    temperature: float
    probabilities: FloatArray
    labels: IntArray
    metrics: dict[str, dict[str, float]]

    @property
    def prior(self) -> FloatArray:
        """Mean of the calibrated probabilities, shape (3,)."""
        return self.probabilities.mean(0)

    def save(self, spec: ExpertSpec, *, out: Path, card: dict[str, Any]) -> TrainedExpert:
        """Leave the expert, whose graph is in `out`, with its predictions."""
        expert = TrainedExpert(spec, out, {"out_of_fold": self.metrics}, card)
        expert.save(probabilities=self.probabilities, labels=self.labels)
        return expert


def cross_fit(
    fit_member: Callable[[int, int], Member],
    logits_of: Callable[[Member, IntArray], FloatArray],
    *,
    folds: IntArray,
    labels: IntArray,
    sources: NDArray[np.str_],
    seeds: Sequence[int],
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
    temperature = fit_temperature(logits[judged], truth)
    calibrated = softmax(logits[judged] / temperature)
    metrics = _by_source(calibrated, truth, sources[judged])
    log.info("temperature %.3f, out-of-fold %s", temperature, metrics)
    return CrossFitted(members, temperature, calibrated, truth, metrics)


def _by_source(p: FloatArray, labels: IntArray, sources: NDArray[np.str_]) -> dict[str, dict[str, float]]:
    parts = {str(s): summarize(labels[sources == s], p[sources == s]) for s in np.unique(sources)}
    return parts if len(parts) == 1 else {**parts, "all": summarize(labels, p)}
