"""SST-5 and TweetEval as data sets of the registry: written sentences and tweets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.lab.datasets.dataset import SPLITS, Dataset
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.protocols import Protocol
from trivalent.lab.datasets.text import TextData, load_corpus
from trivalent.lab.datasets.text_files import (
    SST_ARCHIVE,
    SST_FOLDER,
    TWEET_FOLDER,
    read_published_tweets,
)

_STRETCH = 3.0  # valence in [-1, 1] to a score in [-3, 3]


def load_sst5(root: Path, protocol: Protocol, features: bool = True) -> Dataset:
    """Make one sample of every sentence; there are texts and no features."""
    return _joined("sst5", protocol, {split: load_corpus("sst5", split, root=root) for split in SPLITS})


def load_tweeteval(root: Path, protocol: Protocol, features: bool = True) -> Dataset:
    """Make one sample of every tweet; there are texts and no features."""
    if protocol.name == "three":
        parts = {split: load_corpus("tweeteval", split, root=root) for split in SPLITS}
    else:
        parts = {split: _published(root, split) for split in SPLITS}
    return _joined("tweeteval", protocol, parts)


def _published(root: Path, split: str) -> TextData:
    texts, labels = read_published_tweets(root, split)
    n = len(texts)
    groups = tuple(f"tweeteval/{split}{i}" for i in range(n))
    return TextData(tuple(texts), labels, np.full(n, np.nan, np.float32), groups, ("tweeteval",) * n)


def _joined(name: str, protocol: Protocol, parts: dict[str, TextData]) -> Dataset:
    # A sentence is a group of its own, so that its group also names it.
    names: NDArray[np.str_] = np.array([group for data in parts.values() for group in data.groups])
    return Dataset(
        name=name,
        protocol=protocol.name,
        ids=names,
        groups=names,
        split=np.repeat(list(parts), [len(data) for data in parts.values()]),
        labels=np.concatenate([data.labels for data in parts.values()]),
        scores=_STRETCH * np.concatenate([data.valence for data in parts.values()]).astype(np.float64),
        seconds=np.full(len(names), np.nan),
        texts=tuple(text for data in parts.values() for text in data.texts),
    )


_TWEETS = "https://raw.githubusercontent.com/cardiffnlp/tweeteval/main/datasets/sentiment"
ENTRIES = (
    Entry(
        "sst5",
        "Stanford Sentiment Treebank, 11,855 sentences of film reviews in five classes (English)",
        "research use, Stanford NLP",
        "https://nlp.stanford.edu/sentiment/",
        (
            Protocol(
                "three",
                "one sample per sentence, published split: classes 0 and 1 negative, 2 neutral, 3 and 4 "
                "positive; scores are the five classes spread from -3 to 3 (three sentences of train also "
                "stand in val or test, as published)",
                None,
                {"train": (3310, 1624, 3610), "val": (428, 229, 444), "test": (912, 389, 909)},
            ),
        ),
        load_sst5,
        files=(
            OfficialFile(
                f"{SST_FOLDER}/{SST_ARCHIVE}", (f"https://nlp.stanford.edu/sentiment/{SST_ARCHIVE}",)
            ),
        ),
        remedy=f"put {SST_ARCHIVE} of the homepage, or train.csv, dev.csv and test.csv, into {SST_FOLDER}/",
    ),
    Entry(
        "tweeteval",
        "TweetEval sentiment (SemEval-2017 task 4A), tweets in three classes (English)",
        "research use; the terms of Twitter hold",
        "https://github.com/cardiffnlp/tweeteval",
        (
            Protocol(
                "three",
                "an excerpt: 8,000 tweets of train, of which a hashed tenth is val; test is the "
                "published val",
                None,
                {"train": (2318, 3515, 1378), "val": (268, 379, 142), "test": (312, 869, 819)},
            ),
            Protocol(
                "published",
                "all tweets in the published split",
                None,
                {"train": (7093, 20673, 17849), "val": (312, 869, 819), "test": (3972, 5937, 2375)},
            ),
        ),
        load_tweeteval,
        files=tuple(
            OfficialFile(f"{TWEET_FOLDER}/{part}_{what}.txt", (f"{_TWEETS}/{part}_{what}.txt",))
            for part in SPLITS
            for what in ("text", "labels")
        ),
        remedy="the files are in https://github.com/cardiffnlp/tweeteval, folder datasets/sentiment",
    ),
)
