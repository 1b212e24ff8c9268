"""What a sample and its label are: named protocols over annotated data sets.

Two papers on "MOSEI sentiment" may have classified different things. A protocol says which
segments are samples, in which part, and how a score becomes a class; it knows its counts and
refuses data that do not give them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.errors import DataError, UsageError
from trivalent.lab.datasets.mosei import Segments
from trivalent.types import LabelMap, Sentiment, map_scores

SPLITS = ("train", "val", "test")
_SEVEN = ("-3", "-2", "-1", "0", "+1", "+2", "+3")


@dataclass(frozen=True)
class Protocol:
    """One way to make samples of a data set.

    Attributes
    ----------
    name, description : str
    label_map : LabelMap
        From the annotated score to the class.
    part : callable
        From `Segments` to the part (train, val, test or empty) of each segment.
    counts : dict of str to tuple of int
        Known (negative, neutral, positive) samples per part.
    """

    name: str
    description: str
    label_map: LabelMap
    part: Callable[[Segments], NDArray[np.str_]]
    counts: dict[str, tuple[int, int, int]]


def _segment_part(segments: Segments) -> NDArray[np.str_]:
    return np.where(segments.clip >= 0, segments.split, "")


def _first_part(segments: Segments) -> NDArray[np.str_]:
    return np.where(segments.position == 0, segments.fold, "")


PROTOCOLS: dict[str, Protocol] = {
    "segment": Protocol(
        "segment",
        "one sample per annotated segment, class by the sign of its score",
        LabelMap.SIGN,
        _segment_part,
        {"train": (4738, 3540, 8048), "val": (506, 433, 932), "test": (1350, 1025, 2284)},
    ),
    "sdk-subset": Protocol(
        "sdk-subset",
        "one sample per video: the score of the first segment in file order, rounded "
        "(ties to even), then its sign",
        LabelMap.ROUND,
        _first_part,
        {"train": (224, 1134, 891), "val": (31, 166, 103), "test": (77, 341, 258)},
    ),
}


def find_protocol(name: str) -> Protocol:
    """Look a protocol up.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"expected a protocol among {', '.join(PROTOCOLS)}, got {name!r}")
    return PROTOCOLS[name]


def class_counts(segments: Segments, protocol: Protocol, split: str) -> NDArray[np.int64]:
    """Count the classes of one part, shape (3,)."""
    rows = protocol.part(segments) == split
    labels = map_scores(segments.score[rows], protocol.label_map)
    return np.bincount(labels, minlength=len(Sentiment))


def check_counts(segments: Segments, protocol: Protocol) -> None:
    """Compare with the known counts.

    Raises
    ------
    DataError
        They differ: some segments are missing, repeated or labelled otherwise.
    """
    for split, known in protocol.counts.items():
        found = tuple(class_counts(segments, protocol, split).tolist())
        if found != known:
            raise DataError(
                f"expected {known} negative, neutral and positive samples in {split} of the protocol "
                f"{protocol.name}, got {found} ({sum(found) - sum(known):+d} samples): this is not the "
                "complete official label file; get it anew"
            )


def describe(segments: Segments, protocol: Protocol) -> dict[str, Any]:
    """Sum up every part: samples, videos, classes, imbalance, seven classes, durations."""
    part = protocol.part(segments)
    return {
        split: _describe_part(segments, part == split, protocol.label_map)
        for split in SPLITS
        if (part == split).any()
    }


def _describe_part(segments: Segments, rows: NDArray[np.bool_], rule: LabelMap) -> dict[str, Any]:
    classes = np.bincount(map_scores(segments.score[rows], rule), minlength=len(Sentiment))
    seven = np.bincount(map_scores(segments.score[rows], LabelMap.SEVEN), minlength=7)
    seconds = (segments.end_s - segments.start_s)[rows]
    count = int(rows.sum())
    return {
        "samples": count,
        "videos": len(np.unique(segments.video[rows])),
        "classes": {s.label: int(classes[s]) for s in Sentiment},
        "percent": {s.label: round(100 * classes[s] / count, 1) for s in Sentiment},
        "imbalance_ratio": round(float(classes.max() / max(1, classes.min())), 2),
        "seven_percent": {
            (f"{i - 3:+d}" if i != 3 else "0"): round(100 * seven[i] / count, 1) for i in range(7)
        },
        "segment_s": {
            "median": round(float(np.median(seconds)), 2),
            "p95": round(float(np.percentile(seconds, 95)), 2),
            "total_h": round(float(seconds.sum()) / 3600, 1),
        },
        "without_text": int((~segments.has_text[rows]).sum()),
    }


def explain_distribution(segments: Segments) -> list[dict[str, Any]]:
    """Show what rounding and first-segment sampling each do to the classes of train.

    Returns
    -------
    list of dict
        samples (which segments), label_map, count and percent of each class.
    """
    out = []
    for name, rule in product(PROTOCOLS, (LabelMap.SIGN, LabelMap.ROUND)):
        rows = PROTOCOLS[name].part(segments) == "train"
        classes = np.bincount(map_scores(segments.score[rows], rule), minlength=len(Sentiment))
        percent = {s.label: round(100 * classes[s] / rows.sum(), 1) for s in Sentiment}
        samples = "every segment" if name == "segment" else "first segment of each video"
        out.append(
            {"samples": samples, "label_map": str(rule), "count": int(rows.sum()), "percent": percent}
        )
    return out
