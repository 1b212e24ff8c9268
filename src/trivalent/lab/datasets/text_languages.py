"""Texts of other languages than English: Chinese series, Weibo, reviews and film clips; tweets in seven.

No text of a published test part teaches or chooses: it is the test part here as well, whole series,
videos and users on one side. XLM-T's published test part is not at hand; its published val is the test.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.types import LabelMap, Sentiment, map_scores
from trivalent.lab.datasets.ch_sims import read_clips, split_by_video, video_of
from trivalent.lab.datasets.reading import codes_of, read_rows
from trivalent.lab.datasets.splits import split_of
from trivalent.lab.datasets.text_talk import FOLDER, Talk

TWEETS = ("ar", "de", "es", "fr", "hi", "it", "pt")  # English ones are TweetEval's
_CODES = {sentiment.label: str(int(sentiment)) for sentiment in Sentiment}
_CPED_VAL = "40"  # one of the five series of the published valid part; the other four teach
_REVIEWS = (0.95, 0.05)
_TWEETS = (0.85, 0.15)


def read_language(root: Path, name: str, part: str) -> Talk:
    """Read train, val or test of one of `LANGUAGES`.

    Raises
    ------
    DataError
        The file is absent, damaged, lacks a column, or has a class that there is not.
    """
    return _READERS[name](root, part)


def _cped(root: Path, part: str) -> Talk:
    def part_of(row: dict[str, str]) -> str:
        if row["split"] == "test":
            return "test"
        return "val" if row["tv"] == _CPED_VAL else "train"

    return _rows(root, "cped_zh", part, part_of, group=lambda row: row["tv"], needs=("tv",))


def _smp(root: Path, part: str) -> Talk:
    parts = {"train": "train", "eval": "val", "test": "test"}
    return _rows(root, "smp2020_zh", part, lambda row: parts.get(row["split"].rpartition("_")[2], ""))


def _reviews(root: Path, part: str) -> Talk:
    def part_of(row: dict[str, str]) -> str:
        return "test" if row["split"] == "test" else split_of(row["text"], fractions=_REVIEWS)

    return _rows(root, "reviews_zh", part, part_of)


def _tweets(language: str) -> Callable[[Path, str], Talk]:
    def part_of(row: dict[str, str]) -> str:
        if row["language"] != language:
            return ""
        return "test" if row["split"] == "val" else split_of(row["text"], fractions=_TWEETS)

    return lambda root, part: _rows(root, "xlmt_8lang", part, part_of)


def _ch_sims(root: Path, part: str) -> Talk:
    """Take the clips of version 2, which has those of version 1; neutral is a score of 0, as published."""
    first, clips = read_clips(root, "ch-sims"), read_clips(root, "ch-sims-v2")
    official = {n for c in (first, clips) for n, s in zip(c.names, c.split, strict=True) if s == "test"}
    videos = [video_of(name) for name in clips.names]
    kept = split_by_video(videos) == part
    if part != "test":
        kept &= np.array([name not in official for name in clips.names])
    index = np.flatnonzero(kept)
    return Talk(
        [clips.texts[i] for i in index],
        map_scores(clips.scores[kept], LabelMap.SIGN),
        [videos[i] for i in index],
        (clips.scores[kept] / 3).tolist(),
    )


def _rows(
    root: Path,
    file: str,
    part: str,
    part_of: Callable[[dict[str, str]], str],
    *,
    group: Callable[[dict[str, str]], str] | None = None,
    needs: tuple[str, ...] = (),
) -> Talk:
    rows, codes = _table(root / FOLDER / f"{file}.csv.gz", needs)
    index = [i for i, row in enumerate(rows) if part_of(row) == part and row["text"].strip()]
    groups = [group(rows[i]) if group else f"{part}{i}" for i in index]
    return Talk([rows[i]["text"].strip() for i in index], codes[index], groups)


@lru_cache(maxsize=4)
def _table(path: Path, needs: tuple[str, ...]) -> tuple[list[dict[str, str]], NDArray[np.int64]]:
    rows, _ = read_rows(path, ("text", "sentiment", "language", "split", *needs))
    named = [_CODES.get(row["sentiment"], row["sentiment"]) for row in rows]
    return rows, codes_of(named, path, column="sentiment", allowed=range(3))


_READERS: dict[str, Callable[[Path, str], Talk]] = {
    "cped": _cped,
    "ch_sims": _ch_sims,
    "smp2020": _smp,
    "reviews_zh": _reviews,
    **{f"xlmt_{language}": _tweets(language) for language in TWEETS},
}
LANGUAGES: tuple[str, ...] = tuple(_READERS)
