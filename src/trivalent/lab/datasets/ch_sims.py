"""CH-SIMS and CH-SIMS v2: clips of Chinese films, series and shows, with transcripts and scores.

W. Yu et al., "CH-SIMS: A Chinese Multimodal Sentiment Analysis Dataset with Fine-grained
Annotations of Modality", ACL 2020; Y. Liu et al., "Make Acoustic and Visual Cues Matter:
CH-SIMS v2.0 Dataset and AV-Mixup Consistent Module", ICMI 2022 (its supervised part, v2s).

The owners annotate in [-1, 1], in steps of 0.2; scores here are stretched by 3 to [-3, 3]. Of
three classes the paper says: -1 to -0.2 is negative, 0 is neutral, 0.2 to 1 is positive, which
is the sign (the bins of the MMSA framework agree for all annotated values).

The official split is one of clips: it puts clips of the same video into train, val and test.
Such a split rewards whoever recognises faces, voices and plots, so that it is not offered; the
protocols here split anew by a hash of the video, the same in both versions. Actors of a series
may still recur in other videos of it, since the owners do not say who speaks.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import LabelMap, map_scores
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.protocols import Protocol
from trivalent.lab.datasets.splits import split_of

FOLDER = "ch_sims"
SCALE = 3.0  # from [-1, 1] to [-3, 3]
FILES = {  # the table of MERBench, or the one of the owners; the first that is there is used
    "ch-sims": ("ch_sims_v1.csv", "label.csv"),
    "ch-sims-v2": ("ch_sims_v2s.csv", "meta.csv"),
}
CHINESE, ENGLISH = "chinese", "english"
_OWNERS = {"val": "label", "split": "mode", CHINESE: "text"}  # what the owners call our columns
_VIDEO = re.compile(r"(test\d+|[^_]+_[^_]+)_[^_]+(_[^_]+)?")


@dataclass(frozen=True, eq=False)
class Clips:
    """The annotated clips, one row each.

    Attributes
    ----------
    names : tuple of str
        video_0018_0004.
    scores : array of float64, shape (n,)
        In [-3, 3].
    split : tuple of str
        Official: train, val (or valid) and test.
    texts : tuple of str
    repeated : int
        Rows that come twice and say the same; the first of them is kept.
    """

    names: tuple[str, ...]
    scores: NDArray[np.float64]
    split: tuple[str, ...]
    texts: tuple[str, ...]
    repeated: int = 0

    def __len__(self) -> int:
        return len(self.names)


def video_of(name: str) -> str:
    """Return the video that a clip was cut from.

    Raises
    ------
    DataError
        The name is not one of CH-SIMS.

    Examples
    --------
    >>> [video_of(n) for n in ("video_0018_0004", "aqgy3_0001_00012_1", "test15_00018")]
    ['video_0018', 'aqgy3_0001', 'test15']
    """
    found = _VIDEO.fullmatch(name)
    if found is None:
        raise DataError("chsims.clip_name", name=name)
    return found[1]


def split_by_video(videos: Sequence[str]) -> NDArray[np.str_]:
    """Assign each clip to train, val or test by a hash of its video (65, 15 and 20 % of them)."""
    return np.array([split_of(video) for video in videos], dtype=np.str_)


def read_clips(root: Path, name: str = "ch-sims", *, text: str = CHINESE) -> Clips:
    """Read the table of a version.

    Parameters
    ----------
    root : Path
        Data root; the table lies in `ch_sims/`.
    name : str
        ch-sims or ch-sims-v2.
    text : str
        The transcript: `chinese`, or `english`, a machine translation that the owners' own
        table lacks.

    Raises
    ------
    DataError
        The table is absent, not UTF-8, empty, lacks a column, or a row is impossible; the
        message names the line.
    """
    path = _find(root, FILES[name])
    rows = _read(path)
    columns = ("name",) if "name" in rows[0] else ("video_id", "clip_id")
    official = {} if "name" in rows[0] else _OWNERS
    value, split, words = (official.get(c, c) for c in ("val", "split", text))
    missing = [c for c in (*columns, value, split, words) if c not in rows[0]]
    if missing:
        raise DataError("chsims.columns", missing=list(missing), path=path, found=list(rows[0]))
    kept: dict[str, tuple[float, str, str]] = {}
    for line, row in enumerate(rows, start=2):
        if None in row.values():
            raise DataError("chsims.cells", count=len(row), line=line, path=path)
        key = "_".join(row[c].strip() for c in columns)
        if not _VIDEO.fullmatch(key):
            raise DataError("chsims.key", line=line, path=path, key=key)
        content = (_score(row[value], f"column {value}, line {line} of {path}"), row[split], row[words])
        if kept.setdefault(key, content) != content:
            raise DataError("chsims.twice", key=key, path=path, line=line)
    scores, splits, texts = zip(*kept.values(), strict=True)
    return Clips(
        tuple(kept),
        np.array(scores),
        tuple(splits),
        tuple(t.strip() for t in texts),
        len(rows) - len(kept),
    )


def _find(root: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (root / FOLDER / name).is_file():
            return root / FOLDER / name
    raise DataError("chsims.absent", names=" or ".join(names), root=root / FOLDER)


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise DataError("chsims.table", path=path, strerror=error.strerror) from error
    except UnicodeDecodeError as error:
        raise DataError("chsims.utf8", path=path, error=error) from error
    except csv.Error as error:
        raise DataError("chsims.table_damaged", path=path, error=error) from error
    if not rows:
        raise DataError("chsims.no_clips", path=path)
    return rows


def _score(cell: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = np.nan
    if not abs(value) <= 1:
        raise DataError("chsims.score", where=where, cell=cell)
    return round(SCALE * value, 6)


def _load(root: Path, protocol: Protocol, name: str) -> Dataset:
    clips = read_clips(root, name, text=ENGLISH if protocol.name.endswith(ENGLISH) else CHINESE)
    videos = [video_of(clip) for clip in clips.names]
    return Dataset(
        name=name,
        protocol=protocol.name,
        ids=np.array(clips.names),
        groups=np.array(videos),
        split=split_by_video(videos),
        labels=map_scores(clips.scores, protocol.label_map or LabelMap.SIGN),
        scores=clips.scores,
        seconds=np.full(len(clips), np.nan),
        texts=clips.texts,
        dropped={"rows repeated": clips.repeated} if clips.repeated else {},
    )


def load_ch_sims(root: Path, protocol: Protocol, features: bool = True) -> Dataset:
    """Make the samples of CH-SIMS: transcripts, no features."""
    del features  # the tables ship none
    return _load(root, protocol, "ch-sims")


def load_ch_sims_v2(root: Path, protocol: Protocol, features: bool = True) -> Dataset:
    """Make the samples of CH-SIMS v2 (supervised part): transcripts, no features."""
    del features
    return _load(root, protocol, "ch-sims-v2")


COUNTS = {
    "ch-sims": {"train": (825, 227, 480), "val": (227, 74, 128), "test": (186, 44, 90)},
    "ch-sims-v2": {"train": (1397, 353, 1152), "val": (423, 113, 328), "test": (303, 67, 267)},
}
_SPLIT = {
    "ch-sims": "split anew by video, since the official split cuts all 60 videos apart",
    "ch-sims-v2": "split anew by video, since the official split cuts 129 of 145 videos apart",
}


def _protocols(name: str) -> tuple[Protocol, ...]:
    rule = f"one sample per clip, class by the sign of its score; {_SPLIT[name]}"
    return (
        Protocol("three", rule, LabelMap.SIGN, COUNTS[name]),
        Protocol("three-english", f"{rule}; texts translated by machine", LabelMap.SIGN, COUNTS[name]),
    )


_REMEDY = "ask the authors; their label.csv (v1) and meta.csv (v2s) are read as well"
ENTRIES = (
    Entry(
        "ch-sims",
        "CH-SIMS, 2,281 clips of 60 films, series and shows (Chinese)",
        "research use, THUIAR",
        "https://github.com/thuiar/MMSA",
        _protocols("ch-sims"),
        load_ch_sims,
        files=(OfficialFile(f"{FOLDER}/label.csv"),),
        remedy=_REMEDY,
    ),
    Entry(
        "ch-sims-v2",
        "CH-SIMS v2, 4,403 annotated clips of 145 videos; contains CH-SIMS (Chinese)",
        "research use, THUIAR",
        "https://github.com/thuiar/ch-sims-v2",
        _protocols("ch-sims-v2"),
        load_ch_sims_v2,
        files=(OfficialFile(f"{FOLDER}/meta.csv"),),
        remedy=_REMEDY,
    ),
)
