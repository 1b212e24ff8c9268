"""Samples with one row of named numbers each: the common form of faces, voices and the like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.files import write_npz_atomic
from trivalent.core.types import Sentiment

NO_LABEL = -1  # the sample has no sentiment (surprise, for instance)


@dataclass(frozen=True, eq=False)
class TabularData:
    """Features, labels and where they come from.

    Attributes
    ----------
    values : array of float32, shape (n, len(columns))
    columns : tuple of str
    labels : array of int64, shape (n,)
        `Sentiment` codes, `NO_LABEL` where there is none.
    groups : array of str, shape (n,)
        Who is seen or heard; a group never lies in two parts of a split.
    sources : array of str, shape (n,)
        The collection that a sample belongs to.
    ids : array of str, shape (n,)
        Unique name of the sample.
    dropped : int
        Samples of the collection for which no features could be computed.

    Raises
    ------
    DataError
        Lengths or labels do not fit.
    """

    values: NDArray[np.float32]
    columns: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]
    ids: NDArray[np.str_]
    dropped: int = 0

    def __post_init__(self) -> None:
        expected = (len(self.ids), len(self.columns))
        if self.values.shape != expected:
            raise DataError("table.tabular_shape", expected=expected, shape=self.values.shape)
        for name in ("labels", "groups", "sources"):
            length = len(getattr(self, name))
            if length != len(self.ids):
                raise DataError("table.tabular_count", count=len(self.ids), name=name, length=length)
        strange = set(self.labels.tolist()) - {NO_LABEL, *map(int, Sentiment)}
        if strange:
            raise DataError("table.tabular_labels", strange=min(strange))

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> TabularData:
        """Keep rows given by a mask or by positions."""
        return replace(
            self,
            values=self.values[rows],
            labels=self.labels[rows],
            groups=self.groups[rows],
            sources=self.sources[rows],
            ids=self.ids[rows],
        )

    def select(self, names: Sequence[str]) -> TabularData:
        """Keep the named columns, in the order given.

        Raises
        ------
        DataError
            There is no such column.
        """
        unknown = [name for name in names if name not in self.columns]
        if unknown:
            raise DataError("table.tabular_columns", count=len(self.columns), unknown=unknown[0])
        index = [self.columns.index(name) for name in names]
        return replace(self, values=self.values[:, index], columns=tuple(names))

    def save(self, path: Path) -> None:
        """Write as .npz, without pickle; a crash leaves no half-written file behind."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz_atomic(
            path,
            values=self.values,
            columns=np.array(self.columns, dtype=np.str_),
            labels=self.labels,
            groups=self.groups,
            sources=self.sources,
            ids=self.ids,
            dropped=self.dropped,
        )

    @classmethod
    def load(cls, path: Path) -> TabularData:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            The file is not such an archive.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                return cls(
                    values=data["values"],
                    columns=tuple(data["columns"].tolist()),
                    labels=data["labels"],
                    groups=data["groups"],
                    sources=data["sources"],
                    ids=data["ids"],
                    dropped=int(data["dropped"]),
                )
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            raise DataError("table.tabular_saved", name=path.name, error=error) from error
