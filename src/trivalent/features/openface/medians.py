"""The median of a person's descriptors, which stands for the face at rest.

It is counted in histograms, so that memory does not grow with the recording (T. Baltrusaitis, M. Mahmoud,
P. Robinson, FG 2015, section III-D).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trivalent.features.openface.fhog import BLOCKS, FEATURES
from trivalent.features.openface.models import DESCRIPTOR

_HOG = BLOCKS * BLOCKS * FEATURES  # values of the descriptor; the others are geometry
_FEW = 32  # descriptors up to which the median still jumps, so that it is looked for anew


class RunningMedian:
    """Median of each value of the descriptors so far, to the width of a bin."""

    def __init__(self) -> None:
        self._parts = (
            _Histograms(_HOG, -0.005, 1.0, 1000),
            _Histograms(DESCRIPTOR - _HOG, -60.0, 60.0, 10_000),
        )
        self._first: NDArray[np.float64] | None = None
        self.count = 0

    def add(self, descriptor: NDArray[np.float64]) -> None:
        """Count a descriptor, shape (4702,)."""
        self.count += 1
        if self.count == 1:
            self._first = descriptor.copy()
        for histograms, values in zip(self._parts, np.split(descriptor, [_HOG]), strict=True):
            histograms.add(values)

    def median(self) -> NDArray[np.float64]:
        """Return the median, shape (4702,): zeros before the first descriptor, which is its own median."""
        if self._first is None:
            return np.zeros(DESCRIPTOR)
        if self.count == 1:
            return self._first
        gradients, geometry = (histograms.median() for histograms in self._parts)
        return np.concatenate([np.maximum(gradients, 0), geometry])


class _Histograms:
    """One histogram for each value, and in each the bin that holds the median."""

    def __init__(self, size: int, low: float, high: float, bins: int) -> None:
        self._low, self._width, self._bins = low, (high - low) / bins, bins
        self._counts = np.zeros((size, bins), np.uint32)
        self._rows = np.arange(size)
        self._total = 0
        self._middle: NDArray[np.intp] | None = None  # None: to be looked for
        self._below = np.zeros(size, np.int64)  # counted in the bins before the middle

    def add(self, values: NDArray[np.float64]) -> None:
        places = np.clip(np.floor((values - self._low) / self._width), 0, self._bins - 1).astype(np.intp)
        self._counts[self._rows, places] += 1
        self._total += 1
        if self._total <= _FEW:
            self._middle = None
        elif self._middle is not None:
            self._below += places < self._middle
            self._settle(self._middle)

    def median(self) -> NDArray[np.float64]:
        """Return the centre of the first bin up to which half of the values are counted."""
        if self._middle is None:
            sums = self._counts.cumsum(axis=1, dtype=np.uint32)
            self._middle = (sums >= self._half).argmax(axis=1)
            self._below = (sums - self._counts)[self._rows, self._middle].astype(np.int64)
        return np.asarray(self._low + (self._middle + 0.5) * self._width, np.float64)

    @property
    def _half(self) -> int:
        return (self._total + 1) // 2

    def _settle(self, middle: NDArray[np.intp]) -> None:
        """Move each middle until half of the values lie up to it, and fewer before it."""
        while (high := self._below >= self._half).any():
            middle[high] -= 1
            self._below[high] -= self._counts[high, middle[high]]
        while (low := self._below + self._counts[self._rows, middle] < self._half).any():
            self._below[low] += self._counts[low, middle[low]]
            middle[low] += 1


__all__ = ["RunningMedian"]
