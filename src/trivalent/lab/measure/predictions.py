"""What a bundle says about each sample, as a table for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trivalent.bundle.decision import Answers
from trivalent.core.files import write_text_atomic
from trivalent.core.spreadsheet import guarded
from trivalent.core.types import LABELS, FloatArray, Modality
from trivalent.lab.datasets.dataset import Dataset

OK = "ok"


@dataclass(frozen=True, eq=False)
class Judged:
    """Samples of a data set with the answers of a bundle.

    Attributes
    ----------
    samples : Dataset
    answers : Answers
    statuses : mapping of Modality to tuple of str
        Of each sample: ok, or why the modality had no part in the answer.
    scores : array, shape (n,), optional
        Predicted, from -3 to 3, of a network that was trained on scores.
    """

    samples: Dataset
    answers: Answers
    statuses: Mapping[Modality, tuple[str, ...]]
    scores: FloatArray | None = None


def write_predictions(judged: Judged, path: Path) -> None:
    """Write a CSV with a row for each sample.

    Columns: name, start_s and end_s of samples that are parts of recordings, label, predicted,
    confidence, the three probabilities, answered, of a network with scores the annotated (empty where there
    is none) and the predicted one, and the status of each modality.

    Raises
    ------
    TrivalentError
        It cannot be written.
    """
    samples, answers = judged.samples, judged.answers
    spans = [] if samples.spans is None else ["start_s", "end_s"]
    scores = [] if judged.scores is None else ["score", "predicted_score"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["name", *spans, "label", "predicted", "confidence", *LABELS, "answered", *scores, *judged.statuses]
    )
    for i, name in enumerate(samples.ids.tolist()):
        p = answers.probabilities[i]
        writer.writerow(
            [
                guarded(name),
                *([] if samples.spans is None else [f"{t:.3f}" for t in samples.spans[i]]),
                LABELS[samples.labels[i]],
                LABELS[answers.decisions[i]],
                f"{answers.confidence[i]:.6f}",
                *(f"{value:.6f}" for value in p),
                "yes" if answers.answered[i] else "no",
                *_scores(judged, i),
                *(guarded(status[i]) for status in judged.statuses.values()),
            ]
        )
    write_text_atomic(path, text.getvalue())


def _scores(judged: Judged, i: int) -> list[str]:
    if judged.scores is None:
        return []
    return [f"{x:.6f}" if np.isfinite(x) else "" for x in (judged.samples.scores[i], judged.scores[i])]


__all__ = ["OK", "Judged", "write_predictions"]
