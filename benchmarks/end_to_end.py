"""Encoders trained with the fusion beside frozen features, the pool and constants, out of fold.

Usage: python benchmarks/end_to_end.py [--root DIR] [--folds] [--seeds] [--work DIR [--only PART]]

The 74 talking clips, and the voice alone of RAVDESS's actors 1 to 16: 12 takes of each in four folds of
actors, with two and with eight of them in training. All through `trivalent train` and `trivalent evaluate`,
as in own_recordings.py. `--work` keeps the answers of each row, so that a run that was stopped goes on;
`--only` makes those of one part and writes no result. Writes results/end-to-end.*
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from own_recordings import Row, add, cross_validate, folds_of, ravdess_takes, talking_rows
from results_file import FOLDER, REPOSITORY, Result, Value
from trivalent.core.files import write_text_atomic
from trivalent.core.types import LABELS
from trivalent.lab.measure.metrics import macro_f1, negative_log_likelihood
from trivalent.lab.measure.statistics import paired_bootstrap

Answers = dict[str, NDArray[np.float64]]
FROZEN, TRAINED = "attention", "end-to-end"  # recipes
TALKING = {
    "frozen features": (FROZEN, ()),
    "end to end": (TRAINED, ()),
    "end to end, words as frozen vectors": (TRAINED, ("features.text=minilm",)),
}
VOICE = ("modalities=[audio]", "features.recognize=false")
RAVDESS = {
    "frozen features": (FROZEN, VOICE),
    "end to end": (TRAINED, VOICE),
    "frozen features, loudness too": (FROZEN, (*VOICE, "features.audio=means")),
    "end to end, loudness too": (TRAINED, (*VOICE, "features.audio=means")),
}
SOURCES = ("all", "IEMOCAP", "MER")
FIGURES = ("macro_f1", "accuracy", "log_loss")
ACTORS = (2, 8)  # that train


@dataclass(frozen=True)
class Run:
    """How often and where, and where answers are kept."""

    root: Path
    folds: int
    seeds: int
    work: Path | None

    def answers(self, name: str, make: Callable[[], Answers]) -> Answers:
        """Make the answers of a row, or read those that were kept."""
        path = self.work / f"{name}.json" if self.work else None
        if path is not None and path.is_file():
            return {k: np.array(p) for k, p in json.loads(path.read_text(encoding="utf-8")).items()}
        made = make()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(path, json.dumps({k: p.tolist() for k, p in made.items()}))
        return made


def add_constants(result: Result, clips: Sequence[Row], *, prefix: str) -> None:
    """Say what each constant answer is worth."""
    labels = np.array([LABELS.index(clip["sentiment"]) for clip in clips])
    for i, label in enumerate(LABELS):
        figures = {"macro_f1": macro_f1(labels, np.full(len(labels), i)), "accuracy": (labels == i).mean()}
        found = {name: Value(float(value)) for name, value in figures.items()}
        result.add(f"{prefix}always {label}", **found, clips=len(clips), judged=len(clips))


def add_difference(
    result: Result, clips: Sequence[Row], pair: tuple[Answers, Answers], *, row: str, group: str
) -> None:
    """Say how two rows differ on the same clips, and what chance makes of it."""
    labels = np.array([LABELS.index(clip["sentiment"]) for clip in clips])
    shares = np.bincount(labels, minlength=3) / len(labels)
    first, second = (np.stack([own.get(c["file"], shares) for c in clips]) for own in pair)
    metrics = {"macro_f1": lambda y, q: macro_f1(y, q.argmax(1)), "log_loss": negative_log_likelihood}
    found = {}
    for name, metric in metrics.items():
        groups = [clip[group] for clip in clips]
        test = paired_bootstrap(metric, labels, first=first, second=second, groups=groups)
        found[name] = Value(test.difference, test.low, test.high)
    result.add(row, **found, clips=len(clips))


def add_pool(result: Result) -> None:
    """Say what the pool of the default bundle is worth, fitted without each source (talking.py)."""
    rows = json.loads((FOLDER / "talking.json").read_text(encoding="utf-8"))["rows"]
    for row in rows:
        source, _, rule = row["name"].partition(": ")
        if rule == "fused" and source in SOURCES:
            found = {name: Value(*row["metrics"][name].values()) for name in FIGURES}
            count = row["metrics"]["n"]["mean"]
            name = f"talking, {source}: the pool of the default bundle"
            result.add(name, **found, clips=count, judged=count)


def talking(result: Result, run: Run) -> None:
    """Judge on the talking clips."""
    clips, folder = talking_rows(run.root)
    labels = np.array([LABELS.index(clip["sentiment"]) for clip in clips])
    shares = np.bincount(labels, minlength=3) / len(labels)
    fold = folds_of(labels, [clip["source"] for clip in clips], run.folds)
    add_constants(result, clips, prefix="talking, all: ")
    add_pool(result)
    for name, (recipe, settings) in TALKING.items():

        def make(recipe: str = recipe, settings: Sequence[str] = settings) -> Answers:
            return cross_validate(clips, folder, fold, settings=settings, seeds=run.seeds, recipe=recipe)

        answers = run.answers(f"talking, {name}", make)
        add(result, name, clips, answers, shares=shares, prefix="talking, ")
        if recipe == FROZEN:
            frozen = answers
        else:
            row = f"talking, all: {name}, minus frozen features"
            add_difference(result, clips, (answers, frozen), row=row, group="file")


def ravdess(result: Result, run: Run) -> None:
    """Judge on voices, by actors that were not heard."""
    takes, folder = ravdess_takes(run.root)
    labels = np.array([LABELS.index(take["sentiment"]) for take in takes])
    shares = np.bincount(labels, minlength=3) / len(labels)
    fold = np.array([(int(take["speaker"]) - 1) // 4 for take in takes])
    add_constants(result, takes, prefix="RAVDESS, all: ")
    for actors in ACTORS:
        for system, (recipe, settings) in RAVDESS.items():

            def make(
                recipe: str = recipe, settings: Sequence[str] = settings, actors: int = actors
            ) -> Answers:
                return cross_validate(
                    takes,
                    folder,
                    fold,
                    settings=settings,
                    seeds=run.seeds,
                    recipe=recipe,
                    speakers=actors,
                )

            name = f"{actors} actors train, {system}"
            answers = run.answers(f"RAVDESS, {name}", make)
            add(result, name, takes, answers, shares=shares, group="speaker", prefix="RAVDESS, ")
            if recipe == FROZEN:
                frozen = answers
            else:
                row = f"RAVDESS, all: {name}, minus frozen features"
                add_difference(result, takes, (answers, frozen), row=row, group="speaker")


PARTS = {"talking": talking, "ravdess": ravdess}


def main() -> None:
    """Train, predict, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--only", choices=PARTS)
    arguments = parser.parse_args()
    run = Run(arguments.root, arguments.folds, arguments.seeds, arguments.work)
    data = f"74 talking clips, {run.folds} folds; 192 takes of RAVDESS, 4 folds of actors"
    result = Result("end-to-end", data)
    result.seeds = list(range(run.seeds))
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            part(result, run)
    result.caveats = [
        f"Mean of {run.seeds} seeds; 95 % bootstrap intervals over clips or actors, paired ones of "
        "differences (from the frozen features of the row before). About 45 talking clips train each "
        "network and 15 choose its epoch: 7 or so are of the rarest class. Of RAVDESS 24 or 96 takes train "
        "(8 or 32 of a class), 48 of four other actors choose.",
        "Frozen features: recipes/attention.yaml. Its sentence vectors are those of the default bundle's "
        "text expert, which learned sentiment elsewhere; end to end starts from MiniLM as published.",
        "Loudness too: all 74 columns of COVAREP, their means or over time; without it columns that do not "
        "depend on the gain. RAVDESS was recorded in one studio, where loudness tells anger; elsewhere it "
        "tells the microphone.",
        "IEMOCAP's clips are of one man, who is in every fold. Chinese words are not read: MER is judged "
        "by voice and face. The pool is that of results/talking.md, fitted without each source; its voice "
        "was trained on RAVDESS: no row there.",
    ]
    if arguments.only is None:
        result.write()


if __name__ == "__main__":
    main()
