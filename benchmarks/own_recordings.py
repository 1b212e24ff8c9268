"""Networks trained on a folder of one's own videos, by cross-validation, through the commands of a user.

Usage: python benchmarks/own_recordings.py [--root ../shared/data] [--folds 5] [--seeds 3]

The videos are data/talking (74 clips of films and of a laboratory, with transcripts). Each fold is the test
part once, the next one validation; `trivalent train` and `trivalent evaluate --predictions` do the rest.
Writes results/own-recordings.*
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from results_file import REPOSITORY, Result, Value
from trivalent.cli.main import main as trivalent
from trivalent.core.types import LABELS
from trivalent.lab.measure.metrics import bootstrap_interval, macro_f1, negative_log_likelihood

Row = dict[str, str]
SYSTEMS = {
    "attention": (),
    "attention, words alone": ("modalities=[text]",),
    "attention, voice alone": ("modalities=[audio]",),
    "attention, face alone": ("modalities=[face]",),
    "attention, modality dropout .3": ("modality_dropout=0.3",),
    "concatenation": ("network=concatenation",),
}


def folds_of(labels: NDArray[np.int64], sources: Sequence[str], count: int) -> NDArray[np.int64]:
    """Deal the clips of each source and class out over the folds."""
    rng, fold = np.random.default_rng(0), np.empty(len(labels), np.int64)
    dealt = 0
    for key in sorted({*zip(sources, labels.tolist(), strict=True)}):
        own = np.array([i for i, k in enumerate(zip(sources, labels.tolist(), strict=True)) if k == key])
        for place, i in enumerate(rng.permutation(own)):
            fold[i] = (place + dealt) % count
        dealt += len(own)
    return fold


def write_table(path: Path, clips: Sequence[Row], folder: Path, splits: Sequence[str]) -> Path:
    """Write the CSV of a user."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "split", "transcript"])
        for clip, split in zip(clips, splits, strict=True):
            writer.writerow([folder / clip["file"], clip["sentiment"], split, clip["transcript"]])
    return path


def read_predictions(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read the probabilities of each recording by its file name."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {Path(r["name"]).name: np.array([float(r[label]) for label in LABELS]) for r in rows}


def command(*arguments: str) -> None:
    """Run one of our commands, or end."""
    if trivalent(list(arguments)) != 0:
        sys.exit(f"trivalent {' '.join(arguments)} failed")


def cross_validate(
    clips: Sequence[Row], folder: Path, fold: NDArray[np.int64], *, settings: Sequence[str], seeds: int
) -> dict[str, NDArray[np.float64]]:
    """Train on the other folds and predict each, with the two commands."""
    count, answers = int(fold.max()) + 1, {}
    changes = [f"seeds={list(range(seeds))}", *settings]
    for test in range(count):
        part = np.where(fold == test, "test", np.where(fold == (test + 1) % count, "val", "train"))
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            table = write_table(work / "mine.csv", clips, folder, part.tolist())
            sets = [word for change in (f"data={table}", *changes) for word in ("--set", change)]
            recipe = str(REPOSITORY / "recipes" / "attention.yaml")
            command("train", recipe, *sets, "-o", str(work / "run"))
            out = work / "predictions.csv"
            command("evaluate", str(work / "run"), "--data", str(table), "--predictions", str(out))
            answers |= read_predictions(out)
    return answers


def add(
    result: Result,
    name: str,
    clips: Sequence[Row],
    answers: dict[str, NDArray[np.float64]],
    *,
    shares: NDArray[np.float64],
) -> None:
    """Score one system over all clips, and each source by itself; intervals over clips.

    A clip of which it says nothing, as it has none of its modalities, gets the shares of the classes.
    """
    for source in ("all", *sorted({clip["source"] for clip in clips})):
        own = [c for c in clips if source in ("all", c["source"])]
        labels = np.array([LABELS.index(c["sentiment"]) for c in own])
        p = np.stack([answers.get(c["file"], shares) for c in own])
        metrics = {
            "macro_f1": lambda y, q: macro_f1(y, q.argmax(1)),
            "accuracy": lambda y, q: float((y == q.argmax(1)).mean()),
            "log_loss": negative_log_likelihood,
        }
        found = {}
        for metric, function in metrics.items():
            low, high = bootstrap_interval(
                function, labels, probabilities=p, groups=[c["file"] for c in own]
            )
            found[metric] = Value(float(function(labels, p)), low, high)
        judged = sum(c["file"] in answers for c in own)
        result.add(f"{source}: {name}", **found, clips=len(own), judged=judged)


def main() -> None:
    """Train, predict, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    folder = (arguments.root / "talking").resolve()
    if not (folder / "labels.csv").is_file():
        sys.exit(f"expected labels.csv in {folder}, found none; give --root")
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as stream:
        clips = list(csv.DictReader(stream))
    labels = np.array([LABELS.index(clip["sentiment"]) for clip in clips])
    fold = folds_of(labels, [clip["source"] for clip in clips], arguments.folds)
    result = Result("own-recordings", f"{len(clips)} talking clips, {arguments.folds} folds")
    result.seeds = list(range(arguments.seeds))
    shares = np.bincount(labels, minlength=3) / len(labels)
    add(result, "class frequencies", clips, {}, shares=shares)
    with tempfile.TemporaryDirectory() as name:
        table = write_table(Path(name) / "all.csv", clips, folder, ["test"] * len(clips))
        out = Path(name) / "default.csv"
        command("evaluate", "default", "--data", str(table), "--predictions", str(out))
        answers = read_predictions(out)
        add(result, "default bundle, trained on none of them", clips, answers, shares=shares)
    for system, settings in SYSTEMS.items():
        answers = cross_validate(clips, folder, fold, settings=settings, seeds=arguments.seeds)
        add(result, system, clips, answers, shares=shares)
    result.caveats = [
        f"Mean of {arguments.seeds} seeds; 95 % bootstrap intervals over clips. About 45 clips train each "
        "network, 15 choose its epoch and temperature: far too few for rows to be told apart.",
        "IEMOCAP's clips are of one man, who is in every fold: figures are of a known speaker.",
        "Chinese words are not read: MER is judged by voice and face. A clip of which a row says nothing "
        "(`judged` counts the others) gets the class frequencies.",
    ]
    result.write()


if __name__ == "__main__":
    main()
