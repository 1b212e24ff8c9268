"""The sentence encoder in two parts: lower layers that stay as they are, upper ones that are trained."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from trivalent.core.errors import RecipeError
from trivalent.core.types import Modality
from trivalent.lab.networks.base import Features, Front, Present, without_absent
from trivalent.lab.networks.dropout import SeededDropout
from trivalent.lab.networks.encoders import DEFAULT, pretrained_encoder
from trivalent.lab.networks.layers import MultiHeadAttention
from trivalent.lab.networks.sequences import or_first

_BATCH = 32  # texts that are read at once


class FrozenLayers(Front):
    """Token ids to the states below the layers that are trained; equal for all seeds, never trained.

    Parameters
    ----------
    free : int
        Layers above it.

    Raises
    ------
    RecipeError
        The encoder has fewer layers.
    """

    def __init__(self, free: int) -> None:
        super().__init__()
        encoder, self.width = pretrained_encoder(DEFAULT)
        bert: Any = encoder
        layers = bert.encoder.layer
        if free > len(layers):
            raise RecipeError("network.free_layers", free=free, count=len(layers))
        kept = len(layers) - free
        self.above = tuple(layers[kept:])  # a tuple, so that they are no part of this module
        bert.encoder.layer = layers[:kept]
        self.heads: int = bert.config.num_attention_heads
        self.last = bert.config.vocab_size - 1
        self.encoder = encoder.eval().requires_grad_(False)

    def forward(self, features: Features, present: Present) -> dict[Modality, Tensor]:
        """Replace the token ids of a text, shape (batch, steps, 1), by states, shape (batch, steps, width).

        A number that is no id counts as the first or the last of the vocabulary, so that none fails. Steps
        without a token are zero.
        """
        mask = present[Modality.TEXT].bool()
        ids = without_absent(features[Modality.TEXT], mask).squeeze(-1).round().clamp(0, self.last).long()
        read = or_first(mask).long()  # a text without tokens has to read something, too
        states = self.encoder(input_ids=ids, attention_mask=read).last_hidden_state
        return {**features, Modality.TEXT: without_absent(states, mask)}

    @torch.no_grad()
    def read(self, features: Features, present: Present) -> dict[Modality, Tensor]:
        """Do the same for many texts, a few at once."""
        ids, mask = features[Modality.TEXT], present[Modality.TEXT]
        parts = zip(ids.split(_BATCH), mask.split(_BATCH), strict=True)
        read = [self({Modality.TEXT: own}, {Modality.TEXT: there}) for own, there in parts]
        return {**features, Modality.TEXT: torch.cat([part[Modality.TEXT] for part in read])}


@lru_cache(maxsize=2)
def frozen_layers(free: int) -> FrozenLayers:
    """Load the encoder once for all seeds, without the layers that are trained."""
    return FrozenLayers(free)


class SentenceLayer(nn.Module):
    """A layer of BERT (Devlin et al., NAACL 2019) that begins as that of the encoder and can be stacked.

    Parameters
    ----------
    layer : nn.Module
        Of the encoder; its weights are copied.
    heads : int
    dropout : float
        Probability of dropping a unit of what the layer adds, at all steps alike.
    """

    def __init__(self, layer: nn.Module, *, heads: int, dropout: float) -> None:
        super().__init__()
        bert: Any = layer
        width = bert.output.dense.out_features
        self.attention = MultiHeadAttention(width, heads=heads)
        self.norm_attention = _like(bert.attention.output.LayerNorm)
        self.wide = nn.Linear(width, bert.intermediate.dense.out_features)
        self.narrow = nn.Linear(bert.intermediate.dense.out_features, width)
        self.norm_output = _like(bert.output.LayerNorm)
        self.dropouts = nn.ModuleList(SeededDropout(dropout, (1, width)) for _ in range(2))
        own = bert.attention.self
        pairs = {
            self.attention.query: own.query,
            self.attention.key: own.key,
            self.attention.value: own.value,
            self.attention.out: bert.attention.output.dense,
            self.norm_attention: bert.attention.output.LayerNorm,
            self.wide: bert.intermediate.dense,
            self.narrow: bert.output.dense,
            self.norm_output: bert.output.LayerNorm,
        }
        for mine, theirs in pairs.items():
            mine.load_state_dict(theirs.state_dict())

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Update states, shape (batch, steps, width); `mask` says which steps may be read."""
        read, _ = self.attention(x, x, keys=mask)
        x = self.norm_attention(x + self.dropouts[0](read))
        return self.norm_output(x + self.dropouts[1](self.narrow(gelu(self.wide(x)))))


def _like(norm: nn.LayerNorm) -> nn.LayerNorm:
    return nn.LayerNorm(norm.normalized_shape, eps=norm.eps)


__all__ = ["FrozenLayers", "SentenceLayer", "frozen_layers"]
