"""The voice on collections that it was not trained on: every candidate, collection by collection.

Usage: OMP_NUM_THREADS=1 python benchmarks/voice_corpora.py FOLDER FRAMES [--before BUNDLE] [--root DIR]

FOLDER is what `trivalent train recipes/voice.yaml -o FOLDER` left, FRAMES the same of
recipes/voice_frames.yaml: each of their members leaves one collection out, which it is judged by here.
BUNDLE is the installed one whose voice they are compared with. Talking clips are judged by all members;
nothing is chosen or fitted by them here. Writes results/voice-corpora.*
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from results_file import Result, Value
from trivalent.bundle.fusion import softmax
from trivalent.bundle.loading import Expert
from trivalent.bundle.spec import ExpertSpec
from trivalent.core.assets import cache_folder
from trivalent.core.types import FeatureTable, Sentiment
from trivalent.experts.audio import MIN_VOICED_S, voice_level, voiced_seconds
from trivalent.features.pooling import ABOVE, columns_of, pool
from trivalent.lab.compress.reading import read_weights
from trivalent.lab.compress.voice import read_members
from trivalent.lab.datasets.ravdess import SOURCE, actor_folds
from trivalent.lab.datasets.root import data_root
from trivalent.lab.datasets.speech import CORPORA, list_speech
from trivalent.lab.datasets.tabular import TabularData
from trivalent.lab.datasets.talking import TalkingClip, read_talking
from trivalent.lab.datasets.voice_tables import voice_tables
from trivalent.lab.datasets.voice_takes import Frames, TakeData, load_speech
from trivalent.lab.experts.cross_fit import cell_weights
from trivalent.lab.experts.frames_task import logits_of_takes
from trivalent.lab.experts.sources import load_tabular
from trivalent.lab.experts.trained import TrainedExpert
from trivalent.lab.measure.metrics import (
    bootstrap_interval,
    expected_calibration_error,
    macro_f1,
    macro_recall,
)
from trivalent.lab.networks.temporal import TemporalNetwork

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
PENALTY, PENALISED = 0.001, 4000  # C of the logistic regressions, and for how many takes
SHORT_S = (0.1, 0.15, 0.25, 0.5, 1.0)  # of voiced speech
SHORT_IN = ("emovo_it", "tess_en")
ROUNDS = 200  # of the bootstrap
VOICED = 0.5


@dataclass(frozen=True, eq=False)
class Voice:
    """An expert over frames: its specification and its graph."""

    spec: ExpertSpec
    graph: Path

    def members(self, data: TakeData) -> list[list[TemporalNetwork]]:
        """Return the members that left each fold of the data out."""
        found = read_members(
            read_weights(self.graph.read_bytes(), where=self.spec.model), where=self.spec.model
        )
        each = len(found) // (int(data.folds.max()) + 1)
        return [found[i : i + each] for i in range(0, len(found), each)]

    def scaled(self, data: TakeData) -> TakeData:
        """Scale frames as in training."""
        return data.normalized(self.spec.mean, self.spec.scale, self.spec.clip)

    def says(self, members: Sequence[TemporalNetwork], takes: Sequence[Frames]) -> Array:
        """Return probabilities where classes are equally frequent, shape (takes, 3)."""
        logits = np.mean([logits_of_takes(member, takes) for member in members], axis=0)
        return even(softmax(logits.astype(float) / self.spec.temperature), self.spec.prior)


def even(p: Array, prior: Array) -> Array:
    """Divide the prior out."""
    odds = p / prior
    return odds / odds.sum(1, keepdims=True)


def scored(labels: Rows, p: Array, groups: NDArray[np.str_]) -> dict[str, Value | float]:
    """Measure probabilities; intervals are over groups."""
    weight = cell_weights(np.full(len(labels), ""), labels)
    own = np.maximum(p[np.arange(len(labels)), labels], 1e-9)
    figures: dict[str, Value | float] = {"n": float(len(labels))}
    for metric in (macro_f1, macro_recall):
        chosen = partial(_chosen, metric)
        interval = bootstrap_interval(
            chosen, labels, probabilities=p, groups=groups.tolist(), rounds=ROUNDS
        )
        figures[metric.__name__] = Value(chosen(labels, p), *interval)
    figures["log_loss"] = float(np.average(-np.log(own), weights=weight))
    figures["called_negative"] = float(np.average(p.argmax(1) == Sentiment.NEGATIVE, weights=weight))
    figures["ece"] = expected_calibration_error(labels, p)
    return figures


def _chosen(metric: Callable[[Rows, Rows], float], labels: Rows, p: Array) -> float:
    return metric(labels, p.argmax(1))


def held_out(data: TakeData, voice: Voice) -> dict[str, Array]:
    """Judge every take by the members that left its collection out, alone and among its speaker's."""
    scaled = voice.scaled(data)
    alone, among = np.zeros((2, len(data), 3))
    for fold, members in enumerate(voice.members(data)):
        rows = np.flatnonzero(data.folds == fold)
        alone[rows] = voice.says(members, scaled.clean(rows))
        among[rows] = voice.says(members, scaled.with_speaker(rows))
    return {"network on frames, alone": alone, "network on frames, among the speaker's others": among}


