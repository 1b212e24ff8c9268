"""CMU-MOSEI: the table of its annotated segments.

A. Zadeh et al., "Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset and Interpretable
Dynamic Fusion Graph", ACL 2018. The data root holds `cmu_mosei/segments.csv`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.errors import DataError

FILE = Path("cmu_mosei") / "segments.csv"
COLUMNS = ("video_id", "clip_id", "csd_index", "start", "end", "split_mmsa", "fold_sdk", "sentiment")


@dataclass(frozen=True, eq=False)
class Segments:
    """Annotated segments, one row each.

    Attributes
    ----------
    video : array of str, shape (n,)
    clip : array of int64, shape (n,)
        Number within the video; -1 if not among the 22,856 that the field commonly uses.
    position : array of int64, shape (n,)
        Order of the segment within its video in the official label file, from 0.
    start_s, end_s : array of float64, shape (n,)
    split : array of str, shape (n,)
        train, val or test of the segment protocol; empty if in none.
    fold : array of str, shape (n,)
        Standard fold of the video in the CMU Multimodal SDK; empty if in none.
    score : array of float64, shape (n,)
        Sentiment in [-3, 3].
    has_text : array of bool, shape (n,)
    """

    video: NDArray[np.str_]
    clip: NDArray[np.int64]
    position: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    split: NDArray[np.str_]
    fold: NDArray[np.str_]
    score: NDArray[np.float64]
    has_text: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.video)


def read_segments(root: Path) -> Segments:
    """Read the table.

    Raises
    ------
    DataError
        The file is absent, lacks a column, or a row has an impossible number; the message
        names the row.
    """
    path = root / FILE
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"expected the columns {', '.join(missing)} in {path}; get the file anew")
            rows = list(reader)
    except OSError as error:
        raise DataError(
            f"expected {FILE} under {root}, got: {error.strerror}; give --root or set TRIVALENT_DATA"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8 in {path}, got {error}; get the file anew") from error
    if not rows:
        raise DataError(f"expected segments in {path}, got none; get the file anew")
    found = Segments(
        video=np.array([row["video_id"] for row in rows]),
        clip=_numbers(rows, "clip_id", path).astype(np.int64),
        position=_numbers(rows, "csd_index", path).astype(np.int64),
        start_s=_numbers(rows, "start", path),
        end_s=_numbers(rows, "end", path),
        split=np.array([row["split_mmsa"] for row in rows]),
        fold=np.array([row["fold_sdk"] for row in rows]),
        score=_numbers(rows, "sentiment", path),
        has_text=np.array([bool((row.get("text") or "").strip()) for row in rows]),
    )
    _check(found, path)
    return found


def _numbers(rows: list[dict[str, str]], column: str, path: Path) -> NDArray[np.float64]:
    out = np.empty(len(rows))
    for i, row in enumerate(rows):
        try:
            out[i] = float(row[column])
        except (TypeError, ValueError) as error:
            raise DataError(
                f"expected a number in column {column} of line {i + 2} of {path}, got {row[column]!r}; "
                "correct or drop the line"
            ) from error
    return out


def _check(segments: Segments, path: Path) -> None:
    wrong = {
        "an end after its start": ~(segments.end_s > segments.start_s),
        "a score in [-3, 3]": ~(np.abs(segments.score) <= 3),
    }
    keys = np.char.add(np.char.add(segments.video, "/"), segments.position.astype(str))
    _, first = np.unique(keys, return_index=True)
    repeated = np.ones(len(segments), bool)
    repeated[first] = False
    for what, rows in (wrong | {"each segment once": repeated}).items():
        if rows.any():
            i = int(np.flatnonzero(rows)[0])
            raise DataError(
                f"expected {what} in {path}, got line {i + 2} ({segments.video[i]}, segment "
                f"{segments.position[i]}), {int(rows.sum())} such in all; correct or drop them"
            )
