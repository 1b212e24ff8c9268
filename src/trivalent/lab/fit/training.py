"""The one training loop.

A `Task` says what a batch is, what its loss is and how a network is judged; the loop owns
the optimiser, the schedule, the averaged weights, the choice of the epoch on validation
data, and checkpoints from which a killed run continues to the same result.

What is trained are members: a batched ensemble (`Members`), or a plain network, which is one. Clipping,
learning rate, history and the chosen epoch are each member's own.
"""

from __future__ import annotations

import copy
import logging
import math
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from trivalent.core.errors import RecipeError, UsageError
from trivalent.lab.fit.members import Members, Single
from trivalent.lab.fit.training_progress import TrainingProgress

log = logging.getLogger(__name__)
Network = TypeVar("Network", bound=nn.Module)
Given = TypeVar("Given", bound=nn.Module, contravariant=True)
Batch = TypeVar("Batch")
PLATEAU_THRESHOLD = 1e-4  # relative gain that counts, as in torch's ReduceLROnPlateau


class Schedule(StrEnum):
    """How the learning rate changes."""

    COSINE = "cosine"  # a linear rise, then a cosine to zero
    PLATEAU = "plateau"  # smaller when the validation score has not risen for a while
    CONSTANT = "constant"


class Optimizer(StrEnum):
    """Adam with decoupled weight decay, or with decay in the gradient."""

    ADAMW = "adamw"
    ADAM = "adam"


