"""The one training loop.

A `Task` says what a batch is, what its loss is and how a network is judged; the loop owns
the optimiser, the schedule, the averaged weights, the choice of the epoch on validation
data, and checkpoints from which a killed run continues to the same result.
"""

from __future__ import annotations

import copy
import logging
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)
Batch = TypeVar("Batch")
TELL_EVERY_S = 30.0


class Task(Protocol[Batch]):
    """What the loop needs to know about a problem."""

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch."""

    def batches_per_epoch(self) -> int:
        """Count them beforehand, for the schedule."""

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the scalar to minimise."""

    def parameters(self, network: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups."""

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return validation metrics; `score` is what the epoch is chosen by (higher is better)."""


@dataclass(frozen=True)
class TrainingConfig:
    """Hyper-parameters of the loop; all chosen on validation data."""

    epochs: float = 3.0
    batch_size: int = 32
    learning_rate: float = 6e-5
    head_learning_rate: float = 1e-3
    layer_decay: float = 1.0  # factor on the rate per layer below the top one
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of the steps
    averaging: float = 0.0  # decay of the exponential moving average of the weights, 0 is off
    validations_per_epoch: int = 1  # 0: only at the end, no epoch is chosen
    clip: float = 1.0
    seed: int = 0


@dataclass
class Fitted:
    """A trained network and how it came about."""

    network: nn.Module
    best: dict[str, float]
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    network: nn.Module, task: Task[Any], *, config: TrainingConfig, checkpoint: Path | None = None
) -> Fitted:
    """Train a network and return it with the weights of its best validation.

    Parameters
    ----------
    checkpoint : Path, optional
        Written atomically at every validation; an existing one is continued.
    """
    return _Loop(network, task, config, checkpoint).run()


class _Loop(Generic[Batch]):
    def __init__(
        self, network: nn.Module, task: Task[Batch], config: TrainingConfig, checkpoint: Path | None
    ) -> None:
        self.network, self.task, self.config, self.checkpoint = network, task, config, checkpoint
        self.per_epoch = task.batches_per_epoch()
        self.total = max(1, round(config.epochs * self.per_epoch))
        self.averaged = copy.deepcopy(network) if config.averaging else network
        self.optimizer = torch.optim.AdamW(
            task.parameters(network, config), weight_decay=config.weight_decay
        )
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.step = 0
        self.told = time.monotonic()
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] = {"score": -math.inf}
        self.best_weights: dict[str, Tensor] = {}

    def run(self) -> Fitted:
        _seed_everything(self.config.seed)
        self._resume()
        chosen = self.config.validations_per_epoch
        every = max(1, self.per_epoch // chosen) if chosen else self.total
        while self.step < self.total:
            epoch, done = divmod(self.step, self.per_epoch)
            # Each epoch has its own generator, so that a resumed run sees the same batches.
            batches = self.task.batches(np.random.default_rng((self.config.seed, epoch)))
            for i, batch in enumerate(batches):
                if i < done or self.step >= self.total:
                    continue
                self._update(batch)
                if self.step % every == 0 or self.step == self.total:
                    self._validate()
        self.averaged.load_state_dict(self.best_weights)
        return Fitted(self.averaged.eval(), self.best, self.history)

    def _update(self, batch: Batch) -> None:
        # Dropout and augmentation depend on the step alone: the same after a resumption.
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        rate = _schedule(self.step / self.total, self.config.warmup)
        for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = base * rate
        self.network.train()
        loss = self.task.loss(self.network, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        self.step += 1
        if self.config.averaging:
            # A short memory at first: otherwise the initial weights linger for thousands of steps.
            decay = min(self.config.averaging, self.step / (self.step + 10))
            with torch.no_grad():
                for mean, new in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                    mean.lerp_(new, 1 - decay)
        if time.monotonic() - self.told > TELL_EVERY_S:
            self.told = time.monotonic()
            log.info("step %d/%d loss %.4f", self.step, self.total, loss.item())

    def _validate(self) -> None:
        self.averaged.eval()
        with torch.inference_mode():
            metrics = self.task.validate(self.averaged)
        metrics["epoch"] = self.step / self.per_epoch
        self.history.append(metrics)
        if metrics["score"] > self.best["score"]:
            self.best = metrics
            self.best_weights = {k: v.detach().clone() for k, v in self.averaged.state_dict().items()}
        log.log(
            logging.INFO if self.config.validations_per_epoch else logging.DEBUG,
            "validation %s",
            {k: round(v, 4) for k, v in metrics.items()},
        )
        self._save()

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history,
            "best": self.best,
            "best_weights": self.best_weights,
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True)
        self.step, self.history, self.best = state["step"], state["history"], state["best"]
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best_weights = state["best_weights"]
        log.info("continuing at step %d of %d", self.step, self.total)


def _schedule(progress: float, warmup: float) -> float:
    """Linear rise, then a cosine to zero."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
