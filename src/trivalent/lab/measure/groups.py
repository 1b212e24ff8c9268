"""Resampling by whole groups: samples of one video or speaker are alike, and single ones tell too much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


def resamples(groups: Sequence[str], *, rounds: int, seed: int = 0) -> Iterator[NDArray[np.intp]]:
    """Draw as many groups as there are, with repetition; yields the rows of each draw.

    Parameters
    ----------
    groups : sequence of str, length n
        Video or speaker of each sample.
    rounds : int
    seed : int

    Examples
    --------
    >>> [sorted(rows.tolist()) for rows in resamples(["a", "b", "a"], rounds=2, seed=1)]
    [[0, 1, 2], [1, 1]]
    """
    rng = np.random.default_rng(seed)
    _, inverse, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(counts)[:-1])
    for _ in range(rounds):
        yield np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))])


__all__ = ["resamples"]
