"""The frames of takes of emotional speech, as recorded and altered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.assets import cache_folder
from trivalent.core.errors import DataError
from trivalent.core.types import FeatureTable, FloatArray, IntArray
from trivalent.features.frames import columns_of_channels, frames, level_of_frames
from trivalent.features.levels import Level
from trivalent.features.pooling import asks_level, beside, columns_of, level_of_statistics
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
from trivalent.lab.datasets.voice_tables import VOICE, Variant, voice_tables

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
        Of the clean take (`trivalent.features.frames.level_of_frames`).
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


COMPANY = {"": 12, "few": 4, "alone": 0}  # takes of a speaker that a take is pooled among
_TABULAR = ("values", "labels", "groups", "sources", "ids")
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
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _ROWWISE
    }
    columns["folds"] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return replace(
        parts[0],
        copies=[copies for part in parts for copies in part.copies],
        ids=[name for part in parts for name in part.ids],
        dropped=sum(part.dropped for part in parts),
        **columns,
    )


def pool_speech(names: Sequence[str], *, root: Path, variants: Sequence[str] = ()) -> TabularData:
    """Pool the voice columns of the same takes, those of the test speakers among them.

    Where statistics ask for the level of a recording, a take is heard among up to a dozen others of its
    speaker, and copies of it among up to four, and alone. Copies, and altered takes, have ids that end in
    "#NAME"; takes without any features are counted in `dropped`. The result is kept in the cache.
    """
    listed = [_ravdess(root), *(list_speech(root, corpus) for corpus in CORPORA)]
    told = [VOICE.version, *names, *variants, *(f"{t.id}@{t.emotion}" for takes in listed for t in takes)]
    key = hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
    stored = cache_folder() / "features" / f"speech-pooled-{key}.npz"
    if not stored.is_file():
        _pool_takes(listed, names, variants).save(stored)
    return TabularData.load(stored)


def _pool_takes(
    listed: Sequence[Sequence[SpokenTake]], names: Sequence[str], variants: Sequence[str]
) -> TabularData:
    company = COMPANY if asks_level(names) else {"": 0}
    parts: list[TabularData] = []
    for takes in listed:
        for kind in (Variant.CLEAN, *map(Variant, variants)):
            tables = _tables(takes, columns_of(names), kind)
            heard = {i: level_of_statistics(table, names) for i, table in enumerate(tables) if len(table)}
            for mark, others in company.items():
                levels = _recordings([takes[i].speaker for i in heard], list(heard.values()), others)
                marks = [mark] * bool(mark) + [str(kind)] * (kind is not Variant.CLEAN)
                values = [
                    beside(own.values.astype(np.float64), names, level=level)
                    for own, level in zip(heard.values(), levels, strict=True)
                ]
                parts.append(_tabular([takes[i] for i in heard], values, names, "#".join(["", *marks])))
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _TABULAR}
    found = sum(1 for name in columns["ids"].tolist() if "#" not in name)
    return TabularData(columns=tuple(names), dropped=sum(map(len, listed)) - found, **columns)


def _recordings(speakers: Sequence[str], levels: Sequence[Level], others: int) -> list[Level]:
    """Put each take into a recording of it and up to so many others of its speaker, drawn by chance."""
    rng = np.random.default_rng(others)
    own = {who: np.flatnonzero(np.array(speakers) == who) for who in dict.fromkeys(speakers)}
    recordings = []
    for i, who in enumerate(speakers):
        rest = own[who][own[who] != i]
        drawn = rng.choice(rest, min(others, len(rest)), replace=False)
        recordings.append(Level.mean([levels[i], *(levels[j] for j in drawn.tolist())]))
    return recordings


def _tabular(
    takes: Sequence[SpokenTake], values: Sequence[FloatArray], names: Sequence[str], mark: str
) -> TabularData:
    return TabularData(
        values=np.array(values, np.float32).reshape(len(takes), len(names)),
        columns=tuple(names),
        labels=np.array([int(take.label) for take in takes], np.int64),
        groups=np.array([take.speaker for take in takes], np.str_),
        sources=np.array([take.corpus for take in takes], np.str_),
        ids=np.array([f"{take.id}@{take.emotion}{mark}" for take in takes], np.str_),
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
            if not kept[i] or (kind is not Variant.CLEAN and i not in copies):
                continue
            if len(values := frames(table, channels)):
                copies.setdefault(i, []).append(values)
                levels.setdefault(i, level_of_frames(table, channels))
    found = [takes[i] for i in copies]
    return TakeData(
        copies=list(copies.values()),
        levels=np.array([level.values for level in levels.values()]).reshape(len(found), len(channels)),
        voiced=np.array([level.weight for level in levels.values()]),
        labels=np.array([int(take.label) for take in found], np.int64),
        emotions=np.array([list(SENTIMENTS).index(take.emotion) for take in found], np.int64),
        speakers=np.array([take.speaker for take in found], np.str_),
        sources=np.array([take.corpus for take in found], np.str_),
        folds=np.zeros(len(found), np.int64),
        ids=[take.id for take in found],
        dropped=sum(kept) - len(found),
    )
