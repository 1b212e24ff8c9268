"""Which modalities a network may see: modality dropout for training."""

from __future__ import annotations

import torch
from torch import Tensor

from trivalent.core.errors import RecipeError
from trivalent.core.types import Modality
from trivalent.lab.networks.base import Present


def drop_modalities(present: Present, generator: torch.Generator, *, p: float) -> dict[Modality, Tensor]:
    """Hide modalities at random, never the last one of a sample (after Neverova et al., TPAMI 2016).

    Every present modality is hidden with probability p, independently; if that hides all of a
    sample, the one that came closest to staying is kept.

    Parameters
    ----------
    present : mapping of Modality to Tensor, shape (batch,) or (batch, steps)
        Zero where a modality, or a step of it, is absent.
    generator : torch.Generator
        Source of chance.
    p : float
        Probability, in [0, 1]; 1 leaves one modality per sample.

    Returns
    -------
    dict of Modality to Tensor
        As `present` in shapes and types; samples without any modality stay so.

    Raises
    ------
    RecipeError
        `p` is not a probability.

    Examples
    --------
    >>> present = {Modality.TEXT: torch.ones(2), Modality.FACE: torch.tensor([1.0, 0.0])}
    >>> kept = drop_modalities(present, torch.Generator().manual_seed(0), p=1.0)
    >>> (kept[Modality.TEXT] + kept[Modality.FACE]).tolist()
    [1.0, 1.0]
    """
    if not 0 <= p <= 1:
        raise RecipeError("network.dropout", p=p)
    names = [m for m in Modality if m in present]
    seen = torch.stack([present[m].bool().reshape(len(present[m]), -1).any(1) for m in names], 1)
    # Absent ones score below every present one, so the best of a sample is present if any is.
    score = torch.where(seen.cpu(), torch.rand(seen.shape, generator=generator), -1.0)
    kept = ((score >= p) | (score == score.amax(1, keepdim=True))).to(seen.device)
    return {
        m: present[m] * kept[:, i].reshape(-1, *[1] * (present[m].dim() - 1)).to(present[m].dtype)
        for i, m in enumerate(names)
    }
