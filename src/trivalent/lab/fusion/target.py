"""What a fusion network is trained to tell: three classes, a score from -3 to 3, or seven ordered classes.

Whatever it is, an answer has three classes. A network for scores has four outputs, the logits of the
classes and the score, and learns both at once. One for seven classes has their logits: those below, at and
above zero add up to the three, and their mean is the score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from trivalent.core.errors import RecipeError
from trivalent.core.types import SCALE, IntArray, Sentiment
from trivalent.lab.fit.loss_functions import weighted_mean
from trivalent.lab.named_choices import check_known
from trivalent.lab.networks.sentiments import sum_to_sentiments
from trivalent.lab.problems.classification import SEVEN
from trivalent.lab.problems.parts import Part

Loss = Callable[..., Tensor]
_CLASSES = len(Sentiment)
_SIGNS = [Sentiment.NEGATIVE] * 3 + [Sentiment.NEUTRAL] + [Sentiment.POSITIVE] * 3


class TargetKind(StrEnum):
    """What is learned."""

    SENTIMENT3 = "sentiment3"
    SCORE = "score"
    SEVEN = "seven"


class ScoreError(StrEnum):
    """How far a score is from the annotated one."""

    MAE = "mae"
    HUBER = "huber"  # the square below 1, so that near scores are not pulled as hard as far ones


@dataclass(frozen=True)
class Target:
    """Reads a network's outputs, and says what is minimised.

    Attributes
    ----------
    target : str
        sentiment3, score or seven.
    error : str
        Of the score: huber or mae.
    weight : float
        Of that error beside the loss of the classes, which is 1.

    Raises
    ------
    RecipeError, UsageError
        An unknown choice, or a negative weight.
    """

    target: str = TargetKind.SENTIMENT3
    error: str = ScoreError.HUBER
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_known("target", self.target, TargetKind)
        check_known("error", self.error, ScoreError)
        if not 0 <= self.weight < np.inf:
            raise RecipeError("recipe.target_weight", weight=self.weight)

    @property
    def scores(self) -> bool:
        """Whether there is a score in the answers."""
        return self.target != TargetKind.SENTIMENT3

    def outputs(self, classes: int) -> int:
        """Count what a network gives, whose problem has so many classes."""
        return {TargetKind.SCORE: classes + 1, TargetKind.SEVEN: SEVEN}.get(
            TargetKind(self.target), classes
        )

    def logits(self, outputs: Tensor) -> Tensor:
        """Return those of the classes of the problem, shape (..., 3).

        >>> Target("seven").logits(torch.zeros(1, 7)).exp().tolist()
        [[3.0, 1.0, 3.0]]
        """
        if self.target == TargetKind.SEVEN:
            return sum_to_sentiments(outputs, _SIGNS)
        return outputs[..., :_CLASSES] if self.scores else outputs

    def score(self, outputs: Tensor) -> Tensor:
        """Return the score, shape (...), within [-3, 3]; not for three classes alone.

        >>> Target("seven").score(torch.tensor([0.0, 0, 0, 0, 0, 9, 9])).item() > 2.4
        True
        """
        return self._free_score(outputs).clamp(-SCALE, SCALE)

    def _free_score(self, outputs: Tensor) -> Tensor:
        """Return what is compared in training: a score beyond the scale is still drawn back to it."""
        if self.target == TargetKind.SCORE:
            return outputs[..., _CLASSES]
        steps = torch.arange(SEVEN, dtype=outputs.dtype, device=outputs.device) - SCALE
        return (torch.softmax(outputs, -1) * steps).sum(-1)

    def counts(self, part: Part, *, classes: int) -> IntArray:
        """Count the training samples of the classes that the loss is over."""
        if self.target == TargetKind.SEVEN:
            codes = np.rint(part.scores_to_fit()).astype(np.int64) + int(SCALE)
            return np.bincount(codes, minlength=SEVEN)
        return np.bincount(part.labels_to_fit(), minlength=classes)

    def loss(self, criterion: Loss) -> Loss:
        """Join the loss of classes and the error of the score.

        Parameters
        ----------
        criterion : callable
            Of (logits, labels[, weights]).

        Returns
        -------
        callable
            Of (outputs, labels[, weights]); with scores of (outputs, labels, scores[, weights]).
        """
        return self._joint(criterion) if self.scores else criterion

    def _joint(self, criterion: Loss) -> Loss:
        def loss(outputs: Tensor, labels: Tensor, scores: Tensor, weight: Tensor | None = None) -> Tensor:
            weights = () if weight is None else (weight,)
            if self.target == TargetKind.SEVEN:
                classes = criterion(outputs, torch.round(scores).long() + int(SCALE), *weights)
            else:
                classes = criterion(self.logits(outputs), labels, *weights)
            return classes + self.weight * weighted_mean(self._error(outputs, scores), weight)

        return loss

    def _error(self, outputs: Tensor, scores: Tensor) -> Tensor:
        found = self._free_score(outputs)
        if self.error == ScoreError.MAE:
            return (found - scores).abs()
        return huber_loss(found, scores, reduction="none")


THREE = Target()

__all__ = ["THREE", "ScoreError", "Target", "TargetKind"]
