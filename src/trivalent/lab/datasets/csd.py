"""Computational sequences: the HDF5 files (.csd) of the CMU Multimodal SDK.

Layout: `ROOT/data/KEY/features` (n, d) and `ROOT/data/KEY/intervals` (n, 2) in seconds, where KEY
is a video or `VIDEO[i]` for its i-th segment, and `ROOT/metadata/FIELD`. One pair is read at a
time, so that a file of any size can be opened.
"""

from __future__ import annotations

import re
import secrets
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    import h5py

_SEGMENT = re.compile(r"(.*)\[(\d+)\]")
_TOUCHING_S = 1e-3  # neighbours may overlap by rounding
# Bytes of one array of one key, unpacked; half an hour of the 713 columns of OpenFace takes 300 MB. A
# file of a kilobyte may announce any number of cells.
_MAX_ARRAY = 2**30
_MAX_HEAP = 2**24
_MOST_UNPACKED = 1100  # bytes from one: what deflate can do


@dataclass(frozen=True, eq=False)
class TimedFeatures:
    """Features of one key over time.

    Attributes
    ----------
    intervals : array of float64, shape (n, 2)
        Start and end in seconds.
    features : array, shape (n, d)
        Numbers, or bytes for words.
    """

    intervals: NDArray[np.float64]
    features: NDArray[Any]

    def __len__(self) -> int:
        return len(self.intervals)


class ComputationalSequence:
    """An open .csd file; use it in a `with` statement.

    Raises
    ------
    MissingExtraError
        h5py is not installed.
    DataError
        The file is absent, damaged, or not laid out as a computational sequence.

    Examples
    --------
    >>> with ComputationalSequence("covarep.csd") as covarep:  # doctest: +SKIP
    ...     sequence = covarep.read("--qXJuDtHPw")
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            roots = list(self._file)
            if len(roots) != 1 or "data" not in self._file[roots[0]]:
                got = ", ".join(roots)[:200] or "nothing"
                raise DataError("csd.root", path=self.path, got=got)
            self.name: str = roots[0]
            self._data = _inside(_inside(self._file, self.name), "data")
            self.keys: tuple[str, ...] = tuple(self._data)
        except _H5_ERRORS as error:
            self.close()
            raise _damaged(self.path, error) from error
        except DataError:
            self.close()
            raise

    def __enter__(self) -> ComputationalSequence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def metadata(self) -> dict[str, str]:
        """Fields of the metadata as text; empty if there are none.

        Raises
        ------
        DataError
            They are damaged.
        """
        try:
            if "metadata" not in self._file[self.name]:
                return {}
            group = _inside(self._file[self.name], "metadata")
            return {field: _text(self.path, _inside(group, field)) for field in group}
        except _H5_ERRORS as error:
            raise _damaged(self.path, error, key="metadata") from error

    @property
    def videos(self) -> dict[str, tuple[str, ...]]:
        """Keys of each video, in the order of their segments."""
        found: dict[str, list[tuple[int, str]]] = {}
        for key in self.keys:
            match = _SEGMENT.fullmatch(key)
            video, position = (match[1], int(match[2])) if match else (key, 0)
            found.setdefault(video, []).append((position, key))
        return {video: tuple(key for _, key in sorted(own)) for video, own in found.items()}

    def read(self, key: str, *, ordered: bool = False) -> TimedFeatures:
        """Read one key.

        Parameters
        ----------
        key : str
        ordered : bool
            Refuse intervals that go back or overlap: right for features, not for the segments of
            a label file, which may do both.

        Raises
        ------
        DataError
            There is no such key, it is damaged, or its intervals are impossible; other keys
            stay readable.
        """
        if key not in self._data:
            raise DataError("csd.key", name=self.path.name, key=key, count=len(self.keys))
        try:
            group = _inside(self._data, key)
            found = TimedFeatures(
                np.asarray(_array(_inside(group, "intervals")), np.float64),
                np.asarray(_array(_inside(group, "features"))),
            )
        except _H5_ERRORS as error:
            raise _damaged(self.path, error, key=key) from error
        _check(found, f"{self.path.name}, key {key!r}", ordered=ordered)
        return found

    def survey(self, *, ordered: bool = False) -> Iterator[tuple[str, TimedFeatures | DataError]]:
        """Go through all keys; a bad one yields its error instead of stopping the rest."""
        for key in self.keys:
            try:
                yield key, self.read(key, ordered=ordered)
            except DataError as error:
                yield key, error


def write_csd(
    path: str | Path,
    name: str,
    *,
    sequences: Iterable[tuple[str, TimedFeatures]],
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a computational sequence, one key after the other, and only then name it.

    Parameters
    ----------
    path : str or Path
    name : str
        The root's name, such as `COVAREP`.
    sequences : iterable of (key, TimedFeatures)
        Taken one at a time, so that a generator keeps memory small.
    metadata : mapping of str to str, optional

    Raises
    ------
    DataError
        A sequence has impossible intervals, or a key comes twice.
    """
    h5py = _library()
    target = Path(path)
    partial = target.with_name(f".{target.name}-{secrets.token_hex(4)}.tmp")
    try:
        with h5py.File(partial, "w") as file:
            root = file.create_group(name)
            data = root.create_group("data")
            for key, sequence in sequences:
                if key in data:
                    raise DataError("csd.twice", key=key)
                _check(sequence, f"key {key!r}", ordered=False)
                group = data.create_group(key)
                group.create_dataset("features", data=sequence.features)
                group.create_dataset("intervals", data=sequence.intervals)
            fields = root.create_group("metadata")
            for field, value in {"root name": name, **(metadata or {})}.items():
                fields.create_dataset(field, data=[value], dtype=h5py.string_dtype())
        partial.replace(target)
    except OSError as error:
        raise DataError("csd.write", target=target, error=error) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


