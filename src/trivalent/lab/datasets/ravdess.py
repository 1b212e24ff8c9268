"""RAVDESS speech: acted emotions, as pooled columns of the voice.

S. R. Livingstone and F. A. Russo, "The Ryerson Audio-Visual Database of Emotional Speech and
Song", PLoS ONE 13(5), 2018 (CC BY-NC-SA 4.0). Two fixed sentences: the words carry no
sentiment. The data root holds `ravdess/speech/*.flac` (or .wav).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import FeatureTable, Sentiment
from trivalent.features.pooling import columns_of, pool
from trivalent.lab.datasets.dataset import check_no_overlap
from trivalent.lab.datasets.splits import Split
from trivalent.lab.datasets.tabular import TabularData
from trivalent.lab.datasets.voice_tables import Progress, Variant, voice_tables

FOLDER = Path("ravdess") / "speech"
SOURCE = "ravdess"
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
SENTIMENTS: dict[str, Sentiment] = {
    "neutral": Sentiment.NEUTRAL,
    "calm": Sentiment.NEUTRAL,
    "happy": Sentiment.POSITIVE,
    "sad": Sentiment.NEGATIVE,
    "angry": Sentiment.NEGATIVE,
    "fearful": Sentiment.NEGATIVE,
    "disgust": Sentiment.NEGATIVE,
}  # surprise has no valence of its own
CARD = {
    "data": "RAVDESS speech, actors 01-16 (Livingstone & Russo, PLoS ONE 2018)",
    "licence": "weights trained on CC BY-NC-SA 4.0 data: non-commercial use",
    "limits": "acted speech, two fixed sentences, North American English, studio microphone; "
    "on spontaneous speech the voice says much less, which the fusion weights reflect",
}  # of experts trained on it
TRAIN_ACTORS = tuple(range(1, 17))
TEST_ACTORS = tuple(range(17, 21))


@dataclass(frozen=True)
class Take:
    """What the name of a RAVDESS file says."""

    stem: str
    modality: int
    channel: int
    emotion: str
    intensity: int
    statement: int
    repetition: int
    actor: int

    @property
    def label(self) -> Sentiment | None:
        """Sentiment of the emotion; None for surprise."""
        return SENTIMENTS.get(self.emotion)


def parse_take(name: str) -> Take:
    """Read modality-channel-emotion-intensity-statement-repetition-actor.

    Raises
    ------
    DataError
        The name is not of that form.

    Examples
    --------
    >>> take = parse_take("03-01-05-02-01-02-18.flac")
    >>> take.emotion, take.actor, take.label
    ('angry', 18, <Sentiment.NEGATIVE: 0>)
    """
    stem = name.rsplit(".", 1)[0]
    fields = stem.split("-")
    if len(fields) != 7 or not all(len(f) == 2 and f.isascii() and f.isdigit() for f in fields):
        raise DataError("ravdess.name", name=name)
    modality, channel, emotion, *rest = map(int, fields)
    if not 1 <= emotion <= len(EMOTIONS):
        raise DataError("ravdess.emotion", name=name, emotion=emotion)
    return Take(stem, modality, channel, EMOTIONS[emotion - 1], *rest)


def list_takes(root: Path) -> list[tuple[Take, Path]]:
    """Find the takes that have a sentiment, by name.

    Parameters
    ----------
    root : Path
        Data root, the folder that holds `ravdess/`.

    Raises
    ------
    DataError
        There is no recording there.
    """
    files = sorted(p for p in (root / FOLDER).rglob("*") if p.suffix.lower() in {".flac", ".wav"})
    if not files:
        raise DataError("ravdess.absent", folder=FOLDER, root=root)
    takes = [(parse_take(path.name), path) for path in files]
    return [(take, path) for take, path in takes if take.label is not None]


def official_split(data: TabularData, *, validation: Sequence[int] = (13, 14, 15, 16)) -> Split:
    """Split by actor: test on 17 to 20, validate on some of the others, train on the rest.

    Raises
    ------
    DataError
        A validation actor is not one of the training actors.
    """
    strange = sorted(set(validation) - set(TRAIN_ACTORS))
    if strange:
        raise DataError("ravdess.actors", strange=strange[0])
    actors = np.array([int(group.rsplit("/", 1)[-1]) for group in data.groups.tolist()])
    held = np.isin(actors, list(validation))
    train = np.isin(actors, TRAIN_ACTORS) & ~held
    split = Split(np.flatnonzero(train), np.flatnonzero(held), np.flatnonzero(np.isin(actors, TEST_ACTORS)))
    check_no_overlap(data.groups, split.names(len(data)), SOURCE)
    return split


def actor_folds(count: int = 4) -> list[tuple[int, ...]]:
    """Cut the training actors into folds for cross-validation, each with as many women as men.

    >>> actor_folds(4)[0]
    (1, 2, 9, 10)
    """
    pairs = [TRAIN_ACTORS[i : i + 2] for i in range(0, len(TRAIN_ACTORS), 2)]  # odd: man, even: woman
    return [tuple(actor for pair in pairs[start::count] for actor in pair) for start in range(count)]


def extract_ravdess(
    root: Path,
    *,
    names: Sequence[str],
    cache: Path,
    variants: Sequence[Variant | str] = (Variant.CLEAN,),
    progress: Progress | None = None,
) -> TabularData:
    """Pool the voice columns of every take with a sentiment.

    Silence around the speech is cut off as in an analysis. The tables over time are cached,
    so that other statistics of the same columns cost no extraction.

    Parameters
    ----------
    root : Path
        Data root, the folder that holds `ravdess/`.
    names : sequence of str
        Pooled names, see `trivalent.features.pooling`.
    cache : Path
        Folder for the tables.
    variants : sequence of Variant
        Alterations; the takes follow each other variant by variant.
    progress : callable
        Called with the number of takes done and their total, for each variant.

    Returns
    -------
    TabularData
        `groups` are "ravdess/ACTOR"; `ids` are the file's stem, and "#VARIANT" unless clean.
        Takes without any features are counted in `dropped`.

    Raises
    ------
    DataError
        The recordings are absent.
    FeatureError
        A pooled name is unknown.
    """
    takes, columns = [take for take, _ in list_takes(root)], columns_of(names)
    rows: list[NDArray[np.float64]] = []
    ids: list[str] = []
    pooled_takes: list[Take] = []
    for variant in map(Variant, variants):
        for take, table in ravdess_tables(
            root, columns=columns, variant=variant, cache=cache, progress=progress
        ):
            if len(table):
                rows.append(pool(table, names))
                ids.append(take.stem if variant is Variant.CLEAN else f"{take.stem}#{variant}")
                pooled_takes.append(take)
    return TabularData(
        values=np.array(rows, dtype=np.float32).reshape(len(rows), len(names)),
        columns=tuple(names),
        labels=np.array([take.label for take in pooled_takes], dtype=np.int64),
        groups=np.array([f"{SOURCE}/{take.actor:02d}" for take in pooled_takes], dtype=np.str_),
        sources=np.full(len(pooled_takes), SOURCE),
        ids=np.array(ids, dtype=np.str_),
        dropped=len(takes) * len(variants) - len(pooled_takes),
    )


def ravdess_tables(
    root: Path,
    *,
    columns: Sequence[str],
    cache: Path,
    variant: Variant = Variant.CLEAN,
    progress: Progress | None = None,
) -> list[tuple[Take, FeatureTable]]:
    """Return the voice columns over time of every take with a sentiment; see `voice_tables`.

    Raises
    ------
    DataError
        The recordings are absent.
    """
    takes = list_takes(root)
    paths = [path for _, path in takes]
    tables = voice_tables(SOURCE, paths, columns=columns, cache=cache, variant=variant, progress=progress)
    return [(take, table) for (take, _), table in zip(takes, tables, strict=True)]
