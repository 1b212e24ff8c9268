"""RAVDESS speech as a data set of the registry: voice and face of the same takes.

The voice is computed from `ravdess/speech/` on demand (cached; ten minutes of one core for all 1,040
takes), the face are the action units of OpenFace 2 that `ravdess/openface_au35.npz` holds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trivalent.core.assets import cache_folder
from trivalent.core.errors import DataError
from trivalent.core.types import Modality
from trivalent.features.registry import extractor
from trivalent.lab.datasets.dataset import Dataset, Features
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.protocols import Protocol
from trivalent.lab.datasets.ravdess import SOURCE, TEST_ACTORS, Take, extract_ravdess, parse_take
from trivalent.lab.datasets.reading import finite_or_nan, read_arrays
from trivalent.lab.datasets.voice_pooling import VOICE_POOLING
from trivalent.lab.datasets.voice_tables import VOICE

FILE = Path("ravdess") / "openface_au35.npz"
AU_COLUMNS = tuple(name for name in extractor("openface").columns if name.startswith("AU"))
VAL_ACTORS = (13, 14, 15, 16)


def load_ravdess(root: Path, protocol: Protocol, features: bool = True) -> Dataset:
    """Make one sample of every take that has a sentiment; the voice only if `features` is True."""
    data = read_arrays(root / FILE, {"name": (), "openface_au35": (len(AU_COLUMNS),)})
    takes = [parse_take(name) for name in data["name"].tolist()]
    used = np.array([take.label is not None for take in takes], bool)
    labelled = [take for take in takes if take.label is not None]
    if not labelled:
        raise DataError("ravdess.no_sentiment", root=root / FILE)
    face, infinite = finite_or_nan(data["openface_au35"][used])
    blocks: dict[Modality, Features] = {}
    split = np.array([_split_of(take) for take in labelled])
    dropped = {
        "takes of surprise, which has no valence": int((~used).sum()),
        "takes of other actors": int((split == "").sum()),
        "infinite cells of openface_au35 taken for gaps": infinite,
    }
    if features:
        voice = _voice(root, labelled)
        blocks[Modality.AUDIO] = voice
        dropped["takes without a voice"] = int((~voice.present).sum())
    blocks[Modality.FACE] = Features("openface2", AU_COLUMNS, face)
    everything = Dataset(
        name="ravdess",
        protocol=protocol.name,
        ids=np.array([take.stem for take in labelled]),
        groups=np.array([f"{SOURCE}/{take.actor:02d}" for take in labelled]),
        split=split,
        labels=np.array([take.label for take in labelled], np.int64),
        scores=np.full(len(labelled), np.nan),
        seconds=np.full(len(labelled), np.nan),
        features=blocks,
        dropped={reason: count for reason, count in dropped.items() if count},
    )
    return everything.take(split != "")


def _voice(root: Path, takes: list[Take]) -> Features:
    """Pool the voice of each take; a row of NaN where there is no recording or nothing in it."""
    voice = extract_ravdess(root, names=VOICE_POOLING, cache=cache_folder() / "features")
    row = {name: i for i, name in enumerate(voice.ids.tolist())}
    values = np.full((len(takes), len(VOICE_POOLING)), np.nan, np.float32)
    for i, take in enumerate(takes):
        if take.stem in row:
            values[i] = voice.values[row[take.stem]]
    return Features(VOICE.name, VOICE_POOLING, values)


def _split_of(take: Take) -> str:
    if take.actor in TEST_ACTORS:
        return "test"
    if take.actor in VAL_ACTORS:
        return "val"
    return "train" if 1 <= take.actor < min(VAL_ACTORS) else ""


_RECORD = "https://zenodo.org/records/1188976"
ENTRIES = (
    Entry(
        "ravdess",
        "RAVDESS speech, actors 01 to 20: 1,040 acted takes with a sentiment (English, two sentences)",
        "CC BY-NC-SA 4.0",
        _RECORD,
        (
            Protocol(
                "actors",
                "one sample per take, class of its acted emotion, surprise left out; train on actors 01 "
                "to 12, val on 13 to 16, test on 17 to 20. The words are the same in all classes",
                None,
                {"train": (384, 144, 96), "val": (128, 48, 32), "test": (128, 48, 32)},
            ),
        ),
        load_ravdess,
        files=(
            OfficialFile(FILE.as_posix()),
            OfficialFile(
                "ravdess/Audio_Speech_Actors_01-24.zip",
                (f"{_RECORD}/files/Audio_Speech_Actors_01-24.zip?download=1",),
            ),
        ),
        remedy=(
            f"the recordings are at {_RECORD}: put those of actors 01 to 20 into ravdess/speech/; "
            "the action units are the means of OpenFace 2 over the clips with pictures"
        ),
    ),
)
