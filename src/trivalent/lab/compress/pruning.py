"""Structured pruning: which heads, rows and tokens matter, and a network of those that do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trivalent.core.errors import RecipeError
from trivalent.features.text import encode, pad
from trivalent.lab.compress.student import HEAD_WIDTH, EncoderLayer, StudentConfig, TextStudent

SPECIAL = (0, 100, 101, 102, 103)  # [PAD], [UNK], [CLS], [SEP], [MASK]
UNUSED = 999  # the other ids below stand for nothing
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Importance:
    """What each part of an encoder contributes.

    Attributes
    ----------
    heads : array, shape (layers, heads)
    rows : array, shape (layers, feedforward)
    """

    heads: NDArray[np.float64]
    rows: NDArray[np.float64]


def measure_importance(network: TextStudent, texts: Sequence[str]) -> Importance:
    """Estimate how much the loss would change without each head and each feed-forward row.

    The first-order term |activation x gradient|, summed over a head or a row and averaged over texts
    (Michel et al., NeurIPS 2019, eq. 5; Molchanov et al., ICLR 2017). The loss is the cross-entropy to
    the network's own answer, so that no labels are needed.

    Parameters
    ----------
    network : TextStudent
        An encoder; its gradients are cleared.
    texts : sequence of str
        Training texts; some hundreds suffice.
    """
    seen: dict[int, Tensor] = {}
    hooks = []
    for layer in network.encoder_layers():
        for module in (layer.out, layer.outer):
            hooks.append(module.register_forward_pre_hook(_watch(seen)))
    layers, config = network.encoder_layers(), network.config
    heads, rows = np.zeros((len(layers), config.heads)), np.zeros((len(layers), config.feedforward))
    network.eval()
    try:
        ids = encode(texts)
        for start in range(0, len(ids), _BATCH):
            table, mask = (torch.from_numpy(x) for x in pad(ids[start : start + _BATCH]))
            logits = network(table, mask)
            cross_entropy(logits, logits.argmax(1), reduction="sum").backward()
            for i, layer in enumerate(layers):
                context = _change(seen[id(layer.out)])  # (batch, tokens, heads x HEAD_WIDTH)
                per_head = context.unflatten(2, (config.heads, HEAD_WIDTH)).sum(3)
                # Over the tokens of a text before the absolute value: the head is one part.
                heads[i] += per_head.sum(1).abs().sum(0).numpy()
                rows[i] += _change(seen[id(layer.outer)]).sum(1).abs().sum(0).numpy()
    finally:
        for hook in hooks:
            hook.remove()
        network.zero_grad(set_to_none=True)
    return Importance(heads / len(texts), rows / len(texts))


def prune(network: TextStudent, config: StudentConfig, *, importance: Importance) -> TextStudent:
    """Build a network of the most important parts of a larger one.

    Layers are those that `config` names, heads and rows the most important of each. A narrower table of
    tokens holds principal components; other widths and convolutions start at random behind it.

    Parameters
    ----------
    network : TextStudent
        The larger one, an encoder.
    config : StudentConfig
    importance : Importance
        Of the larger network's parts.

    Raises
    ------
    RecipeError
        There are no such layers, or more heads, rows or columns are asked for than there are.
    """
    _check(network.config, config)
    small = TextStudent(config, rows=network.rows.numpy())
    with torch.no_grad():
        _narrow_table(network, small)
        if config.width == network.config.width and config.family == "encoder":
            small.norm.load_state_dict(network.norm.state_dict())
            small.head.load_state_dict(network.head.state_dict())
            for new, i in zip(small.encoder_layers(), config.layers, strict=True):
                heads = _best(importance.heads[i], config.heads)
                rows = _best(importance.rows[i], config.feedforward)
                _keep(network.encoder_layers()[i], new, heads=heads, rows=rows)
    return small


def prune_vocabulary(network: TextStudent, counts: NDArray[np.int64], *, size: int) -> TextStudent:
    """Keep the rows of the most frequent tokens; the others share that of their nearest neighbour.

    Parameters
    ----------
    network : TextStudent
        With a row of its own for each token.
    counts : int array, shape (ids,)
        How often each token occurs in the training texts.
    size : int
        Rows to keep; special tokens are always among them.
    """
    table = network.embedding.weight.detach().numpy()
    worth = counts.copy()
    worth[:UNUSED] = -1
    worth[list(SPECIAL)] = np.iinfo(worth.dtype).max
    # Among tokens that never occur the order of the vocabulary decides: roughly that of frequency.
    kept = np.sort(np.argsort(-worth, kind="stable")[:size])
    unit = table / np.linalg.norm(table, axis=1, keepdims=True).clip(1e-9)
    rows = np.concatenate([(part @ unit[kept].T).argmax(1) for part in np.array_split(unit, 64)])
    rows[kept] = np.arange(len(kept))
    small = TextStudent(network.config, rows=rows)
    state = {name: value for name, value in network.state_dict().items() if name != "rows"}
    state["embedding.weight"] = network.embedding.weight.detach()[torch.from_numpy(kept)]
    small.load_state_dict({**small.state_dict(), **state})
    return small.eval()


def token_counts(texts: Sequence[str], *, size: int) -> NDArray[np.int64]:
    """Count the occurrences of each token id below `size`.

    >>> counts = token_counts(["great", "great day"], size=30522)
    >>> int(counts[2307]), int(counts.sum())
    (2, 7)
    """
    return np.bincount([token for ids in encode(texts) for token in ids], minlength=size)


def _watch(seen: dict[int, Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        inputs[0].retain_grad()
        seen[id(module)] = inputs[0]

    return hook


def _change(activation: Tensor) -> Tensor:
    """First-order change of the loss if an activation were zero."""
    assert activation.grad is not None  # noqa: S101 - `_watch` retains it
    return (activation * activation.grad).detach()


def _check(large: StudentConfig, small: StudentConfig) -> None:
    fresh = small.family != "encoder" or small.width != large.width
    if small.embedding > min(small.width, large.embedding):
        raise RecipeError(
            "compress.embedding", width=min(small.width, large.embedding), embedding=small.embedding
        )
    if fresh:
        return
    wrong = [i for i in small.layers if not 0 <= i < len(large.layers)]
    if wrong or small.heads > large.heads or small.feedforward > large.feedforward:
        raise RecipeError(
            "compress.sizes",
            count=len(large.layers) - 1,
            heads=large.heads,
            feedforward=large.feedforward,
            layers=list(small.layers),
            heads2=small.heads,
            feedforward2=small.feedforward,
        )


def _best(importance: NDArray[np.float64], wanted: int) -> NDArray[np.int64]:
    return np.sort(np.argsort(-importance, kind="stable")[:wanted])


def _keep(
    old: EncoderLayer, new: EncoderLayer, *, heads: NDArray[np.int64], rows: NDArray[np.int64]
) -> None:
    """Copy some heads and rows of a layer."""
    columns = torch.from_numpy((heads[:, None] * HEAD_WIDTH + np.arange(HEAD_WIDTH)).ravel())
    inner = torch.from_numpy(rows)
    width = old.heads * HEAD_WIDTH
    three = torch.cat([columns + part * width for part in range(3)])
    new.qkv.weight.copy_(old.qkv.weight[three])
    new.qkv.bias.copy_(old.qkv.bias[three])
    new.out.weight.copy_(old.out.weight[:, columns])
    new.inner.weight.copy_(old.inner.weight[inner])
    new.inner.bias.copy_(old.inner.bias[inner])
    new.outer.weight.copy_(old.outer.weight[:, inner])
    for name in ("out", "outer"):
        getattr(new, name).bias.copy_(getattr(old, name).bias)
    for name in ("norm", "last_norm"):
        getattr(new, name).load_state_dict(getattr(old, name).state_dict())


def _narrow_table(large: TextStudent, small: TextStudent) -> None:
    """Copy the table of tokens, or its principal components with the matrix that widens them again.

    The components have unit variance, so that one scale of int8 fits them all; their spread is in the
    matrix, and the mean row in the positions.
    """
    table, size = large.embedding.weight, small.config.embedding
    same = small.config.width == large.config.width
    if size == table.shape[1]:
        small.embedding.weight.copy_(table)
    else:
        mean = table.mean(0)
        variance, axes = torch.linalg.eigh((table - mean).T.cov(correction=0))  # ascending
        axes, deviation = axes[:, -size:].flip(1), variance[-size:].flip(0).sqrt()
        small.embedding.weight.copy_((table - mean) @ axes / deviation)
        if same and isinstance(small.widen, nn.Linear):
            small.widen.weight.copy_(axes * deviation)
    if same:
        small.position.copy_(large.position + (mean if size < table.shape[1] else 0))
