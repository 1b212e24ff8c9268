"""The face expert by source: pictures clean and altered, talking clips; one expert beside another.

Usage: python benchmarks/face_sources.py NOW [--before BUNDLE] [--root DIR] [--cache DIR]

NOW is the folder of a trained expert, BUNDLE an installed bundle (`default`). Pictures are of people whom
neither was trained on; each source of data/talking is judged where classes are as frequent as in the other
one. Writes results/face-sources.*
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face_talking import METRICS, at, constants, evidence, frequencies, pooled, table_of
from results_file import REPOSITORY, Result, Value
from trivalent.bundle.loading import Expert
from trivalent.core.assets import cache_folder
from trivalent.core.types import FeatureTable, Sentiment
from trivalent.lab.datasets.altered_faces import extract_faces
from trivalent.lab.datasets.face_alterations import Alteration
from trivalent.lab.datasets.talking import read_talking
from trivalent.lab.experts.trained import TrainedExpert
from trivalent.lab.measure.groups import resamples
from trivalent.lab.measure.metrics import class_scores, expected_calibration_error

Array = NDArray[np.float64]
ROUNDS = 1000
EVEN = np.full(len(Sentiment), 1 / len(Sentiment))


@dataclass(frozen=True, eq=False)
class Judged:
    """A trained expert: what it says of tables, and its figures out of fold."""

    expert: Expert
    out_of_fold: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, trained: TrainedExpert) -> Judged:
        """Load the graph."""
        expert = Expert(trained.spec, trained.graph.read_bytes, threads=1)
        return cls(expert, trained.metrics["out_of_fold"])

    def say(self, tables: Sequence[FeatureTable]) -> Array:
        """Classify, probabilities of shape (n, 3)."""
        spec = self.expert.spec
        x = np.nan_to_num((pooled(tables, spec.pooling) - spec.mean) / spec.scale)
        said = self.expert.run(np.clip(x, -spec.clip, spec.clip).astype(np.float32))
        return np.asarray(self.expert.calibrate(said), np.float64)


@dataclass(frozen=True, eq=False)
class Samples:
    """What is judged: tables, labels (n,) and who is seen, or the clip (n,)."""

    tables: list[FeatureTable]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]


def pictures(root: Path, how: Alteration) -> dict[str, Samples]:
    """Read altered pictures of held-out people by their source."""
    data = extract_faces(root, how, held_out=True, cache=cache_folder() / "features")
    out = {}
    for source in np.unique(data.sources).tolist():
        rows = data.sources == source
        values = data.values[rows].astype(float)
        tables = [FeatureTable("face", "", data.columns, np.zeros(1), row[None]) for row in values]
        out[source] = Samples(tables, data.labels[rows], data.groups[rows])
    return out


def clips(root: Path, cache: Path) -> dict[str, Samples]:
    """Read talking clips with a face by their source."""
    seen = [(clip, table_of(clip.path, cache, "face")) for clip in read_talking(root)]
    out = {}
    for source in sorted({clip.source for clip, _ in seen}):
        kept = [(clip, table) for clip, table in seen if clip.source == source and len(table)]
        labels = np.array([int(clip.label) for clip, _ in kept])
        names = np.array([clip.path.name for clip, _ in kept], dtype=np.str_)
        out[source] = Samples([table for _, table in kept], labels, names)
    return out


def scored(samples: Samples, said: Array, *, than: Array | None = None) -> dict[str, Value | float]:
    """Score, also against another expert, with intervals over people or clips."""
    y, draws = samples.labels, list(resamples(samples.groups.tolist(), rounds=ROUNDS))
    figures: dict[str, Value | float] = {"n": float(len(y))}
    for name, metric in METRICS.items():
        values = [metric(y[rows], said[rows]) for rows in draws]
        figures[name] = _value(metric(y, said), values)
        if than is not None:
            more = [v - metric(y[rows], than[rows]) for v, rows in zip(values, draws, strict=True)]
            figures[f"{name}_more"] = _value(metric(y, said) - metric(y, than), more)
    recalls = class_scores(y, said.argmax(1))["recall"]
    figures |= {f"recall_{s.label}": float(recalls[s]) for s in Sentiment}
    figures["ece"] = expected_calibration_error(y, said)
    return figures


def _value(whole: float, drawn: Sequence[float]) -> Value:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Value(whole, float(low), float(high))


def judge(result: Result, where: str, samples: Samples, said: Mapping[str, Array]) -> None:
    """Add a row of every expert; the first is what others are compared with."""
    first = next(iter(said))
    for name, opinion in said.items():
        than = None if name == first else said[first]
        result.add(f"{where}: {name}", **scored(samples, opinion, than=than))


def main() -> None:
    """Judge and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("now", type=Path)
    parser.add_argument("--before", default="default")
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "features" / "talking")
    arguments = parser.parse_args()
    root = arguments.root / "data"
    experts = {
        "before": Judged.of(TrainedExpert.from_installed(arguments.before, "face")),
        "now": Judged.of(TrainedExpert.load(arguments.now)),
    }
    result = Result("face-sources", "face pictures, people held out; talking clips with a face")
    for name, judged in experts.items():
        for source, figures in judged.out_of_fold.items():
            shown = {m: figures[m] for m in ("n", "macro_f1", "accuracy", "ece")}
            recall = {"recall_negative": figures["negative_recall"], "log_loss": figures["nll"]}
            result.add(f"{source}, out of fold: {name}", **shown, **recall)
    for how in Alteration:
        for source, samples in pictures(root, how).items():
            judge(result, source, samples, {n: e.say(samples.tables) for n, e in experts.items()})
    talking = clips(root, arguments.cache)
    for source, samples in talking.items():
        others = np.concatenate([own.labels for name, own in talking.items() if name != source])
        for name, opinion in constants(others, len(samples.labels)).items():
            result.add(f"{source}: {name} of the other source", **scored(samples, opinion[0]))
        said = {name: judged.say(samples.tables) for name, judged in experts.items()}
        judge(result, f"{source}, as it speaks", samples, said)
        added = {name: evidence(p, np.array(experts[name].expert.spec.prior)) for name, p in said.items()}
        for how, usual in (("even classes", EVEN), ("classes as in the other", frequencies(others))):
            said = {name: at(usual, (1.0, piece)) for name, piece in added.items()}
            judge(result, f"{source}, {how}", samples, said)
    result.caveats += CAVEATS
    result.write()


CAVEATS = [
    "95 % bootstrap intervals over people (pictures) or clips; they do not cover the variation between "
    "trainings. `_more`: the difference to the expert before, on the same samples.",
    "Pictures: people whom neither expert was trained on; a face seen from afar is 28 to 80 pixels wide "
    "before it is enlarged; turned faces are turned in space by their landmarks, 10 to 40 degrees more to "
    "either side; rough ones are turned and seen from afar. A face is looked for where it must be.",
    "Talking clips: as it speaks has the expert's own prior; even classes and those of the other source "
    "take it out first. They took part in choosing the recipe; no row of theirs is a blind test.",
]


if __name__ == "__main__":
    main()
