"""Small text networks: a transformer that starts from layers of a larger one, or convolutions.

With all layers, heads and rows a `TextStudent` is the encoder of the default bundle itself, so that
the same class serves as teacher, as pruned network and as student.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import gelu

from trivalent.core.errors import BundleError, RecipeError
from trivalent.core.types import Sentiment
from trivalent.features.text import MAX_TOKENS
from trivalent.lab.named_choices import check_known

HEAD_WIDTH = 32  # of MiniLM
_OUTSIDE = 1e4  # subtracted from scores of padding
_EPSILON = 1e-12  # of BERT's LayerNorm
FAMILIES = ("encoder", "convolution")


@dataclass(frozen=True)
class StudentConfig:
    """Shape of a text network.

    Attributes
    ----------
    family : str
        `encoder` (transformer) or `convolution` (residual, dilated, with attentive pooling).
    layers : tuple of int
        The larger network's layers that an encoder starts from; of convolutions only their number.
    width, embedding : int
        Of the states, and of the table of tokens, which is widened by a matrix if it is narrower.
    heads, feedforward : int
        Attention heads and inner rows of each layer; the most important ones are kept.
    vocabulary : int
        Tokens with a row of their own, the most frequent of the training texts; the others share
        that of their nearest neighbour. 0: all.
    dropout : float
        On the token states and before the head, in training.
    teacher_width : int
        Of the sentence vectors that the student learns to foretell.
    """

    family: str = "encoder"
    layers: tuple[int, ...] = (0, 1)
    width: int = 384
    embedding: int = 128
    heads: int = 4
    feedforward: int = 384
    vocabulary: int = 0
    dropout: float = 0.1
    teacher_width: int = 384

    def __post_init__(self) -> None:
        check_known("family", self.family, FAMILIES)
        sizes = (self.width, self.embedding, self.heads, self.feedforward, self.teacher_width)
        if not self.layers or min(sizes) < 1 or self.vocabulary < 0 or not 0 <= self.dropout < 1:
            raise RecipeError("compress.student", given=self)


class EncoderLayer(nn.Module):
    """Attention and feed-forward of BERT (Devlin et al., 2019), with any number of heads and rows."""

    def __init__(self, width: int, *, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * heads * HEAD_WIDTH)
        self.out = nn.Linear(heads * HEAD_WIDTH, width)
        self.norm = nn.LayerNorm(width, eps=_EPSILON)
        self.inner = nn.Linear(width, feedforward)
        self.outer = nn.Linear(feedforward, width)
        self.last_norm = nn.LayerNorm(width, eps=_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, outside: Tensor) -> Tensor:
        """Transform (batch, tokens, width); `outside` (batch, 1, 1, tokens) is added to the scores."""
        n, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, HEAD_WIDTH)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (batch, heads, tokens, HEAD_WIDTH)
        attention = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(HEAD_WIDTH) + outside, -1)
        context = (attention @ v).transpose(1, 2).reshape(n, tokens, self.heads * HEAD_WIDTH)
        x = self.norm(x + self.dropout(self.out(context)))
        return self.last_norm(x + self.dropout(self.outer(gelu(self.inner(x)))))


class _Convolution(nn.Module):
    """A residual, dilated convolution."""

    def __init__(self, width: int, *, dilation: int, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.convolution((x * mask).transpose(1, 2)).transpose(1, 2)
        return self.norm(x + self.dropout(gelu(y)))


class TextStudent(nn.Module):
    """Token ids to class logits, with the signature of `TextClassifier`.

    Parameters
    ----------
    config : StudentConfig
    rows : int array, shape (ids,)
        The row of the table of each token id.
    """

    rows: Tensor

    def __init__(self, config: StudentConfig, *, rows: NDArray[np.int64]) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("rows", torch.from_numpy(np.asarray(rows, np.int32)))
        self.shared = int(rows.max()) + 1 < len(rows)  # tokens share rows
        self.embedding = nn.Embedding(int(rows.max()) + 1, config.embedding)
        narrow = config.embedding < config.width
        self.widen: nn.Module = (
            nn.Linear(config.embedding, config.width, bias=False) if narrow else nn.Identity()
        )
        self.position = nn.Parameter(torch.zeros(MAX_TOKENS, config.width))
        self.norm = nn.LayerNorm(config.width, eps=_EPSILON)
        self.dropout = nn.Dropout(config.dropout)
        if config.family == "encoder":
            self.layers = nn.ModuleList(
                EncoderLayer(
                    config.width,
                    heads=config.heads,
                    feedforward=config.feedforward,
                    dropout=config.dropout,
                )
                for _ in config.layers
            )
        else:
            self.layers = nn.ModuleList(
                _Convolution(config.width, dilation=2**i, dropout=config.dropout)
                for i in range(len(config.layers))
            )
            self.score = nn.Linear(config.width, 1)
        self.head = nn.Linear(config.width, len(Sentiment))
        # From the student's sentence vector to its teacher's; for training only, never exported.
        self.teacher = nn.Linear(config.width, config.teacher_width)

    def encoder_layers(self) -> list[EncoderLayer]:
        """Return the layers of an encoder; none of convolutions."""
        return [layer for layer in self.layers if isinstance(layer, EncoderLayer)]

    def pooled(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the sentence vectors, shape (batch, width)."""
        kept = mask.to(self.position.dtype)  # (batch, tokens)
        table = self.rows[ids] if self.shared else ids
        x = self.widen(self.embedding(table)) + self.position[: ids.shape[1]]
        x = self.dropout(self.norm(x))  # (batch, tokens, width)
        outside = (kept - 1) * _OUTSIDE  # 0 for a token
        if self.config.family == "encoder":
            for layer in self.layers:
                x = layer(x, outside[:, None, None])
            weight = kept / kept.sum(1, keepdim=True)
        else:
            for layer in self.layers:
                x = layer(x, kept[..., None])
            weight = torch.softmax(self.score(x)[..., 0] + outside, 1)
        return (weight[:, None] @ x)[:, 0]

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return class logits, shape (batch, 3)."""
        return self.head(self.dropout(self.pooled(ids, mask)))


def whole_network(weights: Mapping[str, NDArray[np.float32]], *, where: str) -> TextStudent:
    """Build the encoder of a bundle from the weights of its graph.

    Parameters
    ----------
    weights : mapping
        See `read_weights`.
    where : str
        The graph's name, for messages.

    Raises
    ------
    BundleError
        The graph is not one of a text expert that `trivalent train` made.
    """
    prefix = "network.encoder."
    depth = len({name.split(".")[4] for name in weights if name.startswith(f"{prefix}encoder.layer.")})
    try:
        table = weights[f"{prefix}embeddings.word_embeddings.weight"]
        inner = [weights[f"{prefix}encoder.layer.{i}.intermediate.dense.bias"] for i in range(depth)]
        config = StudentConfig(
            layers=tuple(range(depth)),
            width=table.shape[1],
            embedding=table.shape[1],
            heads=table.shape[1] // HEAD_WIDTH,
            feedforward=len(inner[0]),
        )
        network = TextStudent(config, rows=np.arange(len(table)))
        network.load_state_dict({**network.state_dict(), **_renamed(weights, prefix, depth)})
    except (KeyError, IndexError, RuntimeError) as error:
        raise BundleError("compress.text_graph", where=where, error=error) from error
    return network.eval()


def _renamed(weights: Mapping[str, NDArray[np.float32]], prefix: str, depth: int) -> dict[str, Tensor]:
    """Bring the names of BERT to those of `TextStudent`."""
    tables = f"{prefix}embeddings."
    arrays = {
        "embedding.weight": weights[f"{tables}word_embeddings.weight"],
        # Texts have one segment: its vector is added to every position.
        "position": weights[f"{tables}position_embeddings.weight"][:MAX_TOKENS]
        + weights[f"{tables}token_type_embeddings.weight"][0],
    }
    names = {"norm": f"{tables}LayerNorm", "head": "network.head"}
    for i in range(depth):
        layer, block = f"{prefix}encoder.layer.{i}.", f"layers.{i}."
        names |= {
            f"{block}out": f"{layer}attention.output.dense",
            f"{block}norm": f"{layer}attention.output.LayerNorm",
            f"{block}inner": f"{layer}intermediate.dense",
            f"{block}outer": f"{layer}output.dense",
            f"{block}last_norm": f"{layer}output.LayerNorm",
        }
        for kind in ("weight", "bias"):
            parts = [weights[f"{layer}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            arrays[f"{block}qkv.{kind}"] = np.concatenate(parts)
    for new, old in names.items():
        arrays |= {f"{new}.{kind}": weights[f"{old}.{kind}"] for kind in ("weight", "bias")}
    return {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
