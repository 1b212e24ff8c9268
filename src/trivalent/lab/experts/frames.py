"""From a recipe to an expert over frames (the voice): cross-fitted ensemble, calibration, export."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trivalent.bundle.fusion import softmax
from trivalent.bundle.spec import ExpertSpec, Inputs
from trivalent.core.assets import cache_folder
from trivalent.core.errors import DataError
from trivalent.features import extractor_version
from trivalent.features.frames import UNSCALED, columns_of_channels, frames
from trivalent.lab.datasets.ravdess import (
    CARD,
    SENTIMENTS,
    SOURCE,
    TRAIN_ACTORS,
    Variant,
    actor_folds,
    voice_tables,
)
from trivalent.lab.decide.calibration import fit_temperature
from trivalent.lab.experts.frames_task import Frames, FramesTask, FramesTaskConfig, logits_of_takes
from trivalent.lab.experts.trained import TrainedExpert
from trivalent.lab.export import export_frames
from trivalent.lab.fit.training import TrainingConfig, fit
from trivalent.lab.measure.metrics import IntArray, summarize
from trivalent.lab.networks.temporal import TemporalNetwork
from trivalent.lab.recipes import Recipe, build

log = logging.getLogger(__name__)
CLIP = 4.0  # standard deviations; the runtime clips alike
LIMITS = (
    "acted speech, two fixed sentences, North American English, studio microphone. Trained on one "
    "sentence and tested on the other, the same network lost .035 of macro-F1 (.743 to .708), so expect "
    "less on free speech. Network and augmentation were chosen by out-of-fold figures of the same 16 "
    "actors, which are optimistic by perhaps .01 to .02. On spontaneous speech the voice says much less, "
    "which the fusion weights reflect"
)


@dataclass(frozen=True, eq=False)
class TakeData:
    """Frames of takes, before any scaling.

    Attributes
    ----------
    copies : list of list of array, each (steps, channels)
        Of each take: the clean one first, then those of the variants.
    labels, emotions : int array, shape (takes,)
        `Sentiment` codes; positions in `SENTIMENTS`.
    actors : int array, shape (takes,)
    ids : list of str
    dropped : int
        Takes without two rows of features.
    """

    copies: list[list[Frames]]
    labels: IntArray
    emotions: IntArray
    actors: IntArray
    ids: list[str]
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def clean(self, rows: IntArray) -> list[Frames]:
        """Unaltered takes, in the order of `rows`."""
        return [self.copies[i][0] for i in rows.tolist()]

    def normalized(self, mean: NDArray[np.float64], scale: NDArray[np.float64], clip: float) -> TakeData:
        """Scale and clip all channels."""
        copies = [
            [np.clip((x - mean) / scale, -clip, clip).astype(np.float32) for x in own]
            for own in self.copies
        ]
        return replace(self, copies=copies)


def load_takes(
    config: FramesTaskConfig, *, root: Path, actors: Sequence[int] = TRAIN_ACTORS, variants: bool = True
) -> TakeData:
    """Read the frames of some actors' takes.

    Raises
    ------
    DataError
        The recordings are absent, or none is by these actors.
    """
    columns = columns_of_channels(config.channels)
    cache = cache_folder() / "features"
    found: dict[str, list[Frames]] = {}
    clean = voice_tables(root, columns=columns, cache=cache)
    takes = [take for take, _ in clean if take.actor in actors]
    for kind in (Variant.CLEAN, *map(Variant, config.variants if variants else ())):
        tables = (
            clean
            if kind is Variant.CLEAN
            else voice_tables(root, columns=columns, cache=cache, variant=kind)
        )
        for take, table in tables:
            if take.actor in actors and (kind is Variant.CLEAN or take.stem in found):
                values = frames(table, config.channels)
                if len(values):
                    found.setdefault(take.stem, []).append(values)
    kept = [take for take in takes if take.stem in found]
    if not kept:
        raise DataError(
            f"expected takes with a voice by the actors {list(actors)} under {root}, found none; "
            "check the recordings"
        )
    emotions = np.array([list(SENTIMENTS).index(take.emotion) for take in kept])
    return TakeData(
        [found[take.stem] for take in kept],
        np.array([int(SENTIMENTS[take.emotion]) for take in kept]),
        emotions,
        np.array([take.actor for take in kept]),
        [take.stem for take in kept],
        len(takes) - len(kept),
    )


def train_frames(recipe: Recipe, *, modality: str, root: Path, out: Path) -> TrainedExpert:
    """Train an ensemble (folds of actors x seeds), calibrate it on out-of-fold logits, export it.

    Every member leaves a checkpoint in `out`, so that a killed training goes on with the member it
    had reached. The test actors are not read.
    """
    config = build(FramesTaskConfig, recipe.task, where=recipe.name)
    training = build(TrainingConfig, recipe.training, where=recipe.name)
    raw = load_takes(config, root=root)
    mean, scale = np.zeros(len(config.channels)), _scale(raw, config.channels)
    data = raw.normalized(mean, scale, CLIP)
    folds = _folds(data.actors)
    mark = _fingerprint(config, training, data)

    members: list[TemporalNetwork] = []
    logits = np.zeros((len(data), 3))
    for fold in np.unique(folds).tolist():
        for seed in recipe.seeds:
            checkpoint = out / f"member-{mark}-fold{fold}-seed{seed}.pt"
            network = _fit_member(data, folds, fold=fold, seed=seed, how=(config, training, checkpoint))
            held = np.flatnonzero(folds == fold)
            own = logits_of_takes(network, data.clean(held))
            logits[held] += own / len(recipe.seeds)
            members.append(network)
            log.info("fold %d, seed %d: %s", fold, seed, summarize(data.labels[held], softmax(own)))
    temperature = fit_temperature(logits, data.labels)
    calibrated = softmax(logits / temperature)
    metrics: dict[str, Any] = {SOURCE: summarize(data.labels, calibrated)}
    log.info("%s: temperature %.3f, out-of-fold %s", recipe.name, temperature, metrics)

    out.mkdir(parents=True, exist_ok=True)
    spec = ExpertSpec(
        "covarep",
        extractor_version("covarep"),
        columns_of_channels(config.channels),
        f"{modality}.onnx",
        temperature,
        calibrated.mean(0),
        mean=mean,
        scale=scale,
        clip=CLIP,
        inputs=Inputs.FRAMES,
        channels=tuple(config.channels),
    )
    export_frames(members, out / spec.model, channels=len(config.channels))
    expert = TrainedExpert(spec, out, {"out_of_fold": metrics}, _card(data))
    expert.save(probabilities=calibrated, labels=data.labels)
    return expert


def _fit_member(
    data: TakeData,
    folds: IntArray,
    *,
    fold: int,
    seed: int,
    how: tuple[FramesTaskConfig, TrainingConfig, Path],
) -> TemporalNetwork:
    """Train one network without the actors of a fold."""
    config, training, checkpoint = how
    train, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
    task = FramesTask(
        config,
        train=[data.copies[i] for i in train.tolist()],
        labels=data.labels[train],
        emotions=data.emotions[train],
        val=(data.clean(held), data.labels[held]),
        batch_size=training.batch_size,
    )
    own_seed = 100 * seed + fold
    torch.manual_seed(own_seed)
    network = TemporalNetwork(
        len(config.channels),
        width=config.width,
        dropout=config.dropout,
        sentiments=[int(s) for s in SENTIMENTS.values()],
    )
    return fit(network, task, config=replace(training, seed=own_seed), checkpoint=checkpoint).network


def _scale(data: TakeData, channels: Sequence[str]) -> NDArray[np.float64]:
    """Measure deviations over all steps of the clean takes; 1 for channels of a size by definition."""
    scale = np.concatenate(data.clean(np.arange(len(data)))).std(0, dtype=np.float64)
    scale = np.where(scale > 1e-9, scale, 1.0)
    return np.where(np.isin(channels, UNSCALED), 1.0, scale)


def _folds(actors: IntArray) -> IntArray:
    fold_of = {actor: i for i, fold in enumerate(actor_folds()) for actor in fold}
    return np.array([fold_of[actor] for actor in actors.tolist()])


def _fingerprint(config: FramesTaskConfig, training: TrainingConfig, data: TakeData) -> str:
    """Tell recipes and data apart: a checkpoint of others must not be continued."""
    told = json.dumps([asdict(config), asdict(training), data.ids], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def _card(data: TakeData) -> dict[str, Any]:
    return {
        **CARD,
        "limits": LIMITS,
        "samples": len(data),
        "people": len(np.unique(data.actors)),
        "dropped": data.dropped,
    }
