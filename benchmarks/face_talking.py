"""Faces of people who talk: today's face expert, experts on action units, and both pooled.

Usage: OMP_NUM_THREADS=1 python benchmarks/face_talking.py [--root ../shared] [--cache DIR]

Judged on RAVDESS actors 17 to 20 (by the units that come with it) and on data/talking, clips of IEMOCAP
and of MER, each source with whatever is chosen or fitted there by the other one alone. OpenFace's units
of these clips take its model files: reference/openface of the root, or $TRIVALENT_OPENFACE. Features are
computed once (half an hour) and kept in the cache. Writes results/face-talking.*
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from results_file import REPOSITORY, Result, Value
from trivalent.bundle.fusion import softmax
from trivalent.bundle.loading import Expert, load_bundle
from trivalent.core.assets import cache_folder
from trivalent.core.types import FeatureTable, Modality, Sentiment
from trivalent.extract import extract
from trivalent.features.openface.columns import INTENSITIES, PRESENCES
from trivalent.features.openface.models import ENVIRONMENT
from trivalent.features.openface.own_units import OWN_UNIT_COLUMNS, USABLE
from trivalent.features.openface.status import ColumnStatus, Engine, column_states
from trivalent.features.pooling import pool
from trivalent.features.registry import extractor
from trivalent.features.tables import read_table, write_table
from trivalent.lab.experts.pooled import train_tabular
from trivalent.lab.experts.sources import load_tabular
from trivalent.lab.measure.metrics import class_scores, macro_f1, negative_log_likelihood
from trivalent.lab.progress import track
from trivalent.lab.recipes import Recipe, load_recipe

Array = NDArray[np.float64]
Opinion = Array  # probabilities of clips by several trainings, shape (trainings, n, 3)
RECIPES = REPOSITORY / "recipes"
TRAININGS = (0, 100, 200)  # added to a recipe's seeds
SHARES = np.linspace(0, 1, 11)  # of the second expert in a pool
ROUNDS = 2000
AGREEING = tuple(
    name for name in INTENSITIES if column_states(Engine.MODELS)[name].status is ColumnStatus.DERIVED
)
OWN_INTENSITIES = tuple(name for name in OWN_UNIT_COLUMNS if name.endswith("_r"))
SPEAKING = [f"au.{unit}_?.mean" for unit in ("10", "14", "15", "17", "20", "25", "26")]


@dataclass(frozen=True, eq=False)
class Clips:
    """Talking clips in which a face is found: labels and sources (n,), tables of both extractors."""

    labels: NDArray[np.int64]
    sources: NDArray[np.str_]
    face: list[FeatureTable]
    units: list[FeatureTable]
    without_face: int


def read_clips(root: Path, cache: Path, models: Path) -> Clips:
    """Read the clips, or their features from the cache."""
    listed = pd.read_csv(root / "talking" / "labels.csv")
    columns = (*INTENSITIES, *PRESENCES, *OWN_UNIT_COLUMNS)
    face, units, kept = [], [], []
    for row, file in enumerate(track(listed["file"].tolist(), "clips", total=len(listed))):
        path = root / "talking" / str(file)
        seen = _table(path, cache, "face")
        measured = _table(path, cache, "openface", columns=columns, openface_models=str(models))
        if len(seen) and np.isfinite(measured.values).any():
            kept.append(row)
            face.append(seen)
            units.append(measured)
    chosen = listed.iloc[kept]
    labels = np.array([int(Sentiment[name.upper()]) for name in chosen["sentiment"]])
    sources = np.array(chosen["source"], dtype=np.str_)
    return Clips(labels, sources, face, units, len(listed) - len(kept))


def _table(path: Path, cache: Path, name: str, **options: object) -> FeatureTable:
    stored = cache / f"{name}-{extractor(name).version}" / f"{path.stem}.npz"
    if not stored.is_file():
        stored.parent.mkdir(parents=True, exist_ok=True)
        write_table(extract(name, path, **options), stored)
    return read_table(stored)


def pooled(tables: Sequence[FeatureTable], names: Sequence[str]) -> Array:
    """Pool statistics of each clip, shape (n, len(names))."""
    return np.array([pool(table, names) for table in tables])


@dataclass(frozen=True, eq=False)
class Trained:
    """An expert trained several times, and its figures out of fold."""

    experts: list[Expert]
    out_of_fold: Mapping[str, float]

    def say(self, values: Array, *, level: Array | None = None) -> Opinion:
        """Classify statistics (n, inputs), scaled as in training or by those of others, `level` (m, inputs)."""
        opinions = []
        for expert in self.experts:
            mean, scale = expert.spec.mean, expert.spec.scale
            if level is not None:
                mean, scale = np.nanmean(level, axis=0), np.maximum(np.nanstd(level, axis=0), 1e-3)
            x = np.clip(np.nan_to_num((values - mean) / scale), -expert.spec.clip, expert.spec.clip)
            opinions.append(expert.calibrate(expert.run(x.astype(np.float32))))
        return np.array(opinions)


def trained(recipe: Recipe, root: Path, **task: object) -> Trained:
    """Train a recipe's expert with each of the trainings' seeds."""
    experts, figures = [], []
    for first in TRAININGS:
        seeds = tuple(first + seed for seed in recipe.seeds)
        changed = replace(recipe, seeds=seeds, task={**recipe.task, **task})
        with TemporaryDirectory() as folder:
            expert = train_tabular(changed, modality="face", root=root, out=Path(folder))
            graph = expert.graph.read_bytes()  # before its folder ends
        experts.append(Expert(expert.spec, partial(bytes, graph), threads=1))
        parts = expert.metrics["out_of_fold"]
        figures.append(parts.get("all") or next(iter(parts.values())))
    return Trained(experts, {name: float(np.mean([f[name] for f in figures])) for name in figures[0]})


def pool_of(first: Opinion, second: Opinion, share: float) -> Opinion:
    """Pool two opinions log-linearly: weights 1 - share and share."""
    logits = (1 - share) * np.log(np.maximum(first, 1e-6)) + share * np.log(np.maximum(second, 1e-6))
    return softmax(logits)


def best_share(first: Opinion, second: Opinion, labels: NDArray[np.int64]) -> float:
    """Choose the share of the second expert by log-loss."""
    return float(min(SHARES, key=lambda share: _loss(labels, pool_of(first, second, share))))


def _loss(labels: NDArray[np.int64], opinion: Opinion) -> float:
    return float(np.mean([negative_log_likelihood(labels, p) for p in opinion]))


def scored(labels: NDArray[np.int64], opinion: Opinion) -> dict[str, Value | float]:
    """Score an opinion; means over trainings, 95 % intervals over clips and trainings."""
    metrics: dict[str, Callable[[NDArray[np.int64], Array], float]] = {
        "macro_f1": lambda y, p: macro_f1(y, p.argmax(1)),
        "accuracy": lambda y, p: float((p.argmax(1) == y).mean()),
        "log_loss": negative_log_likelihood,
    }
    rng = np.random.default_rng(0)
    draws = [
        (rng.integers(len(opinion)), rng.integers(len(labels), size=len(labels))) for _ in range(ROUNDS)
    ]
    found: dict[str, Value | float] = {"n": float(len(labels))}
    for name, metric in metrics.items():
        values = [metric(labels[rows], opinion[training][rows]) for training, rows in draws]
        low, high = np.percentile(values, [2.5, 97.5])
        found[name] = Value(float(np.mean([metric(labels, p) for p in opinion])), float(low), float(high))
    recalls = np.mean([class_scores(labels, p.argmax(1))["recall"] for p in opinion], axis=0)
    return found | {f"recall_{s.label}": float(recalls[s]) for s in Sentiment}


def frequencies(labels: NDArray[np.int64], count: int) -> Opinion:
    """Say the frequencies of the classes among some labels, of each of `count` clips."""
    return np.tile(np.bincount(labels, minlength=3) / len(labels), (1, count, 1))


def majority(labels: NDArray[np.int64], count: int) -> Opinion:
    """Say the most frequent class, and so surely as it is frequent."""
    shares = np.bincount(labels, minlength=3) / len(labels)
    sure = np.where(np.arange(3) == shares.argmax(), shares.max(), (1 - shares.max()) / 2)
    return np.tile(sure, (1, count, 1))


def ravdess(result: Result, experts: Mapping[str, tuple[Trained, Sequence[str]]], root: Path) -> None:
    """Judge by the units that come with actors 17 to 20."""
    for name, (expert, names) in experts.items():
        data, _, test = load_tabular("ravdess_units", pooling=names, root=root)
        y = data.labels[test]
        if name == next(iter(experts)):
            result.add(
                "RAVDESS 17-20: class frequencies", **scored(y, frequencies(data.labels[~test], len(y)))
            )
        result.add(
            f"RAVDESS 17-20: {name}",
            **scored(y, expert.say(data.values[test].astype(np.float64))),
            out_of_fold_f1=expert.out_of_fold["macro_f1"],
            out_of_fold_loss=expert.out_of_fold["nll"],
        )


def talking(
    result: Result, clips: Clips, opinions: Mapping[str, Callable[[Array, Array], Opinion]], first: str
) -> None:
    """Judge by each source; an opinion is asked about (rows, rows of the other source)."""
    for source in np.unique(clips.sources).tolist():
        here, other = np.flatnonzero(clips.sources == source), np.flatnonzero(clips.sources != source)
        y, others = clips.labels[here], clips.labels[other]
        result.add(f"{source}: majority of the other source", **scored(y, majority(others, len(y))))
        result.add(f"{source}: frequencies of the other source", **scored(y, frequencies(others, len(y))))
        said = {name: ask(here, other) for name, ask in opinions.items()}
        heard = {name: ask(other, here) for name, ask in opinions.items()}
        for name, opinion in said.items():
            result.add(f"{source}: {name}", **scored(y, opinion))
        for name in [name for name in opinions if name != first]:
            for how, share in (
                ("equal", 0.5),
                ("chosen on the other source", best_share(heard[first], heard[name], others)),
            ):
                both = pool_of(said[first], said[name], share)
                result.add(f"{source}: blendshapes with {name}, {how}", **scored(y, both), share=share)


def main() -> None:
    """Train, read, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "features" / "talking")
    arguments = parser.parse_args()
    root = arguments.root / "data"
    models = Path(
        os.environ.get(ENVIRONMENT) or arguments.root / "reference" / "openface" / "AU_predictors"
    )
    clips = read_clips(root, arguments.cache, models)

    def means(columns: Sequence[str]) -> list[str]:
        return [f"{column}.mean" for column in columns]

    recipe, still = load_recipe(RECIPES / "face_units.yaml"), load_recipe(RECIPES / "face.yaml")
    same = [f"AU{name.removeprefix('au.')}" for name in USABLE]
    sets = {
        "OpenFace's 17 intensities": means(INTENSITIES),
        f"OpenFace's {len(AGREEING)} intensities that ours agree with": means(AGREEING),
        f"OpenFace's {len(same)} that our own units carry": means(same),
    }
    units = {name: (trained(recipe, root, pooling=names), names) for name, names in sets.items()}
    own = trained(
        still, root, dataset="face_units", pooling=means(OWN_INTENSITIES), mix=SPEAKING, mirror=0.0
    )
    result = Result(
        "face-talking",
        f"RAVDESS actors 17-20; talking clips with a face ({clips.without_face} have none)",
        seeds=TRAININGS,
    )
    ravdess(result, units, root)

    today = load_bundle("default").experts[Modality.FACE]
    opinions: dict[str, Callable[[Array, Array], Opinion]] = {}
    blend = Trained([today], {}).say(pooled(clips.face, today.spec.pooling))
    opinions["blendshapes (default bundle)"] = lambda here, other: blend[:, here].repeat(len(TRAININGS), 0)
    for name, (expert, names) in list(units.items())[:2]:
        values = pooled(clips.units, names)
        opinions[name] = _asking(expert, values)
        opinions[f"{name}, levels of the other source"] = _asking(expert, values, levelled=True)
    expert, _ = units[list(units)[2]]
    opinions[f"our own units {', '.join(USABLE)}, expert trained on OpenFace's"] = _asking(
        expert, pooled(clips.units, means(USABLE))
    )
    opinions["our own 16 intensities, expert trained on pictures"] = _asking(
        own, pooled(clips.units, means(OWN_INTENSITIES))
    )
    talking(result, clips, opinions, next(iter(opinions)))
    result.caveats = CAVEATS
    result.write()
    for row in result.rows:
        print(row.name, {k: round(v.mean, 3) for k, v in row.metrics.items()})


def _asking(expert: Trained, values: Array, *, levelled: bool = False) -> Callable[[Array, Array], Opinion]:
    return lambda here, other: expert.say(values[here], level=values[other] if levelled else None)


CAVEATS = [
    "Macro-F1, accuracy, log-loss: mean over three trainings of what is trained here (twelve to fifteen "
    "members each), 95 % bootstrap intervals over clips and trainings. The clips are few: rows whose "
    "intervals overlap as these do are not told apart.",
    "OpenFace's units: experts trained on the means over takes that come with RAVDESS (actors 1-16; "
    "settings by out-of-fold figures over these actors), clips read by our extractor with the user's model "
    "files, every frame. Blendshapes: five frames a second, as in an analysis. A clip counts as one "
    "utterance.",
    "Levels of the other source: inputs scaled by mean and spread of the other source's clips, without "
    "their labels, instead of RAVDESS's.",
    "Ours agree: r of at least .6 with OpenFace's on film clips (status `derived`).",
    "Our own units: the pictures' training people; the recipe of the default bundle's face expert, with "
    "other inputs.",
    "Both sources took part in the development of the default bundle as data to look at, and these tables "
    "were seen before the recipe was settled: no row is a blind test.",
]


if __name__ == "__main__":
    main()