def statistics_held_out(expert: TrainedExpert, ids: Sequence[str], root: Path) -> Array:
    """Judge takes by the linear member that left their collection out, each among a dozen others."""
    spec, place = expert.spec, {name: i for i, name in enumerate(ids)}
    pooled, folds, test = load_tabular("speech", pooling=spec.pooling, root=root)
    weights = read_weights(expert.graph.read_bytes(), where=spec.model)
    x = np.clip(np.nan_to_num((pooled.values - spec.mean) / spec.scale), -spec.clip, spec.clip)
    logits = np.zeros((len(ids), 3))
    plain = [i for i, name in enumerate(pooled.ids.tolist()) if "#" not in name and not test[i]]
    for i in plain:
        member = f"members.{folds[i]}.layers.1"
        row = place[pooled.ids[i].partition("@")[0]]
        logits[row] = weights[f"{member}.weight"] @ x[i] + weights[f"{member}.bias"]
    return even(softmax(logits / spec.temperature), spec.prior)


def before_on(data: TakeData, voice: Voice) -> Array:
    """Judge by the earlier network; RAVDESS by those of its members that left the actors out."""
    scaled = voice.scaled(data)
    fold_of = {f"{SOURCE}/{actor:02d}": i for i, fold in enumerate(actor_folds()) for actor in fold}
    folds = np.array([fold_of.get(name, -1) for name in data.speakers.tolist()])
    members = read_members(read_weights(voice.graph.read_bytes(), where="before"), where="before")
    each = len(members) // len(actor_folds())
    out = np.zeros((len(data), 3))
    for fold in np.unique(folds).tolist():
        rows = np.flatnonzero(folds == fold)
        own = members if fold < 0 else members[fold * each : (fold + 1) * each]
        out[rows] = voice.says(own, scaled.clean(rows))
    return out


def narrowed(data: TakeData, channels: Sequence[str], kept: Sequence[str]) -> TakeData:
    """Keep some channels."""
    index = [list(channels).index(name) for name in kept]
    return replace(
        data, copies=[[x[:, index] for x in own] for own in data.copies], levels=data.levels[:, index]
    )


@dataclass(frozen=True, eq=False)
class Regressions:
    """Logistic regressions on pooled statistics, each fitted without one collection.

    Attributes
    ----------
    said : dict of str to array, shape (takes, 3)
    short : dict of (str, float) to (probabilities, labels)
        By collection and seconds of voiced speech: stretches out of the middle of its utterances.
    """

    said: dict[str, Array]
    short: dict[tuple[str, float], tuple[Array, Rows]]


def regressions(data: TakeData, names: Sequence[str], root: Path) -> Regressions:
    """Fit the statistics as they are, those above the level of the recording, and both."""
    pooled, _, test = load_tabular("speech", pooling=names, root=root)
    above = np.array([name.endswith(ABOVE) for name in names])
    parts: dict[str, list[int]] = {}
    for i, name in enumerate(pooled.ids.tolist()):
        parts.setdefault(name.partition("#")[2], []).append(i)
    x = np.where(np.isfinite(pooled.values), pooled.values, 0.0).astype(float)
    kinds = ("as they are", "levels only", "among a dozen", "among four", "alone")
    said = {f"regression, {name}": np.zeros((len(data), 3)) for name in kinds}
    short: dict[tuple[str, float], tuple[Array, Rows]] = {}
    place = {name: i for i, name in enumerate(data.ids)}
    rows = {part: np.array([i for i in own if not test[i]]) for part, own in parts.items()}
    at = np.array([place[pooled.ids[i].partition("@")[0]] for i in rows[""]])
    for source in np.unique(data.sources):
        for kind, columns, marks in (
            ("as they are", ~above, {"as they are": ""}),
            ("levels only", above, {"levels only": ""}),
            ("both", above | True, {"among a dozen": "", "among four": "few", "alone": "alone"}),
        ):
            train = np.concatenate(
                [rows[mark][pooled.sources[rows[mark]] != source] for mark in marks.values()]
            )
            scale = _scaling(x[rows[""]][pooled.sources[rows[""]] != source])
            judge = _regression(scale(x[train])[:, columns], pooled.labels[train], pooled.sources[train])
            for name, mark in marks.items():
                held = pooled.sources[rows[mark]] == source
                said[f"regression, {name}"][at[held]] = judge(scale(x[rows[mark][held]])[:, columns])
            if kind == "both" and source in SHORT_IN:
                short |= {
                    (str(source), seconds): (judge(scale(values)), labels)
                    for seconds, (values, labels) in _short(str(source), names, root).items()
                }
    return Regressions(said, short)


