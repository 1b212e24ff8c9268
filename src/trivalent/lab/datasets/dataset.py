"""What every reader returns: labelled samples with the features of up to three modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError, TrivalentError
from trivalent.core.types import Modality, Sentiment

SPLITS = ("train", "val", "test")
Rows = NDArray[np.bool_] | NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Features:
    """Features of one modality, a row or a sequence for each sample.

    Attributes
    ----------
    extractor : str
        Who computed them: `covarep`, `openface2`, `glove`, ...
    columns : tuple of str, length d
    values : array of float32, shape (n, d) or (n, steps, d)
        NaN marks a cell without a value; a row of NaN is a sample that lacks the modality, or a step that
        its sequence has not. Of your own recordings they are float64, as an analysis computes them.
    reasons : tuple of str, length n
        Why a sample lacks the modality, empty where it does not; none where nobody knows.
    """

    extractor: str
    columns: tuple[str, ...]
    values: NDArray[np.float32] | NDArray[np.float64]
    reasons: tuple[str, ...] = ()

    @property
    def present(self) -> NDArray[np.bool_]:
        """Mark the samples with at least one finite value, shape (n,)."""
        return np.asarray(np.isfinite(self.values).any(axis=tuple(range(1, self.values.ndim))))

    @property
    def steps(self) -> int:
        """Steps of the longest sequence; 0 of pooled features."""
        return self.values.shape[1] if self.values.ndim == 3 else 0


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples of one data set under one protocol.

    Attributes
    ----------
    name, protocol : str
    ids : array of str, shape (n,)
        Unique.
    groups : array of str, shape (n,)
        Video, speaker or dialogue: never in two splits.
    split : array of str, shape (n,)
        train, val or test; empty where the protocol puts the sample in none.
    labels : array of int64, shape (n,)
        `Sentiment` codes.
    scores : array of float64, shape (n,)
        Annotated sentiment in [-3, 3] (other scales are stretched to it); NaN where the data
        set has only classes.
    seconds : array of float64, shape (n,)
        Duration, NaN where unknown.
    spans : array of float64, shape (n, 2), optional
        Start and end of samples that are parts of a recording, in seconds.
    features : mapping of Modality to Features
        Only what the data set ships; texts that are not yet features are in `texts`.
    texts : tuple of str, length n, optional
        Empty strings where a sample has no transcript.
    dropped : mapping of str to int
        Samples left out, by reason.
    synthetic : bool
        The feature values were drawn at random; figures from them say nothing about people.

    Raises
    ------
    DataError
        Lengths do not fit, an id comes twice, a label is no Sentiment, a split has an unknown
        name, or a group lies in two splits.
    """

    name: str
    protocol: str
    ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    split: NDArray[np.str_]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    seconds: NDArray[np.float64]
    features: Mapping[Modality, Features] = field(default_factory=dict)
    texts: tuple[str, ...] | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    synthetic: bool = False
    spans: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in _ROWWISE}
        lengths |= {f"{m} features": len(f.values) for m, f in self.features.items()}
        lengths |= {"texts": len(self.texts)} if self.texts is not None else {}
        for what, length in lengths.items():
            if length != len(self.ids):
                raise DataError(
                    "dataset.count", count=len(self.ids), what=what, name=self.name, length=length
                )
        for modality, block in self.features.items():
            if block.values.ndim not in (2, 3) or block.values.shape[-1] != len(block.columns):
                raise DataError(
                    "dataset.columns",
                    count=len(block.columns),
                    modality=modality,
                    name=self.name,
                    shape=block.values.shape,
                )
        self._check_labels()
        check_unique(self.ids, self.name)
        check_no_overlap(self.groups, self.split, self.name)

    def _check_labels(self) -> None:
        strange = set(np.unique(self.labels).tolist()) - set(map(int, Sentiment))
        if strange:
            raise DataError("dataset.labels", name=self.name, strange=min(strange))
        unknown = set(np.unique(self.split).tolist()) - {"", *SPLITS}
        if unknown:
            raise DataError(
                "dataset.splits", splits=list(SPLITS), name=self.name, unknown=sorted(unknown)[0]
            )

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Rows) -> Dataset:
        """Keep rows given by a mask or by positions."""
        index = np.arange(len(self))[rows]
        blocks = {
            m: replace(f, values=f.values[index], reasons=tuple(f.reasons[i] for i in index if f.reasons))
            for m, f in self.features.items()
        }
        texts = None if self.texts is None else tuple(self.texts[i] for i in index)
        spans = None if self.spans is None else self.spans[index]
        kept: dict[str, Any] = {name: getattr(self, name)[index] for name in _ROWWISE}
        return replace(self, **kept, features=blocks, texts=texts, spans=spans)

    def part(self, split: str) -> Dataset:
        """Take the samples of one split.

        Raises
        ------
        DataError
            There is none.
        """
        rows = self.split == split
        if not rows.any():
            found = ", ".join(s for s in SPLITS if (self.split == s).any()) or "none"
            raise DataError(
                "dataset.empty_split", split=split, name=self.name, protocol=self.protocol, found=found
            )
        return self.take(rows)


_ROWWISE = ("ids", "groups", "split", "labels", "scores", "seconds")


def stacked(samples: Sequence[NDArray[np.float64]], width: int) -> NDArray[np.float64]:
    """Put vectors, or sequences of different lengths, into one array.

    Parameters
    ----------
    samples : sequence of array, shape (width,) or (steps, width)

    Returns
    -------
    array, shape (n, width) or (n, steps, width)
        NaN after the end of a sequence; there are two steps at least.
    """
    if not any(own.ndim == 2 for own in samples):
        return np.array(samples).reshape(-1, width)
    values = np.full((len(samples), max(2, *map(len, samples)), width), np.nan)
    for row, own in zip(values, samples, strict=True):
        row[: len(own)] = own
    return values


def check_unique(ids: NDArray[np.str_], name: str) -> None:
    """Raise `DataError` if an id comes twice."""
    found, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            "dataset.twice",
            name=name,
            found=found[counts > 1][0],
            counts=counts.max(),
            value=int((counts > 1).sum()),
        )


def check_no_overlap(
    groups: NDArray[np.str_],
    split: NDArray[np.str_],
    name: str,
    *,
    error: type[TrivalentError] = DataError,
) -> None:
    """Raise `error` if a group (video, speaker) lies in two splits."""
    used = split != ""
    pairs = np.unique(np.stack([groups[used], split[used]]), axis=1)
    found, counts = np.unique(pairs[0], return_counts=True)
    if (counts > 1).any():
        group = str(found[counts > 1][0])
        where = " and ".join(pairs[1][pairs[0] == group].tolist())
        raise error(
            f"expected every video or speaker of {name} in one split, got {group!r} in {where} "
            f"({int((counts > 1).sum())} such); split by group"
        )
