"""Prediction sets that hold the true label with a stated probability: split conformal prediction.

Fitted on calibration items that took no part in training nor in the choice of anything else. If
these and the new items are exchangeable, the set of a new item holds its label with probability of
at least 1 - alpha (Vovk et al. 2005; Angelopoulos & Bates 2023, theorem 1), whatever the model.
Items of one speaker are not exchangeable with those of others: calibrate and test on separate
speakers and read the stated coverage as approximate. `trivalent.lab.decide.conformal_split` sets
calibration items apart.
"""

from __future__ import annotations

import numpy as np

from trivalent.bundle.conformal import ConformalSets, Score, strangeness
from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import FloatArray, IntArray


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
        raise DataError("calibration.conformal_shapes", shape=p.shape, shape2=labels.shape)
    if labels.min() < 0 or labels.max() >= p.shape[1]:
        raise DataError(
            "calibration.conformal_labels", shape=p.shape[1] - 1, labels=labels.min(), labels2=labels.max()
        )
    if not 0 < alpha < 1:
        raise UsageError("calibration.conformal_alpha", alpha=alpha)
    if score not in list(Score):
        raise UsageError("calibration.conformal_score", score=list(Score), score2=score)
    score = Score(score)
    if score is Score.LAC and seed is not None:
        raise UsageError("calibration.conformal_no_seed")
    own = strangeness(p, score, seed)[np.arange(len(p)), labels]
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