# Whatever HDF5 makes of damaged bytes; MemoryError: a length that no memory takes.
_H5_ERRORS = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    AttributeError,
    TypeError,
    MemoryError,
    struct.error,
)


def _inside(group: Any, name: str) -> Any:
    """Return a member that lies in the same file: a link may lead to any other."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name!r} is a link out of its group")
    return group[name]


def _array(dataset: Any) -> Any:
    """Read a dataset that this file holds, and that memory holds, too."""
    if dataset.external or dataset.is_virtual:
        raise ValueError("its cells lie in other files")
    if dataset.dtype.hasobject:
        raise ValueError("its cells have no fixed length")  # see `_text`
    if dataset.nbytes > min(_MAX_ARRAY, _MOST_UNPACKED * dataset.file.id.get_filesize() + 2**20):
        raise ValueError(f"an array of {dataset.nbytes / 1e9:.1f} GB")
    return dataset[()]


def _check(sequence: TimedFeatures, where: str, *, ordered: bool) -> None:
    intervals, features = sequence.intervals, sequence.features
    if intervals.ndim != 2 or intervals.shape[1] != 2 or features.ndim != 2:
        raise DataError("csd.shapes", where=where, shape=intervals.shape, shape2=features.shape)
    if len(intervals) != len(features):
        raise DataError("csd.lengths", where=where, count=len(intervals), count2=len(features))
    start, end = intervals.T
    wrong = ~(end >= start) | ~np.isfinite(intervals).all(axis=1)
    if ordered and len(start) > 1:
        wrong[1:] |= (start[1:] < start[:-1]) | (start[1:] < end[:-1] - _TOUCHING_S)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        rule = "that follow each other" if ordered else "with an end after the start"
        raise DataError(
            "csd.intervals",
            rule=rule,
            where=where,
            intervals=intervals[row].tolist(),
            row=row,
            wrong=int(wrong.sum()),
        )


def _open(path: Path) -> h5py.File:
    h5py = _library()
    if not path.is_file():
        raise DataError("csd.none", path=path)
    try:
        return h5py.File(path, "r")
    except (OSError, RuntimeError) as error:
        raise _damaged(path, error) from error


def _library() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("h5py", "train") from error
    return h5py


def _damaged(path: Path, error: Exception, *, key: str | None = None) -> DataError:
    where = path.name if key is None else f"{path.name}, key {key!r}"
    reason = " ".join(str(error).split())[:160]
    return DataError("csd.damaged", where=where, reason=reason)


def _text(path: Path, dataset: Any) -> str:
    """Return the first text of a dataset.

    Texts without a fixed length lie in a heap of the file, over whose damages HDF5 may loop for ever: it
    is read here. The heap's format: HDF5 File Format Specification 3.0, section III.E.
    """
    if dataset.dtype.hasobject:
        offset = dataset.id.get_offset()
        return "" if offset is None else _heap_text(path, offset)
    cells = np.asarray(_array(dataset)).ravel()
    first = cells[0] if cells.size else b""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)


def _heap_text(path: Path, offset: int) -> str:
    with path.open("rb") as stream:
        stream.seek(offset)
        length, address, index = struct.unpack("<IQI", stream.read(16))
        stream.seek(address)
        mark, size = struct.unpack("<4s4xQ", stream.read(16))
        if mark != b"GCOL":
            raise ValueError("no heap of texts")
        heap = stream.read(min(size, _MAX_HEAP))
    at = 0
    while at + 16 <= len(heap):
        own, stored = struct.unpack_from("<H6xQ", heap, at)
        if own == index:
            return heap[at + 16 : at + 16 + min(length, stored)].decode("utf-8", "replace")
        at += 16 + (stored + 7) // 8 * 8
    raise ValueError("a text is missing in the heap")
