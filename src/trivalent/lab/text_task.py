"""Fine-tuning the text expert: corpora, augmentation and validation as a `Task`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from trivalent.features.text import encode, pad
from trivalent.lab.datasets.text import TextData, load_corpus
from trivalent.lab.losses import class_weights, soft_cross_entropy, soft_targets
from trivalent.lab.metrics import IntArray, macro_f1, macro_recall, weighted_f1
from trivalent.lab.networks.text import TextClassifier
from trivalent.lab.training import TrainingConfig
from trivalent.types import FloatArray

_PUNCTUATION = re.compile(r"[^\w\s'’@#]+")
MASK_TOKEN = 103  # [MASK] of the vocabulary


@dataclass(frozen=True)
class TextTaskConfig:
    """Corpora and their share of an epoch, and what is done to texts and targets."""

    corpora: dict[str, float] = field(
        default_factory=lambda: {"sst5": 1.0, "tweeteval": 0.6, "meld": 1.0, "mosi": 2.0, "mosei": 2.5}
    )
    class_weights: str = "sqrt"
    smoothing: float = 0.05
    ambiguity: float = 0.3
    valence_weight: float = 0.5
    strip_punctuation: float = 0.25  # transcripts of speech often have none
    mask_tokens: float = 0.05
    max_tokens: int = 96


class TextBatch(NamedTuple):
    """ids, mask (batch, tokens); labels, valence, and per-text class weights (batch, 3)."""

    ids: Tensor
    mask: Tensor
    labels: Tensor
    valence: Tensor
    weights: Tensor


class TextTask:
    """Three-way sentiment over several corpora, validated on spoken language."""

    def __init__(self, config: TextTaskConfig, *, batch_size: int, root: Path) -> None:
        self.config, self.batch_size = config, batch_size
        self.train = {name: load_corpus(name, "train", root=root) for name in config.corpora}
        self.val = {name: load_corpus(name, "val", root=root) for name in config.corpora}
        self.class_weights = {
            name: class_weights(np.bincount(d.labels, minlength=3), config.class_weights)
            for name, d in self.train.items()
        }

    def batches_per_epoch(self) -> int:
        """Count the batches of one epoch."""
        n = sum(round(share * len(self.train[name])) for name, share in self.config.corpora.items())
        return -(-n // self.batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[TextBatch]:
        """Draw every corpus by its share, group texts of like length, shuffle the groups."""
        pool: list[tuple[list[int], int, float, FloatArray]] = []
        for name, share in self.config.corpora.items():
            data = self.train[name]
            rows = _draw(len(data), round(share * len(data)), rng)
            texts = [self._augment(data.texts[i], rng) for i in rows]
            ids = encode(texts, max_tokens=self.config.max_tokens)
            weights = self.class_weights[name]
            pool += [
                (t, int(data.labels[i]), float(data.valence[i]), weights)
                for t, i in zip(ids, rows, strict=True)
            ]
        # A little noise on the length keeps batches from being the same texts every epoch.
        order = np.argsort([len(p[0]) + rng.uniform(-2, 2) for p in pool])
        groups = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        for g in rng.permutation(len(groups)):
            yield self._collate([pool[i] for i in groups[g]], rng)

    def loss(self, network: nn.Module, batch: TextBatch) -> Tensor:
        """Weighted soft cross-entropy plus squared error of the valence where annotated."""
        logits, valence = network.forward_all(batch.ids, batch.mask)  # type: ignore[operator]
        targets = soft_targets(
            batch.labels,
            batch.valence,
            smoothing=self.config.smoothing,
            ambiguity=self.config.ambiguity,
        )
        loss = soft_cross_entropy(logits, targets, batch.weights)
        known = ~batch.valence.isnan()
        if known.any() and self.config.valence_weight:
            loss = loss + self.config.valence_weight * (valence - batch.valence)[known].square().mean()
        return loss

    def parameters(self, network: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
        """Lower layers learn more slowly (layer-wise decay, Howard & Ruder, ACL 2018)."""
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            found = re.search(r"layer\.(\d+)\.", name)
            depth = 6 - int(found[1]) - 1 if found else 6
            head = not name.startswith("encoder")
            rate = config.head_learning_rate if head else config.learning_rate * config.layer_decay**depth
            groups.setdefault(rate, []).append(parameter)
        return [{"params": parameters, "lr": rate} for rate, parameters in groups.items()]

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Score each corpus; spoken language (MELD, MOSI with MOSEI) decides, written counts a quarter."""
        logits = {name: predict(network, data.texts) for name, data in self.val.items()}
        predicted = {name: x.argmax(1) for name, x in logits.items()}
        return validation_scores({n: d.labels for n, d in self.val.items()}, predicted)

    def _augment(self, text: str, rng: np.random.Generator) -> str:
        if rng.random() < self.config.strip_punctuation:
            stripped = _PUNCTUATION.sub(" ", text)
            return stripped if stripped.strip() else text
        return text

    def _collate(
        self, rows: Sequence[tuple[list[int], int, float, FloatArray]], rng: np.random.Generator
    ) -> TextBatch:
        ids, mask = pad([r[0] for r in rows])
        ids[(rng.random(ids.shape) < self.config.mask_tokens) & (mask == 1) & (ids > 103)] = MASK_TOKEN
        return TextBatch(
            torch.from_numpy(ids),
            torch.from_numpy(mask),
            torch.tensor([r[1] for r in rows]),
            torch.tensor([r[2] for r in rows]),
            torch.tensor(np.array([r[3] for r in rows]), dtype=torch.float32),
        )


