"""What a resampler returns, and the target counts that it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np

from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import FloatArray, IntArray

Seed = int | np.random.Generator
Target = str | Mapping[int, int]
BALANCE = "balance"
SYNTHETIC = -1


@dataclass(frozen=True, eq=False)
class Resampled:
    """Training samples after resampling.

    Attributes
    ----------
    X : array, shape (m, ...), of the type of the original
    y : int array, shape (m,)
    rows : int array, shape (m,)
        Original row of each sample, -1 (`SYNTHETIC`) for samples that the method made.
    weights : float64, shape (m,)
        What each sample counts in the loss: 1, but for `mixup`.
    notes : mapping of str to int
        What had to be done otherwise than asked, with its number.
    """

    X: FloatArray
    y: IntArray
    rows: IntArray
    weights: FloatArray
    notes: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.y)


def checked(X: FloatArray, y: IntArray, *, finite: bool = False) -> tuple[FloatArray, IntArray]:
    """Return features (n, ...) and labels (n,), or raise `DataError`."""
    X, y = np.asarray(X), np.asarray(y)
    if X.ndim < 2 or y.ndim != 1 or len(X) != len(y) or not len(y):
        raise DataError("resample.shapes", shape=X.shape, shape2=y.shape)
    if finite and not np.isfinite(X).all():
        raise DataError("resample.finite", found=int((~np.isfinite(X)).sum()))
    return X, y


def picked(X: FloatArray, y: IntArray, rows: IntArray) -> Resampled:
    """Take original rows, each counting 1."""
    return Resampled(X[rows], y[rows], rows, np.ones(len(rows)))


def extended(
    X: FloatArray, y: IntArray, new_x: FloatArray, new_y: IntArray, notes: Mapping[str, int]
) -> Resampled:
    """Put samples that the method made behind the originals."""
    rows = np.concatenate([np.arange(len(y)), np.full(len(new_y), SYNTHETIC)])
    return Resampled(
        np.concatenate([X, new_x]), np.concatenate([y, new_y]), rows, np.ones(len(rows)), notes
    )


def repeats(y: IntArray, target: Target, seed: Seed) -> IntArray:
    """Rows to repeat for the target counts."""
    rng = np.random.default_rng(seed)
    counts = count_classes(y)
    drawn = [
        rng.choice(np.flatnonzero(y == c), size=n - counts[c])
        for c, n in wanted_more(counts, target).items()
    ]
    return np.concatenate(drawn)


def count_classes(y: IntArray) -> dict[int, int]:
    """Count the samples of each class present."""
    classes, counts = np.unique(y, return_counts=True)
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))


def wanted_more(counts: Mapping[int, int], target: Target) -> dict[int, int]:
    """Target count of every class present, none below what it has; balanced is the largest."""
    wanted = wanted_counts(counts, target, max(counts.values()))
    for c, n in wanted.items():
        if n < counts[c]:
            raise DataError("resample.over", counts=counts[c], c=c, n=n)
    return wanted


def wanted_counts(counts: Mapping[int, int], target: Target, balanced: int) -> dict[int, int]:
    """Target count of every class present."""
    if isinstance(target, str):
        if target != BALANCE:
            raise UsageError("resample.target_kind", balance=BALANCE, target=target)
        return dict.fromkeys(counts, balanced)
    if not isinstance(target, Mapping) or not all(isinstance(n, Integral) for n in target.values()):
        raise UsageError("resample.target", balance=BALANCE, target=target)
    for c in target:
        if c not in counts:
            raise DataError("resample.no_class", c=c)
    return {c: int(target.get(c, n)) for c, n in counts.items()}
