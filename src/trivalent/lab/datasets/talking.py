"""Talking clips with voice and face, labelled by what is expressed: what the fusion is fitted on.

`talking/labels.csv` names a file, its source (collection), speaker, language, sentiment and transcript.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from trivalent.core.errors import DataError
from trivalent.core.types import LABELS, Sentiment

FOLDER = "talking"
_COLUMNS = ("file", "source", "speaker", "language", "sentiment", "transcript")


@dataclass(frozen=True)
class TalkingClip:
    """One clip: a person who says something."""

    path: Path
    source: str
    speaker: str
    language: str
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
        with listed.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError("dataset.talking", path=listed, error=error) from error
    lacking = [c for c in _COLUMNS if not rows or rows[0].get(c) is None]
    wrong = [row["sentiment"] for row in rows if not lacking and row["sentiment"] not in LABELS]
    if lacking or wrong:
        told = f"columns lacking: {','.join(lacking)}" if lacking else f"sentiment {wrong[0]!r}"
        raise DataError("dataset.talking", path=listed, error=told)
    return [
        TalkingClip(
            listed.parent / row["file"],
            row["source"],
            row["speaker"],
            row["language"],
            Sentiment[row["sentiment"].upper()],
            row["transcript"],
        )
        for row in rows
    ]
