"""Data sets that voice and face experts are trained on, by the names that recipes use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.assets import cache_folder
from trivalent.core.errors import RecipeError
from trivalent.core.types import FeatureTable, Modality, Sentiment
from trivalent.features.pooling import parse_name, pool
from trivalent.lab.datasets.altered_faces import extract_faces
from trivalent.lab.datasets.face_alterations import Alteration
from trivalent.lab.datasets.face_points import read_pictures
from trivalent.lab.datasets.ravdess import (
    CARD,
    SENTIMENTS,
    TEST_ACTORS,
    actor_folds,
    extract_ravdess,
    official_split,
    parse_take,
)
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.datasets.speech import CORPORA
from trivalent.lab.datasets.splits import split_by_group
from trivalent.lab.datasets.tabular import NO_LABEL, TabularData
from trivalent.lab.datasets.voice_tables import Variant
from trivalent.lab.datasets.voice_takes import TakeData, load_speech, load_takes, pool_speech

Pooled = tuple[TabularData, NDArray[np.int64], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class TrainingSource:
    """A data set of people who speak or show their faces.

    Attributes
    ----------
    extractor : str
        Who computes the features.
    card : mapping of str to str
        What a user of experts trained on it should know: data, licence, limits.
    pooled : callable
        See `load_tabular`.
    emotions : mapping of str to Sentiment
        Annotated emotions, where there are any, and what each counts as.
    emotion_of : callable of str
        Emotion of a sample by its id.
    takes : callable, optional
        Reads frames instead of pooled features, as `load_takes` does.
    """

    extractor: str
    card: Mapping[str, str]
    pooled: Callable[..., Pooled]
    emotions: Mapping[str, Sentiment] = field(default_factory=dict)
    emotion_of: Callable[[str], str] = str
    takes: Callable[..., TakeData] | None = None


def find_source(name: str) -> TrainingSource:
    """Return the data set of that name.

    Raises
    ------
    RecipeError
        There is none.
    """
    if name not in SOURCES:
        raise RecipeError("training.sources", sources=" or ".join(SOURCES), name=name)
    return SOURCES[name]


def find_takes(name: str) -> Callable[..., TakeData]:
    """Return what reads frames of a data set; see `TrainingSource.takes`.

    Raises
    ------
    RecipeError
        There is no such data set, or it has none.
    """
    takes = find_source(name).takes
    if takes is None:
        framed = " or ".join(name for name, source in SOURCES.items() if source.takes)
        raise RecipeError("training.sources", sources=framed, name=name)
    return takes


def load_tabular(
    dataset: str,
    *,
    pooling: Sequence[str],
    root: Path,
    variants: Sequence[str] = (),
    hold_out: bool = True,
) -> Pooled:
    """Read a data set as (samples, fold of each sample, mask of the test part).

    The fold is -1 for test samples, of which there are none without `hold_out` (faces only).
    A person is in one fold only.
    """
    return find_source(dataset).pooled(pooling, root=root, variants=variants, hold_out=hold_out)


def _voices(pooling: Sequence[str], *, root: Path, variants: Sequence[str], hold_out: bool) -> Pooled:
    kinds = (Variant.CLEAN, *map(Variant, variants))
    data = extract_ravdess(root, names=pooling, cache=cache_folder() / "features", variants=kinds)
    return data, *_actors(data)


def _spoken(pooling: Sequence[str], *, root: Path, variants: Sequence[str], hold_out: bool) -> Pooled:
    """Leave one collection out in each fold."""
    data = pool_speech(pooling, root=root, variants=variants)
    official = [f"{corpus}/{name}" for corpus, known in CORPORA.items() for name in known.test]
    official += [f"ravdess/{actor:02d}" for actor in TEST_ACTORS]
    test = np.array([group.startswith(tuple(official)) for group in data.groups.tolist()])
    folds = np.unique(data.sources, return_inverse=True)[1]
    return data, np.where(test, -1, folds), test


def _pictures(pooling: Sequence[str], *, root: Path, variants: Sequence[str], hold_out: bool) -> Pooled:
    cache = cache_folder() / "features"
    data, folds, test = _split_pictures(extract_faces(root, cache=cache), pooling, hold_out)
    parts_of = dict(zip(data.groups.tolist(), zip(folds.tolist(), test.tolist(), strict=True), strict=True))
    copies = [extract_faces(root, how, cache=cache) for how in map(Alteration, variants)]
    copies = [own.take(np.isin(own.groups, data.groups)) for own in copies]
    everything = _stacked([data, *(_pooled_pictures(own, pooling) for own in copies)])
    folds, test = map(
        np.array, zip(*[parts_of[group] for group in everything.groups.tolist()], strict=True)
    )
    return everything, folds, test


def _picture_units(
    pooling: Sequence[str], *, root: Path, variants: Sequence[str], hold_out: bool
) -> Pooled:
    return _split_pictures(read_pictures(root).units(), pooling, hold_out)


def _split_pictures(data: TabularData, pooling: Sequence[str], hold_out: bool) -> Pooled:
    data = _pooled_pictures(data, pooling)
    data = data.take(data.labels != NO_LABEL)
    test = np.zeros(len(data), bool)
    test[split_by_group(data.groups, sources=data.sources).test] = hold_out
    return data, np.where(test, -1, _hashed_folds(data, ~test)), test


def _stacked(parts: Sequence[TabularData]) -> TabularData:
    """Put samples of the same columns below each other."""
    return replace(
        parts[0],
        values=np.concatenate([part.values for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        groups=np.concatenate([part.groups for part in parts]),
        sources=np.concatenate([part.sources for part in parts]),
        ids=np.concatenate([part.ids for part in parts]),
    )


def _units(pooling: Sequence[str], *, root: Path, variants: Sequence[str], hold_out: bool) -> Pooled:
    """Read means of OpenFace's columns over RAVDESS takes."""
    takes = find_dataset("ravdess").read(root, features=False)
    units = takes.features[Modality.FACE]
    means = {f"{column}.mean": i for i, column in enumerate(units.columns)}
    wrong = [name for name in pooling if name not in means]
    if wrong:
        raise RecipeError("training.unit_means", wrong=wrong[0])
    data = TabularData(
        values=units.values[:, [means[name] for name in pooling]].astype(np.float32),
        columns=tuple(pooling),
        labels=takes.labels,
        groups=takes.groups,
        sources=np.full(len(takes), "ravdess"),
        ids=takes.ids,
    )
    return data, *_actors(data)