def validation_scores(
    labels: Mapping[str, IntArray], predicted: Mapping[str, IntArray]
) -> dict[str, float]:
    """Combine corpora into the score that chooses the epoch.

    MOSI and MOSEI are pooled: alone each validation part is too small to choose by.
    """
    spoken = [n for n in ("mosi", "mosei") if n in labels]
    scores = {}
    if spoken:
        truth = np.concatenate([labels[n] for n in spoken])
        scores["monologue_macro_f1"] = macro_f1(truth, np.concatenate([predicted[n] for n in spoken]))
    if "meld" in labels:
        scores["meld_macro_f1"] = macro_f1(labels["meld"], predicted["meld"])
        scores["meld_weighted_f1"] = weighted_f1(labels["meld"], predicted["meld"])
    if "sst5" in labels:
        scores["sst5_macro_f1"] = macro_f1(labels["sst5"], predicted["sst5"])
    if "tweeteval" in labels:
        scores["tweeteval_macro_recall"] = macro_recall(labels["tweeteval"], predicted["tweeteval"])
    weight = {
        "monologue_macro_f1": 1.0,
        "meld_macro_f1": 1.0,
        "sst5_macro_f1": 0.25,
        "tweeteval_macro_recall": 0.25,
    }
    used = [k for k in weight if k in scores]
    scores["score"] = sum(weight[k] * scores[k] for k in used) / sum(weight[k] for k in used)
    return scores


@torch.inference_mode()
def predict(network: nn.Module, texts: Sequence[str], *, batch_size: int = 64) -> FloatArray:
    """Return class logits, shape (n, 3), in the order of the texts."""
    ids = encode(texts)
    order = np.argsort([len(t) for t in ids], kind="stable")
    out = np.empty((len(texts), 3), np.float32)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        table, mask = pad([ids[i] for i in rows])
        out[rows] = network(torch.from_numpy(table), torch.from_numpy(mask)).numpy()
    return out


def _draw(n: int, wanted: int, rng: np.random.Generator) -> list[int]:
    """Draw `wanted` of n rows, each as often as any other to within one."""
    rows: list[int] = []
    while len(rows) < wanted:
        rows += rng.permutation(n)[: wanted - len(rows)].tolist()
    return rows


def new_network() -> TextClassifier:
    """Start from the published encoder."""
    return TextClassifier.pretrained()


__all__ = ["TextBatch", "TextData", "TextTask", "TextTaskConfig", "new_network", "predict"]
