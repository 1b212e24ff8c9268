"""Text corpora with three-way sentiment: reviews, tweets, comments, and what people say.

Each reader returns a `TextData`; the splits keep every video on one side.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import LabelMap, map_scores
from trivalent.lab.datasets.meld import read_meld
from trivalent.lab.datasets.reading import read_rows, scores_of
from trivalent.lab.datasets.splits import split_of
from trivalent.lab.datasets.text_files import read_sst5, read_tweets
from trivalent.lab.datasets.text_languages import LANGUAGES, read_language
from trivalent.lab.datasets.text_talk import Talk, read_talk


@dataclass(frozen=True, eq=False)
class TextData:
    """Texts with labels.

    Attributes
    ----------
    texts : tuple of str, length n
    labels : int64 array, shape (n,)
        `Sentiment` codes.
    valence : float32 array, shape (n,)
        Annotated strength in [-1, 1], NaN where the corpus has only classes.
    groups : tuple of str, length n
        Video or dialogue that a text belongs to; never shared between splits.
    corpus : tuple of str, length n
    """

    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    valence: NDArray[np.float32]
    groups: tuple[str, ...]
    corpus: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> TextData:
        """Select rows by mask or index."""
        index = np.arange(len(self))[rows]
        return TextData(
            tuple(self.texts[i] for i in index),
            self.labels[index],
            self.valence[index],
            tuple(self.groups[i] for i in index),
            tuple(self.corpus[i] for i in index),
        )


_SPLITS = ("train", "val", "test")


def concatenate(parts: Sequence[TextData]) -> TextData:
    """Join corpora, in order."""
    return TextData(
        sum((p.texts for p in parts), ()),
        np.concatenate([p.labels for p in parts]),
        np.concatenate([p.valence for p in parts]),
        sum((p.groups for p in parts), ()),
        sum((p.corpus for p in parts), ()),
    )


def fold_of(groups: Sequence[str], folds: int) -> NDArray[np.int64]:
    """Assign each text to one of `folds` folds, by a hash of its group.

    >>> bool((fold_of(["a/1", "a/1", "a/2"], 1) == 0).all())
    True
    """
    marks = [int(hashlib.sha256(f"fold {group}".encode()).hexdigest()[:8], 16) for group in groups]
    return np.array(marks, np.int64) % folds


def load_corpus(name: str, split: str, *, root: Path) -> TextData:
    """Read one split of one corpus.

    Parameters
    ----------
    name : str
        Of `CORPORA`.
    split : str
        train, val or test. MOSI has no test part here (its official test transcripts are
        absent), MOSEI nothing else: all transcripts at hand are of its official test fold.
        TweetEval's dev file is the test part and a hashed tenth of train is val.

    Raises
    ------
    DataError
        Unknown corpus, no such split, or a file that is absent or lacks a column.
    """
    if name not in _READERS:
        raise DataError("corpus.unknown", readers=list(_READERS), name=name)
    if split not in _SPLITS:
        raise DataError("corpus.split", splits=list(_SPLITS), split=split)
    data = _READERS[name](root, split)
    if not len(data):
        raise DataError("corpus.no_texts", name=name, split=split, root=root)
    return data


def without_texts(data: TextData, held_out: Collection[str]) -> TextData:
    """Leave out the texts that, but for case and signs, are among those `plain_text` made."""
    return data.take(np.array([plain_text(text) not in held_out for text in data.texts], bool))


def plain_text(text: str) -> str:
    """Reduce a text to its words.

    >>> plain_text("Oh, my God!  It’s...")
    "oh my god it's"
    """
    return " ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("’", "'")))


def _make(
    corpus: str,
    texts: Sequence[str],
    *,
    labels: Sequence[int] | NDArray[np.int64],
    groups: Sequence[str],
    valence: Sequence[float] | None = None,
) -> TextData:
    strength = np.full(len(texts), np.nan) if valence is None else np.asarray(valence, float)
    return TextData(
        tuple(texts),
        np.asarray(labels, np.int64).reshape(-1),
        strength.astype(np.float32),
        tuple(f"{corpus}/{g}" for g in groups),
        (corpus,) * len(texts),
    )


def _sst5(root: Path, split: str) -> TextData:
    file = {"train": "train", "val": "dev", "test": "test"}[split]
    texts, five = read_sst5(root, file)
    return _make(
        "sst5",
        [_detokenize(text) for text in texts],
        labels=map_scores((five - 2).astype(float), LabelMap.SIGN),
        groups=[f"{file}{i}" for i in range(len(texts))],
        valence=((five - 2) / 2).tolist(),
    )


def _tweeteval(root: Path, split: str) -> TextData:
    texts, labels = read_tweets(root, "dev" if split == "test" else "train")
    rows = list(range(len(texts)))
    if split != "test":
        wanted = split == "val"
        rows = [i for i in rows if (split_of(texts[i], fractions=(0.9, 0.1)) == "val") == wanted]
    return _make(
        "tweeteval",
        [texts[i] for i in rows],
        labels=labels[rows],
        groups=[f"{split}{i}" for i in range(len(rows))],
    )


def _meld(root: Path, split: str) -> TextData:
    rows, labels, _ = read_meld(root, split)
    file = {"train": "train", "val": "dev", "test": "test"}[split]
    return _make(
        "meld",
        [r["Utterance"] for r in rows],
        labels=labels,
        groups=[f"{file}{r['Dialogue_ID']}" for r in rows],
    )


def _mosi(root: Path, split: str) -> TextData:
    if split == "test":
        raise DataError("corpus.mosi_test")
    path = root / "cmu_mosi" / "segments_train.csv"
    rows, _ = read_rows(path, ("name", "text", "score"))
    videos = [r["name"].rsplit("_", 1)[0] for r in rows]
    kept = [i for i, v in enumerate(videos) if split_of(v, fractions=(0.8, 0.2)) == split]
    scores = scores_of([r["score"] for r in rows], path)[kept]
    return _make(
        "mosi",
        [rows[i]["text"].lower() for i in kept],
        labels=map_scores(scores, LabelMap.SIGN),
        groups=[videos[i] for i in kept],
        valence=(scores / 3).tolist(),
    )


def _mosei(root: Path, split: str) -> TextData:
    if split != "test":
        raise DataError("corpus.mosei_test_only", split=split)
    path = root / "cmu_mosei" / "segments.csv"
    rows, _ = read_rows(path, ("video_id", "sentiment", "text"))
    scores = scores_of([r["sentiment"] for r in rows], path)
    chosen = [i for i, r in enumerate(rows) if r["text"].strip()]
    kept, scores = [rows[i] for i in chosen], scores[chosen]
    return _make(
        "mosei",
        [_without_pauses(r["text"]) for r in kept],
        labels=map_scores(scores, LabelMap.SIGN),
        groups=[r["video_id"] for r in kept],
        valence=(scores / 3).tolist(),
    )


def _talk(name: str, read: Callable[[Path, str, str], Talk]) -> Callable[[Path, str], TextData]:
    def reader(root: Path, split: str) -> TextData:
        talk = read(root, name, split)
        return _make(name, talk.texts, labels=talk.labels, groups=talk.groups, valence=talk.valence)

    return reader


def _without_pauses(text: str) -> str:
    """Drop the word `sp`, the annotators' mark of a pause.

    >>> _without_pauses("sp face sp so nice")
    'face so nice'
    """
    return " ".join(w for w in text.split() if w != "sp")


def _detokenize(text: str) -> str:
    """Undo the Treebank tokenisation of SST, which no user types.

    >>> _detokenize("they wo n't sit still , however -lrb- or do -rrb- .")
    "they won't sit still, however (or do)."
    """
    text = text.replace("-lrb-", "(").replace("-rrb-", ")").replace("``", '"').replace("''", '"')
    text = re.sub(r" (n't|'s|'re|'ve|'ll|'d|'m)\b", r"\1", text)
    text = re.sub(r"\s+([.,!?;:%)])", r"\1", text)
    return text.replace("( ", "(").strip()


_READERS: dict[str, Callable[[Path, str], TextData]] = {
    "sst5": _sst5,
    "tweeteval": _tweeteval,
    "meld": _meld,
    "mosi": _mosi,
    "mosei": _mosei,
    **{name: _talk(name, read_talk) for name in ("semaine", "iemocap", "emorynlp", "goemotions")},
    **{name: _talk(name, read_language) for name in LANGUAGES},
}
CORPORA: tuple[str, ...] = tuple(_READERS)
_PARTS = {"mosi": ("train", "val"), "mosei": ("test",)}


def parts_of(name: str) -> tuple[str, ...]:
    """Tell which splits a corpus has.

    >>> parts_of("mosei"), parts_of("meld")
    (('test',), ('train', 'val', 'test'))
    """
    return _PARTS.get(name, _SPLITS)
