"""Talking clips with voice and face, labelled by what is expressed: what the fusion is fitted on.

`talking/labels.csv` names a file, its source (collection), speaker, language, sentiment and transcript.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trivalent.core.errors import DataError
from trivalent.core.types import LABELS, Sentiment
from trivalent.lab.datasets.reading import read_rows

FOLDER = "talking"
_COLUMNS = ("file", "source", "speaker", "language", "sentiment", "transcript")


@dataclass(frozen=True)
class TalkingClip:
    """One clip: a person who says something."""

    path: Path
    source: str
    speaker: str
    label: Sentiment
    transcript: str


def read_talking(root: Path) -> list[TalkingClip]:
    """Read what the clips are, in the order of the list.

    Raises
    ------
    DataError
        There is no list, or it lacks a column or has another label.
    """
    listed = root / FOLDER / "labels.csv"
    try:
        rows, _ = read_rows(listed, _COLUMNS)
    except DataError as error:
        raise DataError("dataset.talking", path=listed, error=error) from error
    wrong = [row["sentiment"] for row in rows if row["sentiment"] not in LABELS]
    if wrong or not rows:
        told = f"sentiment {wrong[0]!r}" if wrong else "no clips"
        raise DataError("dataset.talking", path=listed, error=told)
    return [
        TalkingClip(
            listed.parent / row["file"],
            row["source"],
            row["speaker"],
            Sentiment[row["sentiment"].upper()],
            row["transcript"],
        )
        for row in rows
    ]
