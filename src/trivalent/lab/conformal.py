"""Prediction sets that hold the true label with a stated probability: split conformal prediction.

Fitted on calibration items that took no part in training nor in the choice of anything else. If
these and the new items are exchangeable, the set of a new item holds its label with probability of
at least 1 - alpha (Vovk et al. 2005; Angelopoulos & Bates 2023, theorem 1), whatever the model.
Items of one speaker are not exchangeable with those of others: calibrate and test on separate
speakers and read the stated coverage as approximate. `trivalent.lab.conformal_split` sets
calibration items apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import FloatArray
from trivalent.lab.measure.metrics import IntArray


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
            raise DataError(
                f"expected probabilities of shape (n, {len(self.limits)}), got {p.shape}; "
                "pass those of the model that was calibrated"
            )
        if self.randomized and seed is None:
            raise UsageError("expected a seed for randomised sets, got none; pass one")
        return _scores(p, self.score, seed if self.randomized else None) <= self.limits


def fit_conformal(
    probabilities: FloatArray,
    labels: IntArray,
    *,
    alpha: float = 0.1,
    score: Score | str = Score.LAC,
    class_conditional: bool = False,
    seed: int | None = None,
) -> ConformalSets:
    """Find the limits under which new sets hold the label with probability 1 - alpha or more.

    Parameters
    ----------
    probabilities : array, shape (n, classes)
        Of calibration items.
    labels : int array, shape (n,)
    alpha : float
        Accepted share of sets without the label, in (0, 1).
    score : Score
    class_conditional : bool
        One limit per class, so that coverage holds within each (Sadinle et al. 2019; Mondrian):
        otherwise frequent classes may be covered at the cost of a rare one.
    seed : int, optional
        Randomises the scores; APS only.

    Raises
    ------
    DataError
        Shapes do not fit or nothing was given.
    UsageError
        `alpha` is not in (0, 1), the score is unknown, or LAC was to be randomised.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> p = rng.dirichlet(np.ones(3), size=2000)
    >>> y = (rng.random((2000, 1)) > p.cumsum(1)).sum(1)
    >>> rule = fit_conformal(p[:1000], y[:1000], alpha=0.1)
    >>> held = rule.sets(p[1000:])[np.arange(1000), y[1000:]]
    >>> bool(0.87 < held.mean() < 0.93)
    True
    """
    p, labels = np.asarray(probabilities, float), np.asarray(labels)
    if p.ndim != 2 or labels.shape != p.shape[:1] or not len(p):
        raise DataError(
            f"expected probabilities (n, classes) and labels (n,), got {p.shape} and {labels.shape}; "
            "pass calibration items"
        )
    if labels.min() < 0 or labels.max() >= p.shape[1]:
        raise DataError(f"expected labels 0..{p.shape[1] - 1}, got {labels.min()}..{labels.max()}")
    if not 0 < alpha < 1:
        raise UsageError(f"expected alpha between 0 and 1, got {alpha:g}; 0.1 is for 90 % coverage")
    if score not in list(Score):
        raise UsageError(f"expected a score of {', '.join(Score)}, got {score!r}; choose one")
    score = Score(score)
    if score is Score.LAC and seed is not None:
        raise UsageError("expected no seed for LAC, whose scores are not random, got one; leave it out")
    own = _scores(p, score, seed)[np.arange(len(p)), labels]
    classes = range(p.shape[1])
    parts = [own[labels == c] if class_conditional else own for c in classes]
    return ConformalSets(
        np.array([_limit(part, alpha) for part in parts]),
        alpha,
        score,
        seed is not None,
        np.array([len(part) for part in parts]),
    )


def _limit(scores: FloatArray, alpha: float) -> float:
    """Return the ceil((n + 1)(1 - alpha))-th smallest score, infinity where there is none."""
    # Less a hair: (9 + 1)(1 - .1) must not be rounded up to 10 for a last digit.
    rank = int(np.ceil((len(scores) + 1) * (1 - alpha) - 1e-9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else np.inf


def _scores(p: FloatArray, score: Score, seed: int | None) -> FloatArray:
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
