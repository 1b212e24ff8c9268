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
from trivalent.lab.datasets.talking import read_talking
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
ROUNDS = 1000
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
    listed = read_talking(root)
    columns = (*INTENSITIES, *PRESENCES, *OWN_UNIT_COLUMNS)
    face, units, kept = [], [], []
    for clip in track(listed, "clips", total=len(listed)):
        seen = table_of(clip.path, cache, "face")
        measured = table_of(clip.path, cache, "openface", columns=columns, openface_models=str(models))
        if len(seen) and np.isfinite(measured.values).any():
            kept.append(clip)
            face.append(seen)
            units.append(measured)
    labels = np.array([int(clip.label) for clip in kept])
    sources = np.array([clip.source for clip in kept], dtype=np.str_)
    return Clips(labels, sources, face, units, len(listed) - len(kept))


def table_of(path: Path, cache: Path, name: str, **options: object) -> FeatureTable:
    """Read what an extractor says about a clip, from the cache if it has been asked before."""
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

    @property
    def priors(self) -> Opinion:
        """What each training takes for usual, shape (trainings, 1, 3)."""
        return np.array([[expert.spec.prior] for expert in self.experts])

    def say(self, values: Array, *, level: Array | None = None) -> Opinion:
        """Classify statistics (n, inputs), scaled as in training or by those of others, (m, inputs)."""
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


def evidence(opinion: Opinion, priors: Opinion) -> Array:
    """Tell what an opinion adds to what is usual, as the bundle's pool takes it."""
    return np.log(np.maximum(opinion, 1e-6)) - np.log(priors)


def at(frequencies: Array, *pieces: tuple[float, Array]) -> Opinion:
    """Pool weighted pieces of evidence where classes are as frequent as told."""
    return softmax(np.log(frequencies) + np.sum([weight * piece for weight, piece in pieces], axis=0))


def best_share(first: Array, second: Array, labels: NDArray[np.int64]) -> float:
    """Choose the second expert's share of the evidence by log-loss."""
    usual = frequencies(labels)
    losses = [_loss(labels, at(usual, (1 - share, first), (share, second))) for share in SHARES]
    return float(SHARES[int(np.argmin(losses))])


def _loss(labels: NDArray[np.int64], opinion: Opinion) -> float:
    return float(np.mean([negative_log_likelihood(labels, p) for p in opinion]))


Metric = Callable[[NDArray[np.int64], Array], float]
METRICS: Mapping[str, Metric] = {
    "macro_f1": lambda y, p: macro_f1(y, p.argmax(1)),
    "accuracy": lambda y, p: float((p.argmax(1) == y).mean()),
    "log_loss": negative_log_likelihood,
}


def scored(
    labels: NDArray[np.int64], opinion: Opinion, *, than: Opinion | None = None
) -> dict[str, Value | float]:
    """Score an opinion, also against another: means over trainings, intervals over clips and trainings."""
    rng = np.random.default_rng(0)
    draws = [
        (rng.integers(len(opinion)), rng.integers(len(labels), size=len(labels))) for _ in range(ROUNDS)
    ]

    def value(metric: Metric, compared: Opinion | None) -> Value:
        def of(training: int, rows: NDArray[np.int64]) -> float:
            mine = metric(labels[rows], opinion[training][rows])
            return mine if compared is None else mine - metric(labels[rows], compared[training][rows])

        everything = np.arange(len(labels))
        low, high = np.percentile([of(*draw) for draw in draws], [2.5, 97.5])
        return Value(
            np.mean([of(i, everything) for i in range(len(opinion))]).item(), float(low), float(high)
        )

    figures: dict[str, Value | float] = {"n": float(len(labels))}
    figures |= {name: value(metric, None) for name, metric in METRICS.items()}
    recalls = np.mean([class_scores(labels, p.argmax(1))["recall"] for p in opinion], axis=0)
    figures |= {f"recall_{s.label}": float(recalls[s]) for s in Sentiment}
    if than is not None:
        figures |= {f"{name}_more": value(METRICS[name], than) for name in ("macro_f1", "log_loss")}
    return figures


def frequencies(labels: NDArray[np.int64]) -> Array:
    """Shares of the classes among some labels, shape (3,)."""
    return np.bincount(labels, minlength=len(Sentiment)) / len(labels)


def constants(labels: NDArray[np.int64], count: int) -> dict[str, Opinion]:
    """Answers that look at nothing: the largest class, as sure as it is frequent, and all shares."""
    shares = frequencies(labels)
    rest = (1 - shares.max()) / (len(shares) - 1)
    largest = np.where(np.arange(len(shares)) == shares.argmax(), shares.max(), rest)
    return {"largest class": np.tile(largest, (1, count, 1)), "frequencies": np.tile(shares, (1, count, 1))}


def ravdess(result: Result, experts: Mapping[str, tuple[Trained, Sequence[str]]], root: Path) -> None:
    """Judge by the units that come with actors 17 to 20."""
    for place, (name, (expert, names)) in enumerate(experts.items()):
        data, _, test = load_tabular("ravdess_units", pooling=names, root=root)
        y = data.labels[test]
        for constant, opinion in constants(data.labels[~test], len(y)).items() if place == 0 else ():
            result.add(f"RAVDESS 17-20: {constant} of 1-16", **scored(y, opinion))
        result.add(
            f"RAVDESS 17-20: {name}",
            **scored(y, expert.say(data.values[test].astype(np.float64))),
            out_of_fold_f1=expert.out_of_fold["macro_f1"],
            out_of_fold_loss=expert.out_of_fold["nll"],
        )


