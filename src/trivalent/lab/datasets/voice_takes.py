"""The frames of takes of emotional speech, as recorded and altered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.assets import cache_folder
from trivalent.core.errors import DataError
from trivalent.core.types import FeatureTable, FloatArray, IntArray
from trivalent.features.frames import Level, columns_of_channels, frames
from trivalent.features.pooling import columns_of, pool
from trivalent.lab.datasets.ravdess import (
    SENTIMENTS,
    SOURCE,
    TEST_ACTORS,
    TRAIN_ACTORS,
    actor_folds,
    list_takes,
)
from trivalent.lab.datasets.speech import CORPORA, SpokenTake, list_speech
from trivalent.lab.datasets.tabular import TabularData
from trivalent.lab.datasets.voice_tables import Variant, voice_tables

Frames = NDArray[np.float32]  # (steps, channels)


@dataclass(frozen=True, eq=False)
class TakeData:
    """Frames of takes, before any scaling.

    Attributes
    ----------
    copies : list of list of array, each (steps, channels)
        Of each take: the clean one first, then those of the variants. Channels that tell a take's level
        among others are 0; see `levels`.
    levels : array, shape (takes, channels)
        Of the clean take (`trivalent.features.frames.Level`).
    voiced : array, shape (takes,)
        Rows of voiced speech in it.
    labels, emotions : int array, shape (takes,)
        `Sentiment` codes; positions in `SENTIMENTS`.
    speakers, sources : array of str, shape (takes,)
        "ravdess/07" and "ravdess".
    folds : int array, shape (takes,)
        What is left out together.
    ids : list of str
    dropped : int
        Takes without two rows of features.
    clip : float
        Greatest value after scaling.
    """

    copies: list[list[Frames]]
    levels: FloatArray
    voiced: FloatArray
    labels: IntArray
    emotions: IntArray
    speakers: NDArray[np.str_]
    sources: NDArray[np.str_]
    folds: IntArray
    ids: list[str]
    dropped: int = 0
    clip: float = np.inf

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: IntArray | NDArray[np.bool_]) -> TakeData:
        """Keep takes given by a mask or by positions."""
        index = np.arange(len(self))[rows]
        return replace(
            self,
            copies=[self.copies[i] for i in index],
            ids=[self.ids[i] for i in index],
            **{name: getattr(self, name)[index] for name in _ROWWISE},
        )

    def clean(self, rows: IntArray) -> list[Frames]:
        """Unaltered takes, in the order of `rows`, as if each were a recording of its own."""
        return [self.copies[i][0] for i in rows.tolist()]

    def among(self, row: int, others: IntArray, values: Frames) -> Frames:
        """Add to frames of a take how far its level lies above that of a recording of it and others."""
        heard = np.append(others, row)
        recording = np.average(self.levels[heard], axis=0, weights=np.maximum(self.voiced[heard], 1.0))
        return np.clip(values + (self.levels[row] - recording), -self.clip, self.clip).astype(np.float32)

    def with_speaker(self, rows: IntArray) -> list[Frames]:
        """Unaltered takes, each in a recording of all takes of its speaker."""
        own = {speaker: np.flatnonzero(self.speakers == speaker) for speaker in np.unique(self.speakers)}
        names = self.speakers[rows].tolist()
        return [
            self.among(i, own[name][own[name] != i], self.copies[i][0])
            for i, name in zip(rows.tolist(), names, strict=True)
        ]

    def normalized(self, mean: NDArray[np.float64], scale: NDArray[np.float64], clip: float) -> TakeData:
        """Scale and clip all channels; levels are scaled, too."""
        copies = [
            [np.clip((x - mean) / scale, -clip, clip).astype(np.float32) for x in copies]
            for copies in self.copies
        ]
        return replace(self, copies=copies, levels=self.levels / scale, clip=clip)


_ROWWISE = ("levels", "voiced", "labels", "emotions", "speakers", "sources", "folds")


def load_takes(
    channels: Sequence[str],
    *,
    root: Path,
    actors: Sequence[int] = TRAIN_ACTORS,
    variants: Sequence[str] = (),
) -> TakeData:
    """Read the frames of some RAVDESS actors' takes; folds are of actors.

    Raises
    ------
    DataError
        The recordings are absent, or none is by these actors.
    """
    fold_of = {f"{SOURCE}/{actor:02d}": i for i, fold in enumerate(actor_folds()) for actor in fold}
    takes = _ravdess(root)
    wanted = {f"{SOURCE}/{actor:02d}" for actor in actors}
    data = _read(takes, [take.speaker in wanted for take in takes], channels, variants)
    if not len(data):
        raise DataError("training.frames_task_no_voice", actors=list(actors), root=root)
    return replace(data, folds=np.array([fold_of.get(name, -1) for name in data.speakers.tolist()]))


def load_speech(
    channels: Sequence[str], *, root: Path, test: bool = False, variants: Sequence[str] = ()
) -> TakeData:
    """Read the frames of RAVDESS and of all corpora of `CORPORA`; each is a fold.

    Parameters
    ----------
    test : bool
        Those of the test speakers instead of all others.

    Raises
    ------
    DataError
        A corpus is absent.
    """
    actors = TEST_ACTORS if test else TRAIN_ACTORS
    parts = [load_takes(channels, root=root, actors=actors, variants=variants)]
    for corpus in CORPORA:
        takes = list_speech(root, corpus)
        parts.append(_read(takes, [take.test == test for take in takes], channels, variants))
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ROWWISE}
    columns["folds"] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return TakeData(
        copies=[copies for part in parts for copies in part.copies],
        ids=[name for part in parts for name in part.ids],
        dropped=sum(part.dropped for part in parts),
        **columns,
    )


def pool_speech(names: Sequence[str], *, root: Path, variants: Sequence[str] = ()) -> TabularData:
    """Pool the voice columns of the same takes, those of the test speakers among them.

    Altered copies have ids that end in "#VARIANT"; takes without any features are counted in `dropped`.
    """
    rows: list[FloatArray] = []
    ids: list[str] = []
    found: list[SpokenTake] = []
    dropped = 0
    for takes in (_ravdess(root), *(list_speech(root, corpus) for corpus in CORPORA)):
        for kind in (Variant.CLEAN, *map(Variant, variants)):
            for take, table in zip(takes, _tables(takes, columns_of(names), kind), strict=True):
                if not len(table):
                    dropped += 1
                    continue
                rows.append(pool(table, names))
                ids.append(take.id if kind is Variant.CLEAN else f"{take.id}#{kind}")
                found.append(take)
    return TabularData(
        values=np.array(rows, np.float32).reshape(len(rows), len(names)),
        columns=tuple(names),
        labels=np.array([int(take.label) for take in found], np.int64),
        groups=np.array([take.speaker for take in found], np.str_),
        sources=np.array([take.corpus for take in found], np.str_),
        ids=np.array(ids, np.str_),
        dropped=dropped,
    )


def _ravdess(root: Path) -> list[SpokenTake]:
    return [
        SpokenTake(
            take.stem,
            SOURCE,
            f"{SOURCE}/{take.actor:02d}",
            take.emotion,
            take.label,
            path,
            take.actor in TEST_ACTORS,
        )
        for take, path in list_takes(root)
        if take.label is not None
    ]


def _tables(takes: Sequence[SpokenTake], columns: Sequence[str], variant: Variant) -> list[FeatureTable]:
    """Read a corpus, whose tables lie together in the cache."""
    paths = [take.path for take in takes]
    cache = cache_folder() / "features"
    return voice_tables(takes[0].corpus, paths, columns=columns, cache=cache, variant=variant)


def _read(
    takes: Sequence[SpokenTake], kept: Sequence[bool], channels: Sequence[str], variants: Sequence[str]
) -> TakeData:
    """Make frames of some of a corpus, as one fold."""
    copies: dict[int, list[Frames]] = {}
    levels: dict[int, Level] = {}
    for kind in (Variant.CLEAN, *map(Variant, variants)):
        for i, table in enumerate(_tables(takes, columns_of_channels(channels), kind)):
            values = frames(table, channels) if kept[i] else ()
            if len(values) and (kind is Variant.CLEAN or i in copies):
                copies.setdefault(i, []).append(values)
                levels.setdefault(i, Level.of(table, channels))
    found = [takes[i] for i in copies]
    return TakeData(
        copies=list(copies.values()),
        levels=np.array([level.values for level in levels.values()]).reshape(len(found), len(channels)),
        voiced=np.array([level.voiced for level in levels.values()]),
        labels=np.array([int(take.label) for take in found], np.int64),
        emotions=np.array([list(SENTIMENTS).index(take.emotion) for take in found], np.int64),
        speakers=np.array([take.speaker for take in found], np.str_),
        sources=np.array([take.corpus for take in found], np.str_),
        folds=np.zeros(len(found), np.int64),
        ids=[take.id for take in found],
        dropped=sum(kept) - len(found),
    )
