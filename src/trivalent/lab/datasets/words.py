"""Tracks of the CMU data sets aligned to words: one row per spoken word of each sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import Modality
from trivalent.lab.datasets.alignment import average_over, tidy
from trivalent.lab.datasets.cmu import Spans, Track, column_names, rows_of
from trivalent.lab.datasets.csd import ComputationalSequence, TimedFeatures
from trivalent.lab.datasets.dataset import Features
from trivalent.lab.progress import track

MOST_WORDS = 50  # as in the aligned files of MMSA
PAUSE = b"sp"  # the word by which the aligner marks silence


@dataclass(frozen=True, eq=False)
class AlignedSample:
    """The words of a sample, with the features of each modality while they are spoken.

    Attributes
    ----------
    row : int
        Which sample of the spans.
    words : array of bytes, shape (n,)
    intervals : array of float64, shape (n, 2)
        Seconds in the video.
    features : dict of Modality to array of float32, shape (n, d)
        Time-weighted means; NaN where a modality has nothing during a word.
    """

    row: int
    words: NDArray[np.bytes_]
    intervals: NDArray[np.float64]
    features: dict[Modality, NDArray[np.float32]]


def align_words(
    words: Path, tracks: Mapping[Track, Path], spans: Spans, *, pauses: bool = False
) -> Iterator[AlignedSample]:
    """Average every track over every word; one video is in memory at a time.

    A word belongs to the sample within which its middle lies. Samples without a word (or whose
    video has no words) yield empty arrays, so that there is one item for each row of `spans`,
    grouped by video.

    Parameters
    ----------
    words : Path
        .csd of time-stamped words.
    tracks : mapping of Track to Path
        .csd files of features.
    spans : Spans
        Samples; times None means whole videos.
    pauses : bool
        Keep the word `sp`.

    Raises
    ------
    DataError
        A file is absent or damaged as a whole. A single damaged video counts as absent.
    """
    with ExitStack() as stack:
        spoken = stack.enter_context(ComputationalSequence(words))
        files = {t: stack.enter_context(ComputationalSequence(path)) for t, path in tracks.items()}
        for video, rows in track(list(rows_of(spans.video)), "words"):
            sequence = _spoken(spoken, video, pauses)
            features = {
                t.modality: _over_words(file, video, sequence.intervals) for t, file in files.items()
            }
            middle = sequence.intervals.mean(axis=1)
            for row in rows.tolist():
                start, end = (-np.inf, np.inf) if spans.times is None else spans.times[row]
                inside = (middle >= start) & (middle < end)
                yield AlignedSample(
                    row,
                    sequence.features[inside, 0],
                    sequence.intervals[inside],
                    {m: values[inside] for m, values in features.items()},
                )


def _spoken(file: ComputationalSequence, video: str, pauses: bool) -> TimedFeatures:
    try:
        sequence = file.read(video)
    except DataError:
        return TimedFeatures(np.empty((0, 2)), np.empty((0, 1), dtype="S1"))
    intervals, features, _ = tidy(sequence.intervals, sequence.features)
    if features.dtype.kind == "O":  # words of variable length
        features = features.astype(np.bytes_)
    kept = np.ones(len(features), bool) if pauses else features[:, 0] != PAUSE
    return TimedFeatures(intervals[kept], features[kept])


def _over_words(file: ComputationalSequence, video: str, words: NDArray[np.float64]) -> NDArray[np.float32]:
    try:
        sequence = file.read(video)
    except DataError:
        return np.full((len(words), _width(file)), np.nan, np.float32)
    intervals, features, _ = tidy(sequence.intervals, sequence.features)
    return average_over(intervals, features, spans=words)[0].astype(np.float32)


def _width(file: ComputationalSequence) -> int:
    for _, sequence in file.survey():
        if isinstance(sequence, TimedFeatures):
            return int(sequence.features.shape[1])
    raise DataError("fetch.verify_no_readable_key", name=file.path.name)


def word_features(
    words: Path, tracks: Mapping[Track, Path], spans: Spans, *, most: int = MOST_WORDS
) -> dict[Modality, Features]:
    """Make sequences over words of samples, cut after `most` of them.

    All are in memory at once: 50 words of all segments of CMU-MOSEI take 5 GB.

    Parameters
    ----------
    words, tracks, spans
        As of `align_words`.
    most : int
        Words of the longest sequence.

    Raises
    ------
    DataError
        See `align_words`.
    """
    values: dict[Modality, NDArray[np.float32]] = {}
    for sample in align_words(words, tracks, spans):
        for m, own in sample.features.items():
            if m not in values:
                values[m] = np.full((len(spans.video), most, own.shape[1]), np.nan, np.float32)
            values[m][sample.row, : len(own)] = own[:most]
    return {
        t.modality: Features(t.extractor, column_names(t, x.shape[2]), x)
        for t in tracks
        if (x := values.get(t.modality)) is not None
    }
