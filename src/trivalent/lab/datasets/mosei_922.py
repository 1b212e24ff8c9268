"""922 whole videos of CMU-MOSEI with features of all three modalities, one sample per video.

Words are the mean of BERT's [CLS] vectors, the voice the mean of the first 40 COVAREP columns, the
face the mean of the first 35 OpenFace 2 columns (among them time stamp, confidence and success).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import LabelMap, Modality, map_scores
from trivalent.features.covarep.columns import COLUMNS as COVAREP_COLUMNS
from trivalent.features.openface.columns import MOSEI_COLUMNS
from trivalent.lab.datasets.dataset import SPLITS, Dataset, Features
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.mosei import read_segments
from trivalent.lab.datasets.protocols import Protocol
from trivalent.lab.datasets.reading import finite_or_nan, read_arrays, scores_of

FILE = Path("cmu_mosei") / "video_level_922.npz"
BLOCKS: dict[Modality, tuple[str, str, tuple[str, ...]]] = {  # array, extractor, columns
    Modality.TEXT: ("bert_cls", "bert", tuple(f"bert_cls_{i}" for i in range(768))),
    Modality.AUDIO: ("covarep40", "covarep", COVAREP_COLUMNS[:40]),
    Modality.FACE: ("openface35", "openface2", MOSEI_COLUMNS[:35]),
}
_SHAPES: dict[str, tuple[int, ...]] = {"video_id": (), "fold_sdk": (), "labels7": (7,)}
_SHAPES |= {array: (len(columns),) for array, _, columns in BLOCKS.values()}
# A mean of n scores, each a multiple of 1/6, is zero or at least 1/(6 n). Means of 1/3 and the like
# in float32 miss zero by some 1e-8; four decimals tell the two apart for n up to 1,000.
_DECIMALS = 4


def load_mosei_922(root: Path, protocol: Protocol, features: bool = True) -> Dataset:
    """Make the samples of a protocol; the stored features cost nothing, so `features` is not asked."""
    data = read_arrays(root / FILE, _SHAPES)
    video, fold = data["video_id"], _folds(data["fold_sdk"])
    score = _first_scores(root, video) if protocol.name == "sdk-subset" else _mean_scores(data["labels7"])
    used = (fold != "") & np.isfinite(score)
    dropped = {
        "videos in no fold": int((fold == "").sum()),
        "videos without a first segment": int(((fold != "") & ~used).sum()),
    }
    blocks: dict[Modality, Features] = {}
    for modality, (array, extractor, columns) in BLOCKS.items():
        values, infinite = finite_or_nan(data[array][used])
        blocks[modality] = Features(extractor, columns, values)
        dropped[f"infinite cells of {array} taken for gaps"] = infinite
    return Dataset(
        name="mosei-922",
        protocol=protocol.name,
        ids=video[used],
        groups=video[used],
        split=fold[used],
        labels=map_scores(score[used], protocol.label_map or LabelMap.SIGN),
        scores=score[used],
        seconds=np.full(int(used.sum()), np.nan),
        features=blocks,
        dropped={reason: count for reason, count in dropped.items() if count},
    )


def _folds(fold: NDArray[np.str_]) -> NDArray[np.str_]:
    strange = sorted(set(fold.tolist()) - {*SPLITS, "none"})
    if strange:
        raise DataError("mosei.folds", splits=list(SPLITS), file=FILE, strange=strange[0])
    return np.where(fold == "none", "", fold)


def _first_scores(root: Path, video: NDArray[np.str_]) -> NDArray[np.float64]:
    """Score of the first segment of each video, NaN for a video that is not annotated."""
    segments = read_segments(root)
    first = segments.position == 0
    score = dict(zip(segments.video[first].tolist(), segments.score[first].tolist(), strict=True))
    return np.array([score.get(name, np.nan) for name in video.tolist()])


def _mean_scores(labels: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean sentiment of the segments of each video, with exact zeros."""
    rounded = np.round(labels[:, 0].astype(np.float64), _DECIMALS)
    return scores_of(rounded, FILE) + 0.0  # no minus zero


PROTOCOLS = (
    Protocol(
        "sdk-subset",
        "one sample per video: the score of its first segment in file order, rounded "
        "(ties to even), then its sign",
        LabelMap.ROUND,
        {"train": (75, 315, 245), "val": (5, 53, 28), "test": (22, 93, 65)},
    ),
    Protocol(
        "video-mean",
        "one sample per video: the sign of the mean score of its segments; a mean of exactly zero "
        "(up to rounding) is neutral",
        LabelMap.SIGN,
        {"train": (198, 41, 396), "val": (21, 7, 58), "test": (49, 13, 118)},
    ),
)
ENTRIES = (
    Entry(
        "mosei-922",
        "CMU-MOSEI, 922 whole videos: BERT, COVAREP and OpenFace 2 averages (English)",
        "code MIT; data for research use, CMU MultiComp Lab",
        "https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK",
        PROTOCOLS,
        load_mosei_922,
        files=(OfficialFile(FILE.as_posix()),),
        remedy=(
            "its authors gave this collection out as files of pooled features; no address is known "
            "that still serves it: ask the project for the file"
        ),
    ),
)
