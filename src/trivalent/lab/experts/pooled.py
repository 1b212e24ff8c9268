"""From a recipe to an expert over pooled features (voice or face)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trivalent.bundle.spec import ExpertSpec
from trivalent.core.errors import RecipeError
from trivalent.core.types import FloatArray, IntArray, Sentiment
from trivalent.features.pooling import columns_of
from trivalent.features.registry import extractor
from trivalent.lab.datasets.tabular import TabularData
from trivalent.lab.experts.cross_fit import CLIP, cross_fit
from trivalent.lab.experts.pooled_task import Ensemble, TabularNetwork, TabularTask, TabularTaskConfig
from trivalent.lab.experts.sources import SOURCES, TrainingSource, find_source, load_tabular
from trivalent.lab.experts.trained import TrainedExpert
from trivalent.lab.fit.training import TrainingConfig, fit
from trivalent.lab.graphs.experts import export_tabular
from trivalent.lab.recipes import Recipe, build


def train_tabular(recipe: Recipe, *, modality: str, root: Path, out: Path) -> TrainedExpert:
    """Cross-fit an ensemble over folds of people and export it; copies are judged where asked."""
    config = build(TabularTaskConfig, recipe.task, where=recipe.name)
    training = build(TrainingConfig, recipe.training, where=recipe.name)
    source = find_source(config.dataset)
    data, folds, test = load_tabular(
        config.dataset,
        pooling=config.pooling,
        root=root,
        variants=config.variants,
        hold_out=config.hold_out,
    )
    clean = np.array(["#" not in name for name in data.ids.tolist()])
    usable = clean & ~test
    judged = ~test if config.judge_copies else usable
    mean = np.nanmean(data.values[usable], axis=0)
    scale = np.nanstd(data.values[usable], axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    x = np.clip(np.nan_to_num((data.values - mean) / scale, nan=0.0), -CLIP, CLIP)
    outputs, sentiments = _outputs(data, config, source)
    weights = _item_weights(data, judged, config)

    def fit_member(fold: int, seed: int) -> TabularNetwork:
        train, val = ~test & (folds != fold), judged & (folds == fold)
        task = TabularTask(
            config,
            train=(x[train], data.labels[train]),
            outputs=outputs[train],
            val=(x[val], data.labels[val]),
            item_weights=weights[train],
            batch_size=training.batch_size,
        )
        torch.manual_seed(seed)
        network = TabularNetwork(
            x.shape[1],
            hidden=config.hidden,
            dropout=config.dropout,
            input_dropout=config.input_dropout,
            sentiments=sentiments,
        )
        return fit(network, task, config=replace(training, seed=seed)).network

    fitted = cross_fit(
        fit_member,
        lambda network, rows: _logits(network, x[rows]),
        folds=np.where(judged, folds, -1),
        labels=data.labels,
        sources=data.sources,
        seeds=recipe.seeds,
        weights=weights if config.balance else None,
    )
    out.mkdir(parents=True, exist_ok=True)
    spec = ExpertSpec(
        source.extractor,
        extractor(source.extractor).version,
        columns_of(config.pooling),
        f"{modality}.onnx",
        fitted.temperature,
        fitted.prior,
        tuple(config.pooling),
        mean.astype(float),
        scale.astype(float),
        CLIP,
    )
    export_tabular(Ensemble(fitted.members).eval(), out / spec.model, inputs=x.shape[1])
    card = {
        **source.card,
        **recipe.card,
        "samples": int(usable.sum()),
        "people": len(np.unique(data.groups[usable])),
        "held_out_people": len(np.unique(data.groups[test])),
        "dropped": data.dropped,
    }
    return fitted.save(spec, out=out, card=card)


def _outputs(
    data: TabularData, config: TabularTaskConfig, source: TrainingSource
) -> tuple[IntArray, list[int]]:
    """Return the output that each sample aims at and the sentiment of each output."""
    if not config.emotions:
        return data.labels, list(Sentiment)
    if not source.emotions:
        annotated = " or ".join(name for name, one in SOURCES.items() if one.emotions)
        raise RecipeError("training.annotated", annotated=annotated, dataset=config.dataset)
    names = list(source.emotions)
    emotions = [names.index(source.emotion_of(name)) for name in data.ids.tolist()]
    return np.array(emotions), [int(s) for s in source.emotions.values()]


def _item_weights(data: TabularData, judged: NDArray[np.bool_], config: TabularTaskConfig) -> FloatArray:
    """Weights of (source, class) cells, mean 1: those of a square root, or such that all count alike.

    A large collection must not decide alone, and a class that is rare in one collection
    (neutral in the studio) but common in another counts as rare there.
    """
    weights = np.ones(len(data))
    if config.balance_sources or config.balance:
        for source in np.unique(data.sources):
            for label in Sentiment:
                cell = (data.sources == source) & (data.labels == label)
                rarity = judged.sum() / max(1, (judged & cell).sum())
                weights[cell] = rarity if config.balance else np.sqrt(rarity)
        weights /= weights[judged].mean()
    return weights


@torch.inference_mode()
def _logits(network: TabularNetwork, x: FloatArray) -> FloatArray:
    return network(torch.tensor(x, dtype=torch.float32)).numpy()
