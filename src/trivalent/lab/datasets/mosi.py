"""CMU-MOSI: 2,199 opinion utterances of 93 videos, from the official files or from tables.

A. Zadeh et al., "MOSI: Multimodal Corpus of Sentiment Intensity and Subjectivity Analysis in Online
Opinion Videos", IEEE Intelligent Systems 31(6), 2016. The data root holds `cmu_mosi/` with the
official `CMU_MOSI_Opinion_Labels.csd` (a key per video, an interval per utterance) and whichever of
the official feature files there are; failing that, labels come from `utterance_features.npz` or
`segments_train.csv`, and there are no features, as these know no times.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import LabelMap, Modality, map_scores
from trivalent.lab.datasets.cmu import (
    HOMEPAGE,
    REMEDY,
    SERVER,
    Spans,
    Track,
    is_synthetic,
    official_tracks,
    pool_tracks,
    standard_folds,
)
from trivalent.lab.datasets.csd import ComputationalSequence
from trivalent.lab.datasets.dataset import Dataset, Features
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.protocols import STEPS, Protocol, with_steps
from trivalent.lab.datasets.reading import read_arrays, read_rows, scores_of
from trivalent.lab.datasets.words import align_words, word_features

FOLDER = "cmu_mosi"
LABELS = "CMU_MOSI_Opinion_Labels.csd"
WORDS = "CMU_MOSI_TimestampedWords.csd"
TRANSCRIPTS = "segments_train.csv"
TABLE = "utterance_features.npz"
TRACKS = (  # the first of a modality that is there is used
    Track(Modality.TEXT, "glove", "CMU_MOSI_TimestampedWordVectors.csd", 300),
    Track(Modality.TEXT, "glove", "CMU_MOSI_TimestampedWordVectors_1.1.csd", 300),
    Track(Modality.AUDIO, "covarep", "CMU_MOSI_COVAREP.csd", 74),
    Track(Modality.FACE, "openface2", "CMU_MOSI_Visual_OpenFace_2.csd", 713),
    Track(Modality.FACE, "openface2", "CMU_MOSI_VisualOpenFace2.csd", 713),
    Track(Modality.FACE, "openface2", "CMU_MOSI_OpenFace2.csd", 713),
    Track(Modality.FACE, "facet", "CMU_MOSI_Visual_Facet_42.csd", 35),
    Track(Modality.FACE, "facet", "CMU_MOSI_Visual_Facet_41.csd", 47),
)
_SAME_SCORE = 1e-3


@dataclass(frozen=True, eq=False)
class Utterances:
    """Annotated utterances, one row each.

    Attributes
    ----------
    video : array of str, shape (n,)
    position : array of int64, shape (n,)
        From 0 within the video; the tables' VIDEO_1 is position 0.
    times : array of float64, shape (n, 2), optional
        Start and end in seconds; None if the source knows none.
    score : array of float64, shape (n,)
        Sentiment in [-3, 3].
    """

    video: NDArray[np.str_]
    position: NDArray[np.int64]
    times: NDArray[np.float64] | None
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.video)

    def take(self, rows: NDArray[np.intp]) -> Utterances:
        """Keep rows."""
        times = None if self.times is None else self.times[rows]
        return Utterances(self.video[rows], self.position[rows], times, self.score[rows])


def read_utterances(root: Path) -> Utterances:
    """Read the official label file, or the table that replaces it.

    Raises
    ------
    DataError
        There is neither, or it is damaged or has an impossible score or time.
    """
    folder = root / FOLDER
    if (folder / LABELS).is_file():
        return _read_labels(folder / LABELS)
    if (folder / TABLE).is_file():
        data = read_arrays(folder / TABLE, {"name": (), "score": ()})
        return _named(data["name"], data["score"], folder / TABLE)
    if (folder / TRANSCRIPTS).is_file():
        rows, _ = read_rows(folder / TRANSCRIPTS, ("name", "score"))
        return _named([row["name"] for row in rows], [row["score"] for row in rows], folder / TRANSCRIPTS)
    raise DataError("mosi.absent", labels=LABELS, table=TABLE, transcripts=TRANSCRIPTS, folder=folder)


def _read_labels(path: Path) -> Utterances:
    rows: list[tuple[str, int, list[float], float]] = []
    with ComputationalSequence(path) as file:
        for video in file.keys:
            sequence = file.read(video)
            if sequence.features.dtype.kind not in "fiu":
                raise DataError("mosi.scores", video=video, name=path.name, dtype=sequence.features.dtype)
            pairs = zip(sequence.intervals.tolist(), sequence.features.tolist(), strict=True)
            rows += [(video, i, times, label[0]) for i, (times, label) in enumerate(pairs)]
    if not rows:
        raise DataError("mosi.no_utterances", path=path)
    videos, positions, times, scores = zip(*rows, strict=True)
    spans = np.array(times)
    empty = np.flatnonzero(~(spans[:, 1] > spans[:, 0]))
    if len(empty):
        where = f"{videos[empty[0]]}[{positions[empty[0]]}]"
        raise DataError(
            "mosi.ends", path=path, spans=spans[empty[0]].tolist(), where=where, count=len(empty)
        )
    return Utterances(np.array(videos), np.array(positions), spans, scores_of(scores, path))


def _named(names: NDArray[np.str_] | list[str], scores: Any, path: Path) -> Utterances:
    split = [split_name(str(name), path) for name in names]
    videos = np.array([video for video, _ in split], np.str_)
    return Utterances(videos, np.array([i for _, i in split], np.int64), None, scores_of(scores, path))


def split_name(name: str, path: Path) -> tuple[str, int]:
    """Take VIDEO_NUMBER, counted from 1, apart into video and position from 0.

    >>> split_name("--q_Xx_12", Path("x.csv"))
    ('--q_Xx', 11)
    """
    video, _, number = name.rpartition("_")
    if not video or not number.isdecimal() or int(number) < 1:
        raise DataError("mosi.name", path=path, name=name)
    return video, int(number) - 1


def read_transcripts(root: Path) -> dict[tuple[str, int], tuple[str, float]]:
    """Return text and score by video and position from `segments_train.csv`; empty without the file."""
    path = root / FOLDER / TRANSCRIPTS
    if not path.is_file():
        return {}
    rows, _ = read_rows(path, ("name", "text", "score"))
    scores = scores_of([row["score"] for row in rows], path).tolist()
    return {
        split_name(row["name"], path): (" ".join(row["text"].lower().split()), score)  # from capitals
        for row, score in zip(rows, scores, strict=True)
    }


@dataclass(frozen=True, eq=False)
class _Samples:
    """Utterances that a protocol uses, with their folds and transcripts ("" where there is none)."""

    utterances: Utterances
    split: NDArray[np.str_]
    ids: NDArray[np.str_]
    texts: list[str]
    dropped: dict[str, int]

    @property
    def spans(self) -> Spans | None:
        """Where the samples lie in their videos; None if no times are known."""
        times = self.utterances.times
        return None if times is None else Spans(self.utterances.video, times)


def _samples(root: Path, protocol: str) -> _Samples:
    utterances, transcripts, folds = read_utterances(root), read_transcripts(root), standard_folds("mosi")
    if protocol == "transcribed" and not transcripts:
        raise DataError("mosi.no_transcripts", transcripts=TRANSCRIPTS, root=root / FOLDER)
    keys = list(zip(utterances.video.tolist(), utterances.position.tolist(), strict=True))
    nearby = [transcripts.get(key, ("", np.nan)) for key in keys]
    transcribed = np.array([key in transcripts for key in keys])
    # Position is all that joins the two: another score says that it joins the wrong ones.
    agree = np.abs(np.array([score for _, score in nearby]) - utterances.score) < _SAME_SCORE
    split = np.array([folds.get(video, "") for video, _ in keys])
    kept = split != ""
    dropped = {
        "utterances of videos in no fold": int((~kept).sum()),
        "transcripts of another score, not used": int((transcribed & ~agree).sum()),
    }
    if protocol == "transcribed":
        dropped["utterances without transcript"] = int((kept & ~agree).sum())
        kept &= agree
    rows = np.flatnonzero(kept)
    if not len(rows):
        raise DataError("mosi.videos", root=root / FOLDER)
    return _Samples(
        utterances.take(rows),
        split[rows],
        np.array([f"{keys[i][0]}[{keys[i][1]}]" for i in rows]),
        [nearby[i][0] if agree[i] else "" for i in rows],
        dropped,
    )


def load_mosi(root: Path, protocol: Protocol, features: bool = True) -> Dataset:
    """Make one sample of every utterance (`segment`), or of those with a transcript (`transcribed`)."""
    used, folder = _samples(root, protocol.name.removesuffix(STEPS)), root / FOLDER
    tracks = official_tracks(folder, TRACKS)
    blocks: dict[Modality, Features] = {}
    dropped, texts, spans = dict(used.dropped), used.texts, used.spans
    if spans is None:
        dropped[f"feature files unused, as only {LABELS} tells times"] = len(tracks)
    else:
        texts = _with_words(folder / WORDS, spans, texts)
        if protocol.sequences:
            blocks = word_features(folder / WORDS, tracks, spans) if features and tracks else {}
        else:
            blocks, counts = pool_tracks(tracks if features else {}, spans)
            dropped |= counts
    times = used.utterances.times
    return Dataset(
        name="mosi",
        protocol=protocol.name,
        ids=used.ids,
        groups=used.utterances.video,
        split=used.split,
        labels=map_scores(used.utterances.score, protocol.label_map or LabelMap.SIGN),
        scores=used.utterances.score,
        seconds=np.full(len(used.ids), np.nan) if times is None else times[:, 1] - times[:, 0],
        features=blocks,
        texts=tuple(texts) if any(texts) else None,
        dropped={reason: count for reason, count in dropped.items() if count},
        synthetic=any(is_synthetic(path) for path in tracks.values()),
    )


def align_mosi(root: Path, protocol: Protocol, out: Path) -> list[str]:
    """Write every track of the samples by word, one .csd a track; see `convert.write_aligned`."""
    from trivalent.lab.datasets.convert import write_aligned

    used, folder = _samples(root, protocol.name.removesuffix(STEPS)), root / FOLDER
    if used.spans is None:
        raise DataError("mosi.times", labels=LABELS, folder=folder)
    return write_aligned(folder, TRACKS, folder / WORDS, spans=used.spans, ids=used.ids, out=out)


def _with_words(path: Path, spans: Spans, texts: list[str]) -> list[str]:
    """Fill the gaps in the texts with the words that are spoken in each utterance."""
    filled = list(texts)
    if path.is_file():
        for sample in align_words(path, {}, spans):
            spoken = b" ".join(sample.words.tolist()).decode("utf-8", "replace").lower()
            filled[sample.row] = filled[sample.row] or spoken
    return filled


PROTOCOLS = (
    Protocol(
        "segment",
        "one sample per annotated utterance, class by the sign of its score; standard folds of the SDK",
        LabelMap.SIGN,
        {"train": (552, 53, 679), "val": (92, 13, 124), "test": (379, 30, 277)},
    ),
    Protocol(
        "transcribed",
        f"as segment, but only the 1,447 utterances whose transcripts are in {TRANSCRIPTS}",
        LabelMap.SIGN,
        {"train": (326, 30, 338), "val": (88, 12, 95), "test": (324, 23, 211)},
    ),
)
_ADDRESSES = {
    LABELS: "labels",
    WORDS: "language",
    "CMU_MOSI_TimestampedWordVectors.csd": "language",
    "CMU_MOSI_TimestampedWordVectors_1.1.csd": "language",
    "CMU_MOSI_COVAREP.csd": "acoustic",
    "CMU_MOSI_Visual_OpenFace_2.csd": "visual",
    "CMU_MOSI_Visual_Facet_42.csd": "visual",
    "CMU_MOSI_Visual_Facet_41.csd": "visual",
}
ENTRIES = (
    Entry(
        "mosi",
        "CMU-MOSI, 2,199 opinion utterances of 93 videos (English, monologues)",
        "research use, CMU MultiComp Lab",
        HOMEPAGE,
        with_steps(*PROTOCOLS),
        load_mosi,
        files=tuple(
            OfficialFile(f"{FOLDER}/{n}", (f"{SERVER}/CMU-MOSI/{a}/{n}",)) for n, a in _ADDRESSES.items()
        ),
        remedy=REMEDY,
        align=align_mosi,
    ),
)
