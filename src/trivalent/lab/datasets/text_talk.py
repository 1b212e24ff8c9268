"""English talk and comments of `text/NAME_en.csv.gz`: SEMAINE, IEMOCAP, EmoryNLP, GoEmotions.

Texts are rid of what no recogniser writes: stage directions, marks of hesitation, masks of names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.types import Sentiment
from trivalent.lab.datasets.reading import codes_of, read_rows

FOLDER = Path("text")
_FILES = {"train": "train", "val": "dev", "test": "test"}
_SESSIONS = {"Ses03": "train", "Ses04": "train", "Ses02": "val", "Ses01": "test"}
_DIRECTION = re.compile(r"-l[rs]b-.*?(?:-r[rs]b-|$)|\[[A-Z ]+\]")
_HESITATION = re.compile(r"\s*\.\.\.+(\s+(?=[\w'])|\s*)|\b\w*_unfinished\b|[`*]+")
_CODES = {sentiment.label: str(int(sentiment)) for sentiment in Sentiment}
_NAME = "Alex"  # stands for a name that was masked


@dataclass(frozen=True)
class Talk:
    """Texts of one part, the sentiment of each, what each belongs to, and its strength if annotated."""

    texts: list[str]
    labels: NDArray[np.int64]
    groups: list[str]
    valence: list[float] | None = None


def read_talk(root: Path, name: str, part: str) -> Talk:
    """Read train, val or test of a corpus of talk.

    SEMAINE is published split by session, EmoryNLP by scene, GoEmotions by comment. IEMOCAP's
    sessions hold two people each: the first is test, the second val.

    Raises
    ------
    DataError
        The file is absent, damaged, lacks a column, or has a class that there is not.
    """
    path = root / FOLDER / f"{name}_en.csv.gz"
    rows, _ = read_rows(path, ("text", "sentiment", "speaker", "split"))
    codes = codes_of(
        [_CODES.get(row["sentiment"], row["sentiment"]) for row in rows],
        path,
        column="sentiment",
        allowed=range(3),
    )
    split_of, group_of = _SPLITS.get(name, _published), _GROUPS.get(name)
    kept = [(i, row, clean_talk(row["text"])) for i, row in enumerate(rows) if split_of(row) == part]
    kept = [(i, row, text) for i, row, text in kept if re.search(r"[^\W_]", text)]
    return Talk(
        [text for _, _, text in kept],
        codes[[i for i, _, _ in kept]],
        [group_of(row) if group_of else f"{part}{i}" for i, row, _ in kept],
    )


def clean_talk(text: str) -> str:
    """Write a transcript as a recogniser would.

    >>> clean_talk("-lrb- sighs -rrb- so ... it is gon na be fine , is n't it ?")
    "so it is gonna be fine, isn't it?"
    >>> clean_talk("[LAUGHTER] Thank you, [NAME]. [RELIGION]")
    'Thank you, Alex. religion'
    """
    text = text.replace("[NAME]", _NAME).replace("[RELIGION]", "religion")
    text = _HESITATION.sub(" ", _DIRECTION.sub(" ", text))
    text = re.sub(r"\b([gG]on|[wW]an|[gG]ot) (na|ta)\b", r"\1\2", text)
    text = re.sub(r" (n't|'s|'re|'ve|'ll|'d|'m)\b", r"\1", text)
    text = re.sub(r"\s+([.,!?;:])", r"\1", text.replace('""', '"'))
    return " ".join(text.split()).strip('" ')


def _published(row: dict[str, str]) -> str:
    return next((part for part, file in _FILES.items() if row["split"] == file), "")


def _by_session(row: dict[str, str]) -> str:
    return _SESSIONS.get(_session(row), "")


def _session(row: dict[str, str]) -> str:
    return row["speaker"][:5]


_SPLITS: dict[str, Callable[[dict[str, str]], str]] = {"iemocap": _by_session}
_GROUPS: dict[str, Callable[[dict[str, str]], str]] = {
    "iemocap": _session,
    "semaine": lambda row: row["speaker"].partition("_")[0],
}
