"""Why a fusion network decides as it does: attention weights, and what changes without a modality."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trivalent.core.errors import UsageError
from trivalent.core.types import Modality
from trivalent.lab.networks.attention import AttentionFusion
from trivalent.lab.networks.base import Features, FusionNetwork, Present


@dataclass(frozen=True, eq=False)
class AttentionExplanation:
    """Who reads from whom in an attention network.

    Attributes
    ----------
    modalities : tuple of Modality
        The order of both modality axes.
    weights : Tensor, shape (batch, heads, reading modality, read modality)
        Sum to one over the last axis; zero for absent modalities unless all are absent.
    """

    modalities: tuple[Modality, ...]
    weights: Tensor

    @property
    def shares(self) -> dict[Modality, Tensor]:
        """Mean weight of each read modality over heads and readers, shape (batch,); they sum to one."""
        mean = self.weights.mean((1, 2))
        return {m: mean[:, i] for i, m in enumerate(self.modalities)}


@dataclass(frozen=True, eq=False)
class Ablation:
    """What hiding each modality does to the decision.

    Attributes
    ----------
    predicted : int64 Tensor, shape (batch,)
        Most probable class (`Sentiment`) with everything that is present.
    probability : Tensor, shape (batch,)
        Its probability.
    change : dict of Modality to Tensor, shape (batch,)
        Probability of that class without the modality, minus `probability`: negative where the
        modality speaks for the decision, zero where it is absent.
    """

    predicted: Tensor
    probability: Tensor
    change: dict[Modality, Tensor]


def explain_attention(
    network: FusionNetwork, features: Features, *, present: Present
) -> AttentionExplanation:
    """Return the attention weights of every sample, without dropout.

    Weights say what was read, not what decided; see `ablate` for the latter.

    Parameters
    ----------
    network : AttentionFusion
    features, present
        As of `FusionNetwork.forward`.

    Raises
    ------
    UsageError
        The network has no attention over modalities.
    """
    if not isinstance(network, AttentionFusion):
        raise UsageError("network.explain", type=type(network).__name__)
    with _evaluation(network), torch.no_grad():
        return AttentionExplanation(network.modalities, network.attention_weights(features, present))


def ablate(network: FusionNetwork, features: Features, *, present: Present) -> Ablation:
    """Hide one modality after the other and compare the probability of the predicted class.

    Works with every fusion network; dropout is off.

    Parameters
    ----------
    network : FusionNetwork
    features, present
        As of `FusionNetwork.forward`.
    """
    with _evaluation(network), torch.no_grad():
        full = torch.softmax(network(features, present), -1)  # (batch, 3)
        predicted = full.argmax(-1)

        def of_predicted(probabilities: Tensor) -> Tensor:
            return probabilities.gather(1, predicted[:, None]).squeeze(1)

        probability = of_predicted(full)
        change = {}
        for m in network.modalities:
            hidden = {**present, m: torch.zeros_like(present[m])}
            change[m] = of_predicted(torch.softmax(network(features, hidden), -1)) - probability
    return Ablation(predicted, probability, change)


@contextmanager
def _evaluation(network: nn.Module) -> Iterator[None]:
    """Switch dropout off, and back to what it was."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
