"""Encoders and fusion trained together, from what comes before pooling: tokens, voice, face over time."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

from trivalent.core.types import Modality
from trivalent.lab.networks.attention import Attending
from trivalent.lab.networks.base import CLASSES, Features, Present, check_inputs, without_absent
from trivalent.lab.networks.dropout import SeededDropout
from trivalent.lab.networks.layers import TOKEN_SCALE, encoder, masked_mean
from trivalent.lab.networks.sentence import FrozenLayers, SentenceLayer, frozen_layers
from trivalent.lab.networks.sequences import as_steps, or_first
from trivalent.lab.networks.temporal import DILATIONS, AttentivePooling


class DilatedLayer(nn.Module):
    """Three steps, `dilation` apart, to one: a convolution as a product of matrices, normalised.

    Parameters
    ----------
    inputs, width : int
        Channels before and after.
    dilation : int
    dropout : float
        Probability of dropping a channel, at all steps alike.
    """

    def __init__(self, inputs: int, width: int, *, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.linear = nn.Linear(3 * inputs, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = SeededDropout(dropout, (1, width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (batch, steps, inputs) to (batch, steps, width); steps without a value count as outside.

        `mask` is a float Tensor of shape (batch, steps, 1).
        """
        steps, far = x.shape[1], self.dilation
        x = pad(x * mask, (0, 0, far, far))
        near = torch.cat([x[:, i * far : i * far + steps] for i in range(3)], -1)
        return self.dropout(gelu(self.norm(self.linear(near))))


class FrameEncoder(nn.Module):
    """Steps to a vector: dilated layers that add to each other, pooling over time, a linear layer.

    It sees each channel as it is and less its mean over the sample: how somebody sounds or looks, and how
    that changes.

    Parameters
    ----------
    inputs : int
        Channels.
    hidden, width : int
        Units of the layers and of the vector.
    dropout : float
        Before the vector; half of it in the layers.
    """

    def __init__(self, inputs: int, *, hidden: int, width: int, dropout: float) -> None:
        super().__init__()
        self.first = DilatedLayer(2 * inputs, hidden, dilation=1, dropout=0.0)
        self.blocks = nn.ModuleList(
            DilatedLayer(hidden, hidden, dilation=far, dropout=dropout / 2) for far in DILATIONS
        )
        self.pooling = AttentivePooling(hidden)
        self.dropout = SeededDropout(dropout, (3 * hidden,))
        self.out = nn.Linear(3 * hidden, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Encode (batch, steps, inputs), of which `mask`, at least one step of each, to (batch, width)."""
        there = mask.unsqueeze(-1).to(x.dtype)
        x = self.first(torch.cat([x, x - masked_mean(x, mask).unsqueeze(1)], -1), there)
        for block in self.blocks:
            x = x + block(x, there)
        return self.out(self.dropout(self.pooling(x.transpose(1, 2), mask.to(x.dtype))))


class SentenceEncoder(nn.Module):
    """States of tokens to a vector: the free layers of the sentence encoder, their mean, a small network.

    Parameters
    ----------
    frozen : FrozenLayers
        What makes the states.
    hidden, width : int
        Units of the small network.
    dropout : float
        Of the small network; a third of it in the free layers.
    """

    def __init__(self, frozen: FrozenLayers, *, hidden: int, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            SentenceLayer(layer, heads=frozen.heads, dropout=dropout / 3) for layer in frozen.above
        )
        self.out = encoder(frozen.width, hidden=hidden, width=width, dropout=dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Encode (batch, steps, states), of which `mask`, at least one step of each, to (batch, width)."""
        for layer in self.layers:
            x = layer(x, mask)
        return self.out(masked_mean(x, mask))


class SequenceEncoders(nn.Module):
    """One encoder per modality; a learned token stands where a modality is absent.

    Parameters
    ----------
    widths : mapping of Modality to int
        Channels of each.
    frozen : FrozenLayers, optional
        What made the states of the text, if these are such.
    hidden, width : int
        Units inside and of the vectors.
    dropout : float
    """

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        frozen: FrozenLayers | None,
        hidden: int,
        width: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.widths = dict(widths)
        self.encoders = nn.ModuleDict()
        for m, inputs in widths.items():
            if m is Modality.TEXT and frozen is not None:
                own: nn.Module = SentenceEncoder(frozen, hidden=2 * hidden, width=width, dropout=dropout)
            else:
                own = FrameEncoder(inputs, hidden=hidden, width=width, dropout=dropout)
            self.encoders[m.value] = own
        self.tokens = nn.Parameter(TOKEN_SCALE * torch.randn(len(widths), width))

    def forward(self, features: Features, present: Present) -> tuple[Tensor, Tensor]:
        """Encode; returns as `ModalityEncoders` does."""
        check_inputs(features, present, widths=self.widths, sequences=True)
        encoded, masks = [], []
        for m in self.widths:
            x, mask = as_steps(features[m], present[m])
            encoded.append(self.encoders[m.value](without_absent(x, mask), or_first(mask)))
            masks.append(mask.any(1))
        there = torch.stack(masks, 1)  # (batch, modalities)
        return torch.where(there.unsqueeze(-1), torch.stack(encoded, 1), self.tokens), there


class EndToEnd(Attending):
    """Attention over modalities whose encoders are trained with it: the future work of the paper.

    Text is token ids, one a step, read by MiniLM (Wang et al., NeurIPS 2020): the upper `free_layers` of
    its six are trained at a rate of their own, `training.pretrained_learning_rate`, all below, the
    embeddings among them, stay as they are and are the same for all seeds. Their mean over tokens goes
    through Linear, LayerNorm, ReLU, dropout, Linear. Voice and face, and a text of vectors, are channels
    over time, read by a `FrameEncoder`. Each becomes a vector of `width` units; what follows is as in
    `AttentionFusion`, tokens for the absent included.

    Parameters
    ----------
    widths : mapping of Modality to int
        Channels of each modality; a text of one channel is token ids.
    free_layers : int
        Of the sentence encoder; 0 freezes it as a whole.
    hidden : int
        Units inside the encoders; twice as many between sentence and vector.
    width, heads, head_hidden, dropout, classes
        As of `AttentionFusion`.

    Raises
    ------
    RecipeError
        The sentence encoder has fewer layers, or heads do not divide the width.
    AssetError
        Its weights are not on this machine.
    """

    pretrained = ("encoders.encoders.text.layers.",)
    reads_sequences = reads_tokens = True
    enough = 32  # as measured: benchmarks/results/end-to-end.md

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        free_layers: int = 1,
        hidden: int = 64,
        width: int = 64,
        heads: int = 4,
        head_hidden: int = 128,
        dropout: float = 0.3,
        classes: int = CLASSES,
    ) -> None:
        super().__init__(widths)
        self.free_layers = free_layers
        frozen, read = self.front(), self.widths
        if frozen is not None:
            read = read | {Modality.TEXT: frozen.width}
        self.encoders = SequenceEncoders(read, frozen=frozen, hidden=hidden, width=width, dropout=dropout)
        self._attend(width, heads=heads, head_hidden=head_hidden, dropout=dropout, classes=classes)

    def front(self) -> FrozenLayers | None:
        """Return the frozen layers of the sentence encoder, if there are token ids to read."""
        return frozen_layers(self.free_layers) if self.widths.get(Modality.TEXT) == 1 else None


__all__ = ["EndToEnd"]
