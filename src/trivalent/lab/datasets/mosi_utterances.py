"""CMU-MOSI with one row of features per utterance, made by networks that saw labels.

As published with the contextual multimodal fusion code of N. Majumder et al.: words by a CNN (100
columns), voice (73), face by a 3D-CNN (100). The CNNs of words and face were trained on the sentiment
of the 62 videos of their own train part. Hence there is no protocol by the folds of the SDK: of its
686 test utterances 558, and of its 229 validation utterances 195, lie in those 62 videos, so that a
figure from them would be about labels seen.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import LabelMap, Modality, map_scores
from trivalent.lab.datasets.dataset import Dataset, Features
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.mosi import FOLDER, TABLE, read_transcripts, split_name
from trivalent.lab.datasets.protocols import Protocol
from trivalent.lab.datasets.reading import finite_or_nan, read_arrays, scores_of
from trivalent.lab.datasets.splits import split_of

FILE = Path(FOLDER) / TABLE
BLOCKS: dict[Modality, tuple[str, str, int]] = {  # array, extractor, columns
    Modality.TEXT: ("text", "cmf-cnn", 100),
    Modality.AUDIO: ("audio", "cmf-voice", 73),
    Modality.FACE: ("video", "cmf-3dcnn", 100),
}
_SHAPES: dict[str, tuple[int, ...]] = {"name": (), "score": (), "split_cmf": ()}
_SHAPES |= {array: (width,) for array, _, width in BLOCKS.values()}
_TRAIN, _VAL = 0.8, 0.2  # of the published train videos, by the hash that also splits the transcripts


def load_utterances(root: Path, protocol: Protocol, features: bool = True) -> Dataset:
    """Make one sample of every utterance; the stored features cost nothing, so `features` is not asked.

    The columns have numbers for names: the published files say nothing of what they are.
    """
    data = read_arrays(root / FILE, _SHAPES)
    keys = [split_name(name, root / FILE) for name in data["name"].tolist()]
    video = np.array([name for name, _ in keys])
    scores = scores_of(data["score"], root / FILE)
    transcripts = read_transcripts(root)
    blocks: dict[Modality, Features] = {}
    dropped: dict[str, int] = {}
    for modality, (array, extractor, width) in BLOCKS.items():
        values, infinite = finite_or_nan(data[array])
        blocks[modality] = Features(extractor, tuple(f"{extractor}_{i}" for i in range(width)), values)
        dropped[f"infinite cells of {array} taken for gaps"] = infinite
    return Dataset(
        name="mosi-utterances",
        protocol=protocol.name,
        ids=data["name"],
        groups=video,
        split=_splits(video, data["split_cmf"]),
        labels=map_scores(scores, protocol.label_map or LabelMap.SIGN),
        scores=scores,
        seconds=np.full(len(video), np.nan),
        features=blocks,
        texts=tuple(transcripts.get(key, ("", 0.0))[0] for key in keys) if transcripts else None,
        dropped={reason: count for reason, count in dropped.items() if count},
    )


def _splits(video: NDArray[np.str_], part: NDArray[np.str_]) -> NDArray[np.str_]:
    strange = sorted(set(part.tolist()) - {"train", "test"})
    if strange:
        raise DataError("mosi.split_cmf", file=FILE, strange=strange[0])
    inner = [split_of(name, fractions=(_TRAIN, _VAL)) for name in video.tolist()]
    return np.where(part == "test", "test", inner)


PROTOCOLS = (
    Protocol(
        "cmf",
        "one sample per utterance, sign of its score; test is the published one (31 videos), val 9 of the "
        "62 published train videos, by hash. The networks behind words and face were trained on the "
        "labels of train and val: only test is honest, val flatters",
        LabelMap.SIGN,
        {"train": (646, 53, 543), "val": (92, 12, 101), "test": (285, 31, 436)},
    ),
)
ENTRIES = (
    Entry(
        "mosi-utterances",
        "CMU-MOSI, 2,199 utterances as CNN, voice and 3D-CNN features of Majumder et al. (English)",
        "code MIT; data for research use, CMU MultiComp Lab",
        "http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/",
        PROTOCOLS,
        load_utterances,
        files=(OfficialFile(FILE.as_posix()),),
        remedy="made from pickles of that code; no address is known that serves it: ask the project for it",
    ),
)
