"""SST-5 and TweetEval from their files: ours (CSV) and as their owners publish them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.archives import Archive, ArchiveLimits
from trivalent.core.errors import ArchiveError, DataError
from trivalent.lab.datasets.reading import codes_of, read_rows, read_text

SST_FOLDER = Path("sst5")
SST_ARCHIVE = "trainDevTestTrees_PTB.zip"
_SST_LIMITS = ArchiveLimits(members=64, table_bytes=1 << 20, member_bytes=1 << 26, total_bytes=1 << 28)
TWEET_FOLDER = Path("tweeteval_sentiment")
_LEAF = re.compile(r"\(\d ([^()]+)\)")


def read_sst5(root: Path, part: str) -> tuple[list[str], NDArray[np.int64]]:
    """Read train, dev or test: tokenised sentences and their classes 0 to 4.

    From `sst5/PART.csv`, or from the published archive of trees if that is all there is.

    Raises
    ------
    DataError
        Neither is there, or one is damaged or has a class that there is not.
    """
    path, archive = root / SST_FOLDER / f"{part}.csv", root / SST_FOLDER / SST_ARCHIVE
    if path.is_file() or not archive.is_file():
        rows, _ = read_rows(path, ("label", "text"))
        labels = [row["label"] for row in rows]
        return [row["text"] for row in rows], codes_of(labels, path, column="label", allowed=range(5))
    trees = _trees(archive, part)
    codes = codes_of([tree[1:2] for tree in trees], archive, column="root", allowed=range(5))
    return [" ".join(_LEAF.findall(tree)).replace("\\/", "/").lower() for tree in trees], codes


def _trees(archive: Path, part: str) -> list[str]:
    try:
        with Archive(archive, _SST_LIMITS) as content:
            text = content.read(content.by_name()[f"trees/{part}.txt"]).decode("utf-8")
    except (ArchiveError, KeyError, UnicodeDecodeError) as error:
        raise DataError("corpus.trees", part=part, archive=archive, error=error) from error
    return [line for line in text.split("\n") if line.strip()]


def read_tweets(root: Path, part: str) -> tuple[list[str], NDArray[np.int64]]:
    """Read train or dev of our excerpt: tweets and their classes 0 to 2.

    Raises
    ------
    DataError
        The file is absent, lacks a column, or has a class that there is not.
    """
    path = root / TWEET_FOLDER / f"{part}.csv"
    rows, _ = read_rows(path, ("label", "text"))
    labels = [row["label"] for row in rows]
    return [row["text"] for row in rows], codes_of(labels, path, column="label", allowed=range(3))


def read_published_tweets(root: Path, part: str) -> tuple[list[str], NDArray[np.int64]]:
    """Read train, val or test as published: PART_text.txt and PART_labels.txt, a line per tweet.

    Raises
    ------
    DataError
        A file is absent, the two differ in length, or there is an unknown class.
    """
    path, labels = (root / TWEET_FOLDER / f"{part}_{what}.txt" for what in ("text", "labels"))
    texts, codes = (read_text(p)[0].rstrip("\n").replace("\r\n", "\n").split("\n") for p in (path, labels))
    if len(texts) != len(codes):
        raise DataError("corpus.tweets", count=len(texts), path=path, count2=len(codes))
    return texts, codes_of(codes, labels, column="label", allowed=range(3))
