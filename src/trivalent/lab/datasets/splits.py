"""Splits and folds in which no speaker, video or other group lies in two parts.

All of them are the same on every machine: groups are ordered by the sha256 of the seed and
their name, never by a random number generator or the order of the samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import Sentiment
from trivalent.lab.datasets.dataset import SPLITS, check_no_overlap

FRACTIONS = (0.6, 0.2, 0.2)  # train, validation, test
_SWAP_LIMIT = 400  # groups; swaps of two groups are tried up to here, as their number is squared
_GAIN = 1e-9  # a smaller improvement counts as none

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Split(NamedTuple):
    """Positions of the samples of each part, ascending."""

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]

    def names(self, count: int) -> NDArray[np.str_]:
        """Name the part of each of `count` samples: train, val, test, or nothing.

        >>> Split(np.array([0]), np.array([2]), np.array([3])).names(4).tolist()
        ['train', '', 'val', 'test']
        """
        named = np.zeros(count, dtype=f"<U{max(map(len, SPLITS))}")
        for name, rows in zip(SPLITS, self, strict=True):
            named[rows] = name
        return named


def split_of(group: str, *, fractions: tuple[float, float] = (0.65, 0.15)) -> str:
    """Assign a video to train, val or test by a hash of its name: stable across machines.

    >>> {split_of(f"video{i}") for i in range(50)} == {"train", "val", "test"}
    True
    """
    position = int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 16**8
    if position < fractions[0]:
        return "train"
    return "val" if position < sum(fractions) else "test"


def split_by_group(
    groups: Sequence[str] | NDArray[np.str_],
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
    sources: Sequence[str] | NDArray[np.str_] | None = None,
) -> Split:
    """Split without regard to labels: the groups in hashed order, cut into parts.

    Parameters
    ----------
    groups : array of str, shape (n,)
    seed : int
    fractions : tuple of float
        Shares of the *groups* for train, validation and test, summing to one.
    sources : array of str, shape (n,), optional
        Each source is split on its own, so that every part has its share of it.

    Raises
    ------
    DataError
        The fractions do not sum to one, or a group occurs in two sources and thereby in
        two parts.

    Examples
    --------
    >>> split = split_by_group(["ann", "ann", "bob", "cleo", "dan", "eve"])
    >>> [part.tolist() for part in split]
    [[0, 1, 2, 4], [3], [5]]
    """
    _check_fractions(fractions)
    names = np.asarray(groups, dtype=np.str_)
    origin = np.zeros(len(names), dtype=np.str_) if sources is None else np.asarray(sources, dtype=np.str_)
    part = np.zeros(len(names), dtype=np.int64)
    for source in np.unique(origin):
        here = origin == source
        ordered = _hashed(np.unique(names[here]), seed)
        place = dict(zip(ordered, _cut(len(ordered), fractions).tolist(), strict=True))
        part[here] = [place[name] for name in names[here].tolist()]
    split = Split(*(np.flatnonzero(part == i) for i in range(len(fractions))))
    check_no_overlap(names, split.names(len(names)), "all sources")
    return split


def stratified_split(
    groups: Sequence[str] | NDArray[np.str_],
    labels: Sequence[int] | Integers,
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
) -> Split:
    """Split so that every part has its share of each class and no group lies in two parts.

    Of several starts (the hashed split among them), each improved by moving and swapping whole
    groups, the one that misses the wanted class counts least is taken; see `class_error`.

    Parameters
    ----------
    groups : array of str, shape (n,)
        Speaker or video of each sample.
    labels : array of int, shape (n,)
        `Sentiment` codes.
    seed : int
    fractions : tuple of float
        Shares of the *samples* for train, validation and test, summing to one. A part with a
        positive share gets at least one group.

    Raises
    ------
    DataError
        The fractions do not sum to one, or there are fewer groups than parts.

    Examples
    --------
    >>> people = np.repeat(["ann", "bob", "cleo", "dan", "eve"], 3)
    >>> split = stratified_split(people, np.tile([0, 1, 2], 5))
    >>> [len(part) for part in split]
    [9, 3, 3]
    """
    _check_fractions(fractions)
    part = _allocate(groups, labels, np.array(fractions, dtype=np.float64), seed)
    split = Split(*(np.flatnonzero(part == i) for i in range(len(fractions))))
    names = np.asarray(groups, dtype=np.str_)
    check_no_overlap(names, split.names(len(names)), "the data")
    return split


def stratified_folds(
    groups: Sequence[str] | NDArray[np.str_],
    labels: Sequence[int] | Integers,
    *,
    count: int = 5,
    seed: int = 0,
) -> Integers:
    """Deal samples into folds of similar classes, no group in two folds; see `stratified_split`.

    Returns
    -------
    array of int64, shape (n,)
        Fold of each sample, 0 to count - 1; no fold is empty.

    Raises
    ------
    DataError
        Fewer than two folds, or fewer groups than folds.

    Examples
    --------
    >>> stratified_folds(["a", "a", "b", "b"], [0, 2, 0, 2], count=2).tolist()
    [0, 0, 1, 1]
    """
    if count < 2:
        raise DataError("dataset.split_folds", count=count)
    return _allocate(groups, labels, np.full(count, 1 / count), seed)


def class_error(part: Integers, labels: Integers, shares: Sequence[float] | Floats) -> float:
    """Measure how far parts are from their shares of the classes; 0 is perfect.

    The sum over parts and classes of (found - wanted)**2 / wanted, wanted being the part's share
    of the class's samples: Pearson's statistic, in which a rare class counts as much as a common
    one.

    Parameters
    ----------
    part : array of int64, shape (n,)
        Part of each sample, an index into `shares`.
    labels : array of int64, shape (n,)
    shares : sequence of float
        They sum to one; parts with share 0 are left out.

    Examples
    --------
    >>> class_error(np.array([0, 0, 1, 1]), np.array([0, 2, 0, 2]), [0.5, 0.5])
    0.0
    """
    wanted_shares = np.asarray(shares, dtype=np.float64)
    counts = np.zeros((len(wanted_shares), len(Sentiment)))
    np.add.at(counts, (part, labels), 1)
    wanted = wanted_shares[:, None] * counts.sum(axis=0)
    used = wanted > 0
    return float(((counts - wanted)[used] ** 2 / wanted[used]).sum())


def _check_fractions(fractions: Sequence[float]) -> None:
    if len(fractions) != 3 or not min(fractions) >= 0 or not abs(sum(fractions) - 1) <= 1e-9:
        raise DataError("dataset.split_fractions", fractions=fractions)


def _hashed(names: NDArray[np.str_], seed: int) -> list[str]:
    return sorted(
        names.tolist(),
        key=lambda name: hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).hexdigest(),
    )


def _cut(count: int, shares: Sequence[float] | Floats) -> Integers:
    """Part of each of `count` groups in order, by their number alone."""
    cuts = np.rint(np.cumsum(shares)[:-1] * count)
    return np.searchsorted(cuts, np.arange(count), side="right").astype(np.int64)


def _allocate(
    groups: Sequence[str] | NDArray[np.str_], labels: Sequence[int] | Integers, shares: Floats, seed: int
) -> Integers:
    """Part of each sample, shape (n,)."""
    names, codes = np.asarray(groups, dtype=np.str_), np.asarray(labels, dtype=np.int64)
    if len(names) != len(codes):
        raise DataError("dataset.split_groups", count=len(names), count2=len(codes))
    if codes.size and not (codes.min() >= 0 and codes.max() < len(Sentiment)):
        raise DataError("dataset.split_labels", codes=codes.min(), codes2=codes.max())
    ordered = _hashed(np.unique(names), seed)
    used = np.flatnonzero(shares > 0)
    if len(ordered) < len(used):
        raise DataError("dataset.split_few_groups", count=len(used), count2=len(ordered))
    position = {name: i for i, name in enumerate(ordered)}
    owner = np.array([position[name] for name in names.tolist()], dtype=np.int64)
    counts = np.zeros((len(ordered), len(Sentiment)))
    np.add.at(counts, (owner, codes), 1)
    return used[_Allocation(counts, shares[used]).best()][owner]


class _Allocation:
    """Groups with their class counts, dealt to parts.

    Sums over the classes are written out, so that rounding, and with it every choice between
    near equals, is the same on all machines.
    """

    def __init__(self, counts: Floats, shares: Floats) -> None:
        present = counts.sum(axis=0) > 0
        self.counts = counts[:, present]  # (groups, classes)
        self.shares = shares
        self.wanted = shares[:, None] * self.counts.sum(axis=0)  # (parts, classes)

    def best(self) -> Integers:
        """Return the part of each group; the first of equals."""
        starts = [self._without_gaps(_cut(len(self.counts), self.shares)), self._greedy()]
        improved = [self._improved(start) for start in starts]
        return min(improved, key=lambda part: round(self._error(part), 9))

    def _error(self, part: Integers) -> float:
        return float(_over_classes((self._found(part) - self.wanted) ** 2 / self.wanted).sum())

    def _found(self, part: Integers) -> Floats:
        counts = np.zeros(self.wanted.shape)
        np.add.at(counts, part, self.counts)
        return counts

    def _without_gaps(self, part: Integers) -> Integers:
        """Give each empty part the last group of the part that has most."""
        part = part.copy()
        for empty in range(len(self.shares)):
            if not (part == empty).any():
                sizes = np.bincount(part, minlength=len(self.shares))
                part[np.flatnonzero(part == sizes.argmax())[-1]] = empty
        return part

    def _greedy(self) -> Integers:
        """Deal the groups in order, each to the part that gains most."""
        counts = np.zeros(self.wanted.shape)
        part = np.zeros(len(self.counts), dtype=np.int64)
        for i, group in enumerate(self.counts):
            change = _over_classes(group * (2 * (counts - self.wanted) + group) / self.wanted)
            part[i] = np.round(change, 9).argmin()
            counts[part[i]] += group
        return self._without_gaps(part)

    def _improved(self, part: Integers) -> Integers:
        """Move or swap groups as long as the error falls."""
        part = part.copy()
        # Every step lowers the error by _GAIN at least; the bound only limits the time.
        for _ in range(4 * len(part) + 100):
            counts = self._found(part)
            if not self._move(part, counts) and not self._swap(part, counts):
                break
        return part

    def _move(self, part: Integers, found: Floats) -> bool:
        excess = 2 * (found - self.wanted) / self.wanted  # (parts, classes)
        arrive = _over_classes(self.counts[:, None] * (excess + self.counts[:, None] / self.wanted))
        own = self.counts / self.wanted[part]
        leave = _over_classes(self.counts * (own - excess[part]))
        change = np.round(arrive + leave[:, None], 9)  # (groups, parts)
        change[np.arange(len(part)), part] = 0
        change[np.bincount(part, minlength=len(self.shares))[part] == 1] = 0  # the last one stays
        group, target = np.unravel_index(change.argmin(), change.shape)
        if change[group, target] > -_GAIN:
            return False
        part[group] = target
        return True

    def _swap(self, part: Integers, found: Floats) -> bool:
        if len(part) > _SWAP_LIMIT:
            return False
        excess = found - self.wanted
        best: tuple[float, int, int] = (-_GAIN, -1, -1)
        for first in range(len(self.shares)):
            for second in range(first + 1, len(self.shares)):
                ours, theirs = np.flatnonzero(part == first), np.flatnonzero(part == second)
                gain = self.counts[theirs][None] - self.counts[ours][:, None]  # of `first`
                change = _over_classes(
                    gain * (2 * excess[first] + gain) / self.wanted[first]
                    - gain * (2 * excess[second] - gain) / self.wanted[second]
                )
                i, j = np.unravel_index(np.round(change, 9).argmin(), change.shape)
                if change[i, j] < best[0] - _GAIN:
                    best = (float(change[i, j]), int(ours[i]), int(theirs[j]))
        if best[1] < 0:
            return False
        part[[best[1], best[2]]] = part[[best[2], best[1]]]
        return True


def _over_classes(values: Floats) -> Floats:
    """Sum the last axis from left to right."""
    total = np.zeros(values.shape[:-1])
    for i in range(values.shape[-1]):
        total = total + values[..., i]
    return total
