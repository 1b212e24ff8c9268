"""Several systems to one: a weighted soft vote, as a network like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trivalent.bundle.fusion import softmax
from trivalent.core.types import SCALE, FloatArray
from trivalent.lab.decide.ensembles import search_weights, soft_vote
from trivalent.lab.fusion.seed_training import System, Trained, train_system
from trivalent.lab.fusion.target import THREE, Target, TargetKind
from trivalent.lab.networks.base import Features, FusionNetwork, Present
from trivalent.lab.problems.classification import Problem
from trivalent.lab.problems.parts import Part

_FLOOR = 1e-6  # of a probability: no vote is so sure that a calibration could not change it
STEP = 0.05  # of the weights that are searched


class Vote(FusionNetwork):
    """The weighted mean of the probabilities of several networks, and of their scores.

    Parameters
    ----------
    networks : sequence of FusionNetwork
        Over the same features.
    weights : array, shape (networks,)
        They sum to one.
    target : Target
        Of all of them.
    """

    weights: Tensor

    def __init__(
        self, networks: Sequence[FusionNetwork], weights: FloatArray, target: Target = THREE
    ) -> None:
        super().__init__(networks[0].widths)
        self.target = target
        self.networks = nn.ModuleList(networks)
        # So that an exporter knows their weights.
        self.fronts = nn.ModuleList(front for network in networks if (front := network.front()) is not None)
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))

    def forward(self, features: Features, present: Present) -> Tensor:
        """Return outputs that the target reads as those means; arguments as of `FusionNetwork.forward`."""
        answers = torch.stack([self._answer(network, features, present) for network in self.networks])
        weights = self.weights[:, None, None]
        if self.target.target != TargetKind.SCORE:
            return (weights * torch.softmax(answers, -1)).sum(0).clamp(min=_FLOOR).log()
        mean = (weights * torch.softmax(self.target.logits(answers), -1)).sum(0)
        score = (weights * self.target.score(answers)[..., None]).sum(0)
        return torch.cat([mean.clamp(min=_FLOOR).log(), score], -1)

    def _answer(self, network: nn.Module, features: Features, present: Present) -> Tensor:
        front = cast(FusionNetwork, network).front()
        return cast(Tensor, network(features if front is None else front(features, present), present))


@dataclass(frozen=True, eq=False)
class Voted:
    """Trained systems and what their votes weigh; to be used as a `Trained`.

    Attributes
    ----------
    systems : tuple of Trained
        Of the same seeds.
    weights : array, shape (systems,)
    """

    systems: tuple[Trained, ...]
    weights: FloatArray

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of each system."""
        return self.systems[0].seeds

    @property
    def history(self) -> list[list[dict[str, float]]]:
        """What was found by epoch of the first system, for each seed."""
        return self.systems[0].history

    def logits(self, part: Part) -> NDArray[np.float64]:
        """Logarithms of the voted probabilities, shape (seeds, n, classes)."""
        stack = np.stack([trained.probabilities(part) for trained in self.systems])
        votes = [soft_vote(own, weights=self.weights) for own in stack.swapaxes(0, 1)]
        return np.asarray(np.log(np.clip(votes, _FLOOR, 1)))

    def scores(self, part: Part) -> NDArray[np.float64] | None:
        """Weighted means of the scores, shape (seeds, n); None of systems that were trained on classes."""
        found = [trained.scores(part) for trained in self.systems]
        each = [scores for scores in found if scores is not None]
        if not each:
            return None
        return np.clip(np.tensordot(self.weights, np.stack(each), axes=1), -SCALE, SCALE)

    def networks(self) -> list[FusionNetwork]:
        """One vote for each seed."""
        members = [trained.networks() for trained in self.systems]
        target = self.systems[0].system.target
        return [Vote(own, self.weights, target) for own in zip(*members, strict=True)]


def train_vote(
    systems: Sequence[System],
    problem: Problem,
    seeds: Sequence[int],
    *,
    weights: Sequence[float] | None = None,
    watched: bool = False,
) -> Voted:
    """Train systems and find the weights of their votes on the validation part.

    Parameters
    ----------
    systems : sequence of System
    problem : Problem
    seeds : sequence of int
    weights : sequence of float, optional
        Of the votes; by default the best on validation, of equally good ones the most even.
    watched : bool
        See `train_system`.
    """
    trained = tuple(train_system(system, problem, seeds, watched=watched) for system in systems)
    if weights is not None:
        given = np.array(weights, np.float64)
        return Voted(trained, given / given.sum())
    means = np.stack([softmax(own.logits(problem.parts.val).mean(0)) for own in trained])
    labels = problem.parts.val.labels_to_select()
    return Voted(trained, search_weights(means, labels, step=STEP).weights)


__all__ = ["Vote", "Voted", "train_vote"]
