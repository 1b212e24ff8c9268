"""Parts of the fusion networks: encoders with tokens for the absent, attention, heads."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trivalent.core.errors import RecipeError
from trivalent.core.types import Modality
from trivalent.lab.networks.base import (
    CLASSES,
    Features,
    Present,
    check_inputs,
    without_absent,
)
from trivalent.lab.networks.dropout import SeededDropout

TOKEN_SCALE = 0.02  # standard deviation of new tokens, as is usual for embeddings


def encoder(
    inputs: int, *, hidden: int, width: int, dropout: float, rectified: bool = False
) -> nn.Sequential:
    """Make the encoder of one modality: Linear, LayerNorm, ReLU, dropout, Linear (then ReLU).

    Maps (batch, inputs) to (batch, width).
    """
    layers = [
        nn.Linear(inputs, hidden),
        nn.LayerNorm(hidden),
        nn.ReLU(),
        SeededDropout(dropout, (hidden,)),
        nn.Linear(hidden, width),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if rectified else nn.Sequential(*layers)


def head(inputs: int, *, hidden: int, dropout: float, classes: int = CLASSES) -> nn.Sequential:
    """Make the classifier: Linear, ReLU, dropout, Linear. Maps (batch, inputs) to (batch, classes)."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), SeededDropout(dropout, (hidden,)), nn.Linear(hidden, classes)
    )


class ModalityEncoders(nn.Module):
    """One encoder per modality; a learned token stands where a modality is absent.

    Parameters
    ----------
    widths : mapping of Modality to int
        Number of features of each modality.
    hidden, width : int
        Units of the hidden layer and of the output.
    dropout : float
        Probability of dropping a hidden unit.
    rectified : bool
        Rectify the output (not the tokens: a rectified one could die).
    """

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        hidden: int,
        width: int,
        dropout: float,
        rectified: bool = False,
    ) -> None:
        super().__init__()
        self.widths = dict(widths)
        self.encoders = nn.ModuleDict(
            {
                m.value: encoder(n, hidden=hidden, width=width, dropout=dropout, rectified=rectified)
                for m, n in widths.items()
            }
        )
        self.tokens = nn.Parameter(TOKEN_SCALE * torch.randn(len(widths), width))

    def forward(self, features: Features, present: Present) -> tuple[Tensor, Tensor]:
        """Encode.

        Returns
        -------
        encoded : Tensor, shape (batch, modalities, width)
            The token of a modality in the rows without it.
        mask : bool Tensor, shape (batch, modalities)
        """
        check_inputs(features, present, widths=self.widths)
        masks = [present[m].bool() for m in self.widths]
        encoded = [
            self.encoders[m.value](without_absent(features[m], mask))
            for m, mask in zip(self.widths, masks, strict=True)
        ]
        mask = torch.stack(masks, 1)  # (batch, modalities)
        return torch.where(mask.unsqueeze(-1), torch.stack(encoded, 1), self.tokens), mask


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention in several heads (Vaswani et al., NeurIPS 2017, section 3.2).

    softmax(Q K^T / sqrt(width / heads)) V per head, then a linear map of the joined heads. Equals
    `torch.nn.MultiheadAttention` without dropout, initial distribution included, but runs under
    `torch.func.vmap`.

    Parameters
    ----------
    width : int
        Units of queries, sources and outputs.
    heads : int
        Divides `width`.

    Raises
    ------
    RecipeError
        `heads` does not divide `width`.
    """

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise RecipeError("network.heads", width=width, heads=heads)
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        for layer in (self.query, self.key, self.value):
            # torch draws the three as one (3 width, width) matrix, hence the gain.
            nn.init.xavier_uniform_(layer.weight, gain=math.sqrt(0.5))
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.zeros_(layer.bias)

    def forward(self, queries: Tensor, source: Tensor, *, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Let queries read from a source.

        Parameters
        ----------
        queries : Tensor, shape (batch, n, width)
        source : Tensor, shape (batch, k, width)
        keys : bool Tensor, shape (batch, k)
            What may be read; at least one per sample.

        Returns
        -------
        read : Tensor, shape (batch, n, width)
        weights : Tensor, shape (batch, heads, n, k)
            Sum to one over k; exactly zero where `keys` is False.
        """
        q, k, v = (
            self._split(self.query(queries)),
            self._split(self.key(source)),
            self._split(self.value(source)),
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # (batch, heads, n, k)
        weights = torch.softmax(scores.masked_fill(~keys[:, None, None, :], -math.inf), -1)
        read = (weights @ v).transpose(1, 2).flatten(2)  # (batch, n, width)
        return self.out(read), weights

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (batch, heads, n, width / heads)


class TransformerLayer(nn.Module):
    """Attention and a feed-forward net of four times the width, each on normalised input with a residual.

    y = x + Attention(Norm(x), Norm(s)), z = y + FeedForward(Norm(y)): the pre-norm variant (Xiong et
    al., ICML 2020) of Vaswani et al. (NeurIPS 2017). The source s is x itself, or another modality in
    a crossmodal layer (Tsai et al., ACL 2019, section 3.2).

    Parameters
    ----------
    width, heads : int
        As of `MultiHeadAttention`.
    dropout : float
        Probability of dropping a unit of a residual branch, or of the feed-forward net.
    tokens : int
        Number of tokens if it is fixed; 1 drops the same units at all steps of a sequence.
    """

    def __init__(self, width: int, *, heads: int, dropout: float, tokens: int = 1) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads=heads)
        self.dropout = SeededDropout(dropout, (tokens, width))
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.ReLU(),
            SeededDropout(dropout, (tokens, 4 * width)),
            nn.Linear(4 * width, width),
            SeededDropout(dropout, (tokens, width)),
        )

    def forward(self, x: Tensor, source: Tensor | None = None, *, keys: Tensor) -> Tensor:
        """Update x, shape (batch, n, width), from itself or from a source, shape (batch, k, width).

        `keys`, a bool Tensor of shape (batch, k), says what may be read; at least one per sample.
        """
        queries = self.norm_in(x)
        read, _ = self.attention(queries, queries if source is None else self.norm_in(source), keys=keys)
        x = x + self.dropout(read)
        return x + self.feed_forward(x)


class Transformer(nn.Module):
    """Layers, then a normalisation; crossmodal ones all read the same source.

    Parameters
    ----------
    width, heads, dropout, tokens
        As of `TransformerLayer`.
    layers : int
        Number of layers.
    """

    def __init__(self, width: int, *, heads: int, layers: int, dropout: float, tokens: int = 1) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerLayer(width, heads=heads, dropout=dropout, tokens=tokens) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, source: Tensor | None = None, *, keys: Tensor) -> Tensor:
        """Update x, shape (batch, n, width); `source` and `keys` as of `TransformerLayer`."""
        for layer in self.layers:
            x = layer(x, source, keys=keys)
        return self.norm(x)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Average the chosen steps.

    Parameters
    ----------
    x : Tensor, shape (batch, n, width)
        Finite also where it is not chosen.
    mask : bool Tensor, shape (batch, n)
        At least one per sample.

    Examples
    --------
    >>> masked_mean(torch.tensor([[[1.0], [3.0], [8.0]]]), torch.tensor([[True, True, False]])).tolist()
    [[2.0]]
    """
    weight = mask.unsqueeze(-1).to(x.dtype)
    return (x * weight).sum(1) / weight.sum(1)
