"""What the voice expert could hear: layers of the Whisper encoder that runs anyway, or COVAREP's columns.

Usage: OMP_NUM_THREADS=1 python benchmarks/voice_encoders.py [--most 150] [--root DIR]

Every candidate is a logistic regression on the same takes, fitted without the collection that it is
judged on; how strong its penalty is was chosen among the collections that are left. Talking clips are
judged by one fitted on all collections; they choose nothing. MOST takes of each class of a collection are
heard (20 minutes of one core, once). Writes results/voice-encoders.*
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from results_file import REPOSITORY, Result, Value
from trivalent.core.assets import cache_folder
from trivalent.core.files import write_npz_atomic
from trivalent.features.levels import Level
from trivalent.features.pooling import ABOVE, columns_of, level_of_statistics
from trivalent.lab.datasets.ravdess import list_takes
from trivalent.lab.datasets.root import data_root
from trivalent.lab.datasets.speech import CORPORA, list_speech
from trivalent.lab.datasets.talking import TalkingClip
from trivalent.lab.datasets.voice_tables import trim
from trivalent.lab.datasets.voice_takes import COMPANY
from trivalent.lab.experts.cross_fit import cell_weights
from trivalent.lab.experts.sources import load_tabular
from trivalent.lab.measure.groups import resamples
from trivalent.lab.progress import track
from trivalent.lab.recipes import read_recipe
from trivalent.media.recording import open_recording
from trivalent.media.sound import SAMPLE_RATE
from trivalent.speech.weights import model_folder
from voice_corpora import PENALISED, ROUNDS, clips, scored
from whisper_encoder import FRAMES, MEL_FRAMES, WhisperEncoder, check

Array = NDArray[np.float32]
Rows = NDArray[np.int64]
SIZE = "tiny.en"
SAMPLES_A_FRAME = 320  # 20 ms
STRENGTHS = (
    1e-7,
    1e-6,
    1e-5,
    1e-4,
    1e-3,
    1e-2,
)  # C of the regressions: the lower, the stronger the penalty
CLIP = 4.0  # standard deviations
TODAY = "statistics of today"
DOZEN = COMPANY[""]


@dataclass(frozen=True, eq=False)
class Heard:
    """One encoder's statistics of clips, beside the level of a recording and alone.

    Attributes
    ----------
    among, alone : array, shape (n, statistics)
        Those that are told from the level are 0 alone.
    """

    among: Array
    alone: Array

    def beside(self, other: Heard) -> Heard:
        """Put the statistics of two encoders side by side."""
        return Heard(np.hstack([self.among, other.among]), np.hstack([self.alone, other.alone]))


@dataclass(frozen=True, eq=False)
class Takes:
    """Takes of the collections: labels, collection and speaker of each, shape (n,)."""

    paths: list[Path]
    labels: Rows
    sources: NDArray[np.str_]
    speakers: NDArray[np.str_]
    today: Heard


@cache
def encoder() -> WhisperEncoder:
    """Load the weights once."""
    return WhisperEncoder(model_folder(SIZE))


def mel_of(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return the spectrum of a recording's speech as Whisper gets it, and how many frames it fills."""
    from faster_whisper.feature_extractor import FeatureExtractor

    audio = open_recording(path).audio
    samples = np.zeros(SAMPLES_A_FRAME) if audio is None else trim(audio)
    samples = samples[: 30 * SAMPLE_RATE].astype(np.float32)
    mel = FeatureExtractor()(samples)[:, :MEL_FRAMES].astype(np.float32)
    filled = np.pad(mel, ((0, 0), (0, MEL_FRAMES - mel.shape[1])))
    return filled, min(FRAMES, -(-len(samples) // SAMPLES_A_FRAME))


def hear(name: str, paths: Sequence[Path]) -> Array:
    """Return mean and deviation of each layer over a clip's own frames, (n, layers, 2, width); cached."""
    told = "\n".join([SIZE, *(f"{path.name}:{path.stat().st_size}" for path in paths)])
    key = hashlib.sha256(told.encode()).hexdigest()[:16]
    stored = cache_folder() / "features" / f"whisper-layers-{name}-{key}.npz"
    if not stored.is_file():
        found = []
        for path in track(paths, name):
            mel, length = mel_of(path)
            found.append([(x[:length].mean(0), x[:length].std(0)) for x in encoder().states(mel)])
        write_npz_atomic(stored, states=np.array(found, np.float32))
    with np.load(stored, allow_pickle=False) as data:
        states: Array = data["states"]
    return states


def layers_of(states: Array, levels: Array) -> list[Heard]:
    """Make statistics of each layer: as they are, and less the level of the recording."""
    found = []
    for i in range(states.shape[1]):
        own, level = (x[:, i].reshape(len(x), -1) for x in (states, levels))
        found.append(Heard(np.hstack([own, own - level]), np.hstack([own, np.zeros_like(own)])))
    return found


def level_among(states: Array, speakers: NDArray[np.str_], others: int) -> Array:
    """Put each take into a recording of it and up to so many others of its speaker, drawn by chance."""
    rng, levels = np.random.default_rng(others), np.empty_like(states)
    for i, who in enumerate(speakers):
        rest = np.flatnonzero((speakers == who) & (np.arange(len(states)) != i))
        drawn = rng.choice(rest, min(others, len(rest)), replace=False)
        levels[i] = states[[i, *drawn.tolist()]].mean(0)
    return levels


def sample(names: Sequence[str], root: Path, most: int) -> Takes:
    """Draw takes of every class of every collection, of no test speaker, person by person in turn."""
    pooled, _, test = load_tabular("speech", pooling=names, root=root)
    paths = {take.stem: path for take, path in list_takes(root)}
    paths |= {take.id: take.path for corpus in CORPORA for take in list_speech(root, corpus)}
    plain = {name: i for i, name in enumerate(pooled.ids.tolist()) if "#" not in name and not test[i]}
    rows = np.array(list(plain.values()))
    chosen = []
    for source in np.unique(pooled.sources):
        for label in np.unique(pooled.labels):
            own = rows[(pooled.sources[rows] == source) & (pooled.labels[rows] == label)]
            chosen += sorted(_in_turn(own, pooled.groups)[:most])
    place = {name: i for i, name in enumerate(pooled.ids.tolist())}
    ids = pooled.ids[chosen].tolist()
    alone = [place[f"{name}#alone"] for name in ids]
    values = np.nan_to_num(pooled.values, posinf=0.0, neginf=0.0)
    return Takes(
        [paths[name.partition("@")[0]] for name in ids],
        pooled.labels[chosen],
        pooled.sources[chosen],
        pooled.groups[chosen],
        Heard(values[chosen], values[alone]),
    )


def _in_turn(rows: Rows, groups: NDArray[np.str_]) -> list[int]:
    """Order rows so that people take turns, each with takes in an order drawn by chance."""
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(rows)
    turn = {int(row): int(np.sum(groups[shuffled[:i]] == groups[row])) for i, row in enumerate(shuffled)}
    return sorted(turn, key=lambda row: (turn[row], str(groups[row])))


@dataclass(frozen=True, eq=False)
class Candidate:
    """Regressions on what is heard, each fitted without some collections."""

    heard: Heard
    takes: Takes

    def fit(self, without: Sequence[str], strength: float) -> Callable[[Array], Array]:
        """Fit on takes among others of their speaker and alone; classes of all collections count alike."""
        used = ~np.isin(self.takes.sources, without)
        mean = self.heard.among[used].mean(0)
        scale = self.heard.among[used].std(0) + 1e-6

        def scaled(x: Array) -> Array:
            return np.clip((x - mean) / scale, -CLIP, CLIP).astype(np.float32)

        x = scaled(np.vstack([self.heard.among[used], self.heard.alone[used]]))
        labels, sources = (np.tile(v[used], 2) for v in (self.takes.labels, self.takes.sources))
        weights = cell_weights(sources, labels) * PENALISED / len(labels)
        fitted = LogisticRegression(C=strength, max_iter=200).fit(x, labels, sample_weight=weights)
        return lambda values: fitted.predict_proba(scaled(values)).astype(np.float32)

    @cached_property
    def inner(self) -> dict[tuple[str, str], list[float]]:
        """Log-loss on the first collection without it and the second, by strength."""
        found: dict[tuple[str, str], list[float]] = {}
        for pair in combinations(np.unique(self.takes.sources).tolist(), 2):
            judges = [self.fit(pair, strength) for strength in STRENGTHS]
            for judged, other in (pair, pair[::-1]):
                found[judged, other] = [self._loss(judge, judged) for judge in judges]
        return found

    def _loss(self, judge: Callable[[Array], Array], source: str) -> float:
        here = self.takes.sources == source
        return float(losses(self.takes.labels[here], judge(self.heard.among[here])).mean())

    def strength(self, without: str) -> float:
        """Choose by the collections that are left, each judged without it; without none, by all."""
        tried = [own for (_, other), own in self.inner.items() if without in (other, "")]
        return STRENGTHS[int(np.mean(tried, axis=0).argmin())]

    def held_out(self) -> tuple[Array, Array, dict[str, float]]:
        """Judge each collection by what was fitted without it: among a dozen, and alone."""
        among, alone = np.zeros((2, len(self.takes.labels), 3), np.float32)
        chosen = {}
        for source in np.unique(self.takes.sources).tolist():
            here = self.takes.sources == source
            chosen[source] = self.strength(source)
            judge = self.fit([source], chosen[source])
            among[here], alone[here] = judge(self.heard.among[here]), judge(self.heard.alone[here])
        return among, alone, chosen


def losses(labels: Rows, p: Array) -> Array:
    """Log-loss of each, weighed so that classes count alike."""
    own = np.maximum(p[np.arange(len(labels)), labels], 1e-9)
    return (-np.log(own) * cell_weights(np.full(len(labels), ""), labels)).astype(np.float32)


def saved(labels: Rows, than: Array, p: Array, sources: NDArray[np.str_], groups: Sequence[str]) -> Value:
    """How much less log-loss p has, of every source alike; the interval draws groups, both judged alike."""
    less = np.zeros(len(labels))
    for source in np.unique(sources):
        here = sources == source
        less[here] = losses(labels[here], than[here]) - losses(labels[here], p[here])

    def mean(rows: NDArray[np.intp]) -> float:
        own = sources[rows]
        return float(np.mean([less[rows][own == source].mean() for source in np.unique(own)]))

    drawn = [mean(rows) for rows in resamples(groups, rounds=ROUNDS)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Value(mean(np.arange(len(labels))), float(low), float(high))


def talking(root: Path, names: Sequence[str]) -> tuple[list[TalkingClip], Heard, list[Heard]]:
    """Hear the talking clips; those of one known speaker are a recording."""
    listed, tables = clips(root, columns_of(names))
    above = np.array([name.endswith(ABOVE) for name in names])
    own = [level_of_statistics(table, names) for table in tables]
    states = hear("talking", [clip.path for clip in listed])
    levels, today = states.copy(), []
    for i, clip in enumerate(listed):
        same = [j for j, c in enumerate(listed) if j == i or c.speaker == clip.speaker != ""]
        levels[i] = states[same].mean(0)
        level = Level.mean([own[j] for j in same])
        today.append(np.where(above, own[i].values - level.values, own[i].values))
    values = np.nan_to_num(np.array(today, np.float32))
    return listed, Heard(values, values), layers_of(states, levels)


def candidates(today: Heard, layers: Sequence[Heard]) -> dict[str, Heard]:
    """Name what is compared."""
    found = {TODAY: today} | {f"Whisper layer {i + 1}": heard for i, heard in enumerate(layers)}
    return found | {
        f"{TODAY} and Whisper layer {i + 1}": today.beside(heard) for i, heard in enumerate(layers)
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=150)
    parser.add_argument("--root", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    root = data_root(given.root)
    names = read_recipe(REPOSITORY / "recipes" / "voice.yaml")["task"]["pooling"]
    takes = sample(names, root, given.most)
    states = np.concatenate(
        [
            hear(source, [takes.paths[i] for i in np.flatnonzero(takes.sources == source)])
            for source in np.unique(takes.sources).tolist()
        ]
    )
    layers = layers_of(states, level_among(states, takes.speakers, DOZEN))
    listed, today, talking_layers = talking(root, names)
    write(takes, candidates(takes.today, layers), listed, candidates(today, talking_layers))


def write(
    takes: Takes, heard: dict[str, Heard], listed: Sequence[TalkingClip], clips_heard: dict[str, Heard]
) -> None:
    """Judge every candidate and write the tables."""
    result = Result(
        "voice-encoders",
        f"{len(takes.labels)} utterances by {len(np.unique(takes.speakers))} people of RAVDESS and "
        f"{', '.join(CORPORA)}, each left out in turn; {len(listed)} talking clips",
        seeds=(0,),
    )
    truth = np.array([int(clip.label) for clip in listed])
    clip_sources = np.array([clip.source for clip in listed])
    clip_names = np.array([clip.path.name for clip in listed])
    sources = np.unique(takes.sources).tolist()
    first: dict[str, Array] = {}
    told: dict[str, dict[str, float]] = {}
    for name, own in track(heard.items(), "candidates", total=len(heard)):
        candidate = Candidate(own, takes)
        among, alone, told[name] = candidate.held_out()
        clip_p = candidate.fit([], candidate.strength(""))(clips_heard[name].among)
        said = {"": among, ", alone": alone, "talking": clip_p}
        first = first or said
        for how in ("", ", alone"):
            rows = []
            for source in sources:
                here = takes.sources == source
                rows.append(scored(takes.labels[here], said[how][here], takes.speakers[here]))
                if not how:
                    result.add(f"{source}: {name}", **rows[-1])
            less = saved(takes.labels, first[how], said[how], takes.sources, takes.speakers.tolist())
            result.add(f"mean of {len(rows)}: {name}{how}", **_mean(rows), log_loss_saved=less)
        for source in np.unique(clip_sources).tolist():
            here = clip_sources == source
            result.add(f"talking, {source}: {name}", **scored(truth[here], clip_p[here], clip_names[here]))
        less = saved(truth, first["talking"], clip_p, clip_sources, clip_names.tolist())
        result.add(f"talking: {name}", **scored(truth, clip_p, clip_names), log_loss_saved=less)
    even = np.full((len(takes.labels), 3), 1 / 3)
    rows = [
        scored(takes.labels[here], even[here], takes.speakers[here])
        for here in (takes.sources == source for source in sources)
    ]
    result.add(f"mean of {len(rows)}: constant", **_mean(rows))
    result.add("talking: constant", **scored(truth, even[: len(truth)], clip_names))
    mel, _ = mel_of(takes.paths[0])
    result.extra = {"strengths": told}
    result.caveats = [
        "Statistics of today are those of recipes/voice.yaml in a regression, not the expert itself; of a "
        "layer mean and deviation over the clip's own frames in a window filled to 30 s, each as it is and "
        "less its level. All candidates were fitted on the same takes, among a dozen others of their "
        "speaker and alone; judged among a dozen unless a row says alone.",
        "log_loss_saved: less log-loss than the statistics of today have, on the same clips; its interval "
        "draws speakers of all collections, or clips. CASIA, EMOVO and TESS have two to four speakers, so "
        "that it is narrower than what other collections would give.",
        "Penalties were chosen without the collection that is judged, for talking clips by all six. The "
        "talking clips chose nothing; IEMOCAP's are by one man, one recording; those of MER stand alone.",
        f"Our reading of {SIZE}'s encoder differs from CTranslate2's, on the first take, by at most "
        f"{check(model_folder(SIZE), mel):.1g} anywhere in the last layer, whose values reach a dozen.",
    ]
    result.write()


def _mean(rows: Sequence[dict[str, Value | float]]) -> dict[str, float]:
    names = [name for name in rows[0] if name != "n"]
    means = {
        name: [float(v.mean) if isinstance(v := row[name], Value) else float(v) for row in rows]
        for name in names
    }
    return {name: float(np.mean(values)) for name, values in means.items()}


if __name__ == "__main__":
    main()
