"""Fine-tuning the text expert: corpora, augmentation and validation as a `Task`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from trivalent.core.errors import UsageError
from trivalent.core.types import FloatArray, IntArray
from trivalent.features.text import ENGLISH, Vocabulary, encode, pad
from trivalent.lab.datasets.text import (
    CORPORA,
    TextData,
    fold_of,
    load_corpus,
    parts_of,
    plain_text,
    without_texts,
)
from trivalent.lab.datasets.unlabelled import load_unlabelled
from trivalent.lab.experts.text_corpora import validation_scores
from trivalent.lab.fit.losses import class_weights, distillation_loss, soft_cross_entropy, soft_targets
from trivalent.lab.fit.training import TrainingConfig
from trivalent.lab.networks.encoders import DEFAULT
from trivalent.lab.networks.text import TextClassifier

_PUNCTUATION = re.compile(r"[^\w\s'’@#]+")
_SENTENCE_END = re.compile(r"[.!]+(?=\s|$)|(?<=[\w'’])$")
_MARKS = ("", ".", "!")  # between which a recogniser chooses by its mood
_IDEOGRAPH = re.compile("[\u3400-\u9fff]")
_VALIDATION = 1200  # texts of a corpus at most
_EVERYDAY = 3  # words up to which two people say the same by chance


@dataclass(frozen=True)
class TextTaskConfig:
    """Corpora and their share of an epoch, and what is done to texts and targets.

    `unlabelled` corpora take part where teachers have answered. Of their answers `temperature` is
    that of the softmax, and `hard` the share of the annotated labels beside them.
    """

    corpora: dict[str, float]
    unlabelled: dict[str, float] = field(default_factory=dict)
    class_weights: str = "sqrt"
    temperature: float = 2.0
    hard: float = 0.3
    smoothing: float = 0.05
    ambiguity: float = 0.3
    valence_weight: float = 0.5
    strip_punctuation: float = 0.25  # transcripts of speech often have none
    final_marks: float = 0.0  # texts whose full stops and exclamation marks are drawn anew
    mask_tokens: float = 0.05
    max_tokens: int = 96
    encoder: str = DEFAULT
    bfloat16: bool = False  # products of matrices in half precision


class TextBatch(NamedTuple):
    """ids, mask (batch, tokens); labels, valence; class weights and teachers' logits (batch, 3).

    Weights are zero where a text has no label; logits are NaN where no teacher was asked.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor
    valence: Tensor
    weights: Tensor
    teacher: Tensor


class _Sample(NamedTuple):
    ids: list[int]
    label: int
    valence: float
    weights: FloatArray
    teacher: FloatArray


