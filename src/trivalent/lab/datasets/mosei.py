"""CMU-MOSEI: its annotated segments, and the protocols that make samples of them.

A. Zadeh et al., "Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset and Interpretable
Dynamic Fusion Graph", ACL 2018. The data root holds `cmu_mosei/` with `segments.csv` or the
official `CMU_MOSEI_Labels.csd`, and whichever of the official feature files there are.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import LabelMap, Modality, Sentiment, map_scores
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
    uncommon_segments,
)
from trivalent.lab.datasets.csd import ComputationalSequence
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.protocols import STEPS, Protocol, class_counts, with_steps
from trivalent.lab.datasets.words import word_features

FOLDER = "cmu_mosei"
LABELS = "CMU_MOSEI_Labels.csd"
WORDS = "CMU_MOSEI_TimestampedWords.csd"
TRACKS = (  # the first of a modality that is there is used
    Track(Modality.TEXT, "glove", "CMU_MOSEI_TimestampedWordVectors.csd", 300),
    Track(Modality.AUDIO, "covarep", "CMU_MOSEI_COVAREP.csd", 74),
    Track(Modality.FACE, "openface2", "CMU_MOSEI_VisualOpenFace2.csd", 713),
    Track(Modality.FACE, "facet", "CMU_MOSEI_VisualFacet42.csd", 35),
)
EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
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
    text : array of str, shape (n,)
        Empty where there is no transcript.
    """

    video: NDArray[np.str_]
    clip: NDArray[np.int64]
    position: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    split: NDArray[np.str_]
    fold: NDArray[np.str_]
    score: NDArray[np.float64]
    text: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.video)


_FIELDS = ("video", "clip", "position", "start_s", "end_s", "split", "fold", "score")


def read_segments(root: Path) -> Segments:
    """Read segments.csv, or the official label file if there is no such table.

    Raises
    ------
    DataError
        Both files are absent, or one is damaged, lacks a column, or a row has an impossible
        number; the message names the row.
    """
    if not (root / FILE).is_file() and (root / FOLDER / LABELS).is_file():
        return _read_labels(root / FOLDER / LABELS)
    return _read_table(root / FILE, root)


def _read_labels(path: Path) -> Segments:
    folds, uncommon = standard_folds("mosei"), uncommon_segments()
    wider = folds | standard_folds("mosei", "mmsa")
    rows: list[tuple[Any, ...]] = []
    with ComputationalSequence(path) as file:
        for video in file.keys:
            sequence = file.read(video)
            fold, split = folds.get(video, ""), wider.get(video, "")
            for i, (times, label) in enumerate(
                zip(sequence.intervals.tolist(), sequence.features.tolist(), strict=True)
            ):
                common = f"{video}[{i}]" not in uncommon
                own = split if common else ""
                rows.append((video, i if common else -1, i, *times, own, fold, label[0]))
    if not rows:
        raise DataError("mosei.no_segments", path=path)
    columns = {name: np.array(cells) for name, cells in zip(_FIELDS, zip(*rows, strict=True), strict=True)}
    found = Segments(**columns, text=np.full(len(rows), "", dtype=np.str_))
    _check(found, path)
    return found


def _read_table(path: Path, root: Path) -> Segments:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError("mosei.columns", missing=list(missing), path=path)
            rows = list(reader)
    except OSError as error:
        raise DataError("mosei.absent", file=FILE, root=root, strerror=error.strerror) from error
    except UnicodeDecodeError as error:
        raise DataError("mosei.utf8", path=path, error=error) from error
    if not rows:
        raise DataError("mosei.no_segments", path=path)
    segments = Segments(
        video=np.array([row["video_id"] for row in rows]),
        clip=_numbers(rows, "clip_id", path).astype(np.int64),
        position=_numbers(rows, "csd_index", path).astype(np.int64),
        start_s=_numbers(rows, "start", path),
        end_s=_numbers(rows, "end", path),
        split=np.array([row["split_mmsa"] for row in rows]),
        fold=np.array([row["fold_sdk"].replace("none", "") for row in rows]),
        score=_numbers(rows, "sentiment", path),
        text=np.array([(row.get("text") or "").strip() for row in rows]),
    )
    _check(segments, path)
    return segments


def _numbers(rows: list[dict[str, str]], column: str, path: Path) -> NDArray[np.float64]:
    out = np.empty(len(rows))
    for i, row in enumerate(rows):
        try:
            out[i] = float(row[column])
        except (TypeError, ValueError) as error:
            raise DataError(
                "mosei.number", column=column, row_number=i + 2, path=path, row=row[column]
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
                "mosei.rows",
                what=what,
                path=path,
                row_number=i + 2,
                video=segments.video[i],
                position=segments.position[i],
                rows=int(rows.sum()),
            )


@dataclass(frozen=True, eq=False)
class Samples:
    """Rows of the segment table that a protocol uses, and where they lie in their videos.

    Attributes
    ----------
    rows : array of int, shape (n,)
    split, ids : array of str, shape (n,)
        An id is `VIDEO[i]`, the key of the official label file.
    times : array of float64, shape (n, 2)
        Of the annotated segments, in seconds.
    spans : Spans
        What features are pooled over.
    """

    rows: NDArray[np.intp]
    split: NDArray[np.str_]
    ids: NDArray[np.str_]
    times: NDArray[np.float64]
    spans: Spans


