"""Learning from a teacher's soft answers as a `Task` of the one training loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from trivalent.core.errors import RecipeError
from trivalent.features.text import encode, pad
from trivalent.lab.compress.student import TextStudent
from trivalent.lab.compress.transfer import TeacherAnswers
from trivalent.lab.datasets.text import TextData
from trivalent.lab.experts.text_corpora import validation_scores
from trivalent.lab.experts.text_task import predict
from trivalent.lab.fit.losses import class_weights, distillation_loss, soft_targets
from trivalent.lab.fit.training import TrainingConfig

MAX_TOKENS = 96  # of a training text


@dataclass(frozen=True)
class DistillationConfig:
    """How a student learns (Hinton et al., 2015, "Distilling the knowledge in a neural network").

    Attributes
    ----------
    temperature : float
        Of the soft answers of teacher and student.
    hard : float
        Share of the annotated labels in the loss of a text that has one.
    sentence : float
        Weight of the squared distance between the teacher's sentence vectors and those foretold by a
        linear map of the student's (as for the hidden states of TinyBERT; Jiao et al., Findings of
        EMNLP 2020).
    altered : float
        Altered texts in each epoch, as a share of the training texts.
    smoothing, ambiguity, class_weights
        Of the labels, as for the text expert.
    embedding_rate : float
        Factor on the learning rate for the table of tokens.
    """

    temperature: float = 2.0
    hard: float = 0.3
    sentence: float = 1.0
    altered: float = 1.0
    smoothing: float = 0.05
    ambiguity: float = 0.0
    class_weights: str = "sqrt"
    embedding_rate: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature <= 0 or not 0 <= self.hard <= 1 or min(self.sentence, self.altered) < 0:
            raise RecipeError("compress.distillation", given=self)


class DistillationBatch(NamedTuple):
    """ids, mask (batch, tokens); teacher's logits and sentence vectors; targets and weights (batch, 3).

    Rows without a label have weights of zero.
    """

    ids: Tensor
    mask: Tensor
    logits: Tensor
    sentences: Tensor
    targets: Tensor
    weights: Tensor


class DistillationTask:
    """Labelled texts once an epoch, and as many altered ones as asked for.

    Parameters
    ----------
    config : DistillationConfig
    train : mapping of str to TextData
        Training parts.
    altered : sequence of str
    answers : TeacherAnswers
        The teacher's, to the training texts in order and then to the altered ones.
    val : mapping of str to TextData
        Validation parts: they choose the epoch.
    """

    def __init__(
        self,
        config: DistillationConfig,
        *,
        train: dict[str, TextData],
        altered: Sequence[str],
        answers: TeacherAnswers,
        val: dict[str, TextData],
        batch_size: int,
    ) -> None:
        self.config, self.val, self.batch_size = config, val, batch_size
        texts = [text for data in train.values() for text in data.texts]
        self.labelled = len(texts)
        self.ids = encode([*texts, *altered], max_tokens=MAX_TOKENS)
        self.lengths = np.array([len(ids) for ids in self.ids])
        self.logits = torch.from_numpy(answers.logits).float()
        self.sentences = torch.from_numpy(answers.sentences)
        labels = torch.from_numpy(np.concatenate([data.labels for data in train.values()]))
        valence = torch.from_numpy(np.concatenate([data.valence for data in train.values()]))
        self.targets = soft_targets(
            labels, valence, smoothing=config.smoothing, ambiguity=config.ambiguity
        ).float()
        weights = [
            np.tile(class_weights(np.bincount(d.labels, minlength=3), config.class_weights), (len(d), 1))
            for d in train.values()
        ]
        self.weights = torch.from_numpy(np.concatenate(weights)).float()

    def batches_per_epoch(self) -> int:
        """Count the batches of one epoch."""
        return -(-(self.labelled + self._drawn()) // self.batch_size)

    def _drawn(self) -> int:
        return min(round(self.config.altered * self.labelled), len(self.ids) - self.labelled)

    def batches(self, rng: np.random.Generator) -> Iterator[DistillationBatch]:
        """Group texts of like length, shuffle the groups."""
        others = rng.choice(len(self.ids) - self.labelled, self._drawn(), replace=False) + self.labelled
        rows = np.concatenate([np.arange(self.labelled), others])
        rows = rows[np.argsort(self.lengths[rows] + rng.uniform(-2, 2, len(rows)))]
        groups = [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        for g in rng.permutation(len(groups)):
            yield self._collate(groups[g])

    def _collate(self, rows: np.ndarray) -> DistillationBatch:
        ids, mask = pad([self.ids[i] for i in rows])
        known = torch.from_numpy(rows < self.labelled)[:, None]
        label = torch.from_numpy(np.where(rows < self.labelled, rows, 0))
        chosen = torch.from_numpy(rows)
        return DistillationBatch(
            torch.from_numpy(ids),
            torch.from_numpy(mask),
            self.logits[chosen],
            self.sentences[chosen].float(),
            self.targets[label],
            self.weights[label] * known,
        )

    def loss(self, network: TextStudent, batch: DistillationBatch) -> Tensor:
        """Soft answers, annotated labels and sentence vectors."""
        config = self.config
        pooled = network.pooled(batch.ids, batch.mask)
        logits = network.head(network.dropout(pooled))
        loss = distillation_loss(
            logits,
            batch.logits,
            targets=batch.targets,
            weights=batch.weights,
            temperature=config.temperature,
            hard=config.hard,
        )
        if config.sentence:
            loss = loss + config.sentence * mse_loss(network.teacher(pooled), batch.sentences)
        return loss

    def parameters(self, network: TextStudent, config: TrainingConfig) -> list[dict[str, Any]]:
        """Give the table of tokens its own rate and no decay: most tokens are not in a batch."""
        table = network.embedding.weight
        rest = [p for p in network.parameters() if p is not table]
        groups: list[dict[str, Any]] = [{"params": rest, "lr": config.learning_rate}]
        table.requires_grad_(self.config.embedding_rate > 0)
        if self.config.embedding_rate > 0:
            rate = config.learning_rate * self.config.embedding_rate
            groups.append({"params": [table], "lr": rate, "weight_decay": 0.0})
        return groups

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Score as for the text expert."""
        predicted = {name: predict(network, data.texts).argmax(1) for name, data in self.val.items()}
        return validation_scores({name: data.labels for name, data in self.val.items()}, predicted)
