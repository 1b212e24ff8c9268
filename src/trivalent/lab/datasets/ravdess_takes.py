"""The frames of RAVDESS takes, as recorded and altered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.assets import cache_folder
from trivalent.core.errors import DataError
from trivalent.core.types import IntArray
from trivalent.features.frames import columns_of_channels, frames
from trivalent.lab.datasets.ravdess import SENTIMENTS, TRAIN_ACTORS, Variant, actor_folds, voice_tables

Frames = NDArray[np.float32]  # (steps, channels)


@dataclass(frozen=True, eq=False)
class TakeData:
    """Frames of takes, before any scaling.

    Attributes
    ----------
    copies : list of list of array, each (steps, channels)
        Of each take: the clean one first, then those of the variants.
    labels, emotions : int array, shape (takes,)
        `Sentiment` codes; positions in `SENTIMENTS`.
    actors : int array, shape (takes,)
    ids : list of str
    dropped : int
        Takes without two rows of features.
    """

    copies: list[list[Frames]]
    labels: IntArray
    emotions: IntArray
    actors: IntArray
    ids: list[str]
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def folds(self) -> IntArray:
        """Fold of each take, by its actor; for training actors."""
        fold_of = {actor: i for i, fold in enumerate(actor_folds()) for actor in fold}
        return np.array([fold_of[actor] for actor in self.actors.tolist()])

    def clean(self, rows: IntArray) -> list[Frames]:
        """Unaltered takes, in the order of `rows`."""
        return [self.copies[i][0] for i in rows.tolist()]

    def normalized(self, mean: NDArray[np.float64], scale: NDArray[np.float64], clip: float) -> TakeData:
        """Scale and clip all channels."""
        copies = [
            [np.clip((x - mean) / scale, -clip, clip).astype(np.float32) for x in copies]
            for copies in self.copies
        ]
        return replace(self, copies=copies)


def load_takes(
    channels: Sequence[str],
    *,
    root: Path,
    actors: Sequence[int] = TRAIN_ACTORS,
    variants: Sequence[str] = (),
) -> TakeData:
    """Read the frames of some actors' takes.

    Raises
    ------
    DataError
        The recordings are absent, or none is by these actors.
    """
    columns = columns_of_channels(channels)
    cache = cache_folder() / "features"
    copies: dict[str, list[Frames]] = {}
    clean = voice_tables(root, columns=columns, cache=cache)
    takes = [take for take, _ in clean if take.actor in actors]
    for kind in (Variant.CLEAN, *map(Variant, variants)):
        tables = (
            clean
            if kind is Variant.CLEAN
            else voice_tables(root, columns=columns, cache=cache, variant=kind)
        )
        for take, table in tables:
            if take.actor in actors and (kind is Variant.CLEAN or take.stem in copies):
                values = frames(table, channels)
                if len(values):
                    copies.setdefault(take.stem, []).append(values)
    kept = [take for take in takes if take.stem in copies]
    if not kept:
        raise DataError("training.frames_task_no_voice", actors=list(actors), root=root)
    emotions = np.array([list(SENTIMENTS).index(take.emotion) for take in kept])
    return TakeData(
        [copies[take.stem] for take in kept],
        np.array([int(SENTIMENTS[take.emotion]) for take in kept]),
        emotions,
        np.array([take.actor for take in kept]),
        [take.stem for take in kept],
        len(takes) - len(kept),
    )
