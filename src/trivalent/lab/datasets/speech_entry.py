"""The corpora of emotional speech as a data set of the registry, with pooled columns of the voice."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trivalent.core.assets import cache_folder
from trivalent.core.types import Modality
from trivalent.features.pooling import columns_of, pool
from trivalent.lab.datasets.dataset import Dataset, Features
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.protocols import Protocol
from trivalent.lab.datasets.speech import CORPORA, FOLDER, SpokenTake, list_speech
from trivalent.lab.datasets.voice_pooling import VOICE_POOLING
from trivalent.lab.datasets.voice_tables import VOICE, voice_tables


def load_corpora(root: Path, protocol: Protocol, features: bool = True) -> Dataset:
    """Make one sample of every utterance; the voice only if `features` is True."""
    takes = [take for corpus in CORPORA for take in list_speech(root, corpus)]
    blocks = {Modality.AUDIO: _voice(takes)} if features else {}
    silent = {m: int((~block.present).sum()) for m, block in blocks.items()}
    return Dataset(
        name="speech",
        protocol=protocol.name,
        ids=np.array([take.id for take in takes]),
        groups=np.array([take.speaker for take in takes]),
        split=np.array(["test" if take.test else "train" for take in takes]),
        labels=np.array([int(take.label) for take in takes], np.int64),
        scores=np.full(len(takes), np.nan),
        seconds=np.array([take.seconds for take in takes]),
        features=blocks,
        dropped={f"utterances without {m}": count for m, count in silent.items() if count},
    )


def _voice(takes: list[SpokenTake]) -> Features:
    """Pool the voice of each utterance; a row of NaN where there is none."""
    values = np.full((len(takes), len(VOICE_POOLING)), np.nan, np.float32)
    row = {take.id: i for i, take in enumerate(takes)}
    for corpus in CORPORA:
        own = [take for take in takes if take.corpus == corpus]
        tables = voice_tables(
            corpus,
            [take.path for take in own],
            columns=columns_of(VOICE_POOLING),
            cache=cache_folder() / "features",
        )
        for take, table in zip(own, tables, strict=True):
            if len(table):
                values[row[take.id]] = pool(table, VOICE_POOLING)
    return Features(VOICE.name, VOICE_POOLING, values)


ENTRIES = (
    Entry(
        "speech",
        "Emotional speech of five corpora: Polish (nEMO), Mandarin (CASIA), Italian (EMOVO), Indian and "
        "Canadian English (Indian EmoSpeech, TESS)",
        "; ".join(f"{name} {corpus.licence}" for name, corpus in CORPORA.items()),
        "https://doi.org/10.5683/SP2/E8H2MF",
        (
            Protocol(
                "speakers",
                "one sample per utterance (of nEMO one sentence in five, of Indian EmoSpeech one utterance "
                "in three), class of its acted emotion; test on some speakers of each corpus but TESS, "
                "which has two, train on the others. The words are the same in all classes",
                None,
                {"train": (1716, 657, 645), "test": (367, 139, 118)},
            ),
        ),
        load_corpora,
        files=tuple(OfficialFile((FOLDER / name / "labels.csv").as_posix()) for name in CORPORA),
        remedy=(
            "the corpora are given out by their owners: put recordings at 16 kHz and a table labels.csv "
            "(file, sentiment, emotion, speaker, seconds, sentence) into speech/NAME/"
        ),
    ),
)
