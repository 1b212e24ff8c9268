"""Encoders trained with the fusion beside frozen features, the pool and constants, out of fold.

Usage: python benchmarks/end_to_end.py [--root DIR] [--folds] [--seeds]

The 74 talking clips, and the voice alone of RAVDESS's actors 1 to 16: 12 takes of each in four folds of
actors, and more or fewer of them in training. All through `trivalent train` and `trivalent evaluate`, as in
own_recordings.py. Writes results/end-to-end.*
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from own_recordings import Row, add, add_default, cross_validate, folds_of, ravdess_takes, talking_rows
from results_file import REPOSITORY, Result, Value
from trivalent.core.types import LABELS
from trivalent.lab.measure.metrics import macro_f1

VOICE = ("modalities=[audio]", "features.recognize=false")
SYSTEMS = {
    "frozen features, attention": ("attention", ()),
    "end to end": ("end-to-end", ()),
    "end to end, sentence encoder frozen": ("end-to-end", ("network_options.free_layers=0",)),
    "end to end, words as frozen vectors": ("end-to-end", ("features.text=minilm",)),
}
ACTORS = (2, 4, 8)  # that train, of the twelve of three folds


def add_constants(result: Result, clips: list[Row], *, prefix: str) -> None:
    """Say what each constant answer is worth, and the frequencies of the classes."""
    labels = np.array([LABELS.index(clip["sentiment"]) for clip in clips])
    for i, label in enumerate(LABELS):
        constant = np.full(len(labels), i)
        figures = {"macro_f1": macro_f1(labels, constant), "accuracy": float((labels == i).mean())}
        result.add(f"{prefix}always {label}", **{k: Value(v) for k, v in figures.items()}, clips=len(clips))


def talking(result: Result, root: Path, *, folds: int, seeds: int) -> None:
    """Judge on the talking clips."""
    clips, folder = talking_rows(root)
    labels = np.array([LABELS.index(clip["sentiment"]) for clip in clips])
    shares = np.bincount(labels, minlength=3) / len(labels)
    fold = folds_of(labels, [clip["source"] for clip in clips], folds)
    add_constants(result, clips, prefix="talking: ")
    add_default(result, clips, folder, shares=shares, prefix="talking, ")
    for system, (recipe, settings) in SYSTEMS.items():
        answers = cross_validate(clips, folder, fold, settings=settings, seeds=seeds, recipe=recipe)
        add(result, system, clips, answers, shares=shares, prefix="talking, ")


def ravdess(result: Result, root: Path, *, seeds: int) -> None:
    """Judge on voices, by actors that were not heard."""
    takes, folder = ravdess_takes(root)
    labels = np.array([LABELS.index(take["sentiment"]) for take in takes])
    shares = np.bincount(labels, minlength=3) / len(labels)
    add_constants(result, takes, prefix="RAVDESS: ")
    for actors in ACTORS:
        for system in ("frozen features, attention", "end to end"):
            recipe, settings = SYSTEMS[system]
            answers = cross_validate(
                takes,
                folder,
                _actor_folds(takes),
                settings=(*settings, *VOICE),
                seeds=seeds,
                recipe=recipe,
                speakers=actors,
            )
            name = f"{system}, voice, {actors} actors"
            add(result, name, takes, answers, shares=shares, group="speaker", prefix="RAVDESS, ")


def _actor_folds(takes: list[Row]) -> NDArray[np.int64]:
    return np.array([(int(take["speaker"]) - 1) // 4 for take in takes])


def main() -> None:
    """Train, predict, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    data = f"74 talking clips, {arguments.folds} folds; 192 takes of RAVDESS, 4 folds"
    result = Result("end-to-end", data)
    result.seeds = list(range(arguments.seeds))
    talking(result, arguments.root, folds=arguments.folds, seeds=arguments.seeds)
    ravdess(result, arguments.root, seeds=arguments.seeds)
    result.caveats = []
    result.write()


if __name__ == "__main__":
    main()