def samples_of(segments: Segments, protocol: str) -> Samples:
    """Choose the rows of a protocol."""
    split = split_of(segments, protocol)
    rows = np.flatnonzero(split != "")
    video, position = segments.video[rows], segments.position[rows]
    ids = np.array([f"{v}[{i}]" for v, i in zip(video, position, strict=True)])
    times = np.stack([segments.start_s[rows], segments.end_s[rows]], axis=1)
    return Samples(rows, split[rows], ids, times, Spans(video, None if protocol == "sdk-subset" else times))


def load_mosei(root: Path, protocol: Protocol, features: bool = True) -> Dataset:
    """Make the samples of a protocol.

    Features come from the official files that lie under `cmu_mosei/`, pooled over the segment (protocol
    `segment`) or the whole video (`sdk-subset`), or averaged over each word (`segment-steps`).
    """
    segments = read_segments(root)
    used = samples_of(segments, protocol.name.removesuffix(STEPS))
    tracks = official_tracks(root / FOLDER, TRACKS)
    counts: dict[str, int] = {}
    if protocol.sequences:
        words = root / FOLDER / WORDS
        blocks = word_features(words, tracks, used.spans) if features and tracks else {}
    else:
        blocks, counts = pool_tracks(tracks if features else {}, used.spans)
    return Dataset(
        name="mosei",
        protocol=protocol.name,
        ids=used.ids,
        groups=segments.video[used.rows],
        split=used.split,
        labels=map_scores(segments.score[used.rows], protocol.label_map or LabelMap.SIGN),
        scores=segments.score[used.rows],
        seconds=used.times[:, 1] - used.times[:, 0],
        features=blocks,
        texts=tuple(segments.text[used.rows].tolist()),
        dropped={"segments that are no sample": len(segments) - len(used.rows)} | counts,
        synthetic=any(is_synthetic(path) for path in tracks.values()),
    )


def align_mosei(root: Path, protocol: Protocol, out: Path) -> list[str]:
    """Write every track of the samples by word, one .csd a track; see `convert.write_aligned`."""
    from trivalent.lab.datasets.convert import write_aligned

    used = samples_of(read_segments(root), protocol.name.removesuffix(STEPS))
    folder = root / FOLDER
    return write_aligned(folder, TRACKS, folder / WORDS, spans=used.spans, ids=used.ids, out=out)


def split_of(segments: Segments, protocol: str) -> NDArray[np.str_]:
    """Split of each segment under a protocol; empty if it is no sample."""
    if protocol == "segment":
        return np.where(segments.clip >= 0, segments.split, "")
    return np.where(segments.position == 0, segments.fold, "")


def explain_distribution(root: Path) -> dict[str, Any]:
    """Show what rounding and first-segment sampling each do to the classes of train.

    Returns
    -------
    dict
        `distribution`: list of {samples (which segments), label_map, count, percent of each class}.
    """
    segments, steps = read_segments(root), []
    for protocol, rule in product(PROTOCOLS, (LabelMap.SIGN, LabelMap.ROUND)):
        rows = split_of(segments, protocol.name) == "train"
        classes = class_counts(map_scores(segments.score[rows], rule))
        percent = {s.label: round(100 * classes[s] / max(1, rows.sum()), 1) for s in Sentiment}
        samples = "every segment" if protocol.name == "segment" else "first segment of each video"
        steps.append(
            {"samples": samples, "label_map": str(rule), "count": int(rows.sum()), "percent": percent}
        )
    return {"distribution": steps}


PROTOCOLS = (
    Protocol(
        "segment",
        "one sample per annotated segment, class by the sign of its score",
        LabelMap.SIGN,
        {"train": (4738, 3540, 8048), "val": (506, 433, 932), "test": (1350, 1025, 2284)},
    ),
    Protocol(
        "sdk-subset",
        "one sample per video: the score of the first segment in file order, rounded "
        "(ties to even), then its sign",
        LabelMap.ROUND,
        {"train": (224, 1134, 891), "val": (31, 166, 103), "test": (77, 341, 258)},
    ),
)
_ADDRESSES = {
    LABELS: "labels/CMU_MOSEI_Labels.csd",
    WORDS: "language/CMU_MOSEI_TimestampedWords.csd",
    TRACKS[0].file: "language/CMU_MOSEI_TimestampedWordVectors.csd",
    TRACKS[1].file: "acoustic/CMU_MOSEI_COVAREP.csd",
    TRACKS[2].file: "visual/CMU_MOSEI_VisualOpenFace2.csd",
    TRACKS[3].file: "visual/CMU_MOSEI_VisualFacet42.csd",
}
ENTRIES = (
    Entry(
        "mosei",
        "CMU-MOSEI, 23,259 annotated segments of 3,293 videos (English, monologues)",
        "research use, CMU MultiComp Lab",
        HOMEPAGE,
        (*PROTOCOLS, *with_steps(PROTOCOLS[0])[1:]),
        load_mosei,
        files=tuple(
            OfficialFile(f"{FOLDER}/{n}", (f"{SERVER}/CMU-MOSEI/{a}",)) for n, a in _ADDRESSES.items()
        ),
        remedy=REMEDY,
        align=align_mosei,
        extra=explain_distribution,
    ),
)
