"""What a sample and its label are: named protocols over annotated data sets.

Two papers on "MOSEI sentiment" may have classified different things. A protocol says which
segments are samples, in which part, and how a score becomes a class; it knows its counts and
refuses data that do not give them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import LabelMap, Sentiment, map_scores
from trivalent.lab.datasets.dataset import SPLITS, Dataset, Features

STEPS = "-steps"  # after the name of a protocol whose features are sequences


@dataclass(frozen=True)
class Protocol:
    """One way to make samples of a data set.

    Attributes
    ----------
    name, description : str
    label_map : LabelMap, optional
        From the annotated score to the class; None where the data set annotates classes.
    counts : mapping of str to tuple of int
        Known (negative, neutral, positive) samples per split; empty if none are known.
    sequences : bool
        Features are sequences instead of one vector for each sample.
    """

    name: str
    description: str
    label_map: LabelMap | None = None
    counts: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    sequences: bool = False


def with_steps(*protocols: Protocol) -> tuple[Protocol, ...]:
    """Add to protocols the same ones over sequences.

    >>> [protocol.name for protocol in with_steps(Protocol("stored", "features averaged"))]
    ['stored', 'stored-steps']
    """
    stepped = (
        replace(p, name=p.name + STEPS, description=f"as {p.name}, features as sequences", sequences=True)
        for p in protocols
    )
    return (*protocols, *stepped)


def class_counts(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the classes, shape (3,)."""
    return np.bincount(labels, minlength=len(Sentiment))


def check_counts(data: Dataset, protocol: Protocol) -> None:
    """Compare with the known counts.

    Raises
    ------
    DataError
        They differ: some samples are missing, repeated or labelled otherwise.
    """
    for split, known in protocol.counts.items():
        found = tuple(class_counts(data.labels[data.split == split]).tolist())
        if found != known:
            raise DataError(
                "dataset.protocol_counts",
                known=known,
                split=split,
                name=data.name,
                given=protocol.name,
                found=found,
                found2=sum(found) - sum(known),
            )


def describe(data: Dataset) -> dict[str, Any]:
    """Sum up every split: samples, groups, classes, imbalance, seven classes, durations, gaps."""
    return {split: _describe(data.part(split)) for split in SPLITS if (data.split == split).any()}


def _describe(part: Dataset) -> dict[str, Any]:
    classes = class_counts(part.labels)
    content: dict[str, Any] = {
        "samples": len(part),
        "groups": len(np.unique(part.groups)),
        "classes": {s.label: int(classes[s]) for s in Sentiment},
        "percent": {s.label: round(100 * classes[s] / len(part), 1) for s in Sentiment},
        "imbalance_ratio": round(float(classes.max() / max(1, classes.min())), 2),
    }
    if np.isfinite(part.scores).all():
        seven = np.bincount(map_scores(part.scores, LabelMap.SEVEN), minlength=7)
        content["seven_percent"] = {
            (f"{i - 3:+d}" if i != 3 else "0"): round(100 * seven[i] / len(part), 1) for i in range(7)
        }
    seconds = part.seconds[np.isfinite(part.seconds)]
    if len(seconds):
        content["seconds"] = {
            "median": round(float(np.median(seconds)), 2),
            "p95": round(float(np.percentile(seconds, 95)), 2),
            "total_h": round(float(seconds.sum()) / 3600, 2),
        }
    content["features"] = {str(m): _gaps(f) for m, f in part.features.items()}
    if part.texts is not None:
        content["without_text"] = sum(not text.strip() for text in part.texts)
    return content


def _gaps(block: Features) -> dict[str, Any]:
    """Tell what is missing: samples without the modality, and cells and columns of the others' steps."""
    values = block.values[np.isfinite(block.values).any(axis=-1)]
    holes = ~np.isfinite(values)
    low = np.where(holes, np.inf, values).min(axis=0, initial=np.inf)
    high = np.where(holes, -np.inf, values).max(axis=0, initial=-np.inf)
    return {
        "extractor": block.extractor,
        "columns": len(block.columns),
        "samples_without": int((~block.present).sum()),
        "cells_without_percent": round(100 * float(holes.mean()), 3) if holes.size else 0.0,
        "columns_without_any": [block.columns[i] for i in np.flatnonzero(low > high)],
        "columns_constant": [block.columns[i] for i in np.flatnonzero(low == high)],
    }