def _actors(data: TabularData) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the fold of each RAVDESS take, -1 of the test actors, and whether it is of these."""
    test = np.zeros(len(data), bool)
    test[official_split(data).test] = True
    fold_of = {f"ravdess/{actor:02d}": i for i, fold in enumerate(actor_folds()) for actor in fold}
    return np.array([fold_of.get(group, -1) for group in data.groups.tolist()]), test


def _pooled_pictures(data: TabularData, pooling: Sequence[str]) -> TabularData:
    """Pool single pictures as recordings of one frame."""
    wrong = [name for name in pooling if parse_name(name).statistic != "mean"]
    if wrong:
        raise RecipeError("training.tabular_expert_statistics", wrong=wrong[0])
    frames = [
        FeatureTable("face", "", data.columns, np.zeros(1), row[None]) for row in data.values.astype(float)
    ]
    values = np.array([pool(frame, pooling) for frame in frames], np.float32)
    return replace(data, values=values, columns=tuple(pooling))


def _hashed_folds(data: TabularData, rows: NDArray[np.bool_], count: int = 5) -> NDArray[np.int64]:
    """Deal the people outside test into folds, source by source."""
    folds = np.full(len(data), -1)
    remaining = np.flatnonzero(rows)
    for fold in range(count - 1):
        share = 1 / (count - fold)
        part = data.take(remaining)
        split = split_by_group(
            part.groups, seed=fold + 1, fractions=(1 - share, 0.0, share), sources=part.sources
        )
        folds[remaining[split.test]] = fold
        remaining = remaining[split.train]
    folds[remaining] = count - 1
    return folds


_PICTURES_CARD = {
    "data": "face pictures of public figures and of studio volunteers, labelled by expression",
    "licence": "weights trained on pictures for research use",
    "limits": "still pictures, posed or newsworthy expressions; an expression is not a feeling; "
    "disgust and fear are rare and poorly labelled",
}
SOURCES: Mapping[str, TrainingSource] = {
    "ravdess": TrainingSource(
        "covarep",
        CARD,
        _voices,
        emotions=SENTIMENTS,
        emotion_of=lambda name: parse_take(name.split("#")[0]).emotion,
        takes=load_takes,
    ),
    "speech": TrainingSource(
        "covarep",
        {
            "data": "speech of RAVDESS (North American English, 16 actors), "
            + "; ".join(f"{name} ({corpus.spoken})" for name, corpus in CORPORA.items()),
            "licence": "weights trained on data for non-commercial research: RAVDESS, nEMO and Indian "
            "EmoSpeech CC BY-NC-SA 4.0, TESS CC BY-NC-ND 4.0, EMOVO and CASIA for research",
            "limits": "mostly acted speech of few sentences; on spontaneous speech the voice says much "
            "less. How somebody sounds this time is told from the level of all utterances of a recording, "
            "whoever speaks",
        },
        _spoken,
        emotions=SENTIMENTS,
        emotion_of=lambda name: name.split("#")[0].partition("@")[2],
        takes=load_speech,
    ),
    "ravdess_units": TrainingSource(
        "openface",
        {
            "data": "OpenFace 2 action units of RAVDESS speech, actors 01-16 (means over takes)",
            "licence": "weights trained on CC BY-NC-SA 4.0 data and on OpenFace's output: non-commercial "
            "research; reading a face takes the user's own OpenFace model files",
            "limits": "acted speech, two fixed sentences, North Americans in a studio, frontal; small or "
            "turned faces are not measured reliably",
        },
        _units,
        emotions=SENTIMENTS,
        emotion_of=lambda name: parse_take(name).emotion,
    ),
    "faces": TrainingSource("face", _PICTURES_CARD, _pictures),
    "face_units": TrainingSource("openface", _PICTURES_CARD, _picture_units),  # our own action units
}
