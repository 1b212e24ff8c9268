"""Models made of one's own recordings, judged out of fold, through the commands of a user.

Usage: python benchmarks/own_recordings.py [talking, ravdess or adapting] [--root DIR] [--folds] [--seeds]

talking: networks on the 74 clips of data/talking (films and a laboratory, with transcripts). ravdess: the
voice alone, 192 takes of RAVDESS's actors 1 to 16, a fold being four of them. Each fold is the test part
once, the next one validation; `trivalent train` and `trivalent evaluate --predictions` do the rest.
adapting: the experts and the pool of the default bundle adapted to data/talking by recipes/own-*.yaml.
Writes results/own-recordings.*, own-ravdess.* or own-adapting.*
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from results_file import REPOSITORY, Result, Value
from trivalent.cli.main import main as trivalent
from trivalent.core.errors import DataError
from trivalent.core.types import LABELS
from trivalent.lab.datasets.ravdess import TRAIN_ACTORS
from trivalent.lab.datasets.talking import read_talking
from trivalent.lab.measure.metrics import bootstrap_interval, macro_f1, negative_log_likelihood

Row = dict[str, str]
SYSTEMS = {
    "attention": (),
    "attention, words alone": ("modalities=[text]",),
    "attention, voice alone": ("modalities=[audio]",),
    "attention, face alone": ("modalities=[face]",),
    "attention, modality dropout .3": ("modality_dropout=0.3",),
    "concatenation": ("network=concatenation",),
    "transformer over words": (
        "network=sequence_transformer",
        "features.text=glove",
        "features.steps=words",
        "training.batch_size=16",
    ),
}
# Emotion and intensity of RAVDESS's file names, and the sentiment: each twice, of one repetition.
TAKES = (
    (1, 1, "neutral"),
    (2, 1, "neutral"),
    (3, 1, "positive"),
    (3, 2, "positive"),
    (4, 1, "negative"),
    (5, 1, "negative"),
)


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


def write_table(
    path: Path, clips: Sequence[Row], folder: Path, splits: Sequence[str] = (), *, speakers: bool = False
) -> Path:
    """Write the CSV of a user; without splits it has no such column, nor with them one of speakers."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        more = ["split"] if splits else ["speaker"] if speakers else []
        writer.writerow(["path", "label", "transcript", *more])
        for i, clip in enumerate(clips):
            last = [splits[i]] if splits else [clip["speaker"]] if speakers else []
            writer.writerow([folder / clip["file"], clip["sentiment"], clip["transcript"], *last])
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
    clips: Sequence[Row],
    folder: Path,
    fold: NDArray[np.int64],
    *,
    settings: Sequence[str],
    seeds: int,
    recipe: str = "attention",
    speakers: int | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Train on the other folds, or so many speakers of them, and predict each, with the two commands."""
    count, answers = int(fold.max()) + 1, {}
    changes = [f"seeds={list(range(seeds))}", *settings]
    for test in range(count):
        part = np.where(fold == test, "test", np.where(fold == (test + 1) % count, "val", "train"))
        heard = list(dict.fromkeys(c["speaker"] for c, p in zip(clips, part, strict=True) if p == "train"))
        left = set(heard[speakers:]) if speakers else set()
        kept = [i for i, clip in enumerate(clips) if clip["speaker"] not in left or part[i] != "train"]
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            used = [clips[i] for i in kept]
            table = write_table(work / "mine.csv", used, folder, part[kept].tolist())
            sets = [word for change in (f"data={table}", *changes) for word in ("--set", change)]
            path = REPOSITORY / "recipes" / f"{recipe}.yaml"
            command("train", str(path), *sets, "-o", str(work / "run"))
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
    group: str = "file",
    prefix: str = "",
) -> None:
    """Score one system over all clips, and each source by itself; intervals over clips or speakers.

    A clip of which it says nothing, as it has none of its modalities, gets the shares of the classes.
    """
    sources = sorted({clip["source"] for clip in clips})
    for source in ("all", *(sources if len(sources) > 1 else ())):
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
                function, labels, probabilities=p, groups=[c[group] for c in own]
            )
            found[metric] = Value(float(function(labels, p)), low, high)
        judged = sum(c["file"] in answers for c in own)
        result.add(f"{prefix}{source}: {name}", **found, clips=len(own), judged=judged)


def talking_rows(root: Path) -> tuple[list[Row], Path]:
    """Read the list of the talking clips and where they lie."""
    try:
        clips = read_talking(root.resolve())
    except DataError as error:
        sys.exit(f"{error}; give --root")
    told = [
        {"file": c.path.name, "source": c.source, "speaker": c.speaker, "sentiment": c.label.label}
        | {"transcript": c.transcript}
        for c in clips
    ]
    return told, clips[0].path.parent


def talking(root: Path, folds: int, seeds: int) -> Result:
    """Judge networks on the talking clips."""
    clips, folder = talking_rows(root)
    labels = np.array([LABELS.index(clip["sentiment"]) for clip in clips])
    fold = folds_of(labels, [clip["source"] for clip in clips], folds)
    result = Result("own-recordings", f"{len(clips)} talking clips, {folds} folds")
    result.seeds = list(range(seeds))
    shares = np.bincount(labels, minlength=3) / len(labels)
    add(result, "class frequencies", clips, {}, shares=shares)
    with tempfile.TemporaryDirectory() as name:
        table = write_table(Path(name) / "all.csv", clips, folder, ["test"] * len(clips))
        out = Path(name) / "default.csv"
        command("evaluate", "default", "--data", str(table), "--predictions", str(out))
        answers = read_predictions(out)
        add(result, "default bundle, trained on none of them", clips, answers, shares=shares)
    for system, settings in SYSTEMS.items():
        answers = cross_validate(clips, folder, fold, settings=settings, seeds=seeds)
        add(result, system, clips, answers, shares=shares)
    result.caveats = [
        f"Mean of {seeds} seeds; 95 % bootstrap intervals over clips. About 45 clips train each "
        "network, 15 choose its epoch and temperature: far too few for rows to be told apart.",
        "IEMOCAP's clips are of one man, who is in every fold: figures are of a known speaker.",
        "Chinese words are not read: MER is judged by voice and face. A clip of which a row says nothing "
        "(`judged` counts the others) gets the class frequencies.",
    ]
    return result


def ravdess_takes(root: Path) -> tuple[list[Row], Path]:
    """List twelve takes of each actor, a class as often as another, and where they lie."""
    folder = (root / "ravdess" / "speech").resolve()
    takes: list[Row] = []
    for actor in TRAIN_ACTORS:
        for emotion, intensity, label in TAKES:
            for statement in (1, 2):
                name = f"03-01-{emotion:02}-{intensity:02}-{statement:02}-01-{actor:02}.flac"
                takes.append(
                    {"file": name, "sentiment": label, "speaker": f"{actor}"}
                    | {"source": "RAVDESS", "transcript": ""}
                )
    if not all((folder / take["file"]).is_file() for take in takes):
        sys.exit(f"expected the takes of actors 1 to 16 in {folder}; give --root")
    return takes, folder


def ravdess(root: Path, seeds: int) -> Result:
    """Judge the network on the voice alone, by actors that it has not heard."""
    takes, folder = ravdess_takes(root)
    fold = np.array([(int(take["speaker"]) - 1) // 4 for take in takes])
    labels = np.array([LABELS.index(take["sentiment"]) for take in takes])
    shares = np.bincount(labels, minlength=3) / len(labels)
    result = Result("own-ravdess", f"{len(takes)} takes of RAVDESS, actors 1 to 16, 4 folds of actors")
    result.seeds = list(range(seeds))
    add(result, "class frequencies", takes, {}, shares=shares, group="speaker")
    settings = ("modalities=[audio]", "features.recognize=false")
    for name, more in (("attention", ()), ("concatenation", ("network=concatenation",))):
        answers = cross_validate(takes, folder, fold, settings=(*settings, *more), seeds=seeds)
        add(result, f"{name}, voice", takes, answers, shares=shares, group="speaker")
    result.caveats = [
        f"Mean of {seeds} seeds; 95 % bootstrap intervals over actors. 96 takes of eight actors train each "
        "network, 48 of four others choose its epoch and temperature.",
        "Neutral, calm, happy (both intensities), sad and angry takes, a class as often as another. Acted "
        "speech, two fixed sentences. There are no videos here: no face.",
        "The default bundle's voice expert was trained on these actors and has no row.",
    ]
    return result


def adapting(root: Path) -> Result:
    """Adapt each expert of the default bundle, and its pool, to the talking clips."""
    clips, folder = talking_rows(root)
    result = Result("own-adapting", f"{len(clips)} talking clips, 5 folds")
    with tempfile.TemporaryDirectory() as name:
        for speakers in (False, True):
            table = write_table(Path(name) / f"{speakers}.csv", clips, folder, speakers=speakers)
            for expert in ("voice", "face") if speakers else ("text", "voice", "face", "fusion"):
                run, recipe = Path(name) / expert, REPOSITORY / "recipes" / f"own-{expert}.yaml"
                command("train", str(recipe), "--set", f"data={table}", "-o", str(run))
                told = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
                for who, found in told["out_of_fold"].items():
                    figures = {
                        metric: Value(*found["figures"][key].values())
                        for metric, key in (("macro_f1", "macro_f1"), ("log_loss", "nll"))
                    }
                    apart = "speakers" if speakers else "recordings"
                    result.add(f"{expert}, {apart} apart: {who}", **figures, clips=found["n"])
    result.caveats = [
        "Out of fold, the choice of the strength included; 95 % bootstrap intervals over recordings or "
        "speakers. Each expert alone, on the clips that have its modality; fusion: all that the bundle "
        "reads, on all clips, recordings apart alone.",
        "Recordings apart: IEMOCAP's clips are of one man, who is in every fold. Speakers apart: his are "
        "in one fold, judged by what the Chinese clips taught. Words are his alone.",
        "The pool of the default bundle was fitted on these clips: fusion as installed is optimistic, and "
        "so is what begins there.",
    ]
    return result


def main() -> None:
    """Train, predict, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("talking", "ravdess", "adapting"), default="talking")
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.what == "talking":
        result = talking(arguments.root, arguments.folds, arguments.seeds)
    elif arguments.what == "ravdess":
        result = ravdess(arguments.root, arguments.seeds)
    else:
        result = adapting(arguments.root)
    result.write()


if __name__ == "__main__":
    main()