class TextTask:
    """Three-way sentiment over several corpora, validated on spoken language.

    Parameters
    ----------
    config : TextTaskConfig
    batch_size : int
    root : Path
        Data.
    held_out : pair of int, optional
        (k, n): the k-th of n folds of the training parts is left out; videos and dialogues stay whole.
    answers : mapping of str to array, optional
        Teachers' logits to the training part of each corpus, and to unlabelled ones, shape (n, 3).
    vocabulary : Vocabulary
        Of the encoder.
    """

    def __init__(
        self,
        config: TextTaskConfig,
        *,
        batch_size: int,
        root: Path,
        held_out: tuple[int, int] | None = None,
        answers: Mapping[str, FloatArray] | None = None,
        vocabulary: Vocabulary = ENGLISH,
    ) -> None:
        self.config, self.batch_size, self.answers = config, batch_size, answers or {}
        self.vocabulary = vocabulary
        self.train = {name: load_teaching(name, root=root) for name in config.corpora}
        if held_out is not None:
            fold, folds = held_out
            self.train = {n: d.take(fold_of(d.groups, folds) != fold) for n, d in self.train.items()}
        self.val = {name: load_judging(name, root=root) for name in config.corpora}
        self.class_weights = {
            name: _weights_of(np.bincount(d.labels, minlength=3), config.class_weights)
            for name, d in self.train.items()
        }
        self.unlabelled = {name: load_unlabelled(name) for name in config.unlabelled if self.answers}
        self.sizes = {name: len(texts) for name, texts in self.train.items()}
        self.sizes |= {name: len(texts) for name, texts in self.unlabelled.items()}
        for name, size in self.sizes.items():
            if self.answers and len(self.answers.get(name, ())) != size:
                raise UsageError(
                    "corpus.text_task_answers", size=size, name=name, count=len(self.answers.get(name, ()))
                )

    def batches_per_epoch(self) -> int:
        """Count the batches of one epoch."""
        shares = {**self.config.corpora, **self.config.unlabelled}
        return -(-sum(round(shares[name] * n) for name, n in self.sizes.items()) // self.batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[TextBatch]:
        """Draw every corpus by its share, group texts of like length, shuffle the groups."""
        pool: list[_Sample] = []
        for name, share in self.config.corpora.items():
            data, weights = self.train[name], self.class_weights[name]
            rows = _draw(len(data), round(share * len(data)), rng)
            ids = self._encoded([data.texts[i] for i in rows], rng)
            teacher = self.answers.get(name, np.full((len(data), 3), np.nan))
            pool += [
                _Sample(t, int(data.labels[i]), float(data.valence[i]), weights, teacher[i])
                for t, i in zip(ids, rows, strict=True)
            ]
        for name, texts in self.unlabelled.items():
            rows = _draw(len(texts), round(self.config.unlabelled[name] * len(texts)), rng)
            ids = self._encoded([texts[i] for i in rows], rng)
            teacher = self.answers[name]
            pool += [_Sample(t, 0, np.nan, np.zeros(3), teacher[i]) for t, i in zip(ids, rows, strict=True)]
        # A little noise on the length keeps batches from being the same texts every epoch.
        order = np.argsort([len(p.ids) + rng.uniform(-2, 2) for p in pool])
        groups = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        for g in rng.permutation(len(groups)):
            yield self._collate([pool[i] for i in groups[g]], rng)

    def _encoded(self, texts: Sequence[str], rng: np.random.Generator) -> list[list[int]]:
        augmented = [self._augment(text, rng) for text in texts]
        return encode(augmented, max_tokens=self.config.max_tokens, vocabulary=self.vocabulary)

    def loss(self, network: TextClassifier, batch: TextBatch) -> Tensor:
        """Weighted soft cross-entropy or teachers' answers, and squared error of annotated valence."""
        batch = TextBatch(*(part.to(device_of(network)) for part in batch))
        config, device = self.config, batch.ids.device.type
        with torch.autocast(device, torch.bfloat16, enabled=config.bfloat16):
            logits, valence = network.forward_all(batch.ids, batch.mask)
        logits, valence = logits.float(), valence.float()
        targets = soft_targets(
            batch.labels, batch.valence, smoothing=config.smoothing, ambiguity=config.ambiguity
        )
        if self.answers:
            loss = distillation_loss(
                logits,
                batch.teacher,
                targets=targets,
                weights=batch.weights,
                temperature=config.temperature,
                hard=config.hard,
            )
        else:
            loss = soft_cross_entropy(logits, targets, batch.weights)
        known = ~batch.valence.isnan()
        if known.any() and config.valence_weight:
            loss = loss + config.valence_weight * (valence - batch.valence)[known].square().mean()
        return loss

    def parameters(self, network: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
        """Lower layers learn more slowly (layer-wise decay, Howard & Ruder, ACL 2018)."""
        groups: dict[float, list[nn.Parameter]] = {}
        numbers = {name: re.search(r"layer\.(\d+)\.", name) for name, _ in network.named_parameters()}
        layers = 1 + max(int(match[1]) for match in numbers.values() if match)
        for name, parameter in network.named_parameters():
            if not parameter.requires_grad:
                continue
            match = numbers[name]
            depth = layers - int(match[1]) - 1 if match else layers
            head = not name.startswith("encoder")
            rate = config.head_learning_rate if head else config.learning_rate * config.layer_decay**depth
            groups.setdefault(rate, []).append(parameter)
        return [{"params": parameters, "lr": rate} for rate, parameters in groups.items()]

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Score each corpus; spoken language decides, written counts a quarter."""
        vocabulary = self.vocabulary
        logits = {n: predict(network, d.texts, vocabulary=vocabulary) for n, d in self.val.items()}
        predicted = {name: x.argmax(1) for name, x in logits.items()}
        return validation_scores({n: d.labels for n, d in self.val.items()}, predicted)

    def _augment(self, text: str, rng: np.random.Generator) -> str:
        if rng.random() < self.config.final_marks:
            text = _SENTENCE_END.sub(lambda _: _MARKS[rng.integers(len(_MARKS))], text)
        if rng.random() < self.config.strip_punctuation:
            stripped = _PUNCTUATION.sub(" ", text)
            return stripped if stripped.strip() else text
        return text

    def _collate(self, rows: Sequence[_Sample], rng: np.random.Generator) -> TextBatch:
        ids, mask = pad([r.ids for r in rows])
        drawn = rng.random(ids.shape) < self.config.mask_tokens
        ids[drawn & (mask == 1) & (ids > self.vocabulary.special)] = self.vocabulary.mask_id
        return TextBatch(
            torch.from_numpy(ids),
            torch.from_numpy(mask),
            torch.tensor([r.label for r in rows]),
            torch.tensor([r.valence for r in rows]),
            torch.tensor(np.array([r.weights for r in rows]), dtype=torch.float32),
            torch.tensor(np.array([r.teacher for r in rows]), dtype=torch.float32),
        )


def load_teaching(name: str, *, root: Path) -> TextData:
    """Read a training part without the texts by which another corpus is judged.

    Series and tweets are in several corpora. What anybody says ("I don't know.") stays, but for the
    lines of MELD: two corpora are of its series. A corpus is beside its own parts as published.
    """
    held_out = {plain for plain, owners in _judged(root).items() if owners - {name}}
    return without_texts(load_corpus(name, "train", root=root), held_out)


@lru_cache(maxsize=1)
def _judged(root: Path) -> Mapping[str, set[str]]:
    """Collect the texts of all validation and test parts, and the corpora that each is of."""
    found: dict[str, set[str]] = {}
    for name in CORPORA:
        for part in parts_of(name):
            if part != "train":
                for plain in map(plain_text, load_corpus(name, part, root=root).texts):
                    if name == "meld" or not _is_everyday(plain):
                        found.setdefault(plain, set()).add(name)
    return found


def _is_everyday(plain: str) -> bool:
    """Tell whether two people say the same by chance.

    >>> _is_everyday("i don't know"), _is_everyday("我不知道"), _is_everyday("这部电影的结局太让人失望了")
    (True, True, False)
    """
    return plain.count(" ") < _EVERYDAY and len(_IDEOGRAPH.findall(plain)) < 2 * _EVERYDAY


def load_judging(name: str, *, root: Path) -> TextData:
    """Read a validation part, of a large one every second text, every third, ..."""
    data = load_corpus(name, "val", root=root)
    return data.take(np.arange(len(data))[:: -(-len(data) // _VALIDATION)])


@torch.inference_mode()
def predict(
    network: nn.Module, texts: Sequence[str], *, batch_size: int = 64, vocabulary: Vocabulary = ENGLISH
) -> FloatArray:
    """Return class logits, shape (n, 3), in the order of the texts."""
    ids, device = encode(texts, vocabulary=vocabulary), device_of(network)
    order = np.argsort([len(t) for t in ids], kind="stable")
    out = np.empty((len(texts), 3), np.float32)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        table, mask = pad([ids[i] for i in rows])
        logits = network(torch.from_numpy(table).to(device), torch.from_numpy(mask).to(device))
        out[rows] = logits.cpu().numpy()
    return out


def device_of(network: nn.Module) -> torch.device:
    """Tell where a network is."""
    return next(network.parameters()).device


def _weights_of(counts: IntArray, rule: str) -> FloatArray:
    """Weigh the classes that a corpus has: reviews may have no neutral ones."""
    weights, there = np.zeros(len(counts)), counts > 0
    weights[there] = class_weights(counts[there], rule)
    return weights


def _draw(n: int, wanted: int, rng: np.random.Generator) -> list[int]:
    """Draw `wanted` of n rows, each as often as any other to within one."""
    rows: list[int] = []
    while len(rows) < wanted:
        rows += rng.permutation(n)[: wanted - len(rows)].tolist()
    return rows


def new_network(encoder: str = DEFAULT, vocabulary: Vocabulary = ENGLISH) -> TextClassifier:
    """Start from a published encoder."""
    return TextClassifier.pretrained(encoder, vocabulary)
