"""A computational sequence as one table, and back without the change of a bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.files import write_npz_atomic
from trivalent.lab.datasets.csd import ComputationalSequence, TimedFeatures, write_csd


@dataclass(frozen=True, eq=False)
class SequenceTable:
    """All keys of a .csd file, end to end.

    Attributes
    ----------
    name : str
        Root of the file.
    keys : array of str, shape (k,)
        In the file's order.
    rows : array of int64, shape (k,)
        Rows of each key; zero is allowed.
    intervals : array of float64, shape (n, 2)
        Seconds.
    features : array, shape (n, d)
        Numbers, or bytes for words.
    metadata : mapping of str to str
    """

    name: str
    keys: NDArray[np.str_]
    rows: NDArray[np.int64]
    intervals: NDArray[np.float64]
    features: NDArray[Any]
    metadata: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> SequenceTable:
        """Read a whole .csd file.

        Raises
        ------
        DataError
            The file or one of its keys is damaged, keys differ in width, or it is empty.
        """
        with ComputationalSequence(path) as file:
            parts = [file.read(key) for key in file.keys]
            widths = {part.features.shape[1] for part in parts}
            if len(widths) != 1:
                raise DataError("csd.widths", name=path.name, widths=sorted(widths))
            return cls(
                file.name,
                np.array(file.keys, dtype=np.str_),
                np.array([len(part) for part in parts], dtype=np.int64),
                np.concatenate([part.intervals for part in parts]),
                np.concatenate([_fixed(part.features) for part in parts]),
                file.metadata,
            )

    def write_csd(self, path: Path) -> Path:
        """Write as a .csd file."""
        cuts = np.cumsum(self.rows)[:-1]
        pieces = zip(np.split(self.intervals, cuts), np.split(self.features, cuts), strict=True)
        sequences = (
            (key, TimedFeatures(*piece)) for key, piece in zip(self.keys.tolist(), pieces, strict=True)
        )
        return write_csd(path, self.name, sequences=sequences, metadata=self.metadata)

    def save(self, path: Path) -> Path:
        """Write as .npz, without pickle."""
        fields = list(self.metadata)
        return write_npz_atomic(
            path,
            name=self.name,
            keys=self.keys,
            rows=self.rows,
            intervals=self.intervals,
            features=self.features,
            metadata_fields=np.array(fields, dtype=np.str_),
            metadata_values=np.array([self.metadata[f] for f in fields], dtype=np.str_),
        )

    @classmethod
    def load(cls, path: Path) -> SequenceTable:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            The file is not such an archive.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                fields, values = data["metadata_fields"].tolist(), data["metadata_values"].tolist()
                return cls(
                    str(data["name"]),
                    data["keys"],
                    data["rows"],
                    data["intervals"],
                    data["features"],
                    dict(zip(fields, values, strict=True)),
                )
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            raise DataError("csd.table", name=path.name, error=error) from error


def _fixed(features: NDArray[Any]) -> NDArray[Any]:
    """Give words of variable length a fixed one, which .npz can hold without pickle."""
    if features.dtype.kind == "O":
        return features.astype(np.bytes_)
    return features.astype(features.dtype.str)  # without h5py's notes on the type
