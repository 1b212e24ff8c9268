"""Teachers of the text expert: large encoders, asked only about texts that they have not learnt.

Every fold of the training parts is answered by networks that were trained on the other folds, so that
their soft answers tell what is likely, not what was annotated; texts without labels are answered by all.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from trivalent.core.errors import RecipeError
from trivalent.core.files import write_npz_atomic
from trivalent.core.types import FloatArray
from trivalent.lab.datasets.text import fold_of
from trivalent.lab.datasets.unlabelled import load_unlabelled
from trivalent.lab.experts.text_corpora import validation_scores
from trivalent.lab.experts.text_task import (
    TextTask,
    TextTaskConfig,
    load_judging,
    load_teaching,
    new_network,
    predict,
)
from trivalent.lab.fit.training import TrainingConfig, fit
from trivalent.lab.recipes import Recipe, build

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TeachersConfig:
    """Which teachers there are.

    Attributes
    ----------
    encoder : str
        What each starts from.
    folds : int
        Parts that the training texts are cut into.
    seeds : tuple of int
        One teacher each for every fold.
    task, training : mapping
        Changes of the recipe's.
    """

    encoder: str = "mpnet-base"
    folds: int = 4
    seeds: tuple[int, ...] = (0,)
    task: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.folds < 2 or not self.seeds:
            raise RecipeError("corpus.text_teachers_folds", folds=self.folds, seeds=self.seeds)


def teachers_of(recipe: Recipe) -> TeachersConfig:
    """Read the teachers of a text recipe."""
    return build(TeachersConfig, recipe.teachers, where=f"{recipe.name}.teachers")


def ask_teachers(
    recipe: Recipe, *, root: Path, out: Path
) -> tuple[dict[str, FloatArray], dict[str, float]]:
    """Train what teachers are not yet in `out`, and put their answers together.

    Returns
    -------
    answers : dict of str to array, shape (n, 3)
        Logs of mean probabilities: out of fold for training parts, of all for texts without labels.
    scores : dict of str to float
        Of all teachers together on validation parts.
    """
    config, answered = teachers_of(recipe), []
    for fold in range(config.folds):
        for seed in config.seeds:
            answered.append((fold, ask_teacher(recipe, fold, seed=seed, root=root, out=out)))
    task = _task_config(recipe, config)
    answers: dict[str, FloatArray] = {}
    for name in task.corpora:
        folds = fold_of(load_teaching(name, root=root).groups, config.folds)
        answers[name] = np.empty((len(folds), 3))
        for fold in range(config.folds):
            of_fold = [said[f"train-{name}"] for k, said in answered if k == fold]
            answers[name][folds == fold] = _together(of_fold)
    for name in task.unlabelled:
        answers[name] = _together([said[f"more-{name}"] for _, said in answered])
    labels = {name: load_judging(name, root=root).labels for name in task.corpora}
    predicted = {n: _together([said[f"val-{n}"] for _, said in answered]).argmax(1) for n in labels}
    scores = validation_scores(labels, predicted)
    log.info("%d teachers together: %s", len(answered), scores)
    return answers, scores


def ask_teacher(recipe: Recipe, fold: int, *, seed: int, root: Path, out: Path) -> Mapping[str, FloatArray]:
    """Train a teacher without a fold and ask it about this fold; or read what one said before.

    Returns
    -------
    mapping of str to array, shape (n, 3)
        Logits: `train-CORPUS` for the fold, `val-CORPUS`, and `more-CORPUS` for texts without labels.
    """
    config, path = teachers_of(recipe), out / f"teacher{fold}-seed{seed}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, BadZipFile):
        log.info("training the teacher of seed %d without fold %d", seed, fold)
    training = build(TrainingConfig, {**recipe.training, **config.training}, where=recipe.name)
    task = TextTask(
        _task_config(recipe, config),
        batch_size=training.batch_size,
        root=root,
        held_out=(fold, config.folds),
    )
    texts: dict[str, Sequence[str]] = {f"val-{name}": data.texts for name, data in task.val.items()}
    for name in task.config.corpora:
        data = load_teaching(name, root=root)
        texts[f"train-{name}"] = data.take(fold_of(data.groups, config.folds) == fold).texts
    texts |= {f"more-{name}": load_unlabelled(name) for name in task.config.unlabelled}
    torch.manual_seed(seed)
    network = fit(new_network(config.encoder), task, config=replace(training, seed=seed)).network
    said = {key: predict(network, own) for key, own in texts.items()}
    out.mkdir(parents=True, exist_ok=True)
    write_npz_atomic(path, **said)
    return said


def _task_config(recipe: Recipe, config: TeachersConfig) -> TextTaskConfig:
    return build(TextTaskConfig, {**recipe.task, **config.task}, where=recipe.name)


def _together(logits: Sequence[FloatArray]) -> FloatArray:
    """Return the log of the mean probability."""
    shares = [np.exp(member - np.logaddexp.reduce(member, axis=1, keepdims=True)) for member in logits]
    return np.log(np.mean(shares, axis=0))
