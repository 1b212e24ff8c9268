"""MISA: what modalities share and what is private to each, with the losses that separate them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from trivalent.core.types import Modality
from trivalent.lab.networks.base import (
    CLASSES,
    Features,
    FusionNetwork,
    FusionOutput,
    Present,
    check_inputs,
    or_all,
    without_absent,
)
from trivalent.lab.networks.layers import TOKEN_SCALE, Transformer, head

MOMENTS = 5


def safe_norm(x: Tensor) -> Tensor:
    """Euclidean norm over the last axis whose gradient at zero is zero, not NaN.

    >>> safe_norm(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [5.0, 0.0]
    """
    square = (x * x).sum(-1)
    return torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0)


def _column(mask: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mask as weights (batch, 1), and their sum, at least one."""
    weight = mask.unsqueeze(-1).to(like.dtype)
    return weight, weight.sum().clamp(min=1)


def central_moment_discrepancy(
    a: Tensor, b: Tensor, *, mask_a: Tensor, mask_b: Tensor, moments: int = MOMENTS
) -> Tensor:
    """Distance of two distributions on [0, 1]^width (CMD; Zellinger et al., ICLR 2017, eq. 2).

    ||E a - E b|| + sum_{k=2..K} ||C_k(a) - C_k(b)||, where C_k are the central moments of order k of
    each coordinate. Zero if one of the samples is empty.

    Parameters
    ----------
    a, b : Tensor, shape (batch, width)
        Values in [0, 1], for instance after a sigmoid.
    mask_a, mask_b : bool Tensor, shape (batch,)
        Rows that belong to the samples.
    moments : int
        K.

    Returns
    -------
    Tensor, a scalar
    """
    (wa, na), (wb, nb) = _column(mask_a, a), _column(mask_b, b)
    mean_a, mean_b = (a * wa).sum(0) / na, (b * wb).sum(0) / nb  # (width,)
    total = safe_norm(mean_a - mean_b)
    for k in range(2, moments + 1):
        moment_a = ((a - mean_a) ** k * wa).sum(0) / na
        moment_b = ((b - mean_b) ** k * wb).sum(0) / nb
        total = total + safe_norm(moment_a - moment_b)
    return total * (mask_a.any() & mask_b.any())


def orthogonality(a: Tensor, b: Tensor, *, mask: Tensor) -> Tensor:
    """Soft orthogonality of two representations (Hazarika et al., ACM MM 2020, section 3).

    ||A^T B||_F^2 / width^2, with A and B centred over the batch and rows of norm one.

    Parameters
    ----------
    a, b : Tensor, shape (batch, width)
    mask : bool Tensor, shape (batch,)
        Rows that count.

    Returns
    -------
    Tensor, a scalar
    """
    weight, count = _column(mask, a)

    def normalised(x: Tensor) -> Tensor:
        centred = (x - (x * weight).sum(0) / count) * weight
        return centred / (safe_norm(centred).unsqueeze(-1) + 1e-6)

    return (normalised(a).transpose(0, 1) @ normalised(b)).square().mean()


class Misa(FusionNetwork):
    """Modality-invariant and modality-specific representations (Hazarika et al., ACM MM 2020, section 3).

    u_m = LayerNorm(ReLU(W_m x_m)); shared c_m = sigmoid(S u_m) with one S for all modalities; private
    p_m = sigmoid(P_m u_m); self-attention over all c_m and p_m; a classifier on the joined result.
    `forward_all` adds three losses:

    - `similarity`: central moment discrepancy of c_m and c_n, averaged over pairs of modalities;
    - `difference`: orthogonality of c_m and p_m, and of p_m and p_n, summed;
    - `reconstruction`: mean squared error of D_m (c_m + p_m) against u_m, averaged over modalities.

    Each counts only rows where its modalities are present, and pairs that have such rows. They are
    statistics of the batch; the logits are not. A token stands for u_m in the rows without m, whose
    vectors read and are not read. The layer is pre-norm, else as in the paper.

    Parameters
    ----------
    widths : mapping of Modality to int
        Number of features of each modality.
    width, head_hidden : int
        Units of the representations and of the classifier.
    heads, layers : int
        Heads (they divide `width`) and layers of the self-attention.
    dropout, layer_dropout : float
        Probability of dropping a unit of the classifier, of the self-attention.
    similarity, difference, reconstruction : float
        Weights of the losses (alpha, beta, gamma of the paper).
    classes : int
        Outputs; 3 are those of `Sentiment`.
    """

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        width: int = 64,
        heads: int = 2,
        layers: int = 1,
        head_hidden: int = 128,
        dropout: float = 0.3,
        layer_dropout: float = 0.1,
        similarity: float = 1.0,
        difference: float = 0.3,
        reconstruction: float = 1.0,
        classes: int = CLASSES,
    ) -> None:
        super().__init__(widths)
        count = len(self.widths)
        self.weights = {
            "similarity": similarity,
            "difference": difference,
            "reconstruction": reconstruction,
        }
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.LayerNorm(width))
            for inputs in self.widths.values()
        )
        self.tokens = nn.Parameter(TOKEN_SCALE * torch.randn(count, width))
        self.shared = nn.Sequential(nn.Linear(width, width), nn.Sigmoid())
        self.private = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.Sigmoid()) for _ in self.modalities
        )
        self.decoders = nn.ModuleList(nn.Linear(width, width) for _ in self.modalities)
        self.transformer = Transformer(
            width, heads=heads, layers=layers, dropout=layer_dropout, tokens=2 * count
        )
        self.head = head(2 * count * width, hidden=head_hidden, dropout=dropout, classes=classes)

    def forward(self, features: Features, present: Present) -> Tensor:
        """Return logits, shape (batch, 3); arguments as of `FusionNetwork.forward`."""
        _, shared, private, mask = self._represent(features, present)
        return self._classify(shared, private, mask=mask)

    def forward_all(self, features: Features, present: Present) -> FusionOutput:
        """Return logits and the weighted losses `similarity`, `difference`, `reconstruction`."""
        u, shared, private, mask = self._represent(features, present)
        c, p, own = shared.unbind(1), private.unbind(1), mask.unbind(1)
        losses = {
            "similarity": self._similarity(c, own),
            "difference": self._difference(c, p, own),
            "reconstruction": self._reconstruction(u, shared + private, mask),
        }
        logits = self._classify(shared, private, mask=mask)
        return FusionOutput(logits, {name: self.weights[name] * loss for name, loss in losses.items()})

    def _represent(self, features: Features, present: Present) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return u, c and p, shape (batch, modalities, width), and the mask (batch, modalities)."""
        check_inputs(features, present, widths=self.widths)
        mask = torch.stack([present[m].bool() for m in self.modalities], 1)
        columns = zip(self.projections, self.modalities, mask.unbind(1), strict=True)
        projected = torch.stack(
            [project(without_absent(features[m], own)) for project, m, own in columns], 1
        )
        u = torch.where(mask.unsqueeze(-1), projected, self.tokens)  # (batch, modalities, width)
        private = [layer(x) for layer, x in zip(self.private, u.unbind(1), strict=True)]
        return u, self.shared(u), torch.stack(private, 1), mask

    def _classify(self, shared: Tensor, private: Tensor, *, mask: Tensor) -> Tensor:
        keys = or_all(mask)
        mixed = self.transformer(torch.cat([private, shared], 1), keys=torch.cat([keys, keys], 1))
        return self.head(mixed.flatten(1))

    def _similarity(self, c: tuple[Tensor, ...], own: tuple[Tensor, ...]) -> Tensor:
        pairs = list(combinations(range(len(c)), 2))
        valid = [own[i].any() & own[j].any() for i, j in pairs]
        # An empty sum is a number, hence the tensor to start from.
        total = sum(
            (central_moment_discrepancy(c[i], c[j], mask_a=own[i], mask_b=own[j]) for i, j in pairs),
            c[0].new_zeros(()),
        )
        return total / sum(valid, c[0].new_zeros(())).clamp(min=1)

    def _difference(self, c: tuple[Tensor, ...], p: tuple[Tensor, ...], own: tuple[Tensor, ...]) -> Tensor:
        within = [orthogonality(c[i], p[i], mask=own[i]) for i in range(len(c))]
        between = [
            orthogonality(p[i], p[j], mask=own[i] & own[j]) for i, j in combinations(range(len(p)), 2)
        ]
        return torch.stack(within + between).sum()

    def _reconstruction(self, u: Tensor, both: Tensor, mask: Tensor) -> Tensor:
        decoded = [layer(x) for layer, x in zip(self.decoders, both.unbind(1), strict=True)]
        error = (torch.stack(decoded, 1) - u).square().mean(-1)  # (batch, modalities)
        weight = mask.to(error.dtype)
        per_modality = (error * weight).sum(0) / weight.sum(0).clamp(min=1)
        return per_modality.sum() / mask.any(0).sum().clamp(min=1)
