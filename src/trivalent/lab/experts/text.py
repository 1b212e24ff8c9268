"""From a recipe to the text expert: fine-tune per seed, average the weights, calibrate, export."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trivalent.bundle.fusion import softmax
from trivalent.bundle.loading import Expert, ExpertSpec
from trivalent.core.files import write_text_atomic
from trivalent.core.types import FloatArray
from trivalent.features.minilm import MINILM
from trivalent.features.text import ENGLISH, TOKENS, Vocabulary, encode, pad
from trivalent.lab.datasets.text import TextData, concatenate
from trivalent.lab.datasets.unlabelled import UNLABELLED
from trivalent.lab.decide.calibration import fit_temperature
from trivalent.lab.experts.text_corpora import (
    CORPORA,
    licence_of,
    seen_of,
    spoken_of,
    validation_scores,
)
from trivalent.lab.experts.text_task import (
    TextTask,
    TextTaskConfig,
    load_teaching,
    new_network,
    predict,
)
from trivalent.lab.experts.text_teachers import ask_teachers, teachers_of
from trivalent.lab.experts.trained import TrainedExpert
from trivalent.lab.fit.training import TrainingConfig, fit
from trivalent.lab.graphs.experts import export_text
from trivalent.lab.measure.metrics import summarize
from trivalent.lab.networks.encoders import ENCODERS, vocabulary_for
from trivalent.lab.networks.text import TextClassifier
from trivalent.lab.recipes import Recipe, build

VOCABULARY = "vocabulary.json"  # of an expert that has its own
log = logging.getLogger(__name__)


def train_text(recipe: Recipe, *, root: Path, out: Path) -> TrainedExpert:
    """Ask teachers, fine-tune per run, average the weights, quantize, calibrate on spoken validation data.

    A run of the recipe may override settings of the loop and, under `task`, of corpora and targets.
    """
    out.mkdir(parents=True, exist_ok=True)
    config = build(TextTaskConfig, recipe.task, where=recipe.name)
    vocabulary = vocabulary_for(config.encoder, lambda: _texts(config.corpora, root), path=out / VOCABULARY)
    answers, taught = ask_teachers(recipe, root=root, out=out) if recipe.teachers else ({}, {})
    runs = recipe.runs or [{"seed": seed} for seed in recipe.seeds]
    weights = [
        _fine_tune(recipe, run, root=root, out=out / f"run{i}.pt", answers=answers, vocabulary=vocabulary)
        for i, run in enumerate(runs)
    ]
    task = _task(recipe, {}, root=root, vocabulary=vocabulary)
    training = build(TrainingConfig, recipe.training, where=recipe.name)
    network = new_network(config.encoder, vocabulary).to(training.device)
    network.load_state_dict(_greedy_soup(network, weights, task))
    path = out / "text.onnx"
    export_text(network.cpu().eval(), path)
    card = _card(task, teacher=teachers_of(recipe).encoder if taught else "")
    return _calibrated(network, task, path, taught=taught, card=card)


def logits_of(expert: Expert, texts: Sequence[str], *, vocabulary: Vocabulary = ENGLISH) -> FloatArray:
    """Return the uncalibrated logits of a text graph, shape (n, 3), one text at a time as in use."""
    pieces = encode(texts, vocabulary=vocabulary)
    out = np.array([np.log(expert.from_tokens(*pad([ids]))[0]) for ids in pieces])
    return out * expert.spec.temperature


def _task(
    recipe: Recipe,
    overrides: Mapping[str, Any],
    *,
    root: Path,
    answers: Mapping[str, FloatArray] | None = None,
    vocabulary: Vocabulary,
) -> TextTask:
    config = build(TextTaskConfig, {**recipe.task, **overrides}, where=recipe.name)
    training = build(TrainingConfig, recipe.training, where=recipe.name)
    return TextTask(
        config, batch_size=training.batch_size, root=root, answers=answers, vocabulary=vocabulary
    )


def _texts(corpora: Iterable[str], root: Path) -> list[str]:
    return [text for name in corpora for text in load_teaching(name, root=root).texts]


def _fine_tune(
    recipe: Recipe,
    run: Mapping[str, Any],
    *,
    root: Path,
    out: Path,
    answers: Mapping[str, FloatArray],
    vocabulary: Vocabulary,
) -> dict[str, Tensor]:
    """Run the loop with the checkpoint `out`, its history beside it; return the weights."""
    own = {key: value for key, value in run.items() if key != "task"}
    config = build(TrainingConfig, {**recipe.training, **own}, where=recipe.name)
    torch.manual_seed(config.seed)
    task = _task(recipe, run.get("task", {}), root=root, answers=answers, vocabulary=vocabulary)
    network = new_network(task.config.encoder, vocabulary)
    fitted = fit(network, task, config=config, checkpoint=out)
    write_text_atomic(out.with_suffix(".json"), json.dumps(fitted.history, indent=1))
    return fitted.network.state_dict()


def _greedy_soup(
    network: TextClassifier, runs: Sequence[dict[str, Tensor]], task: TextTask
) -> dict[str, Tensor]:
    """Average fine-tuned weights, best first, while the validation score does not fall.

    Runs that share their start lie in one basin, so that their mean costs nothing and is
    often better than each ("model soup", Wortsman et al., ICML 2022).
    """
    if len(runs) == 1:
        return runs[0]

    def score(weights: dict[str, Tensor]) -> float:
        network.load_state_dict(weights)
        return task.validate(network.eval())["score"]

    ranked = sorted(((score(weights), i) for i, weights in enumerate(runs)), reverse=True)
    best, first = ranked[0]
    chosen = [runs[first]]
    for _, i in ranked[1:]:
        found = score(_mean([*chosen, runs[i]]))
        log.info("soup of %d: validation score %.4f (before %.4f)", len(chosen) + 1, found, best)
        if found >= best:
            chosen, best = [*chosen, runs[i]], found
    return _mean(chosen)


def _mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {
        key: torch.stack([s[key] for s in states]).mean(0) if value.is_floating_point() else value
        for key, value in states[0].items()
    }


def _calibrated(
    network: TextClassifier,
    task: TextTask,
    path: Path,
    *,
    taught: dict[str, float],
    card: dict[str, Any],
) -> TrainedExpert:
    """Fit the temperature on the int8 graph, which is what ships, and compare it with float."""
    prior = np.full(3, 1 / 3)
    # An expert of another encoder names it, so that no bundle takes it for one that reads English tokens.
    encoder = MINILM.name if task.vocabulary is ENGLISH else task.config.encoder
    named = (encoder, MINILM.version, TOKENS, path.name)
    raw = Expert(ExpertSpec(*named, 1.0, prior), path.read_bytes, threads=2)
    own = task.vocabulary
    logits = {n: logits_of(raw, data.texts, vocabulary=own) for n, data in task.val.items()}
    calibrating = spoken_of(task.val)
    spoken: TextData = concatenate([task.val[name] for name in calibrating])
    pooled = np.concatenate([logits[name] for name in calibrating])
    temperature = fit_temperature(pooled, spoken.labels)
    prior = softmax(pooled / temperature).mean(0)
    truth = {name: data.labels for name, data in task.val.items()}
    full = {n: predict(network, d.texts, vocabulary=own).argmax(1) for n, d in task.val.items()}
    metrics: dict[str, Any] = {
        "validation": {n: summarize(truth[n], softmax(z / temperature)) for n, z in logits.items()},
        "validation_spoken": summarize(spoken.labels, softmax(pooled / temperature)),
        "int8": validation_scores(truth, {n: z.argmax(1) for n, z in logits.items()}),
        "float": validation_scores(truth, full),
    }
    if taught:
        metrics["teachers"] = taught
    if own is not ENGLISH:
        metrics["languages"] = _by_language(task.val, logits)
    log.info("temperature %.3f, int8 %s, float %s", temperature, metrics["int8"], metrics["float"])
    spec = ExpertSpec(*named, temperature, prior, seen=seen_of(task.train))
    expert = TrainedExpert(spec, path.parent, metrics, card)
    expert.save()
    return expert


def _by_language(
    val: Mapping[str, TextData], logits: Mapping[str, FloatArray]
) -> dict[str, dict[str, float]]:
    """Fit a temperature to each language, on its spoken corpora if there are any; tell what comes out."""
    found = {}
    for language in sorted({CORPORA[name].language for name in val}):
        used = spoken_of([name for name in val if CORPORA[name].language == language])
        labels = np.concatenate([val[name].labels for name in used])
        pooled = np.concatenate([logits[name] for name in used])
        temperature = fit_temperature(pooled, labels)
        found[language] = {"temperature": temperature, **summarize(labels, softmax(pooled / temperature))}
    return found


def _card(task: TextTask, *, teacher: str) -> dict[str, Any]:
    counts = ", ".join(f"{name} {len(data):,}" for name, data in task.train.items())
    parts = [f"train parts of {counts}", f"encoder {ENCODERS[task.config.encoder].title}"]
    if teacher:
        asked = ", ".join(UNLABELLED[name].title for name in task.config.unlabelled)
        parts.append(f"taught by {ENCODERS[teacher].title}" + (f", also about {asked}" if asked else ""))
    codes = sorted({CORPORA[name].language for name in task.train})
    languages = ["English"] if codes == ["en"] else codes
    return {
        "data": "; ".join(parts),
        "licence": licence_of(task.train),
        "limits": f"{', '.join(languages)}; one utterance without its context; "
        "irony and slang are often missed; weak sentiment and neutral are confused most",
        "samples": sum(len(data) for data in task.train.values()),
    }
