"""Fusion networks on pooled features of several modalities as a `Task`, for many seeds at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap
from torch.nn.functional import cross_entropy

from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import FloatArray, IntArray, Modality, Sentiment
from trivalent.lab.fit.loss_functions import weighted_mean
from trivalent.lab.fit.members import Members
from trivalent.lab.fit.training import TrainingConfig
from trivalent.lab.fusion.target import THREE, Target
from trivalent.lab.networks.base import FusionNetwork
from trivalent.lab.networks.presence import drop_modalities

Inputs = dict[Modality, Tensor]
Loss = Callable[..., Tensor]
# Batches for which chance is drawn at once: few calls, and a bounded memory for large corpora.
BLOCK = 64
_CELLS = 8_000_000  # of a modality, or of attention over its steps, that are judged at once by a member


def mean_cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean over the samples of a batch, each counting its weight; the default loss."""
    return weighted_mean(cross_entropy(logits, labels, reduction="none"), weight)


@dataclass(frozen=True)
class FusionData:
    """Samples with the features of their modalities.

    Attributes
    ----------
    features : dict of Modality to float Tensor, shape (n, width) or (n, steps, width)
        Rows of absent modalities may hold anything.
    present : dict of Modality to bool or float Tensor, shape (n,) or (n, steps)
        Zero where a modality is absent.
    labels : int64 Tensor, shape (n,)
    weights : float Tensor, shape (n,), optional
        What a sample counts in the loss.
    scores : float Tensor, shape (n,), optional
        Annotated, in [-3, 3].

    Raises
    ------
    DataError
        Modalities or numbers of samples do not agree, or there are none.
    """

    features: Inputs
    present: Inputs
    labels: Tensor
    weights: Tensor | None = None
    scores: Tensor | None = None

    def __post_init__(self) -> None:
        if not self.features or self.features.keys() != self.present.keys():
            raise DataError(
                "training.problem_presence",
                features=", ".join(self.features) or "(none)",
                present=", ".join(self.present) or "none",
            )
        columns = {**{f"{m} features": x for m, x in self.features.items()}, "weights": self.weights}
        columns["scores"] = self.scores
        columns |= {f"{m} presence": x for m, x in self.present.items()}
        for name, x in columns.items():
            if x is not None and len(x) != len(self.labels):
                raise DataError("training.problem_labels", name=name, count=len(self.labels), count2=len(x))
        if not len(self.labels):
            raise DataError("training.problem_empty")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def truth(self) -> tuple[Tensor, ...]:
        """What a loss is given beside the outputs: labels, and scores and weights where there are any."""
        return tuple(x for x in (self.labels, self.scores, self.weights) if x is not None)

    def to(self, device: str) -> FusionData:
        """Move all tensors."""
        return replace(
            self,
            features={m: x.to(device) for m, x in self.features.items()},
            present={m: x.to(device) for m, x in self.present.items()},
            labels=self.labels.to(device),
            weights=None if self.weights is None else self.weights.to(device),
            scores=None if self.scores is None else self.scores.to(device),
        )


class FusionBatch(NamedTuple):
    """One batch of every member.

    Attributes
    ----------
    block : int64 Tensor, shape (members, samples of the block)
        Which samples a block of batches has, this one among them.
    part : slice
        Where this batch lies in the block.
    seeds : tuple of int
        Of the members, for what is drawn for the block.
    shares : float Tensor, shape (members,), optional
        What a sample keeps of itself in mixup.
    """

    block: Tensor
    part: slice
    seeds: tuple[int, ...]
    shares: Tensor | None


class _Chance(NamedTuple):
    """Drawn for a block: masks of dropout layers, and modalities to be seen; (members, samples, ...)."""

    network: Members
    seeds: tuple[int, ...]
    masks: dict[str, Tensor]
    present: Inputs

    def fits(self, network: Members, seeds: tuple[int, ...]) -> bool:
        return self.network is network and self.seeds == seeds


