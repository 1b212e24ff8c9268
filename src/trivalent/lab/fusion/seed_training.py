"""A system of a benchmark: a network with its loss, sampling and training, run for many seeds at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from trivalent.bundle.fusion import softmax
from trivalent.core.errors import DataError, RecipeError, UsageError
from trivalent.core.types import IntArray, Modality
from trivalent.lab.fit.losses import build_loss
from trivalent.lab.fit.members import Members
from trivalent.lab.fit.training import TrainingConfig, fit
from trivalent.lab.fusion.target import THREE, Target
from trivalent.lab.fusion.task import FusionData, FusionTask, predict
from trivalent.lab.networks import build_network
from trivalent.lab.networks.base import Front, FusionNetwork
from trivalent.lab.networks.registry import check_reads
from trivalent.lab.problems.classification import Problem
from trivalent.lab.problems.parts import Part
from trivalent.lab.problems.resampling import Resampled, check_resampling, resample

# As the paper behind this project trains: its batch size and epochs, Adam, the rate on a plateau.
PAPER_TRAINING = TrainingConfig(
    epochs=30,
    batch_size=32,
    learning_rate=1e-3,
    optimizer="adam",
    weight_decay=0.0,
    schedule="plateau",
    clip=0.0,
)


@dataclass(frozen=True)
class System:
    """What is trained; all of it chosen before the test part is looked at.

    Attributes
    ----------
    network : str
        See `trivalent.lab.networks.NETWORKS`.
    options : mapping
        Of the network.
    loss : str
        See `trivalent.lab.fit.losses.LOSSES`.
    loss_options : mapping
    resampling : str
        See `trivalent.lab.problems.resampling.RESAMPLERS`; on the training part, anew for each seed.
    resampling_options : mapping
        See `trivalent.lab.problems.resampling.resampler_options`.
    modality_dropout, mixup : float
        See `FusionTask`.
    training : TrainingConfig
    target : Target
        What it learns to tell.

    Raises
    ------
    RecipeError, UsageError
        Unknown resampler, or an option that it does not have.
    """

    network: str = "attention"
    options: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "cross_entropy"
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    resampling: str = "unchanged"
    resampling_options: Mapping[str, Any] = field(default_factory=dict)
    modality_dropout: float = 0.0
    mixup: float = 0.0
    training: TrainingConfig = PAPER_TRAINING
    target: Target = THREE

    def __post_init__(self) -> None:
        check_resampling(self.resampling, self.resampling_options)


@dataclass(frozen=True, eq=False)
class Trained:
    """A system after training, one member for each seed.

    Attributes
    ----------
    system : System
    seeds : tuple of int
    members : Members
    history : list of dict
        What `FusionTask.validate` found by epoch, for each member.
    """

    system: System
    seeds: tuple[int, ...]
    members: Members
    history: list[list[dict[str, float]]]

    def logits(self, part: Part, *, absent: Sequence[Modality] = ()) -> NDArray[np.float64]:
        """Predict, shape (seeds, n, classes).

        Parameters
        ----------
        part : Part
        absent : sequence of Modality
            Taken away from every sample, as if the recording lacked them.
        """
        logits = self.system.target.logits(self._outputs(part, absent))
        return logits.double().numpy()

    def scores(self, part: Part) -> NDArray[np.float64] | None:
        """Predict scores from -3 to 3, shape (seeds, n); None of a system that was trained on classes."""
        target = self.system.target
        return target.score(self._outputs(part)).double().numpy() if target.scores else None

    def _outputs(self, part: Part, absent: Sequence[Modality] = ()) -> torch.Tensor:
        features, present = self._inputs(part, absent)
        self.members.eval()
        with torch.inference_mode():
            return predict(self.members, features, present)

    def _inputs(
        self, part: Part, absent: Sequence[Modality] = ()
    ) -> tuple[dict[Modality, torch.Tensor], dict[Modality, torch.Tensor]]:
        features, present = _tensors(part, absent)
        front = cast(FusionNetwork, self.members.pattern).front()
        return (features if front is None else front.read(features, present)), present

    def networks(self) -> list[FusionNetwork]:
        """One network for each seed, without dropout."""
        return [cast(FusionNetwork, network).eval() for network in self.members.split()]

    def probabilities_of_each(self, parts: Sequence[Part]) -> NDArray[np.float64]:
        """Let each seed predict a part of its own, all of them equally long, shape (seeds, n, classes)."""
        inputs = [self._inputs(part) for part in parts]
        features, present = (
            {m: torch.stack([own[i][m] for own in inputs]) for m in inputs[0][i]} for i in (0, 1)
        )
        self.members.eval()
        with torch.inference_mode():
            outputs = self.members(features, present)
        return np.asarray(softmax(self.system.target.logits(outputs).double().numpy()))

    def probabilities(self, part: Part, *, absent: Sequence[Modality] = ()) -> NDArray[np.float64]:
        """Softmax of `logits`, shape (seeds, n, classes)."""
        return np.asarray(softmax(self.logits(part, absent=absent)))


def train_system(
    system: System,
    problem: Problem,
    seeds: Sequence[int],
    *,
    rows: Sequence[IntArray] | None = None,
    watched: bool = False,
) -> Trained:
    """Train all seeds together on the training part; epochs are chosen on the validation part.

    Parameters
    ----------
    system : System
    problem : Problem
    seeds : sequence of int
    rows : sequence of int arrays, optional
        Samples of the training part that each seed sees, equally many for all; by default, all samples.
        Class weights still come from the whole training part.
    watched : bool
        Keep loss and macro-F1 of the training part in the history, too; costs a pass for each epoch.

    Raises
    ------
    DataError
        Samples are to be interpolated where some lack a modality or a score, or scores are learned where
        some samples have none.
    RecipeError, UsageError
        An unknown network, loss, resampler or option, rows together with a resampler, or sequences that the
        network cannot read.
    """
    if problem.sequences:
        check_sequences(system, problem.sequences)
    target = system.target
    counts = target.counts(problem.parts.train, classes=problem.classes)
    # the weight of a class without samples weighs nothing
    criterion = build_loss(system.loss, counts=np.maximum(counts, 1), **system.loss_options)
    if rows is not None and system.resampling != "unchanged":
        raise UsageError("training.systems_rows", resampling=system.resampling)
    train, drawn = _training_data(system, problem, seeds)
    options = {"classes": target.outputs(problem.classes), **system.options}
    if system.network == "single" and "modality" not in options:
        options["modality"] = next(iter(problem.widths))
    members = Members.build(
        lambda: build_network(system.network, widths=problem.widths, **options), list(seeds)
    )
    front = cast(FusionNetwork, members.pattern).front()
    val = problem.parts.val
    known = val.scores_to_select() if target.scores else None
    task = FusionTask(
        _behind(front, train),
        _behind(front, _fusion_data(val, val.labels_to_select(), known)),
        batch_size=system.training.batch_size,
        loss=target.loss(criterion),
        rows=drawn if rows is None else rows,
        modality_dropout=system.modality_dropout,
        mixup=system.mixup,
        target=target,
        watched=_behind(front, _known(system, problem.parts.train)) if watched else None,
        device=system.training.device,
    )
    fitted = fit(members, task, config=system.training)
    # What follows, small beside the training, and the export are done where the data lie.
    trained = fitted.network.to("cpu")
    return Trained(system, tuple(seeds), trained, [member.history for member in fitted.members])


def _behind(front: Front | None, data: FusionData) -> FusionData:
    """Compute once what no training changes."""
    return data if front is None else replace(data, features=front.read(data.features, data.present))


def check_sequences(system: System, sequences: Iterable[str]) -> None:
    """Refuse sequences where a network reads vectors, or a resampler makes samples of them.

    Raises
    ------
    RecipeError
        So it is.
    """
    check_reads(system.network, sequences)
    if system.resampling != "unchanged":
        raise RecipeError("recipe.resampled_sequences", resampling=system.resampling)


def _known(system: System, part: Part) -> FusionData:
    """Return the real samples of the training part."""
    scores = part.scores_to_fit() if system.target.scores else None
    return _fusion_data(part, part.labels_to_fit(), scores)


def _training_data(
    system: System, problem: Problem, seeds: Sequence[int]
) -> tuple[FusionData, list[IntArray] | None]:
    part = problem.parts.train
    data, labels = _known(system, part), part.labels_to_fit()
    if system.resampling == "unchanged":
        return data, None
    # NaN marks an absent modality, here as in the parts.
    joined = np.concatenate([*part.features.values()], axis=1)
    columns = [str(m) for m, x in part.features.items() for _ in range(x.shape[1])]
    drawn = [
        resample(
            system.resampling, joined, labels, seed=seed, modalities=columns, **system.resampling_options
        )
        for seed in seeds
    ]
    shortest = min(len(r) for r in drawn)  # ADASYN makes a few more or fewer, depending on the seed
    return _with_made(
        data, [_cut(r, shortest, seed) for r, seed in zip(drawn, seeds, strict=True)], len(part)
    )


def _cut(drawn: Resampled, length: int, seed: int) -> Resampled:
    kept = np.sort(np.random.default_rng(seed).permutation(len(drawn))[:length])
    return replace(
        drawn, X=drawn.X[kept], y=drawn.y[kept], rows=drawn.rows[kept], weights=drawn.weights[kept]
    )


def _with_made(
    data: FusionData, drawn: Sequence[Resampled], count: int
) -> tuple[FusionData, list[IntArray]]:
    """Put the samples that each member's resampler made behind the real ones."""
    rows, made_x, made_y, made_w, end = [], [], [], [], count
    for resampled in drawn:
        made = resampled.rows < 0
        place = resampled.rows.copy()
        place[made] = end + np.arange(made.sum())
        end += int(made.sum())
        rows.append(place)
        made_x.append(resampled.X[made])
        made_y.append(resampled.y[made])
        made_w.append(resampled.weights[made])
    if end == count:
        return data, rows
    if data.scores is not None:
        raise DataError("training.made_scores", made=end - count)
    cuts = np.cumsum([values.shape[1] for values in data.features.values()])[:-1]
    blocks = np.split(np.concatenate(made_x), cuts, axis=1)
    features, present = {}, {}
    for (m, values), block in zip(data.features.items(), blocks, strict=True):
        features[m] = torch.cat([values, torch.from_numpy(np.nan_to_num(block)).float()])
        here = torch.from_numpy(np.isfinite(block).any(axis=1))
        present[m] = torch.cat([data.present[m], here])
    labels = torch.cat([data.labels, torch.from_numpy(np.concatenate(made_y))])
    # Samples of mixup count by their share, those of SMOTE and the like as real ones: 1.
    weights = torch.cat([torch.ones(count), torch.from_numpy(np.concatenate(made_w)).float()])
    return FusionData(features, present, labels, weights), rows


def _fusion_data(
    part: Part, labels: NDArray[np.int64], scores: NDArray[np.float64] | None = None
) -> FusionData:
    known = None if scores is None else torch.from_numpy(scores).float()
    return FusionData(*_tensors(part), torch.from_numpy(labels), scores=known)


def _tensors(
    part: Part, absent: Sequence[Modality] = ()
) -> tuple[dict[Modality, torch.Tensor], dict[Modality, torch.Tensor]]:
    features = {m: torch.from_numpy(np.nan_to_num(x)) for m, x in part.features.items()}
    present = {m: torch.from_numpy(own & (m not in absent)) for m, own in part.steps.items()}
    return features, present