@dataclass(frozen=True, eq=False)
class Reader:
    """An expert and what it reads of all clips (n, inputs); levelled: scaled by the other source."""

    expert: Trained
    values: Array
    levelled: bool = False

    def say(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> Opinion:
        """Classify some clips."""
        return self.expert.say(self.values[rows], level=self.values[others] if self.levelled else None)

    def add(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> Array:
        """Return the evidence of some clips."""
        return evidence(self.say(rows, others), self.expert.priors)


def talking(result: Result, clips: Clips, readers: Mapping[str, Reader]) -> None:
    """Judge by each source; the first reader is what the others are compared and pooled with."""
    first, *rest = readers
    for source in np.unique(clips.sources).tolist():
        here, other = np.flatnonzero(clips.sources == source), np.flatnonzero(clips.sources != source)
        y, others = clips.labels[here], clips.labels[other]
        usual = frequencies(others)
        for constant, opinion in constants(others, len(y)).items():
            result.add(f"{source}: {constant} of the other source", **scored(y, opinion))
        for name, reader in readers.items():
            result.add(f"{source}: {name}, as it speaks", **scored(y, reader.say(here, other)))
        today = readers[first].add(here, other)
        base = at(usual, (1.0, today))
        for name, reader in readers.items():
            opinion = at(usual, (1.0, reader.add(here, other)))
            result.add(f"{source}: {name}", **scored(y, opinion, than=None if name == first else base))
        for name in rest:
            added = readers[name].add(here, other)
            share = best_share(readers[first].add(other, here), readers[name].add(other, here), others)
            for how, weight in (("equal", 0.5), ("share by the other source", share)):
                both = at(usual, (1 - weight, today), (weight, added))
                result.add(
                    f"{source}: {first} with {name}, {how}", **scored(y, both, than=base), share=weight
                )


def means(columns: Sequence[str]) -> list[str]:
    """Name the columns' means."""
    return [f"{column}.mean" for column in columns]


EVERY, AGREEING_ONES, CARRIED = (
    f"OpenFace's {len(INTENSITIES)} intensities",
    f"OpenFace's {len(AGREEING)} that ours agree with",
    "OpenFace's that our own carry",
)


def train_on_openface(root: Path) -> dict[str, tuple[Trained, Sequence[str]]]:
    """Train the recipe on three sets of OpenFace's columns."""
    carried = [f"AU{name.removeprefix('au.')}" for name in USABLE]
    recipe = load_recipe(RECIPES / "face_units.yaml")
    sets = {EVERY: INTENSITIES, AGREEING_ONES: AGREEING, CARRIED: carried}
    return {
        name: (trained(recipe, root, pooling=means(columns)), means(columns))
        for name, columns in sets.items()
    }


def make_readers(
    clips: Clips, units: Mapping[str, tuple[Trained, Sequence[str]]], root: Path
) -> dict[str, Reader]:
    """Let all experts read the clips; the one of the default bundle is the first."""
    today = Trained([load_bundle("default").experts[Modality.FACE]] * len(TRAININGS), {})
    readers = {"blendshapes": Reader(today, pooled(clips.face, today.experts[0].spec.pooling))}
    own_columns = pooled(clips.units, means(USABLE))
    for name, (expert, names) in units.items():
        title = f"our own {', '.join(USABLE)}" if name == CARRIED else name
        values = own_columns if name == CARRIED else pooled(clips.units, names)
        readers[title] = Reader(expert, values)
        readers[f"{title}, levelled"] = Reader(expert, values, levelled=True)
    pictures = trained(
        load_recipe(RECIPES / "face.yaml"),
        root,
        dataset="face_units",
        pooling=means(OWN_INTENSITIES),
        mix=SPEAKING,
        mirror=0.0,
    )
    readers["our own 16 by pictures"] = Reader(pictures, pooled(clips.units, means(OWN_INTENSITIES)))
    return readers


def main() -> None:
    """Train, read, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "features" / "talking")
    arguments = parser.parse_args()
    root = arguments.root / "data"
    models = arguments.root / "reference" / "openface" / "AU_predictors"
    clips = read_clips(root, arguments.cache, Path(os.environ.get(ENVIRONMENT) or models))
    result = Result(
        "face-talking",
        f"RAVDESS actors 17-20; talking clips with a face ({clips.without_face} have none)",
        seeds=TRAININGS,
        caveats=CAVEATS,
    )
    units = train_on_openface(root)
    ravdess(result, units, root)
    talking(result, clips, make_readers(clips, units, root))
    result.write()
    for row in result.rows:
        print(row.name, {k: round(v.mean, 3) for k, v in row.metrics.items()})


CAVEATS = [
    "Figures are means over three trainings of what is trained here (twelve to fifteen members each), with "
    "95 % bootstrap intervals over clips and trainings. `_more`: the difference to blendshapes on the same "
    "clips. The clips are few.",
    "Of talking clips, an expert's opinion is taken as the bundle's pool takes it: relative to its own "
    "prior, where classes are as frequent as in the other source; `as it speaks` has its own prior. The "
    "pools share the evidence, equally or as has the least log-loss on the other source.",
    "OpenFace's units: experts trained on the means over takes that come with RAVDESS (actors 1-16, "
    "settings by out-of-fold figures over these actors; without surprise); clips are read by our "
    "extractor with the model files of OpenFace, every frame. Blendshapes: the default bundle's expert, "
    "five frames a second. A clip counts as one utterance.",
    "Levelled: inputs scaled by mean and spread of the other source's clips, which need no labels for "
    "that, instead of RAVDESS's.",
    "That ours agree with: r of at least .6 with OpenFace's columns on film clips (status `derived`).",
    "Our own au.06_r, au.12_r: read by an expert that was trained on OpenFace's columns of these units; by "
    "pictures: trained on the pictures of the default bundle's face expert, by its recipe.",
    "The recipe was settled after a look at such tables; no row is a blind test.",
]


if __name__ == "__main__":
    main()
