"""Prediction sets: the labels of an item that are not too strange (split conformal prediction).

The limits are fitted by `trivalent.lab.decide.conformal`, which says what the sets promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import LABELS, FloatArray, IntArray


class Score(StrEnum):
    """How strange a label is for an item; sets hold the labels that are not too strange."""

    LAC = "lac"  # 1 - p_y: the smallest sets on average (Sadinle et al., JASA 2019)
    APS = "aps"  # mass of the labels at least as probable: adapts to the item (Romano et al. 2020)


@dataclass(frozen=True, eq=False)
class ConformalSets:
    """A fitted rule.

    Attributes
    ----------
    limits : array, shape (classes,)
        Labels with scores up to the limit of their class are in the set; infinite where the
        calibration items are too few to exclude anything.
    alpha : float
    score : Score
    randomized : bool
        APS counts a random part of the label's own mass, which makes coverage exact instead of at
        least 1 - alpha, and sets smaller, some of them empty.
    calibrated_on : int array, shape (classes,)
        Calibration items behind each limit.
    """

    limits: FloatArray
    alpha: float
    score: Score
    randomized: bool
    calibrated_on: IntArray

    def sets(self, probabilities: FloatArray, *, seed: int | None = None) -> NDArray[np.bool_]:
        """Tell which labels are in the set of each item, shape (n, classes).

        Raises
        ------
        DataError
            The number of classes is another.
        UsageError
            The rule is randomised and there is no seed.
        """
        p = np.asarray(probabilities, float)
        if p.ndim != 2 or p.shape[1] != len(self.limits):
            raise DataError("calibration.conformal_probabilities", count=len(self.limits), shape=p.shape)
        if self.randomized and seed is None:
            raise UsageError("calibration.conformal_seed")
        return strangeness(p, self.score, seed if self.randomized else None) <= self.limits

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json; a limit that excludes nothing is null."""
        return {
            "score": str(self.score),
            "coverage": 1 - self.alpha,
            "limits": [x if np.isfinite(x) else None for x in self.limits.tolist()],
            "calibrated_on": self.calibrated_on.tolist(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ConformalSets:
        """Invert `to_dict`: the sets of a bundle are not randomised.

        Raises
        ------
        LookupError, TypeError, ValueError
            A key is absent or a value is impossible.
        """
        limits = np.array([np.inf if x is None else float(x) for x in content["limits"]])
        counts = np.array(content["calibrated_on"], int)
        found = cls(limits, 1 - float(content["coverage"]), Score(content["score"]), False, counts)
        sizes = limits.shape == counts.shape == (len(LABELS),)
        if not sizes or np.isnan(limits).any() or not 0 <= found.alpha <= 1:
            raise ValueError("no three limits and counts, and a coverage from 0 to 1")
        return found


def strangeness(p: FloatArray, score: Score, seed: int | None) -> FloatArray:
    """Score of every label of every item, shape (n, classes)."""
    if score is Score.LAC:
        return 1 - p
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, 1)
    mass = np.cumsum(ranked, axis=1)
    if seed is not None:
        mass = mass - np.random.default_rng(seed).random((len(p), 1)) * ranked
    scores = np.empty_like(p)
    np.put_along_axis(scores, order, mass, 1)
    return scores


#: Sets that were calibrated on nothing exclude nothing.
EVERY_LABEL = ConformalSets(np.full(len(LABELS), np.inf), 0.0, Score.LAC, False, np.zeros(len(LABELS), int))
