"""MELD: 13,708 utterances of the television series Friends, with sentiment and emotion.

S. Poria et al., "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations",
ACL 2019 (GPL-3.0). The data root holds `meld/{train,dev,test}_sent_emo.csv`; the clips, if they are
there, lie below it as their archives name them. Two clips of test (dia38_utt4, dia220_utt0) are
minutes long by a wrong cut.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError, MediaError
from trivalent.core.types import Sentiment
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.protocols import Protocol
from trivalent.lab.datasets.reading import read_rows
from trivalent.media.probe import open_container

FOLDER = Path("meld")
FILES = {"train": "train_sent_emo.csv", "val": "dev_sent_emo.csv", "test": "test_sent_emo.csv"}
CLIPS = {"train": "train_splits", "val": "dev_splits_complete", "test": "output_repeated_splits_test"}
COLUMNS = ("Utterance", "Sentiment", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime")


def read_meld(root: Path, split: str) -> tuple[list[dict[str, str]], NDArray[np.int64], int]:
    """Read one file.

    Returns
    -------
    rows : list of dict
    labels : array of int64, shape (n,)
        `Sentiment` codes.
    mended : int
        Stray bytes of Windows-1252, which some editions of the files have for quotes.

    Raises
    ------
    DataError
        The file is absent, lacks a column, or names a sentiment that there is not.
    """
    path = root / FOLDER / FILES[split]
    rows, mended = read_rows(path, COLUMNS, mend=True)
    known = {s.label: s.value for s in Sentiment}
    for i, row in enumerate(rows):
        if row["Sentiment"].lower() not in known:
            raise DataError(
                "csv.meld_sentiment", known=list(known), row_number=i + 1, path=path, row=row["Sentiment"]
            )
    return rows, np.array([known[row["Sentiment"].lower()] for row in rows], np.int64), mended


def load_meld(root: Path, protocol: Protocol, features: bool = True) -> Dataset:
    """Make one sample of every utterance; there are texts and no features."""
    ids: list[str] = []
    groups: list[str] = []
    texts: list[str] = []
    seconds: list[float] = []
    labels, split = [], []
    dropped = {"stray bytes mended": 0, "durations of zero or less taken for unknown": 0}
    for name in FILES:
        rows, codes, mended = read_meld(root, name)
        ids += [clip_id(name, row) for row in rows]
        groups += [f"meld/{name}/{row['Dialogue_ID']}" for row in rows]
        texts += [row["Utterance"].strip() for row in rows]
        seconds += [_duration(row) for row in rows]
        labels.append(codes)
        split += [name] * len(rows)
        dropped["stray bytes mended"] += mended
    length = np.array(seconds)
    impossible = length <= 0
    dropped["durations of zero or less taken for unknown"] = int(impossible.sum())
    return Dataset(
        name="meld",
        protocol=protocol.name,
        ids=np.array(ids, np.str_),
        groups=np.array(groups, np.str_),
        split=np.array(split, np.str_),
        labels=np.concatenate(labels),
        scores=np.full(len(ids), np.nan),
        seconds=np.where(impossible, np.nan, length),
        texts=tuple(texts),
        dropped={what: count for what, count in dropped.items() if count},
    )


def clip_id(split: str, row: dict[str, str]) -> str:
    """Name an utterance, uniquely over all splits.

    >>> clip_id("train", {"Dialogue_ID": "12", "Utterance_ID": "3"})
    'train/dia12_utt3'
    """
    return f"{split}/dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"


def meld_clips(root: Path, *, check: bool = True) -> tuple[dict[str, Path], dict[str, int]]:
    """Find the clips of the utterances.

    Parameters
    ----------
    root : Path
        Data root.
    check : bool
        Open every clip (some 5 ms each) and leave out those that cannot be opened.

    Returns
    -------
    paths : dict of str to Path
        By id of the sample; only clips that are there and whole.
    counts : dict of str to int
        `missing` and `damaged` utterances; `other`: files of no annotated utterance.

    Raises
    ------
    DataError
        The tables are absent or damaged.

    Notes
    -----
    As published, one clip of val is missing (dia110_utt7) and one of train cannot be opened
    (dia125_utt3); some files belong to no utterance.
    """
    paths: dict[str, Path] = {}
    counts = {"missing": 0, "damaged": 0, "other": 0}
    for split, folder in CLIPS.items():
        rows, _, _ = read_meld(root, split)
        there = {path.name: path for path in (root / FOLDER / folder).glob("*.mp4")}
        for row in rows:
            name = clip_id(split, row)
            path = there.pop(f"{name.partition('/')[2]}.mp4", None)
            if path is None:
                counts["missing"] += 1
            elif check and not _opens(path):
                counts["damaged"] += 1
            else:
                paths[name] = path
        counts["other"] += len(there)
    return paths, counts


def _opens(path: Path) -> bool:
    try:
        with open_container(path) as container:
            return bool(container.streams)
    except MediaError:
        return False


def _duration(row: dict[str, str]) -> float:
    return _seconds(row["EndTime"]) - _seconds(row["StartTime"])


def _seconds(time: str) -> float:
    """Read a time of a subtitle, NaN if it is none.

    >>> _seconds("00:20:57,256")
    1257.256
    """
    try:
        hours, minutes, seconds = time.replace(",", ".").split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        return float("nan")


def _clip_counts(root: Path) -> dict[str, Any]:
    """Count the clips that lie there, without opening them; nothing if there are none."""
    if not any((root / FOLDER / folder).is_dir() for folder in CLIPS.values()):
        return {}
    paths, counts = meld_clips(root, check=False)
    return {"clips": {"found": len(paths), "missing": counts["missing"], "other": counts["other"]}}


_SERVER = "https://raw.githubusercontent.com/declare-lab/MELD/master/data/MELD"
ENTRIES = (
    Entry(
        "meld",
        "MELD, 13,708 utterances of 'Friends' (English, dialogues; texts, clips optional)",
        "GPL-3.0",
        "https://affective-meld.github.io",
        (
            Protocol(
                "utterance",
                "one sample per utterance, its annotated sentiment; published split by dialogue",
                None,
                {"train": (2945, 4710, 2334), "val": (406, 470, 233), "test": (833, 1256, 521)},
            ),
        ),
        load_meld,
        files=tuple(OfficialFile(f"{FOLDER}/{name}", (f"{_SERVER}/{name}",)) for name in FILES.values()),
        remedy=(
            "the tables are in https://github.com/declare-lab/MELD, folder data/MELD; the clips in "
            "MELD.Raw.tar.gz, which the homepage links: unpack its three archives below meld/"
        ),
        extra=_clip_counts,
    ),
)
