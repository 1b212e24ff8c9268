"""Dropout with a mask that is drawn outside of the forward pass.

So a member of a batched ensemble (`torch.func.vmap`) can drop exactly the units that it would
drop when trained alone: every member draws from its own generator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SeededDropout(nn.Module):
    """Multiply by the mask drawn last; the identity in evaluation.

    Parameters
    ----------
    p : float
        Probability that a unit is dropped; the others are scaled by 1 / (1 - p).
    shape : tuple of int
        Shape of the masked units of one sample; ones broadcast (a step axis, for instance).
    """

    mask: Tensor

    def __init__(self, p: float, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.p, self.shape = p, shape
        self.register_buffer("mask", torch.ones(1, *shape), persistent=False)

    def draw(self, batch: int, generator: torch.Generator) -> None:
        """Draw the mask for the next forward pass, shape (batch, *shape)."""
        kept = torch.rand((batch, *self.shape), generator=generator) >= self.p
        self.mask = kept.float() / (1 - self.p) if self.p < 1 else torch.zeros(kept.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the mask to x, shape (batch, *)."""
        return x * self.mask if self.training else x


def draw_masks(network: nn.Module, batch: int, generator: torch.Generator) -> None:
    """Draw the masks of all layers of a network, in the order of its modules."""
    for module in network.modules():
        if isinstance(module, SeededDropout):
            module.draw(batch, generator)
