"""The voice: an ensemble over frames, distilled into one network."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax, softmax

from trivalent.bundle.spec import ExpertSpec, Inputs
from trivalent.core.errors import BundleError, RecipeError
from trivalent.core.types import FloatArray, IntArray
from trivalent.lab.compress.checkpoints import fingerprint
from trivalent.lab.compress.reading import Weights
from trivalent.lab.datasets.ravdess import SENTIMENTS
from trivalent.lab.datasets.voice_takes import TakeData, load_takes
from trivalent.lab.experts.frames_task import FramesBatch, FramesTask, FramesTaskConfig, logits_of_takes
from trivalent.lab.fit.training import TrainingConfig, fit
from trivalent.lab.networks.temporal import TemporalNetwork
from trivalent.lab.recipes import build

log = logging.getLogger(__name__)
TECHNIQUES = ("distill", "keep")
TASK = {"dataset": "ravdess", "variants": ("noise", "channel", "telephone", "slow", "fast")}
TRAINING = {
    "epochs": 50,
    "batch_size": 32,
    "learning_rate": 2e-3,
    "weight_decay": 0.05,
    "warmup": 0.15,
    "averaging": 0.99,
    "clip": 2.0,
    "validations_per_epoch": 0,
}


@dataclass(frozen=True)
class VoiceConfig:
    """What is done to a voice expert over frames.

    Attributes
    ----------
    technique : str
        `distill` or `keep`.
    temperature : float
        Of the soft answers of teacher and student.
    hard : float
        Share of the annotated emotions in the loss.
    seed : int
    task, training : mapping
        As in the recipe of a voice expert; `width` is the student's.
    """

    technique: str = "keep"
    temperature: float = 2.0
    hard: float = 0.3
    seed: int = 0
    task: dict[str, Any] = field(default_factory=lambda: dict(TASK))
    training: dict[str, Any] = field(default_factory=lambda: dict(TRAINING))

    def __post_init__(self) -> None:
        if self.technique not in TECHNIQUES or self.temperature <= 0 or not 0 <= self.hard <= 1:
            raise RecipeError(
                "compress.voice_technique",
                techniques=list(TECHNIQUES),
                technique=self.technique,
                temperature=self.temperature,
                hard=self.hard,
            )


class DistilledFrames(FramesTask):
    """Sentiment of takes as an ensemble hears it, on the very frames that the student hears.

    Teacher and student see the same altered, cut and mixed frames (Beyer et al., CVPR 2022).
    """

    def __init__(
        self,
        config: FramesTaskConfig,
        *,
        teachers: Sequence[TemporalNetwork],
        temperature: float,
        hard: float,
        **data: Any,
    ) -> None:
        super().__init__(config, **data)
        self.teachers, self.temperature, self.hard = teachers, temperature, hard

    def loss(self, network: TemporalNetwork, batch: FramesBatch) -> Tensor:
        """Divergence from the teachers' mean answer, and the labels' own loss."""
        mixed = batch.share * batch.frames + (1 - batch.share) * batch.frames[batch.partner]
        mask = torch.maximum(batch.mask, batch.mask[batch.partner])
        with torch.no_grad():
            said = torch.stack([teacher.fine(mixed, mask) for teacher in self.teachers]).mean(0)
        fine = network.fine(mixed, mask)
        t = self.temperature
        soft = kl_div(log_softmax(fine / t, 1), softmax(said / t, 1), reduction="batchmean")
        own = self._losses(network, fine, batch.labels, batch.emotions)
        other = self._losses(network, fine, batch.labels[batch.partner], batch.emotions[batch.partner])
        labels = (batch.share * own + (1 - batch.share) * other).mean()
        return (1 - self.hard) * t**2 * soft + self.hard * labels


def read_members(weights: Weights, *, where: str) -> list[TemporalNetwork]:
    """Build the members of a voice graph; their normalisation is part of the convolutions by now.

    Raises
    ------
    BundleError
        The graph is not that of a voice expert over frames.
    """
    count = len({name.split(".")[1] for name in weights if name.startswith("members.")})
    networks = []
    try:
        for k in range(count):
            state = {
                n.split(".", 2)[2]: torch.from_numpy(w)
                for n, w in weights.items()
                if n.startswith(f"members.{k}.")
            }
            width, channels, _ = state["first.weight"].shape
            network = TemporalNetwork(
                channels, width=width, dropout=0.0, sentiments=[int(s) for s in SENTIMENTS.values()]
            )
            for module in network.modules():
                if isinstance(module, nn.BatchNorm1d) and module.running_var is not None:
                    nn.init.constant_(module.running_var, 1 - module.eps)
            network.load_state_dict({**network.state_dict(), **state})
            networks.append(network.eval())
    except (KeyError, ValueError, RuntimeError) as error:
        raise BundleError("compress.voice_graph", where=where, error=error) from error
    if not networks:
        raise BundleError("compress.voice_members", where=where)
    return networks


@dataclass(frozen=True, eq=False)
class DistilledVoice:
    """A student and what it says to takes of actors whom neither it nor its teachers had heard.

    Attributes
    ----------
    network : TemporalNetwork
        Trained on all training actors, by all members.
    logits, teacher_logits : array, shape (takes, 3)
        Out of fold.
    labels : int array, shape (takes,)
    takes : int
    """

    network: TemporalNetwork
    logits: FloatArray
    teacher_logits: FloatArray
    labels: IntArray


def distill_voice(
    members: Sequence[TemporalNetwork], spec: ExpertSpec, *, config: VoiceConfig, root: Path, out: Path
) -> DistilledVoice:
    """Train a student for each fold of actors by the members that had not heard them, and one by all.

    Parameters
    ----------
    members : sequence of TemporalNetwork
        In the order of training: fold by fold.
    spec : ExpertSpec
        Of the voice: channels and their scale.
    config : VoiceConfig
    root : Path
        Data.
    out : Path
        Folder for checkpoints.

    Raises
    ------
    BundleError
        The members do not fit the folds.
    """
    task = build(FramesTaskConfig, {**config.task, "channels": list(spec.channels)}, where="voice.task")
    training = build(TrainingConfig, config.training, where="voice.training")
    data = load_takes(task.channels, root=root, variants=task.variants).normalized(
        np.asarray(spec.mean, np.float64), np.asarray(spec.scale, np.float64), spec.clip
    )
    folds = data.folds
    per_fold, rest = divmod(len(members), folds.max() + 1)
    if rest or spec.inputs is not Inputs.FRAMES:
        raise BundleError("compress.voice_folds", folds=folds.max() + 1, count=len(members))
    mark = fingerprint(asdict(config), [n.state_dict()["head.bias"].tolist() for n in members], data.ids)
    logits, teacher_logits = np.zeros((2, len(data), 3))
    for fold in range(folds.max() + 1):
        own = members[fold * per_fold : (fold + 1) * per_fold]
        held = np.flatnonzero(folds == fold)
        teacher_logits[held] = np.mean([logits_of_takes(m, data.clean(held)) for m in own], 0)
        how = replace(training, seed=100 * config.seed + fold)
        student = _fit(data, folds != fold, own, (config, task, how), out / f"voice-{mark}-fold{fold}.pt")
        logits[held] = logits_of_takes(student, data.clean(held))
    how = replace(training, seed=100 * config.seed + 99)
    everybody = np.ones(len(data), bool)
    network = _fit(data, everybody, members, (config, task, how), out / f"voice-{mark}-all.pt")
    return DistilledVoice(network, logits, teacher_logits, data.labels)


def _fit(
    data: TakeData,
    rows: np.ndarray,
    teachers: Sequence[TemporalNetwork],
    how: tuple[VoiceConfig, FramesTaskConfig, TrainingConfig],
    checkpoint: Path,
) -> TemporalNetwork:
    config, task_config, training = how
    train = np.flatnonzero(rows)
    task = DistilledFrames(
        task_config,
        teachers=teachers,
        temperature=config.temperature,
        hard=config.hard,
        train=data.take(train),
        val=data.take(train[:50]),  # no epoch is chosen: what is validated on only shows in the log
        batch_size=training.batch_size,
    )
    torch.manual_seed(training.seed)
    network = TemporalNetwork(
        len(task_config.channels),
        width=task_config.width,
        dropout=task_config.dropout,
        sentiments=[int(s) for s in SENTIMENTS.values()],
    )
    return fit(network, task, config=training, checkpoint=checkpoint).network