def _scaling(x: Array) -> Callable[[Array], Array]:
    mean, scale = x.mean(0), x.std(0) + 1e-9
    return lambda values: np.clip((values - mean) / scale, -4, 4)


def _regression(x: Array, labels: Rows, sources: NDArray[np.str_]) -> Callable[[Array], Array]:
    from sklearn.linear_model import LogisticRegression

    weights = cell_weights(sources, labels) * PENALISED / len(labels)
    fitted = LogisticRegression(C=PENALTY, max_iter=100).fit(x, labels, sample_weight=weights)
    return fitted.predict_proba


def _short(corpus: str, names: Sequence[str], root: Path) -> dict[float, tuple[Array, Rows]]:
    takes = list_speech(root, corpus)
    tables = _tables(corpus, [take.path for take in takes], columns_of(names))
    found = {}
    for seconds in SHORT_S:
        cut = [
            (middle(table, seconds), take)
            for table, take in zip(tables, takes, strict=True)
            if not take.test
        ]
        cut = [(part, take) for part, take in cut if len(part)]
        values = np.nan_to_num(np.array([pool(part, names) for part, _ in cut]))
        found[seconds] = (values, np.array([int(take.label) for _, take in cut]))
    return found


def clips(root: Path, columns: Sequence[str]) -> tuple[list[TalkingClip], list[FeatureTable]]:
    """Read the talking clips with enough of a voice."""
    listed = read_talking(root)
    tables = _tables("talking", [clip.path for clip in listed], columns)
    kept = [i for i, table in enumerate(tables) if voiced_seconds(table) >= MIN_VOICED_S]
    return [listed[i] for i in kept], [tables[i] for i in kept]


def judged_clips(
    expert: TrainedExpert, rows: list[TalkingClip], tables: list[FeatureTable], *, together: bool
) -> Array:
    """Judge clips by all members, each alone or the clips of a speaker as one recording."""
    runtime, said = Expert(expert.spec, expert.graph.read_bytes, threads=1), []
    for row, table in zip(rows, tables, strict=True):
        same = [t for r, t in zip(rows, tables, strict=True) if r.speaker == row.speaker != ""]
        level = voice_level(runtime, same) if together and same else None
        said.append(runtime.from_table(table, level)[0])
    return even(np.array(said, dtype=float), expert.spec.prior)


def test_part(expert: TrainedExpert, root: Path) -> tuple[TabularData, Array]:
    """Judge the speakers that nothing was trained or chosen on, by all members."""
    data, _, test = load_tabular("speech", pooling=expert.spec.pooling, root=root)
    part = data.take(test & np.array(["#" not in name for name in data.ids.tolist()]))
    spec = expert.spec
    x = np.clip(np.nan_to_num((part.values - spec.mean) / spec.scale), -spec.clip, spec.clip)
    runtime = Expert(spec, expert.graph.read_bytes, threads=1)
    return part, even(np.asarray(runtime.calibrate(runtime.run(x)), float), spec.prior)


def middle(table: FeatureTable, seconds: float) -> FeatureTable:
    """Cut the stretch around the middle that has so many voiced seconds; nothing if there is less."""
    voiced = np.flatnonzero(table.column("VUV") > VOICED)
    count = round(100 * seconds)
    if len(voiced) < count:
        return table.between(0, 0)
    first = (len(voiced) - count) // 2
    start, end = table.times[voiced[first]], table.times[voiced[first + count - 1]]
    return table.between(start - 0.005, end + 0.005)


