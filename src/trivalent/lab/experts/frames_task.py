"""A network over frames (the voice) as a `Task`: batches of augmented takes, loss, validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trivalent.core.errors import RecipeError
from trivalent.core.types import Sentiment
from trivalent.features.frames import CHANNELS
from trivalent.lab.datasets.voice_takes import Frames, TakeData
from trivalent.lab.experts.cross_fit import cell_weights
from trivalent.lab.experts.sources import SOURCES
from trivalent.lab.fit.losses import class_weights
from trivalent.lab.fit.training import TrainingConfig
from trivalent.lab.measure.metrics import macro_f1
from trivalent.lab.networks.temporal import TemporalNetwork

_VALIDATION_BATCH = 52


@dataclass(frozen=True)
class FramesTaskConfig:
    """Data, network and augmentation of an expert over frames.

    Attributes
    ----------
    dataset : str
        One of `SOURCES` that has frames.
    inputs : str
        `frames`; what sets such a recipe apart from a pooled one.
    channels : tuple of str
        See `trivalent.features.frames`: the network's inputs.
    variants : tuple of str
        Altered copies of the recordings that are trained on besides the clean ones.
    altered : float
        Probability that a take is drawn from all its copies; otherwise it is the clean one.
    crop_rate, crop_least : float
        Probability that a take is cut, and the least share of it that is kept.
    masked_steps, masked_channels : int
        Two stretches of up to so many steps, and a run of up to so many channels, are set to 0.
    mixup, mixup_rate : float
        Parameter of the Beta distribution and probability that a batch is mixed with itself
        (Zhang et al., ICLR 2018); the greater share goes to the take itself.
    balance : bool
        Draw every class of every collection equally often, instead of each take once.
    draws : int
        Takes of an epoch, 0 for as many as there are.
    alone : float
        Probability that a take stands for a recording of its own; else it is heard among up to
        `company` others of its speaker. Matters to the channels of `LEVELS` only.
    """

    dataset: str
    inputs: str = "frames"
    channels: tuple[str, ...] = CHANNELS
    variants: tuple[str, ...] = ()
    width: int = 64
    dropout: float = 0.4
    class_weights: str = "sqrt"
    smoothing: float = 0.05
    altered: float = 0.75
    crop_rate: float = 0.5
    crop_least: float = 0.75
    masked_steps: int = 12
    masked_channels: int = 5
    mixup: float = 0.3
    mixup_rate: float = 0.5
    balance: bool = False
    draws: int = 0
    alone: float = 0.4
    company: int = 12

    def __post_init__(self) -> None:
        framed = [name for name, source in SOURCES.items() if source.takes]
        if self.dataset not in framed or self.inputs != "frames":
            raise RecipeError(
                "training.frames_dataset",
                framed=" or ".join(framed),
                dataset=self.dataset,
                inputs=self.inputs,
            )
        if self.masked_channels > len(self.channels):
            raise RecipeError(
                "training.frames_task_masked",
                count=len(self.channels),
                masked_channels=self.masked_channels,
            )


class FramesBatch(NamedTuple):
    """Frames (batch, steps, channels), mask (batch, steps); labels and emotions (batch,).

    Row i is to be mixed with row `partner[i]`; `share` is its own part, 1 without mixing.
    """

    frames: Tensor
    mask: Tensor
    labels: Tensor
    emotions: Tensor
    partner: Tensor
    share: float


class FramesTask:
    """Sentiment, and the emotion it comes from, of takes of different lengths.

    Parameters
    ----------
    train, val : TakeData
        Scaled; takes to train and to validate on.
    """

    def __init__(
        self, config: FramesTaskConfig, *, train: TakeData, val: TakeData, batch_size: int
    ) -> None:
        self.config, self.train, self.val = config, train, val
        self.draws = config.draws or len(train)
        self.batch_size = min(batch_size, self.draws)
        labels, self.chances = train.labels, None
        if config.balance:
            self.chances = cell_weights(train.sources, labels) / len(train)
        counts = np.bincount(labels, minlength=len(Sentiment))
        weights = class_weights(counts, config.class_weights)
        self.weights = torch.tensor(weights / weights[labels].mean(), dtype=torch.float32)
        self.company = {who: np.flatnonzero(train.speakers == who) for who in np.unique(train.speakers)}

    def batches_per_epoch(self) -> int:
        """Count the whole batches; the rest of an epoch is left out."""
        return self.draws // self.batch_size

    def batches(self, rng: np.random.Generator) -> Iterator[FramesBatch]:
        """Shuffle or draw, cut, augment."""
        if self.chances is None:
            order = rng.permutation(len(self.train))[: self.draws]
        else:
            order = rng.choice(len(self.train), self.draws, p=self.chances)
        for b in range(self.batches_per_epoch()):
            rows = order[b * self.batch_size : (b + 1) * self.batch_size]
            takes = [self._masked(self._cropped(self._copy(i, rng), rng), rng) for i in rows.tolist()]
            share, partner = 1.0, np.arange(len(rows))
            if rng.random() < self.config.mixup_rate and self.config.mixup:
                drawn = rng.beta(self.config.mixup, self.config.mixup)
                share, partner = float(max(drawn, 1 - drawn)), rng.permutation(len(rows))
            frames, mask = pad_frames(takes)
            yield FramesBatch(
                frames,
                mask,
                torch.from_numpy(self.train.labels[rows]),
                torch.from_numpy(self.train.emotions[rows]),
                torch.from_numpy(partner),
                share,
            )

    def _copy(self, i: int, rng: np.random.Generator) -> Frames:
        copies = self.train.copies[i]
        altered = rng.random() < self.config.altered
        take = copies[int(rng.integers(len(copies)))] if altered else copies[0]
        if not self.train.levels.any() or rng.random() < self.config.alone:
            return take
        company = self.company[self.train.speakers[i]]
        others = rng.choice(company, int(rng.integers(1, self.config.company + 1)))
        return self.train.among(i, others[others != i], take)

    def _cropped(self, take: Frames, rng: np.random.Generator) -> Frames:
        if rng.random() >= self.config.crop_rate:
            return take
        kept = max(1, int(len(take) * rng.uniform(self.config.crop_least, 1)))
        start = rng.integers(len(take) - kept + 1)
        return take[start : start + kept]

    def _masked(self, take: Frames, rng: np.random.Generator) -> Frames:
        out = take.copy()
        for _ in range(2):
            length = int(rng.integers(self.config.masked_steps + 1))
            start = rng.integers(max(1, len(out) - length))
            out[start : start + length] = 0
        count = int(rng.integers(self.config.masked_channels + 1))
        start = rng.integers(out.shape[1] - count + 1)
        out[:, start : start + count] = 0
        return out

    def loss(self, network: TemporalNetwork, batch: FramesBatch) -> Tensor:
        """Weighted, smoothed cross-entropy, half of it on emotions, half on their sentiments."""
        frames, mask = batch.frames, batch.mask
        if batch.share == 1.0:
            fine = network.fine(frames, mask)
            return self._losses(network, fine, batch.labels, batch.emotions).mean()
        frames = batch.share * frames + (1 - batch.share) * frames[batch.partner]
        fine = network.fine(frames, torch.maximum(mask, mask[batch.partner]))
        own = self._losses(network, fine, batch.labels, batch.emotions)
        other = self._losses(network, fine, batch.labels[batch.partner], batch.emotions[batch.partner])
        return (batch.share * own + (1 - batch.share) * other).mean()

    def _losses(self, network: TemporalNetwork, fine: Tensor, labels: Tensor, emotions: Tensor) -> Tensor:
        smoothing = self.config.smoothing
        three = network.to_sentiments(fine)
        by_emotion = cross_entropy(fine, emotions, label_smoothing=smoothing, reduction="none")
        by_sentiment = cross_entropy(three, labels, label_smoothing=smoothing, reduction="none")
        return self.weights[labels] * (by_emotion + by_sentiment) / 2

    def parameters(self, network: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
        """One group."""
        return [{"params": list(network.parameters()), "lr": config.learning_rate}]

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Macro-F1 on the fold left out."""
        logits = logits_of_takes(network, self.val.with_speaker(np.arange(len(self.val))))
        return {"score": macro_f1(self.val.labels, logits.argmax(1))}


def pad_frames(takes: Sequence[Frames]) -> tuple[Tensor, Tensor]:
    """Pad takes to (batch, steps, channels) with a mask (batch, steps) of 0 and 1.

    >>> frames, mask = pad_frames([np.ones((2, 3), np.float32), np.ones((1, 3), np.float32)])
    >>> frames.shape, mask.tolist()
    (torch.Size([2, 2, 3]), [[1.0, 1.0], [1.0, 0.0]])
    """
    longest = max(len(take) for take in takes)
    frames = torch.zeros(len(takes), longest, takes[0].shape[1])
    mask = torch.zeros(len(takes), longest)
    for i, take in enumerate(takes):
        frames[i, : len(take)] = torch.from_numpy(take)
        mask[i, : len(take)] = 1
    return frames, mask


@torch.inference_mode()
def logits_of_takes(network: nn.Module, takes: Sequence[Frames]) -> NDArray[np.float32]:
    """Return logits (takes, 3) of a network in evaluation mode."""
    parts = [takes[i : i + _VALIDATION_BATCH] for i in range(0, len(takes), _VALIDATION_BATCH)]
    return np.concatenate([network(*pad_frames(part)).numpy() for part in parts])