class FusionTask:
    """Sentiment of multimodal features by `Members`: three classes, or what a `Target` makes of them.

    All that is random for member k comes from its own generator, so that a member learns what it
    would learn alone. A network is called with
    (features, present) and returns outputs (batch, n); the own losses of a `FusionNetwork` count.

    Parameters
    ----------
    train, val : FusionData
    batch_size : int
    loss : callable of (outputs, labels), and of the scores and weights if `train` has them
        Returns a scalar or one loss per sample; must run under `torch.func.vmap`. See
        `trivalent.lab.fit.losses.build_loss`.
    rows : sequence of int arrays, optional
        Samples of `train` that each member is trained on, in the order of the members: resampled
        with repetitions, or with synthetic samples that follow the real ones in `train`. Equally
        many for all, as members make the same number of steps. By default, all samples.
    modality_dropout : float
        Probability that a modality is hidden from a sample in training, see `drop_modalities`.
    mixup : float
        Parameter of the Beta distribution of mixup (Zhang et al., ICLR 2018, algorithm 1), 0 is off. Only
        modalities that both samples have are mixed.
    target : Target
        How outputs are read. The epoch is chosen by macro-F1, with scores by macro-F1 minus their mean
        absolute error: that error alone is least long before the classes are learned.
    watched : FusionData, optional
        Training samples whose loss and macro-F1 are told at every validation, for curves.
    device : str
        That of the `TrainingConfig`; the data is moved there once.

    Raises
    ------
    UsageError
        Members have different numbers of rows.
    """

    def __init__(
        self,
        train: FusionData,
        val: FusionData,
        *,
        batch_size: int,
        loss: Loss = mean_cross_entropy,
        rows: Sequence[IntArray] | None = None,
        modality_dropout: float = 0.0,
        mixup: float = 0.0,
        target: Target = THREE,
        watched: FusionData | None = None,
        device: str = "cpu",
    ) -> None:
        self.target, self.watched = target, None if watched is None else watched.to(device)
        self.train, self.val = train.to(device), val.to(device)
        self.batch_size, self.criterion, self.device = batch_size, loss, device
        self.modality_dropout, self.mixup = modality_dropout, mixup
        self.rows = None if rows is None else [np.asarray(r) for r in rows]
        lengths = sorted({len(r) for r in self.rows}) if self.rows is not None else [len(train)]
        if len(lengths) != 1 or not lengths[0]:
            raise UsageError("training.problem_row_counts", lengths=lengths)
        self.count = lengths[0]
        self._drawn: _Chance | None = None

    def batches_per_epoch(self) -> int:
        """Count the batches of one epoch."""
        return -(-self.count // self.batch_size)

    def batches(self, rng: Sequence[np.random.Generator]) -> Iterator[FusionBatch]:
        """Shuffle each member's samples by its generator and cut."""
        if self.rows is not None and len(self.rows) != len(rng):
            raise UsageError("training.problem_rows", count=len(rng), count2=len(self.rows))
        steps, size = self.batches_per_epoch(), self.batch_size
        order = [r.permutation(self.count) for r in rng]
        seeds = np.stack([r.integers(2**63, size=-(-steps // BLOCK)) for r in rng])
        shares = torch.from_numpy(np.stack([self._shares(r, steps) for r in rng])).to(self.device)
        chosen = order if self.rows is None else [own[o] for own, o in zip(self.rows, order, strict=True)]
        blocks = torch.from_numpy(np.stack(chosen)).to(self.device).split(BLOCK * size, 1)
        for step in range(steps):
            number, place = divmod(step, BLOCK)
            yield FusionBatch(
                blocks[number],
                slice(place * size, (place + 1) * size),
                tuple(seeds[:, number].tolist()),
                shares[:, step] if self.mixup else None,
            )

    def _shares(self, rng: np.random.Generator, steps: int) -> FloatArray:
        return rng.beta(self.mixup, self.mixup, steps) if self.mixup else np.ones(steps)

    def loss(self, network: Members, batch: FusionBatch) -> Tensor:
        """Sum the members' losses."""
        if self._drawn is None or not self._drawn.fits(network, batch.seeds):
            self._drawn = self._draw(network, batch)
        network.masks = {name: m[:, batch.part] for name, m in self._drawn.masks.items()}
        present = {m: x[:, batch.part] for m, x in self._drawn.present.items()}
        rows = batch.block[:, batch.part]
        features = {m: _take(x, rows) for m, x in self.train.features.items()}
        if batch.shares is not None:
            features, present = mix_samples(features, present, shares=batch.shares)
        outputs, own = _outputs(network, features, present)
        truth = [_take(x, rows) for x in self.train.truth]
        losses = self._losses(outputs, truth)
        if batch.shares is not None:
            others = self._losses(outputs, [partner(x) for x in truth])
            losses = batch.shares * losses + (1 - batch.shares) * others
        return (losses + own).sum()

    def _losses(self, outputs: Tensor, truth: Sequence[Tensor], *, shared: bool = False) -> Tensor:
        """Return losses (members,) of outputs (members, batch, n), given `FusionData.truth`."""
        places = (0, *(None if shared else 0 for _ in truth))
        losses = vmap(self.criterion, in_dims=places)(outputs, *truth)
        return losses if losses.dim() == 1 else losses.mean(1)

    def _draw(self, network: Members, batch: FusionBatch) -> _Chance:
        """Draw for a whole block: few calls, and the same when a run is resumed within the block."""
        generators = [torch.Generator().manual_seed(seed) for seed in batch.seeds]
        masks = network.draw_masks(batch.block.shape[1], generators=generators)
        present = {m: _take(x, batch.block) for m, x in self.train.present.items()}
        if self.modality_dropout:
            seen = [
                drop_modalities({m: x[k] for m, x in present.items()}, own, p=self.modality_dropout)
                for k, own in enumerate(generators)
            ]
            present = {m: torch.stack([own[m] for own in seen]) for m in present}
        moved = {name: mask.to(self.device) for name, mask in masks.items()}
        return _Chance(network, batch.seeds, moved, present)

    def parameters(self, network: Members, config: TrainingConfig) -> list[dict[str, Any]]:
        """Matrices, and apart from them offsets and scales of norms, which no decay pulls to zero.

        What was trained before has a rate of its own.
        """
        prefixes = network.pattern.pretrained if isinstance(network.pattern, FusionNetwork) else ()
        groups: dict[tuple[bool, bool], list[Tensor]] = {}
        for name, p in zip(network.names, network.stacked, strict=True):
            # the first axis is that of the members
            groups.setdefault((p.dim() > 2, name.startswith(prefixes)), []).append(p)
        return [
            {"params": own, "lr": config.pretrained_learning_rate if pretrained else config.learning_rate}
            | ({} if decayed else {"weight_decay": 0.0})
            for (decayed, pretrained), own in groups.items()
        ]

    def validate(self, network: Members) -> Mapping[str, Any]:
        """Loss and macro-F1 of each member, shape (members,), and the error of its scores."""
        found = self._judge(network, self.val)
        if self.watched is not None:
            found |= {f"train_{name}": value for name, value in self._judge(network, self.watched).items()}
        return found | {"score": found["macro_f1"] - found.get("mae", 0.0)}

    def _judge(self, network: Members, data: FusionData) -> dict[str, FloatArray]:
        outputs = predict(network, data.features, data.present)
        logits = self.target.logits(outputs)
        found = {
            "macro_f1": member_macro_f1(data.labels, logits.argmax(-1), classes=logits.shape[-1]),
            "loss": self._losses(outputs, data.truth, shared=True),
        }
        if data.scores is not None:
            found["mae"] = (self.target.score(outputs) - data.scores).abs().mean(-1)
        return {name: value.double().cpu().numpy() for name, value in found.items()}


def predict(network: Members, features: Inputs, present: Inputs) -> Tensor:
    """Ask all members about all samples, of long sequences a few at once; shape (members, n, outputs)."""
    cells = [max(x[0].numel(), x.shape[1] ** 2 if x.dim() == 3 else 0) for x in features.values()]
    size = max(1, _CELLS // max(cells))
    named = [{m: x.split(size) for m, x in own.items()} for own in (features, present)]
    parts = range(len(next(iter(named[0].values()))))
    found = [
        _outputs(network, *({m: x[i] for m, x in own.items()} for own in named), shared=True)[0]
        for i in parts
    ]
    return torch.cat(found, 1)


def mix_samples(features: Inputs, present: Inputs, *, shares: Tensor) -> tuple[Inputs, Inputs]:
    """Mix each sample with its `partner` where both have a modality; where one has it, take that one's.

    Parameters
    ----------
    features, present : dict of Modality to Tensor, shape (members, batch, ...)
    shares : Tensor, shape (members,)
        What a sample keeps of itself.
    """
    mixed, either = {}, {}
    for m, x in features.items():
        here = present[m].bool()  # (members, batch) or (members, batch, steps)
        there = partner(here)
        both = shares.view(-1, *[1] * (here.dim() - 1)).expand(here.shape)
        share = torch.where(here & there, both, here.to(both.dtype))
        share = share.view(*here.shape, *[1] * (x.dim() - here.dim())).to(x.dtype)
        # Absent rows may hold NaN, which a product with zero would keep.
        own = torch.where(here.view(*here.shape, *[1] * (x.dim() - here.dim())), x, torch.zeros_like(x))
        mixed[m] = share * own + (1 - share) * partner(own)
        either[m] = here | there
    return mixed, either


def partner(x: Tensor) -> Tensor:
    """Return the sample before, cyclically: as random as any other of a shuffled batch.

    x has shape (members, batch, ...).

    >>> partner(torch.tensor([[1, 2, 3]])).tolist()
    [[3, 1, 2]]
    """
    return x.roll(1, 1)


def member_macro_f1(labels: Tensor, predicted: Tensor, *, classes: int = len(Sentiment)) -> Tensor:
    """Return `metrics.macro_f1` of several predictions of the same samples.

    Parameters
    ----------
    labels : int64 Tensor, shape (n,)
    predicted : int64 Tensor, shape (members, n)
    classes : int

    Returns
    -------
    float64 Tensor, shape (members,)

    Examples
    --------
    >>> member_macro_f1(torch.tensor([0, 1, 2, 2]), torch.tensor([[0, 1, 2, 2], [0, 0, 0, 0]]))
    tensor([1.0000, 0.1333], dtype=torch.float64)
    """
    size = len(predicted)
    member = torch.arange(size, device=labels.device)[:, None]
    codes = (member * classes + labels) * classes + predicted
    counts = (
        torch.bincount(codes.flatten(), minlength=size * classes**2).view(size, classes, classes).double()
    )
    hits, either = counts.diagonal(dim1=1, dim2=2), counts.sum(1) + counts.sum(2)
    # A class that occurs neither in labels nor in predictions does not count.
    return (2 * hits / either.clamp(min=1)).sum(1) / (either > 0).sum(1)


def _take(x: Tensor, rows: Tensor) -> Tensor:
    """Select samples of each member: (n, ...) by (members, batch) gives (members, batch, ...)."""
    return x.index_select(0, rows.flatten()).view(*rows.shape, *x.shape[1:])


def _outputs(
    network: Members, features: Inputs, present: Inputs, *, shared: bool = False
) -> tuple[Tensor, Tensor]:
    """Return logits (members, batch, 3) and the networks' own losses, (members,) or ()."""
    if isinstance(network.pattern, FusionNetwork):
        outputs = network(features, present, shared=shared, method="forward_all")
        return outputs.logits, outputs.auxiliary
    logits = network(features, present, shared=shared)
    return logits, logits.new_zeros(())
