"""The voice expert: a dilated convolutional network over frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu

from trivalent.lab.networks.sentiments import sum_to_sentiments

DILATIONS = (1, 2, 4, 8)


class TemporalNetwork(nn.Module):
    """Convolution, residual blocks of growing dilation, pooling over time, linear head.

    BatchNorm uses batch statistics in training, running ones otherwise. With 20 ms a step and the
    four dilations an output sees 0.7 s; the pooling sees the utterance.

    Parameters
    ----------
    channels : int
        Inputs of each step.
    width : int
        Channels inside.
    dropout : float
        Before the head; half of it inside the blocks.
    sentiments : sequence of int
        The sentiment of each output.
    """

    def __init__(self, channels: int, *, width: int, dropout: float, sentiments: Sequence[int]) -> None:
        super().__init__()
        self.sentiments = tuple(sentiments)
        self.first = nn.Conv1d(channels, width, 5, padding=2)
        self.norm = nn.BatchNorm1d(width)
        self.blocks = nn.ModuleList(_Block(width, d, dropout=dropout / 2) for d in DILATIONS)
        self.pooling = AttentivePooling(width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(3 * width, len(self.sentiments))

    def fine(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Return the logits of the outputs, shape (batch, outputs); see `forward`."""
        x = frames.transpose(1, 2) * mask[:, None]  # (batch, channels, steps)
        x = gelu(self.norm(self.first(x)))
        for block in self.blocks:
            # Padding stays zero, as beyond the ends: a take is judged alike alone and in a batch.
            x = block(x * mask[:, None])
        return self.head(self.dropout(self.pooling(x, mask)))

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Return logits, shape (batch, 3).

        Parameters
        ----------
        frames : float, shape (batch, steps, channels)
        mask : float, shape (batch, steps)
            1 for a step, 0 for padding after the last one.
        """
        return self.to_sentiments(self.fine(frames, mask))

    def to_sentiments(self, fine: Tensor) -> Tensor:
        """Add up the outputs of `fine` to logits (batch, 3)."""
        return sum_to_sentiments(fine, self.sentiments)


class _Block(nn.Module):
    """Adds a dilated convolution, normalised, to its input."""

    def __init__(self, width: int, dilation: int, *, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        return x + dropout(gelu(self.norm(self.convolution(x))), self.dropout, self.training)


class AttentivePooling(nn.Module):
    """Mean with learned weights, plain mean and standard deviation over time (Okabe et al., 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Conv1d(width, 1, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Pool (batch, width, steps) with a mask (batch, steps) to (batch, 3 width)."""
        outside = 1e4 * (mask[:, None] - 1)  # 0 for a step
        attention = torch.softmax(self.score(x) + outside, -1)
        equal = (mask / mask.sum(1, keepdim=True))[:, None]
        mean = (x * equal).sum(-1)
        variance = ((x - mean[..., None]) ** 2 * equal).sum(-1)
        return torch.cat([(x * attention).sum(-1), mean, (variance + 1e-5).sqrt()], 1)
