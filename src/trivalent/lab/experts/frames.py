"""From a recipe to an expert over frames (the voice)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trivalent.bundle.spec import ExpertSpec, Inputs
from trivalent.features.frames import UNSCALED, columns_of_channels
from trivalent.features.registry import extractor
from trivalent.lab.datasets.voice_takes import TakeData
from trivalent.lab.experts.cross_fit import CLIP, cell_weights, cross_fit
from trivalent.lab.experts.frames_task import FramesTask, FramesTaskConfig, logits_of_takes
from trivalent.lab.experts.sources import find_source, find_takes
from trivalent.lab.experts.trained import TrainedExpert
from trivalent.lab.fit.training import TrainingConfig, fit
from trivalent.lab.graphs.experts import export_frames
from trivalent.lab.networks.temporal import TemporalNetwork
from trivalent.lab.recipes import Recipe, build


def train_frames(recipe: Recipe, *, modality: str, root: Path, out: Path) -> TrainedExpert:
    """Cross-fit an ensemble over the folds of actors and export it; the test actors are not read.

    Every member leaves a checkpoint in `out`, so that a killed training goes on with the member it
    had reached.
    """
    config = build(FramesTaskConfig, recipe.task, where=recipe.name)
    training = build(TrainingConfig, recipe.training, where=recipe.name)
    source = find_source(config.dataset)
    raw = find_takes(config.dataset)(config.channels, root=root, variants=config.variants)
    mean, scale = np.zeros(len(config.channels)), _scale(raw, config.channels)
    data = raw.normalized(mean, scale, CLIP)
    mark = _fingerprint(config, training, data)

    def fit_member(fold: int, seed: int) -> TemporalNetwork:
        train, held = np.flatnonzero(data.folds != fold), np.flatnonzero(data.folds == fold)
        task = FramesTask(
            config, train=data.take(train), val=data.take(held), batch_size=training.batch_size
        )
        own_seed = 100 * seed + fold
        torch.manual_seed(own_seed)
        network = TemporalNetwork(
            len(config.channels),
            width=config.width,
            dropout=config.dropout,
            sentiments=[int(s) for s in source.emotions.values()],
        )
        checkpoint = out / f"member-{mark}-fold{fold}-seed{seed}.pt"
        return fit(network, task, config=replace(training, seed=own_seed), checkpoint=checkpoint).network

    fitted = cross_fit(
        fit_member,
        lambda network, rows: logits_of_takes(network, data.with_speaker(rows)),
        folds=data.folds,
        labels=data.labels,
        sources=data.sources,
        seeds=recipe.seeds,
        weights=cell_weights(data.sources, data.labels) if config.balance else None,
    )
    out.mkdir(parents=True, exist_ok=True)
    spec = ExpertSpec(
        source.extractor,
        extractor(source.extractor).version,
        columns_of_channels(config.channels),
        f"{modality}.onnx",
        fitted.temperature,
        fitted.prior,
        mean=mean,
        scale=scale,
        clip=CLIP,
        inputs=Inputs.FRAMES,
        channels=tuple(config.channels),
    )
    export_frames(fitted.members, out / spec.model, channels=len(config.channels))
    card = {
        **source.card,
        **recipe.card,
        "samples": len(data),
        "people": len(np.unique(data.speakers)),
        "dropped": data.dropped,
    }
    return fitted.save(spec, out=out, card=card)


def _scale(data: TakeData, channels: Sequence[str]) -> NDArray[np.float64]:
    """Measure deviations over all steps of the clean takes; 1 for channels of a size by definition."""
    scale = np.concatenate(data.with_speaker(np.arange(len(data)))).std(0, dtype=np.float64)
    scale = np.where(scale > 1e-9, scale, 1.0)
    return np.where(np.isin(channels, UNSCALED), 1.0, scale)


def _fingerprint(config: FramesTaskConfig, training: TrainingConfig, data: TakeData) -> str:
    """Tell recipes and data apart: a checkpoint of others must not be continued."""
    told = json.dumps([asdict(config), asdict(training), data.ids], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:8]
