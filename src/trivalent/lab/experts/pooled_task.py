"""Small networks on pooled features (voice, face) as a `Task`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trivalent.core.types import FloatArray, IntArray, Sentiment
from trivalent.lab.fit.losses import class_weights
from trivalent.lab.fit.training import TrainingConfig
from trivalent.lab.measure.metrics import macro_f1
from trivalent.lab.networks.sentiments import sum_to_sentiments


@dataclass(frozen=True)
class TabularTaskConfig:
    """Data, network and augmentation of a pooled expert.

    Attributes
    ----------
    dataset : str
        One of `SOURCES`.
    pooling : tuple of str
        Pooled statistics, in order: the network's inputs.
    inputs : str
        `pooled`; what sets such a recipe apart from one over frames.
    variants : tuple of str
        Altered copies of the recordings that are trained on besides the clean ones.
    judge_copies : bool
        Calibrate, and tell figures out of fold, on altered copies too.
    mix : tuple of str
        Patterns of inputs whose values are mixed between samples of a batch with
        probability `mix_rate`: what must not decide (the mouth moves because it speaks).
    mirror : float
        Probability that Left and Right inputs change places: a face and its mirror image.
    emotions : bool
        Learn the annotated emotions; their probabilities add up to the sentiments.
    noise : float
        Standard deviation of Gaussian noise on normalised inputs.
    hold_out : bool
        Keep the test people out; without, every person is tested out of fold.
    balance_sources : bool
        Weight every (source, class) cell by the square root of its rarity.
    balance : bool
        Weight every (source, class) cell alike, in the calibration, too.
    """

    dataset: str
    pooling: tuple[str, ...]
    inputs: str = "pooled"
    variants: tuple[str, ...] = ()
    judge_copies: bool = False
    hidden: int = 0  # 0: linear
    dropout: float = 0.0
    input_dropout: float = 0.0
    class_weights: str = "sqrt"
    smoothing: float = 0.05
    emotions: bool = False
    noise: float = 0.0
    mix: tuple[str, ...] = ()
    mix_rate: float = 0.0
    mirror: float = 0.0
    balance_sources: bool = False
    balance: bool = False
    hold_out: bool = True


class TabularNetwork(nn.Module):
    """Linear classifier, or one hidden layer of GELU units; dropout on inputs and hidden units.

    `sentiments` gives the sentiment of each output: with emotions as outputs, anger and sadness
    need not look alike to be both negative.
    """

    def __init__(
        self,
        inputs: int,
        *,
        hidden: int,
        dropout: float,
        input_dropout: float = 0.0,
        sentiments: Sequence[int] = tuple(Sentiment),
    ) -> None:
        super().__init__()
        outputs = len(sentiments)
        layers: list[nn.Module] = [nn.Dropout(input_dropout), nn.Linear(inputs, hidden or outputs)]
        if hidden:
            layers += [nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, outputs)]
        self.layers = nn.Sequential(*layers)
        self.sentiments = tuple(sentiments)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits, shape (batch, 3): log of the summed probabilities of each sentiment's outputs."""
        return sum_to_sentiments(self.layers(features), self.sentiments)


def mirrored_columns(names: Sequence[str]) -> list[int]:
    """Where each column finds its mirror image: Left and Right change places.

    >>> mirrored_columns(["smileLeft.mean", "jawOpen.mean", "smileRight.mean"])
    [2, 1, 0]
    """
    swap = {"Left": "Right", "Right": "Left", "left": "right", "right": "left"}
    position = {name: i for i, name in enumerate(names)}
    other = [re.sub("|".join(swap), lambda m: swap[m[0]], name) for name in names]
    return [position.get(name, i) for i, name in enumerate(other)]


class Ensemble(nn.Module):
    """Average of the members' logits."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, features: Tensor) -> Tensor:
        """Return mean logits, shape (batch, 3)."""
        return torch.stack([member(features) for member in self.members]).mean(0)


class TabularBatch(NamedTuple):
    """Normalised features (batch, inputs); labels, outputs to aim at and item weights (batch,)."""

    features: Tensor
    labels: Tensor
    outputs: Tensor
    weights: Tensor


class TabularTask:
    """Three-way classification of normalised pooled features."""

    def __init__(
        self,
        config: TabularTaskConfig,
        *,
        train: tuple[FloatArray, IntArray],
        val: tuple[FloatArray, IntArray],
        outputs: IntArray,
        item_weights: FloatArray,
        batch_size: int,
    ) -> None:
        self.config, self.batch_size = config, batch_size
        self.outputs = torch.tensor(outputs)
        self.features = torch.tensor(train[0], dtype=torch.float32)
        self.labels = torch.tensor(train[1])
        self.item_weights = torch.tensor(item_weights, dtype=torch.float32)
        self.val = (torch.tensor(val[0], dtype=torch.float32), val[1])
        counts = np.bincount(train[1], minlength=len(Sentiment))
        self.weights = torch.tensor(class_weights(counts, config.class_weights), dtype=torch.float32)
        self.mixed = torch.tensor(
            [any(fnmatch.fnmatchcase(name, p) for p in config.mix) for name in config.pooling]
        )
        self.mirrored = torch.tensor(mirrored_columns(config.pooling))

    def batches_per_epoch(self) -> int:
        """Count the batches of one epoch."""
        return -(-len(self.labels) // self.batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[TabularBatch]:
        """Shuffle and cut."""
        order = rng.permutation(len(self.labels))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield TabularBatch(
                self.features[rows], self.labels[rows], self.outputs[rows], self.item_weights[rows]
            )

    def loss(self, network: TabularNetwork, batch: TabularBatch) -> Tensor:
        """Weighted, smoothed cross-entropy on augmented features; half of it on emotions if known."""
        x = self._augment(batch.features)
        smoothing = self.config.smoothing
        loss = cross_entropy(network(x), batch.labels, label_smoothing=smoothing, reduction="none")
        if self.config.emotions:
            fine = network.layers(x)
            loss = (
                loss + cross_entropy(fine, batch.outputs, label_smoothing=smoothing, reduction="none")
            ) / 2
        return (self.weights[batch.labels] * batch.weights * loss).mean()

    def _augment(self, x: Tensor) -> Tensor:
        if self.config.mirror:
            x = torch.where(torch.rand(len(x), 1) < self.config.mirror, x[:, self.mirrored], x)
        if self.config.mix_rate:
            # One partner and one share per sample keep the movements of a mouth consistent.
            partner, share = x[torch.randperm(len(x))], torch.rand(len(x), 1)
            chosen = (torch.rand(len(x), 1) < self.config.mix_rate) & self.mixed
            x = torch.where(chosen, share * partner + (1 - share) * x, x)
        return x + self.config.noise * torch.randn_like(x) if self.config.noise else x

    def parameters(self, network: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
        """One group."""
        return [{"params": list(network.parameters()), "lr": config.learning_rate}]

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Macro-F1 on the fold left out."""
        predicted = network(self.val[0]).argmax(1).numpy()
        return {"score": macro_f1(self.val[1], predicted)}