def _tables(source: str, paths: list[Path], columns: Sequence[str]) -> list[FeatureTable]:
    return voice_tables(source, paths, columns=columns, cache=cache_folder() / "features")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("expert", type=Path)
    parser.add_argument("frames", type=Path)
    parser.add_argument("--before", default="default")
    parser.add_argument("--root", type=Path)
    given = parser.parse_args()
    root = data_root(given.root)
    chosen, framed = TrainedExpert.load(given.expert), TrainedExpert.load(given.frames)
    old = TrainedExpert.from_installed(given.before, "audio")
    network, before = Voice(framed.spec, framed.graph), Voice(old.spec, old.graph)
    data = load_speech(network.spec.channels, root=root)
    fitted = regressions(data, chosen.spec.pooling, root)
    candidates = {
        "chosen: network on statistics": statistics_held_out(chosen, data.ids, root),
        **fitted.said,
        **held_out(data, network),
        "RAVDESS network on frames": before_on(
            narrowed(data, network.spec.channels, before.spec.channels), before
        ),
        "constant": np.full((len(data), 3), 1 / 3),
    }
    result = Result(
        "voice-corpora",
        f"{len(data)} utterances by {len(np.unique(data.speakers))} people of RAVDESS and "
        f"{', '.join(CORPORA)}, each left out in turn; talking clips",
    )
    for name, p in candidates.items():
        rows = [
            scored(data.labels[data.sources == s], p[data.sources == s], data.speakers[data.sources == s])
            for s in np.unique(data.sources)
        ]
        for source, figures in zip(np.unique(data.sources), rows, strict=True):
            result.add(f"{source}: {name}", **figures)
        result.add(f"mean of {len(rows)}: {name}", **_mean(rows))
    part, p = test_part(chosen, root)
    for source in np.unique(part.sources):
        here = part.sources == source
        result.add(
            f"test speakers, {source}: chosen", **scored(part.labels[here], p[here], part.groups[here])
        )
    listed, tables = clips(root, network.spec.columns)
    truth = np.array([int(clip.label) for clip in listed])
    said = {
        "chosen, alone": judged_clips(chosen, listed, tables, together=False),
        "chosen, among the speaker's others": judged_clips(chosen, listed, tables, together=True),
        "network on frames, among the speaker's others": judged_clips(
            framed, listed, tables, together=True
        ),
        "RAVDESS network on frames": judged_clips(old, listed, tables, together=False),
        "constant": np.full((len(listed), 3), 1 / 3),
    }
    sources = np.array([clip.source for clip in listed])
    for source in np.unique(sources):
        here = sources == source
        names = np.array([clip.path.name for clip in listed])[here]
        for name, p in said.items():
            result.add(f"talking, {source}: {name}", **scored(truth[here], p[here], names))
    for (corpus, seconds), (p, labels) in fitted.short.items():
        result.add(
            f"{corpus}: regression, {seconds:g} s voiced",
            **scored(labels, p, np.arange(len(p)).astype(str)),
        )
    result.caveats = [
        "Every row judges a collection by what was trained without it; networks by one seed. "
        "Takes of the chosen network are heard among a dozen "
        "others of their speaker; regressions on both kinds of statistics also among four, and alone.",
        "Probabilities are those of equally frequent classes (the prior divided out); macro-recall, "
        "log-loss and called_negative (true: a third) weigh the classes alike, macro-F1 and ECE do not. "
        "Intervals are over speakers, of talking clips over clips.",
        "Of nEMO one sentence in five was read, of Indian EmoSpeech one utterance in three. A "
        "temperature was fitted on these very logits, one number for all.",
        "RAVDESS network on frames: the voice of the bundle before; on RAVDESS by members that left the "
        "actors out. Talking clips of IEMOCAP are by one man, so that all of them are a recording at one "
        "level; those of MER are of unknown people. They chose nothing here.",
        "Test speakers are of collections that most members know; they were judged once, and for "
        "calibration not at all.",
        "By voiced seconds: stretches from the middle of utterances, alone; from "
        f"{MIN_VOICED_S:g} s on the analysis takes an utterance for spoken.",
    ]
    result.write()


def _mean(rows: list[dict[str, Value | float]]) -> dict[str, float]:
    plain = [{k: v.mean if isinstance(v, Value) else v for k, v in row.items()} for row in rows]
    return {k: float(np.mean([row[k] for row in plain])) for k in plain[0] if k != "n"}


if __name__ == "__main__":
    main()
