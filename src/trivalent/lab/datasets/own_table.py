"""The CSV that describes your own recordings: `path` and `label`, `score` or both, and more columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trivalent.core.csv_table import LABELLED, TOLD, CsvReader, CsvTable
from trivalent.core.errors import DataError, TranscriptError
from trivalent.core.types import LABELS, LabelMap, map_scores
from trivalent.lab.datasets.dataset import SPLITS, check_no_overlap
from trivalent.speech.transcripts import SUFFIXES, Transcript, parse_transcript, read_transcript

_READER = CsvReader(("path", " or ".join(LABELLED)), TOLD, DataError)
_fault = _READER.fault
_SPLIT_NAMES = {name: name for name in SPLITS} | {"valid": "val", "validation": "val", "dev": "val"}
_MAX_SCORE = 3.0
_MAKE = "leave the column split out to have it made"


@dataclass(frozen=True)
class OwnRow:
    """A line of the table; columns that it lacks are empty.

    Attributes
    ----------
    line : int
        Where it begins in the file.
    name : str
        Path as written, with forward slashes.
    media : Path
        Where the recording lies.
    label : str
        Lower-case, mapped; a number is a score.
    score : str
        Beside or instead of it.
    """

    line: int
    name: str
    media: Path
    label: str = ""
    score: str = ""
    speaker: str = ""
    video: str = ""
    split: str = ""
    transcript: str = ""


@dataclass(frozen=True)
class OwnTable:
    """A table whose cells have been checked.

    Attributes
    ----------
    path : Path
    columns : tuple of str
    rows : tuple of OwnRow
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[OwnRow, ...]

    @property
    def scored(self) -> bool:
        """Whether there are scores: a column of them, or numbers as labels."""
        return "score" in self.columns or self.rows[0].label not in LABELS

    @property
    def labels(self) -> NDArray[np.float64]:
        """Scores in [-3, 3], or `Sentiment` codes; shape (n,)."""
        if self.scored:
            return np.array([float(row.score or row.label) for row in self.rows])
        return np.array([LABELS.index(row.label) for row in self.rows], dtype=np.float64)

    @property
    def split(self) -> NDArray[np.str_] | None:
        """Part of each sample, shape (n,); None without such a column."""
        return np.array([row.split for row in self.rows]) if "split" in self.columns else None

    @property
    def groups(self) -> NDArray[np.str_]:
        """Speaker or video of each sample, else the recording itself, shape (n,).

        With both columns, samples that share either are one group, named by its first speaker.
        """
        speakers, videos = np.array([row.speaker or row.name for row in self.rows]), self.videos
        if "video" not in self.columns:
            return speakers
        if "speaker" not in self.columns:
            return videos
        (_, ours), (_, theirs) = (
            np.unique(speakers, return_inverse=True),
            np.unique(videos, return_inverse=True),
        )
        size = len(self.rows)  # of either kind there are no more
        links = coo_array((np.ones(size), (ours, theirs + size)), shape=(2 * size, 2 * size))
        member = connected_components(links, directed=False)[1][ours]
        _, first, inverse = np.unique(member, return_index=True, return_inverse=True)
        return speakers[first][inverse]

    @property
    def videos(self) -> NDArray[np.str_]:
        """Video of each sample, else the recording itself, shape (n,)."""
        return np.array([row.video or row.name for row in self.rows])

    def check_classes(self, label_map: LabelMap) -> None:
        """Raise `DataError` if a label is not the class of the score beside it by this map."""
        if "score" not in self.columns or "label" not in self.columns:
            return
        for row, code in zip(self.rows, map_scores(self.labels, label_map).tolist(), strict=True):
            if row.label != LABELS[code]:
                raise DataError(
                    "own.contradiction",
                    expected=LABELS[code],
                    score=row.score,
                    by=str(label_map),
                    line=row.line,
                    name=self.path.name,
                    label=row.label,
                )

    def transcripts(self) -> list[Transcript | None]:
        """Read what was said in each sample, None where it is not given.

        A cell that ends in .srt, .vtt or .txt names a file; any other is the text itself.

        Raises
        ------
        DataError
            A transcript cannot be read.
        """
        return [self._transcript(row) if row.transcript else None for row in self.rows]

    def _transcript(self, row: OwnRow) -> Transcript:
        try:
            if row.transcript.lower().endswith(SUFFIXES):
                return read_transcript(self.path.parent / row.transcript)
            return parse_transcript(row.transcript.encode("utf-8"), name="the cell")
        except TranscriptError as error:
            raise DataError("own.line", error=error, line=row.line, name=self.path.name) from error


