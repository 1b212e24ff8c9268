"""From finer outputs (emotions) to the three sentiments."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trivalent.core.types import Sentiment


def sum_to_sentiments(fine: Tensor, sentiments: Sequence[int]) -> Tensor:
    """Add up the probabilities of the outputs that share a sentiment, in logits.

    Parameters
    ----------
    fine : float, shape (..., outputs)
        Logits.
    sentiments : sequence of int
        The sentiment of each output.

    Returns
    -------
    Tensor, shape (..., 3)

    Examples
    --------
    >>> sum_to_sentiments(torch.zeros(1, 4), [0, 0, 1, 2]).softmax(1).tolist()
    [[0.5, 0.25, 0.25]]
    """
    outputs = [[i for i, s in enumerate(sentiments) if s == sentiment] for sentiment in Sentiment]
    return torch.stack([torch.logsumexp(fine[..., own], -1) for own in outputs], -1)
