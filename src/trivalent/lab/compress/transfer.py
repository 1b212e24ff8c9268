"""The texts that a student learns from, and what the teacher says to them."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.graphs import Graph
from trivalent.core.assets import cache_folder
from trivalent.core.errors import RecipeError
from trivalent.core.files import write_npz_atomic
from trivalent.core.types import FloatArray
from trivalent.features.text import encode, pad
from trivalent.lab.progress import track

log = logging.getLogger(__name__)
_BATCH = 32
_LEAST_WORDS = 2
_PUNCTUATION = re.compile(r"[^\w\s'’@#]+")


@dataclass(frozen=True)
class TransferConfig:
    """How texts are altered; the teacher labels them, so that no label is needed.

    Attributes
    ----------
    copies : int
        Altered texts for each training text.
    drop : float
        Share of the words that is left out, on average, where words are dropped.
    drops, spans, mixes, bare : float
        How often each alteration is made: words are dropped, a span is cut out, the beginning of one
        text is mixed with the end of another, the punctuation is taken out.
    """

    copies: int = 4
    drop: float = 0.2
    drops: float = 0.35
    spans: float = 0.25
    mixes: float = 0.3
    bare: float = 0.1

    def __post_init__(self) -> None:
        shares = (self.drops, self.spans, self.mixes, self.bare)
        if self.copies < 0 or not 0 < self.drop < 1 or min(shares) < 0 or sum(shares) <= 0:
            raise RecipeError("compress.alterations", given=self)


def alter_texts(texts: Sequence[str], config: TransferConfig, *, seed: int = 0) -> list[str]:
    """Make `copies` altered texts of each; those that come out unchanged or empty are left out.

    >>> alter_texts(["it was good"], TransferConfig(copies=1, drops=0, spans=0, mixes=0, bare=1))
    []
    """
    rng = np.random.default_rng(seed)
    shares = np.array([config.drops, config.spans, config.mixes, config.bare])
    words = [text.split() for text in texts]
    seen, out = set(texts), []
    for _ in range(config.copies):
        kinds = rng.choice(len(shares), size=len(texts), p=shares / shares.sum())
        others = rng.permutation(len(texts))
        for text, own, kind, other in zip(texts, words, kinds.tolist(), others.tolist(), strict=True):
            new = (
                _PUNCTUATION.sub(" ", text).split()
                if kind == 3
                else _altered(own, words[other], kind=kind, drop=config.drop, rng=rng)
            )
            made = " ".join(new)
            if made and made not in seen:
                seen.add(made)
                out.append(made)
    return out


def _altered(
    own: list[str], other: list[str], *, kind: int, drop: float, rng: np.random.Generator
) -> list[str]:
    if kind == 0:
        return [word for word, kept in zip(own, rng.random(len(own)) >= drop, strict=True) if kept]
    if kind == 1 and len(own) > _LEAST_WORDS:
        size = int(rng.integers(_LEAST_WORDS, len(own)))
        start = int(rng.integers(len(own) - size + 1))
        return own[start : start + size]
    if kind == 2 and own and other:
        return own[: int(rng.integers(1, len(own) + 1))] + other[int(rng.integers(len(other))) :]
    return []


@dataclass(frozen=True, eq=False)
class TeacherAnswers:
    """What a teacher says to texts.

    Attributes
    ----------
    logits : array, shape (n, 3)
        Uncalibrated.
    sentences : array of float16, shape (n, width)
        Its sentence vectors.
    """

    logits: FloatArray
    sentences: NDArray[np.float16]


def teacher_answers(graph: bytes, texts: Sequence[str]) -> TeacherAnswers:
    """Ask a text graph, or read its answers to the same texts from the cache.

    Parameters
    ----------
    graph : bytes
        ONNX, from `ids` and `mask` to `logits` and `sentence`.
    texts : sequence of str
    """
    mark = hashlib.sha256(hashlib.sha256(graph).digest() + "\0".join(texts).encode()).hexdigest()[:16]
    path = cache_folder() / "distillation" / f"{mark}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return TeacherAnswers(stored["logits"], stored["sentences"])
    except (OSError, KeyError, ValueError, BadZipFile):
        log.info("asking the teacher about %d texts", len(texts))  # anew, too, if the file is damaged
    answers = graph_answers(graph, texts)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_npz_atomic(path, logits=answers.logits, sentences=answers.sentences)
    return answers


def graph_answers(graph: bytes, texts: Sequence[str]) -> TeacherAnswers:
    """Run a text graph over texts, shorter ones first; the order is kept."""
    asked, ids = Graph(lambda: graph, name="the text graph"), encode(texts)
    order = np.argsort([len(t) for t in ids], kind="stable")
    steps = [order[i : i + _BATCH] for i in range(0, len(order), _BATCH)]
    logits, sentences = [np.empty((0, 3), np.float32)], []
    for rows in track(steps, "asking the teacher", total=len(steps)):
        table, mask = pad([ids[i] for i in rows])
        own, vectors = asked.run({"ids": table, "mask": mask}, ["logits", "sentence"])
        logits.append(own)
        sentences.append(vectors.astype(np.float16))
    back = np.argsort(order)
    together = np.concatenate(sentences) if sentences else np.empty((0, 0), np.float16)
    return TeacherAnswers(np.concatenate(logits)[back], together[back])