def read_own_table(path: Path, label_map: Mapping[str, str] | None = None) -> OwnTable:
    """Read and check the table; the recordings are not looked at.

    Parameters
    ----------
    path : Path
    label_map : mapping of str to str, optional
        What your labels mean: each, in lower case, to negative, neutral or positive.

    Raises
    ------
    DataError
        Not a readable UTF-8 CSV, missing or misspelt columns, labels, scores or splits that are none, a
        recording twice, a speaker or video in two splits, or a split without samples.
    """
    read = _READER.read(path)
    _check_characters(path, read)
    header, meant = read.columns, label_map or {}
    rows = tuple(_row(path, row.line, row.cells, meant) for row in read.rows)
    if not rows:
        raise DataError("own.no_rows", name=path.name)
    table = OwnTable(path, header, rows)
    _check_labels(table)
    _check_duplicates(table)
    split = table.split
    if split is not None:
        for column in {"speaker", "video"}.intersection(header):
            groups = np.array([getattr(row, column) or row.name for row in rows])
            check_no_overlap(groups, split, f"{path.name} (column {column})")
        check_parts(split, path.name, remedy=f"assign some, or {_MAKE}")
    return table


def check_parts(split: NDArray[np.str_], name: str, *, remedy: str, parts: Sequence[str] = SPLITS) -> None:
    """Raise `DataError` if a part has no samples; test alone is enough to evaluate on.

    Parameters
    ----------
    split : array of str, shape (n,)
    name, remedy : str
        Of the table; what to do.
    parts : sequence of str
        Those that must have some.
    """
    absent = [part for part in parts if not (split == part).any()]
    if absent and not (split == "test").all():
        missing = " and ".join(absent)
        raise DataError("own.parts", parts=list(parts), name=name, missing=missing, remedy=remedy)


def _row(path: Path, line: int, cells: dict[str, str], meant: Mapping[str, str]) -> OwnRow:
    if not cells["path"]:
        raise _fault(path, line, "the path of a recording", "an empty cell", "fill it or drop the line")
    label, score = cells.get("label", "").lower(), cells.get("score", "")
    label = meant.get(label, label)
    if "score" in cells and not _is_score(score):
        raise DataError("own.score", name=path.name, line=line, score=score)
    if "label" in cells and label not in LABELS and ("score" in cells or not _is_score(label)):
        code = "own.label_beside" if "score" in cells else "own.label"
        raise DataError(code, name=path.name, line=line, label=cells["label"])
    split = cells.get("split", "").lower()
    if "split" in cells and split not in _SPLIT_NAMES:
        remedy = f"correct it, or {_MAKE}"
        raise _fault(path, line, "train, val or test", repr(cells["split"]), remedy)
    return OwnRow(
        line,
        PurePath(cells["path"]).as_posix(),
        path.parent / cells["path"],
        label,
        score,
        cells.get("speaker", ""),
        cells.get("video", ""),
        _SPLIT_NAMES.get(split, ""),
        cells.get("transcript", ""),
    )


def _is_score(text: str) -> bool:
    try:
        return abs(float(text)) <= _MAX_SCORE
    except ValueError:
        return False


def _check_labels(table: OwnTable) -> None:
    if "score" in table.columns:
        return  # each by itself, and each label beside one
    for row in table.rows:
        if (row.label not in LABELS) != table.scored:
            raise _fault(
                table.path,
                row.line,
                "either names or numbers as labels",
                f"{row.label!r} after {table.rows[0].label!r}",
                "use one kind throughout",
            )
    if table.scored and _are_codes([row.label for row in table.rows]):
        codes = sorted({row.label for row in table.rows})
        raise DataError("own.codes", name=table.path.name, codes=codes)


def _are_codes(labels: Sequence[str]) -> bool:
    """Tell whether numbers may be classes: whole, written without a point, up to three in a row.

    >>> [_are_codes(labels) for labels in (["0", "1"], ["1", "3", "2"], ["1.0", "2"], ["-1", "1"])]
    [True, True, False, False]
    """
    if not all(label.isdecimal() for label in labels):
        return False
    values = [int(label) for label in labels]
    return max(values) - min(values) <= 2


def _check_duplicates(table: OwnTable) -> None:
    seen: dict[Path, int] = {}
    for row in table.rows:
        first = seen.setdefault(row.media.resolve(), row.line)
        if first != row.line:
            raise _fault(
                table.path, row.line, "each recording once", f"{row.name!r} as in line {first}", "drop one"
            )


def _check_characters(path: Path, table: CsvTable) -> None:
    for row in table.rows:
        if any("\x00" in cell for cell in row.cells.values()):
            raise _fault(path, row.line, "text", "a NUL character", 'save it anew as "CSV UTF-8"')


__all__ = ["OwnTable", "OwnRow", "check_parts", "read_own_table"]
