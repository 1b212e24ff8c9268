"""From a recipe to a pooled voice or face expert: cross-fitted ensemble, calibration, export."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trivalent.bundle.fusion import softmax
from trivalent.bundle.loading import ExpertSpec
from trivalent.core.assets import cache_folder
from trivalent.core.errors import RecipeError
from trivalent.core.types import FeatureTable, FloatArray, Sentiment
from trivalent.features import extractor_version
from trivalent.features.pooling import columns_of, parse_name, pool
from trivalent.lab.datasets.faces import extract_faces
from trivalent.lab.datasets.ravdess import (
    CARD,
    SENTIMENTS,
    Variant,
    actor_folds,
    extract_ravdess,
    official_split,
    parse_take,
)
from trivalent.lab.datasets.splits import split_by_group
from trivalent.lab.datasets.tabular import NO_LABEL, TabularData
from trivalent.lab.decide.calibration import fit_temperature
from trivalent.lab.experts.pooled_task import Ensemble, TabularNetwork, TabularTask, TabularTaskConfig
from trivalent.lab.experts.trained import TrainedExpert
from trivalent.lab.export import export_tabular
from trivalent.lab.fit.training import TrainingConfig, fit
from trivalent.lab.measure.metrics import IntArray, summarize
from trivalent.lab.recipes import Recipe, build

log = logging.getLogger(__name__)
CLIP = 4.0  # standard deviations; the runtime clips alike


def load_tabular(
    dataset: str,
    *,
    pooling: Sequence[str],
    root: Path,
    variants: Sequence[str] = (),
    hold_out: bool = True,
) -> tuple[TabularData, NDArray[np.int64], NDArray[np.bool_]]:
    """Read a data set as (samples, fold of each sample, mask of the test part).

    The fold is -1 for test samples, of which there are none without `hold_out` (faces only).
    A person is in one fold only.
    """
    cache = cache_folder() / "features"
    if dataset == "ravdess":
        kinds = (Variant.CLEAN, *map(Variant, variants))
        data = extract_ravdess(root, names=pooling, cache=cache, variants=kinds)
        test = np.zeros(len(data), bool)
        test[official_split(data).test] = True
        fold_of = {f"ravdess/{actor:02d}": i for i, fold in enumerate(actor_folds()) for actor in fold}
        folds = np.array([fold_of.get(group, -1) for group in data.groups.tolist()])
    elif dataset == "faces":
        data = _pooled_pictures(extract_faces(root, cache=cache), pooling)
        data = data.take(data.labels != NO_LABEL)
        split = split_by_group(data.groups, sources=data.sources)
        test = np.zeros(len(data), bool)
        test[split.test] = hold_out
        folds = np.where(test, -1, _hashed_folds(data, ~test))
    else:
        raise RecipeError(f"expected the dataset ravdess or faces, got {dataset!r}")
    return data, folds, test


def train_tabular(recipe: Recipe, *, modality: str, root: Path, out: Path) -> TrainedExpert:
    """Train an ensemble (folds x seeds), calibrate it on out-of-fold logits, export it.

    Every member is trained without one fold of people; the logits of that fold by the
    members that never saw it give honest validation figures and the temperature.
    """
    config = build(TabularTaskConfig, recipe.task, where=recipe.name)
    training = build(TrainingConfig, recipe.training, where=recipe.name)
    data, folds, test = load_tabular(
        config.dataset,
        pooling=config.pooling,
        root=root,
        variants=config.variants,
        hold_out=config.hold_out,
    )
    clean = np.array(["#" not in name for name in data.ids.tolist()])
    usable = clean & ~test
    mean = np.nanmean(data.values[usable], axis=0)
    scale = np.nanstd(data.values[usable], axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    x = np.clip(np.nan_to_num((data.values - mean) / scale, nan=0.0), -CLIP, CLIP)

    outputs, sentiments = _outputs(data, config)
    weights = _item_weights(data, usable, config.balance_sources)
    members: list[nn.Module] = []
    held_out = np.zeros((len(data), 3))
    for fold in np.unique(folds[usable]):
        train, val = ~test & (folds != fold), usable & (folds == fold)
        task = TabularTask(
            config,
            train=(x[train], data.labels[train]),
            outputs=outputs[train],
            val=(x[val], data.labels[val]),
            item_weights=weights[train],
            batch_size=training.batch_size,
        )
        for seed in recipe.seeds:
            torch.manual_seed(seed)
            network = TabularNetwork(
                x.shape[1],
                hidden=config.hidden,
                dropout=config.dropout,
                input_dropout=config.input_dropout,
                sentiments=sentiments,
            )
            fitted = fit(network, task, config=replace(training, seed=seed))
            members.append(fitted.network)
            held_out[val] += _logits(fitted.network, x[val]) / len(recipe.seeds)
    logits, labels = held_out[usable], data.labels[usable]
    temperature = fit_temperature(logits, labels)
    calibrated = softmax(logits / temperature)
    metrics = _metrics(calibrated, labels, data.sources[usable])
    log.info("%s: temperature %.3f, out-of-fold %s", recipe.name, temperature, metrics)

    out.mkdir(parents=True, exist_ok=True)
    ensemble = Ensemble(members).eval()
    spec = ExpertSpec(
        extractor := {"ravdess": "covarep", "faces": "face"}[config.dataset],
        extractor_version(extractor),
        columns_of(config.pooling),
        f"{modality}.onnx",
        temperature,
        calibrated.mean(0),
        tuple(config.pooling),
        mean.astype(float),
        scale.astype(float),
        CLIP,
    )
    export_tabular(ensemble, out / spec.model, inputs=x.shape[1])
    expert = TrainedExpert(spec, out, {"out_of_fold": metrics}, _card(config, data, usable, test))
    expert.save(probabilities=calibrated, labels=labels)
    return expert


def _outputs(data: TabularData, config: TabularTaskConfig) -> tuple[NDArray[np.int64], list[int]]:
    """Return the output that each sample aims at and the sentiment of each output."""
    if not config.emotions:
        return data.labels, list(Sentiment)
    if config.dataset != "ravdess":
        raise RecipeError(f"expected the dataset ravdess with emotions, got {config.dataset!r}")
    names = list(SENTIMENTS)
    emotions = [names.index(parse_take(name.split("#")[0]).emotion) for name in data.ids.tolist()]
    return np.array(emotions), [int(SENTIMENTS[name]) for name in names]


def _pooled_pictures(data: TabularData, pooling: Sequence[str]) -> TabularData:
    """Pool single pictures as recordings of one frame."""
    wrong = [name for name in pooling if parse_name(name).statistic != "mean"]
    if wrong:
        raise RecipeError(
            f"expected COLUMN.mean or COLUMN.logit_mean for single pictures, got {wrong[0]!r}"
        )
    frames = [
        FeatureTable("face", "", data.columns, np.zeros(1), row[None]) for row in data.values.astype(float)
    ]
    values = np.array([pool(frame, pooling) for frame in frames], np.float32)
    return replace(data, values=values, columns=tuple(pooling))


def _hashed_folds(data: TabularData, rows: NDArray[np.bool_], count: int = 5) -> NDArray[np.int64]:
    """Deal the people outside test into folds, source by source."""
    folds = np.full(len(data), -1)
    remaining = np.flatnonzero(rows)
    for fold in range(count - 1):
        share = 1 / (count - fold)
        part = data.take(remaining)
        split = split_by_group(
            part.groups, seed=fold + 1, fractions=(1 - share, 0.0, share), sources=part.sources
        )
        folds[remaining[split.test]] = fold
        remaining = remaining[split.train]
    folds[remaining] = count - 1
    return folds


def _item_weights(data: TabularData, usable: NDArray[np.bool_], balance: bool) -> FloatArray:
    """Square-root weights of every (source, class) cell, mean 1.

    A large collection must not decide alone, and a class that is rare in one collection
    (neutral in the studio) but common in another counts as rare there.
    """
    weights = np.ones(len(data))
    if balance:
        for source in np.unique(data.sources):
            for label in Sentiment:
                cell = (data.sources == source) & (data.labels == label)
                weights[cell] = np.sqrt(usable.sum() / max(1, (usable & cell).sum()))
        weights /= weights[usable].mean()
    return weights


@torch.inference_mode()
def _logits(network: nn.Module, x: FloatArray) -> FloatArray:
    return network(torch.tensor(x, dtype=torch.float32)).numpy()


def _metrics(p: FloatArray, labels: IntArray, sources: NDArray[np.str_]) -> dict[str, Any]:
    parts = {str(s): summarize(labels[sources == s], p[sources == s]) for s in np.unique(sources)}
    return parts if len(parts) == 1 else {**parts, "all": summarize(labels, p)}


def _card(
    config: TabularTaskConfig, data: TabularData, usable: NDArray[np.bool_], test: NDArray[np.bool_]
) -> dict[str, Any]:
    known = {
        "ravdess": CARD,
        "faces": {
            "data": "face pictures of public figures and of studio volunteers, labelled by expression",
            "licence": "weights trained on pictures for research use",
            "limits": "still pictures, posed or newsworthy expressions; an expression is not a feeling; "
            "disgust and fear are rare and poorly labelled",
        },
    }
    return {
        **known[config.dataset],
        "samples": int(usable.sum()),
        "people": len(np.unique(data.groups[usable])),
        "held_out_people": len(np.unique(data.groups[test])),
        "dropped": data.dropped,
    }
