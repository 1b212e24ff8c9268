"""What a run said of each sample, with its video or speaker: what runs are compared by, group by group."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.network import group_digest
from trivalent.core.errors import DataError
from trivalent.core.files import write_text_atomic
from trivalent.core.types import LABELS, FloatArray, IntArray

PREDICTIONS = "predictions.csv"
_COLUMNS = ("part", "group", "label", "predicted", *LABELS)


@dataclass(frozen=True, eq=False)
class Said:
    """Decisions of a bundle about the samples of one part, in their order.

    Attributes
    ----------
    part : str
        validation or test.
    groups : array of str, shape (n,)
        Video or speaker; in the file its digest, as in bundles.
    labels, decisions : int array, shape (n,)
    probabilities : array, shape (n, 3)
    """

    part: str
    groups: NDArray[np.str_]
    labels: IntArray
    decisions: IntArray
    probabilities: FloatArray


def write_said(parts: Sequence[Said], path: Path) -> None:
    """Write a CSV with a row for each sample."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for said in parts:
        digests = {group: group_digest(group) for group in np.unique(said.groups).tolist()}
        for group, label, decision, p in zip(
            said.groups.tolist(), said.labels, said.decisions, said.probabilities, strict=True
        ):
            shares = [f"{share:.6f}" for share in p]
            writer.writerow([said.part, digests[group], LABELS[label], LABELS[decision], *shares])
    write_text_atomic(path, text.getvalue())


def read_said(path: Path, part: str) -> Said:
    """Read the rows of one part.

    Raises
    ------
    DataError
        It is no such file.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["part"] == part]
        return Said(
            part,
            np.array([row["group"] for row in rows], np.str_),
            np.array([LABELS.index(row["label"]) for row in rows], np.int64),
            np.array([LABELS.index(row["predicted"]) for row in rows], np.int64),
            np.array([[float(row[label]) for label in LABELS] for row in rows]).reshape(-1, len(LABELS)),
        )
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        reason = f"{type(error).__name__} {error}"
        raise DataError("compare.damaged", path=path, reason=reason) from error


__all__ = ["PREDICTIONS", "Said", "read_said", "write_said"]
