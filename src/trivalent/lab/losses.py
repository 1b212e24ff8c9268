"""Losses and class weights."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from trivalent.lab.metrics import IntArray
from trivalent.types import FloatArray, Sentiment


class ClassWeights(StrEnum):
    """How a class's weight grows with its rarity: (N / n) to a power, normalised to mean 1."""

    NONE = "none"
    SQRT = "sqrt"
    LINEAR = "linear"
    SQUARE = "square"

    @property
    def power(self) -> float:
        """Exponent of N / n."""
        return {"none": 0.0, "sqrt": 0.5, "linear": 1.0, "square": 2.0}[self.value]


def class_weights(counts: FloatArray | IntArray, rule: ClassWeights | str) -> FloatArray:
    """Weight each class by rarity.

    >>> class_weights(np.array([224, 1134, 891]), "sqrt").round(2).tolist()
    [1.54, 0.69, 0.77]
    """
    weights = (np.sum(counts) / np.asarray(counts, float)) ** ClassWeights(rule).power
    return weights / weights.mean()


def soft_targets(labels: Tensor, valence: Tensor, *, smoothing: float, ambiguity: float) -> Tensor:
    """One-hot targets, smoothed; weak annotations share mass with their neighbour.

    An annotated score near zero (say +1/3 on [-3, 3]) was positive for one annotator of
    three: calling it fully positive teaches overconfidence. With v in [-1, 1] the mass
    `ambiguity * exp(-|v| / 0.15)` moves from the label to neutral. Neutral stays whole: a score
    of exactly zero is the common case there, and softening it costs the class its recall.

    Parameters
    ----------
    labels : int64, shape (n,)
    valence : float, shape (n,)
        NaN where the corpus has only classes: there only `smoothing` applies.

    Returns
    -------
    Tensor, shape (n, 3), rows sum to 1
    """
    target = torch.nn.functional.one_hot(labels, len(Sentiment)).float()
    moved = ambiguity * torch.exp(-valence.abs().nan_to_num(torch.inf) / 0.15)
    middle = torch.tensor([0.0, 1.0, 0.0])
    target = target * (1 - moved[:, None]) + middle * moved[:, None]
    return target * (1 - smoothing) + smoothing / len(Sentiment)


def soft_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Class-weighted cross-entropy against soft targets: -mean_i sum_c w_c t_ic log p_ic."""
    return -(weights * targets * torch.log_softmax(logits, -1)).sum(-1).mean()
