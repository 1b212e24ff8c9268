"""The words: a text expert pruned, or distilled into a smaller network, in int8 or full precision."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trivalent.core.errors import RecipeError
from trivalent.core.files import write_text_atomic
from trivalent.lab.compress.checkpoints import fingerprint
from trivalent.lab.compress.distillation import DistillationConfig, DistillationTask
from trivalent.lab.compress.pruning import (
    measure_importance,
    prune,
    prune_vocabulary,
    token_counts,
)
from trivalent.lab.compress.reading import read_weights
from trivalent.lab.compress.student import StudentConfig, TextStudent, whole_network
from trivalent.lab.compress.transfer import TeacherAnswers, TransferConfig, alter_texts, teacher_answers
from trivalent.lab.datasets.text import TextData, load_corpus
from trivalent.lab.fit.training import TrainingConfig, fit
from trivalent.lab.named_choices import check_known
from trivalent.lab.recipes import build

log = logging.getLogger(__name__)
TECHNIQUES = ("distill", "prune", "keep")
STUDENT = {"family": "convolution", "layers": [0, 1, 2], "width": 128, "embedding": 128}
TRAINING = {
    "epochs": 4,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup": 0.05,
    "averaging": 0.99,
}


@dataclass(frozen=True)
class TextConfig:
    """What is done to a text expert.

    Attributes
    ----------
    technique : str
        `distill` (prune, then learn from the expert), `prune` alone, or `keep`.
    int8 : bool
        Weights as 8-bit integers.
    corpora : tuple of str
        Their training parts teach, their validation parts choose and calibrate.
    seeds : tuple of int
        One student each; the best on validation is taken.
    importance : int
        Training texts by which heads and rows are ranked.
    student, transfer, distillation, training : mapping
        See `StudentConfig`, `TransferConfig`, `DistillationConfig` and `TrainingConfig`.
    """

    technique: str = "distill"
    int8: bool = True
    corpora: tuple[str, ...] = ("sst5", "tweeteval", "meld", "mosi", "semaine")
    seeds: tuple[int, ...] = (0,)
    importance: int = 1000
    student: dict[str, Any] = field(default_factory=lambda: dict(STUDENT))
    transfer: dict[str, Any] = field(default_factory=dict)
    distillation: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=lambda: dict(TRAINING))

    def __post_init__(self) -> None:
        check_known("technique", self.technique, TECHNIQUES)
        if not self.corpora or not self.seeds or self.importance < 1:
            raise RecipeError("compress.text_parts")


@dataclass(frozen=True, eq=False)
class TextParts:
    """Training and validation parts by corpus."""

    train: dict[str, TextData]
    val: dict[str, TextData]

    @classmethod
    def load(cls, corpora: Sequence[str], *, root: Path) -> TextParts:
        """Read the corpora; test parts are not touched."""
        return cls(*({c: load_corpus(c, part, root=root) for c in corpora} for part in ("train", "val")))

    @property
    def texts(self) -> list[str]:
        """All training texts, in order."""
        return [text for data in self.train.values() for text in data.texts]


@dataclass(frozen=True, eq=False)
class Student:
    """A network with its validation scores."""

    network: TextStudent
    seed: int
    scores: dict[str, float]


def prune_text(graph: bytes, config: TextConfig, parts: TextParts, *, where: str) -> TextStudent:
    """Read a text graph and keep its most important parts."""
    whole = whole_network(read_weights(graph, where=where), where=where)
    student = build(StudentConfig, config.student, where="text.student")
    texts = parts.texts
    if student.vocabulary:
        counts = token_counts(texts, size=whole.embedding.num_embeddings)
        whole = prune_vocabulary(whole, counts, size=student.vocabulary)
    chosen = np.random.default_rng(0).permutation(len(texts))[: config.importance]
    importance = measure_importance(whole, [texts[i] for i in chosen.tolist()])
    return prune(whole, student, importance=importance).eval()


def distill_text(
    graph: bytes, config: TextConfig, parts: TextParts, *, out: Path, where: str
) -> list[Student]:
    """Train a student per seed.

    Parameters
    ----------
    graph : bytes
        The teacher.
    config : TextConfig
    parts : TextParts
    out : Path
        Folder for checkpoints, from which a killed training goes on.
    where : str
        The graph's name, for messages.
    """
    distillation = build(DistillationConfig, config.distillation, where="text.distillation")
    training = build(TrainingConfig, config.training, where="text.training")
    texts = parts.texts
    student = build(StudentConfig, config.student, where="text.student")
    transfer = build(TransferConfig, config.transfer, where="text.transfer")
    altered = alter_texts(texts, transfer)
    task = DistillationTask(
        distillation,
        train=parts.train,
        altered=altered,
        answers=_joined(teacher_answers(graph, texts), teacher_answers(graph, altered)),
        val=parts.val,
        batch_size=training.batch_size,
    )
    settings = [asdict(own) for own in (student, transfer, distillation, training)]
    mark, students = fingerprint(settings, config.importance, hashlib.sha256(graph).hexdigest(), texts), []
    for seed in config.seeds:
        torch.manual_seed(seed)
        start = prune_text(graph, config, parts, where=where)
        checkpoint = out / f"text-{mark}-seed{seed}.pt"
        fitted = fit(start, task, config=replace(training, seed=seed), checkpoint=checkpoint)
        write_text_atomic(checkpoint.with_suffix(".json"), json.dumps(fitted.history, indent=1))
        students.append(Student(fitted.network.eval(), seed, fitted.best))
        log.info("seed %d: %s", seed, fitted.best)
    return students


def _joined(one: TeacherAnswers, other: TeacherAnswers) -> TeacherAnswers:
    return TeacherAnswers(
        np.concatenate([one.logits, other.logits]), np.concatenate([one.sentences, other.sentences])
    )