class Task(Protocol[Given, Batch]):
    """What the loop needs to know about a problem."""

    def batches(self, rng: Any) -> Iterator[Batch]:
        """Yield the batches of one epoch; `rng` is a NumPy generator, for `Members` a list of them."""

    def batches_per_epoch(self) -> int:
        """Count them beforehand, for the schedule."""

    def loss(self, network: Given, batch: Batch) -> Tensor:
        """Return the scalar to minimise, for `Members` the sum of theirs."""

    def parameters(self, network: Given, config: TrainingConfig) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups."""

    def validate(self, network: Given) -> Mapping[str, Any]:
        """Return validation metrics; `score` is what the epoch is chosen by (higher is better).

        Each is a number, for `Members` one of shape (members,).
        """


@dataclass(frozen=True)
class TrainingConfig:
    """Hyper-parameters of the loop; all chosen on validation data."""

    epochs: float = 3.0
    batch_size: int = 32
    learning_rate: float = 6e-5
    head_learning_rate: float = 1e-3
    pretrained_learning_rate: float = 5e-5  # of what a fusion network took over from another
    layer_decay: float = 1.0  # factor on the rate per layer below the top one
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup: float = 0.1  # share of the steps, before the cosine
    plateau_factor: float = 0.5  # on the rate, each time the plateau is left
    plateau_patience: int = 3  # validations without a gain that are borne
    averaging: float = 0.0  # decay of the exponential moving average of the weights, 0 is off
    validations_per_epoch: int = 1  # 0: only at the end, no epoch is chosen
    clip: float = 1.0  # greatest norm of the gradient, 0 is off
    seed: int = 0  # of a plain network; members have their own
    device: str = "cpu"  # or cuda, if the task's data is there, too

    def __post_init__(self) -> None:
        for name, choices in (("schedule", Schedule), ("optimizer", Optimizer)):
            value, known = getattr(self, name), [c.value for c in choices]
            if value not in known:
                raise RecipeError("training.choice", name=name, known=list(known), value=value)


@dataclass
class Fitted(Generic[Network]):
    """A trained network and how it came about.

    Attributes
    ----------
    network : nn.Module
        With the weights of its best validation; for `Members`, of each member's own best.
    best : dict of str to float
        Metrics of that validation; for `Members`, means over them.
    history : list of dict
        Metrics of all validations; for `Members`, means over them.
    members : list of Fitted
        Each member as a plain network, in order.
    """

    network: Network
    best: dict[str, float]
    history: list[dict[str, float]] = field(default_factory=list)
    members: list[Fitted[nn.Module]] = field(default_factory=list)


def fit(
    network: Network, task: Task[Network, Any], *, config: TrainingConfig, checkpoint: Path | None = None
) -> Fitted[Network]:
    """Train a network, or `Members`, and return it with the weights of its best validation.

    Parameters
    ----------
    checkpoint : Path, optional
        Written atomically at every validation; an existing one is continued.

    Raises
    ------
    UsageError
        Members have no seeds, or the checkpoint is of other seeds.
    """
    members = network if isinstance(network, Members) else Single(network, seed=config.seed)
    if not members.seeds:
        raise UsageError("training.no_members")
    fitted = _Loop(members, task, config, checkpoint).run()
    return cast("Fitted[Network]", fitted)


class _Loop(Generic[Batch]):
    def __init__(
        self,
        members: Members | Single,
        task: Task[Any, Batch],
        config: TrainingConfig,
        checkpoint: Path | None,
    ) -> None:
        self.members, self.task, self.config = members, task, config
        self.network = members.network.to(config.device)
        self.checkpoint, self.seeds = checkpoint, members.seeds
        self.per_epoch = task.batches_per_epoch()
        self.total = max(1, round(config.epochs * self.per_epoch))
        # The members whose weights are validated and kept.
        self.averaged = copy.deepcopy(members) if config.averaging else members
        self.optimizer = _new_optimizer(
            task.parameters(self.network, config), config=config, fused=members.fused
        )
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.plateaus = [_Plateau(config.plateau_factor, config.plateau_patience) for _ in self.seeds]
        self.step = 0
        # Of each member.
        self.histories: list[list[dict[str, float]]] = [[] for _ in self.seeds]
        self.bests: list[dict[str, float]] = [{"score": -math.inf} for _ in self.seeds]
        self.best_weights: dict[str, Tensor] = {}

    def run(self) -> Fitted[nn.Module]:
        _seed_everything(self.config.seed)
        self._resume()
        validations = self.config.validations_per_epoch
        every = max(1, self.per_epoch // validations) if validations else self.total
        with TrainingProgress(self.total, done=self.step, loud=bool(validations)) as progress:
            while self.step < self.total:
                epoch, done = divmod(self.step, self.per_epoch)
                for i, batch in enumerate(self.task.batches(self.members.generators(epoch))):
                    if i < done or self.step >= self.total:
                        continue
                    loss = self._update(batch)
                    progress.stepped(self.step, loss, members=len(self.seeds))
                    if self.step % every == 0 or self.step == self.total:
                        progress.validated(self._validate())
        self.averaged.network.load_state_dict(self.best_weights)
        return self._fitted()

    def _update(self, batch: Batch) -> Tensor:
        # Dropout and augmentation depend on the step alone: the same after a resumption.
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        rate, rates = 1.0, [1.0]
        if self.config.schedule == Schedule.COSINE:
            rate = _schedule(self.step / self.total, self.config.warmup)
        elif self.config.schedule == Schedule.PLATEAU:
            rates = [plateau.rate for plateau in self.plateaus]
        for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = base * rate
        self.network.train()
        loss = self.task.loss(self.network, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.clip:
            self.members.clip_gradients(self.config.clip)
        self.members.step(self.optimizer, rates)
        self.step += 1
        if self.config.averaging:
            self._average()
        return loss.detach()

    @torch.no_grad()
    def _average(self) -> None:
        # A short memory at first: otherwise the initial weights linger for thousands of steps.
        decay = min(self.config.averaging, self.step / (self.step + 10))
        for mean, new in zip(_averaged(self.averaged.network), _averaged(self.network), strict=True):
            mean.lerp_(new, 1 - decay)

    def _validate(self) -> dict[str, float]:
        network = self.averaged.network.eval()
        with torch.inference_mode():
            metrics = self.task.validate(network)
        members = _by_member(metrics, len(self.seeds))
        better = []
        for k, member in enumerate(members):
            member["epoch"] = self.step / self.per_epoch
            self.histories[k].append(member)
            self.plateaus[k].update(member["score"])
            better.append(member["score"] > self.bests[k]["score"])
            if better[k]:
                self.bests[k] = member
        self._keep(better)
        self._save()
        return _mean(members)

    def _keep(self, better: Sequence[bool]) -> None:
        """Copy the weights of those that are better than before."""
        weights = self.averaged.network.state_dict()
        if all(better) or not self.best_weights:
            self.best_weights = {k: v.detach().clone() for k, v in weights.items()}
        elif any(better):  # some members
            rows = torch.tensor(better, device=self.config.device)
            for name, value in weights.items():
                self.best_weights[name][rows] = value.detach()[rows]

    def _fitted(self) -> Fitted[nn.Module]:
        network = self.averaged.network.eval()
        parts = zip(self.averaged.split(), self.bests, self.histories, strict=True)
        members = [Fitted(*part) for part in parts]
        history = [_mean(found) for found in zip(*self.histories, strict=True)]
        return Fitted(network, _mean(self.bests), history, members)

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "averaged": self.averaged.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "histories": self.histories,
            "bests": self.bests,
            "best_weights": self.best_weights,
            "plateaus": [vars(plateau) for plateau in self.plateaus],
            "seeds": list(self.seeds),
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True, map_location=self.config.device)
        # The first checkpoints had neither seeds nor plateaus, later ones the figures of one network.
        if state.get("seeds", list(self.seeds)) != list(self.seeds):
            raise UsageError(
                "training.checkpoint",
                seeds=list(self.seeds),
                state=state["seeds"],
                checkpoint=self.checkpoint,
            )
        self.step = state["step"]
        self.histories = state.get("histories") or [state["history"]]
        self.bests = state.get("bests") or [state["best"]]
        self.network.load_state_dict(state["network"])
        self.averaged.network.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best_weights = state["best_weights"]
        for plateau, known in zip(self.plateaus, state.get("plateaus", []), strict=False):
            vars(plateau).update(known)
        log.info("continuing at step %d of %d", self.step, self.total)


@dataclass
class _Plateau:
    """One member's rate, as torch's ReduceLROnPlateau (mode max, relative threshold) sets it."""

    factor: float
    patience: int
    rate: float = 1.0
    best: float = -math.inf
    waited: int = 0

    def update(self, score: float) -> None:
        # A negative score rises towards zero, hence the absolute value.
        if self.best == -math.inf or score > self.best + PLATEAU_THRESHOLD * abs(self.best):
            self.best, self.waited = score, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.rate, self.waited = self.rate * self.factor, 0


def _new_optimizer(
    groups: list[dict[str, Any]], *, config: TrainingConfig, fused: bool | None
) -> torch.optim.Optimizer:
    kinds = {Optimizer.ADAMW: torch.optim.AdamW, Optimizer.ADAM: torch.optim.Adam}
    return kinds[Optimizer(config.optimizer)](groups, weight_decay=config.weight_decay, fused=fused)


def _by_member(metrics: Mapping[str, Any], size: int) -> list[dict[str, float]]:
    """Turn metrics, numbers or of shape (members,), into one mapping per member."""
    rows = {name: np.broadcast_to(np.asarray(value, float), size) for name, value in metrics.items()}
    return [{name: float(row[k]) for name, row in rows.items()} for k in range(size)]


def _mean(members: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(own[name] for own in members) / len(members) for name in members[0]}


def _averaged(network: nn.Module) -> list[Tensor]:
    """List what the moving average covers: the weights, and the running statistics of BatchNorm layers."""
    running = ("running_mean", "running_var")
    return [*network.parameters(), *(b for name, b in network.named_buffers() if name.endswith(running))]


def _schedule(progress: float, warmup: float) -> float:
    """Linear rise, then a cosine to zero."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def _seed_everything(seed: int) -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuda is not deterministic
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # Nothing here reads memory that nobody wrote; filling it took a tenth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
