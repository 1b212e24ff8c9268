"""Fusion by products of modalities: the full tensor (TFN) and its low-rank form (LMF)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import mul

import torch
from torch import Tensor, nn

from trivalent.core.types import Modality
from trivalent.lab.networks.base import CLASSES, Features, FusionNetwork, Present
from trivalent.lab.networks.layers import ModalityEncoders, head


def with_one(z: Tensor) -> Tensor:
    """Append a one to the last axis, so that products contain the lower orders.

    >>> with_one(torch.tensor([[2.0, 3.0]])).tolist()
    [[2.0, 3.0, 1.0]]
    """
    return torch.cat([z, torch.ones_like(z[..., :1])], -1)


def outer_product(z: Tensor) -> Tensor:
    """Multiply everything with everything: the tensor of Zadeh et al. (EMNLP 2017, section 4.2), flat.

    Parameters
    ----------
    z : Tensor, shape (batch, modalities, width)

    Returns
    -------
    Tensor, shape (batch, (width + 1) ** modalities)
        z_1' x ... x z_M' with z' = [z, 1], the last modality's index running fastest.

    Examples
    --------
    >>> outer_product(torch.tensor([[[2.0], [5.0]]])).tolist()
    [[10.0, 2.0, 5.0, 1.0]]
    """
    return reduce(
        lambda product, new: (product.unsqueeze(-1) * new.unsqueeze(-2)).flatten(1),
        with_one(z).unbind(1),
    )


class TensorFusion(FusionNetwork):
    """Tensor fusion network (Zadeh et al., EMNLP 2017, section 4.2).

    The outer product of [z_m, 1] over the modalities holds all interactions of one, two and three
    modalities; a classifier reads it. The tensor has (width + 1) ** modalities entries, so `width`
    is small. An absent modality takes part with its token.

    Parameters
    ----------
    widths : mapping of Modality to int
        Number of features of each modality.
    hidden, width, head_hidden : int
        Units: hidden of the encoders, z_m, hidden of the classifier.
    dropout : float
        Probability of dropping a hidden unit of encoders and classifier.
    classes : int
        Outputs; 3 are those of `Sentiment`.
    """

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        hidden: int = 128,
        width: int = 16,
        head_hidden: int = 128,
        dropout: float = 0.3,
        classes: int = CLASSES,
    ) -> None:
        super().__init__(widths)
        self.encoders = ModalityEncoders(
            self.widths, hidden=hidden, width=width, dropout=dropout, rectified=True
        )
        self.head = head(
            (width + 1) ** len(self.widths), hidden=head_hidden, dropout=dropout, classes=classes
        )

    def forward(self, features: Features, present: Present) -> Tensor:
        """Return logits, shape (batch, 3); arguments as of `FusionNetwork.forward`."""
        z, _ = self.encoders(features, present)  # (batch, modalities, width)
        return self.head(outer_product(z))


def low_rank_product(z: Tensor, factors: Tensor, *, rank_weights: Tensor) -> Tensor:
    """Contract the tensor of `outer_product` with weights of low rank, without building either.

    h = sum_r a_r prod_m (w_m^(r) . [z_m, 1]): Liu et al. (ACL 2018, section 3.2), with the learned
    weights a_r of the authors' implementation.

    Parameters
    ----------
    z : Tensor, shape (batch, modalities, width)
    factors : Tensor, shape (modalities, rank, width + 1, outputs)
    rank_weights : Tensor, shape (rank,)

    Returns
    -------
    Tensor, shape (batch, outputs)
    """
    parts = torch.einsum("bmd,mrdh->mbrh", with_one(z), factors)  # (modalities, batch, rank, outputs)
    # Not Tensor.prod: its derivative looks for zeros in the data.
    product = reduce(mul, parts.unbind(0))
    return torch.einsum("r,brh->bh", rank_weights, product)


class LowRankFusion(FusionNetwork):
    """Low-rank multimodal fusion (Liu et al., ACL 2018, section 3.2).

    A tensor fusion whose weights are a sum of `rank` outer products of per-modality factors, so
    that cost is linear in the number of modalities. An absent modality takes part with its token.

    Parameters
    ----------
    widths, hidden, head_hidden, dropout, classes
        As of `TensorFusion`.
    width, fused : int
        Units of z_m and of h.
    rank : int
        Number of outer products.
    """

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        hidden: int = 128,
        width: int = 64,
        rank: int = 4,
        fused: int = 64,
        head_hidden: int = 128,
        dropout: float = 0.3,
        classes: int = CLASSES,
    ) -> None:
        super().__init__(widths)
        self.encoders = ModalityEncoders(
            self.widths, hidden=hidden, width=width, dropout=dropout, rectified=True
        )
        bound = (6 / (width + 1 + fused)) ** 0.5  # Glorot's, of each factor
        self.factors = nn.Parameter(
            torch.empty(len(self.widths), rank, width + 1, fused).uniform_(-bound, bound)
        )
        self.rank_weights = nn.Parameter(torch.full((rank,), rank**-0.5))
        self.bias = nn.Parameter(torch.zeros(fused))
        self.head = head(fused, hidden=head_hidden, dropout=dropout, classes=classes)

    def forward(self, features: Features, present: Present) -> Tensor:
        """Return logits, shape (batch, 3); arguments as of `FusionNetwork.forward`."""
        z, _ = self.encoders(features, present)  # (batch, modalities, width)
        return self.head(low_rank_product(z, self.factors, rank_weights=self.rank_weights) + self.bias)
