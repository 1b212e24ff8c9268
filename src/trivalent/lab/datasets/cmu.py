"""Official files of CMU-MOSEI and CMU-MOSI: tracks over whole videos, pooled over samples.

A. Zadeh et al., ACL 2018 (MOSEI), and IEEE Intelligent Systems 31(6), 2016 (MOSI), in the
layout of the CMU Multimodal SDK. One video is in memory at a time.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.assets import cache_folder
from trivalent.core.errors import DataError
from trivalent.core.files import write_npz_atomic
from trivalent.core.types import Modality
from trivalent.features.openface.columns import MOSEI_COLUMNS
from trivalent.lab.datasets.alignment import average_over, tidy
from trivalent.lab.datasets.csd import ComputationalSequence, TimedFeatures
from trivalent.lab.datasets.dataset import Features
from trivalent.lab.progress import track

log = logging.getLogger(__name__)
POOLING_VERSION = 1  # raise it when pooled values change: the cache is then made anew
HOMEPAGE = "https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK"
SERVER = "http://immortal.multicomp.cs.cmu.edu"
REMEDY = (
    "the server of the CMU Multimodal SDK has been gone since 2023: ask the MultiComp Lab or a "
    "group that has them for these files"
)
SYNTHETIC = "trivalent synthetic"  # metadata field of files whose feature values were drawn at random


@dataclass(frozen=True)
class Track:
    """An official feature file: what it is called and what its columns are."""

    modality: Modality
    extractor: str
    file: str
    columns: int


@dataclass(frozen=True, eq=False)
class Spans:
    """Where each sample lies in its video.

    Attributes
    ----------
    video : array of str, shape (n,)
    times : array of float64, shape (n, 2), optional
        Start and end in seconds; None means that every sample is its whole video.
    """

    video: NDArray[np.str_]
    times: NDArray[np.float64] | None


def standard_folds(name: str, kind: str = "sdk") -> dict[str, str]:
    """Return the standard fold (train, val, test) of each video of `mosei` or `mosi`.

    The lists of the CMU Multimodal SDK (`sdk`). For MOSEI also the few videos that the commonly
    used segments have beyond them (`mmsa`); for MOSI the train and test videos of the contextual
    multimodal fusion code of N. Majumder et al. (`cmf`), which have no validation.

    >>> from collections import Counter
    >>> sorted(Counter(standard_folds("mosei").values()).items())
    [('test', 676), ('train', 2249), ('val', 300)]
    """
    return {video: split for split, own in _folds()[name][kind].items() for video in own}


def uncommon_segments() -> frozenset[str]:
    """Return the segments of MOSEI (`VIDEO[i]`) that are not among the 22,856 commonly used."""
    return frozenset(_folds()["mosei"]["uncommon"])


def _folds() -> dict[str, Any]:
    content = files("trivalent.lab.datasets").joinpath("folds.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(content)
    return loaded


def column_names(track_: Track, width: int) -> tuple[str, ...]:
    """Name the columns; a width that is not the published one gets numbered names."""
    if track_.extractor == "covarep" and width == track_.columns:
        from trivalent.features.covarep.columns import COLUMNS

        return tuple(COLUMNS)
    if track_.extractor == "openface2" and width == len(MOSEI_COLUMNS):
        return MOSEI_COLUMNS
    return tuple(f"{track_.extractor}_{i}" for i in range(width))


def pool_track(path: Path, described: Track, spans: Spans) -> tuple[Features, dict[str, int]]:
    """Average a track over each sample, with a cache of the result.

    Returns
    -------
    features : Features
        float32, shape (n, columns); NaN rows where the file has nothing for a sample.
    counts : dict of str to int
        Videos absent, videos damaged (their samples lack the modality; the others stay
        usable), intervals repaired.

    Raises
    ------
    DataError
        The file is absent, damaged as a whole, or not a computational sequence.
    """
    stored = cache_folder() / "features" / f"{path.stem}-{_cache_key(path, spans)}.npz"
    if stored.is_file():
        with np.load(stored, allow_pickle=False) as data:
            values, counts = data["values"], json.loads(str(data["counts"]))
    else:
        values, counts = _pool(path, spans)
        stored.parent.mkdir(parents=True, exist_ok=True)
        write_npz_atomic(stored, values=values, counts=json.dumps(counts))
    return Features(described.extractor, column_names(described, values.shape[1]), values), counts


def pool_tracks(
    tracks: Mapping[Track, Path], spans: Spans
) -> tuple[dict[Modality, Features], dict[str, int]]:
    """Pool several tracks; counts that are not zero carry the name of their file. See `pool_track`."""
    blocks: dict[Modality, Features] = {}
    counts: dict[str, int] = {}
    for described, path in tracks.items():
        blocks[described.modality], own = pool_track(path, described, spans)
        counts |= {f"{described.file}: {what}": n for what, n in own.items() if n}
    return blocks, counts


def _pool(path: Path, spans: Spans) -> tuple[NDArray[np.float32], dict[str, int]]:
    counts = {"videos absent": 0, "videos damaged": 0, "intervals repaired": 0}
    values: NDArray[np.float32] | None = None
    with ComputationalSequence(path) as file:
        held = set(file.keys)
        for video, rows in track(list(rows_of(spans.video)), path.stem):
            if video not in held:
                counts["videos absent"] += 1
                continue
            sequence = _read(file, video)
            if sequence is None:
                counts["videos damaged"] += 1
                continue
            if values is None:
                values = np.full((len(spans.video), sequence.features.shape[1]), np.nan, np.float32)
            intervals, features, repaired = tidy(sequence.intervals, _numbers(sequence.features))
            counts["intervals repaired"] += repaired
            times = (
                np.array([[intervals[0, 0], intervals[-1, 1]]] * len(rows))
                if spans.times is None
                else spans.times[rows]
            )
            values[rows] = average_over(intervals, features, spans=times)[0]
    if values is None:
        raise DataError("csd.cmu_samples", count=len(spans.video), name=path.name)
    return values, counts


def _read(file: ComputationalSequence, video: str) -> TimedFeatures | None:
    """Read the track of a video; None if it is damaged."""
    try:
        sequence = file.read(video)
        if sequence.features.dtype.kind not in "fiu" or not len(sequence):
            raise DataError(
                "csd.cmu_rows",
                video=video,
                name=file.path.name,
                shape=sequence.features.shape,
                dtype=sequence.features.dtype,
            )
    except DataError as error:
        log.warning("%s", error)
        return None
    return sequence


def _numbers(features: NDArray[Any]) -> NDArray[Any]:
    return features if features.dtype.kind == "f" else features.astype(np.float32)


def rows_of(video: NDArray[np.str_]) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield each video, in the order of first occurrence, and the rows of its samples."""
    names, first, inverse = np.unique(video, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    cuts = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    for i in np.argsort(first):
        yield str(names[i]), cuts[i]


def is_synthetic(path: Path) -> bool:
    """Whether a .csd file says of itself that its values were drawn at random."""
    with ComputationalSequence(path) as file:
        return SYNTHETIC in file.metadata


def official_tracks(folder: Path, tracks: Sequence[Track]) -> Mapping[Track, Path]:
    """Those of the files that are there, at most one for each modality: the first listed."""
    found: dict[Modality, tuple[Track, Path]] = {}
    for candidate in tracks:
        path = folder / candidate.file
        if path.is_file():
            found.setdefault(candidate.modality, (candidate, path))
    return dict(found.values())


def _cache_key(path: Path, spans: Spans) -> str:
    digest = hashlib.sha256(f"{POOLING_VERSION}:{path.name}".encode())
    status = path.stat()
    digest.update(f":{status.st_size}:{status.st_mtime_ns}".encode())
    digest.update("\n".join(spans.video.tolist()).encode())
    digest.update(b"whole" if spans.times is None else spans.times.tobytes())
    return digest.hexdigest()[:16]
