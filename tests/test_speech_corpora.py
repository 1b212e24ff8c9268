"""Corpora of emotional speech: which utterances, classes and speakers are read, and from which tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trivalent.core.errors import DataError
from trivalent.core.types import FeatureTable
from trivalent.features.frames import CHANNELS, LEVELS
from trivalent.lab.datasets import voice_takes
from trivalent.lab.datasets.ravdess import SENTIMENTS
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.datasets.speech import CORPORA, list_speech
from trivalent.lab.datasets.voice_tables import VOICE
from trivalent.lab.datasets.voice_takes import load_speech, pool_speech

HEAD = "file,sentiment,emotion,speaker,language,seconds,sentence"


@pytest.fixture
def small_root(tmp_path: Path) -> Path:
    """Two utterances of two speakers in each corpus, one of them of the test, and a take of RAVDESS."""
    speech = tmp_path / "ravdess" / "speech"
    speech.mkdir(parents=True)
    for actor in (1, 17):
        (speech / f"03-01-05-01-01-01-{actor:02d}.flac").write_bytes(b"")
    for name, corpus in CORPORA.items():
        folder = tmp_path / "speech" / name
        folder.mkdir(parents=True)
        people = ["Z", *(f"{prefix}1" for prefix in corpus.test[:1])]
        rows = [
            f"{i:05d}.opus,{sentiment},{emotion},{who},xx,1.5,{corpus.one_in * i}"
            for i, (who, sentiment, emotion) in enumerate(
                (who, *kind)
                for who in people
                for kind in (("negative", "anger"), ("positive", "happiness"), ("neutral", "calm"))
            )
        ]
        rows += [f"9.opus,neutral,neutral,Z,xx,1.5,{corpus.one_in - 1}"] * (corpus.one_in > 1)
        (folder / "labels.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    return tmp_path


def test_every_corpus_is_read_by_one_list_of_emotions(small_root: Path) -> None:
    for name, corpus in CORPORA.items():
        takes = list_speech(small_root, name)
        assert len(takes) == 3 * (1 + len(corpus.test[:1])), "sentences in between are left out"
        assert {take.emotion for take in takes} == {"angry", "happy", "calm"}
        assert all(SENTIMENTS[take.emotion] is take.label for take in takes)
        assert [take.test for take in takes] == [take.speaker != f"{name}/Z" for take in takes]


def test_an_unknown_sentiment_is_named(small_root: Path) -> None:
    table = small_root / "speech" / "tess_en" / "labels.csv"
    table.write_text(table.read_text().replace("neutral", "bored"))
    with pytest.raises(DataError, match=r"negative.*neutral.*positive.*'bored'"):
        list_speech(small_root, "tess_en")


def test_collections_are_folds_and_test_speakers_stay_out(
    small_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tables(
        source: str, paths: list[Path], *, columns: tuple[str, ...], **_: object
    ) -> list[FeatureTable]:
        ordered = tuple(name for name in VOICE.columns if name in columns)
        rng = np.random.default_rng(len(source))
        values = 1 + rng.random((len(paths), 20, len(ordered)))
        return [FeatureTable("covarep", "2", ordered, np.arange(20) / 100, own) for own in values]

    monkeypatch.setattr(voice_takes, "voice_tables", tables)
    channels = CHANNELS + LEVELS
    train, test = (load_speech(channels, root=small_root, test=part) for part in (False, True))
    assert np.unique(train.sources[np.argsort(train.folds)]).tolist() == sorted({"ravdess", *CORPORA})
    assert train.folds.tolist() == [0] + [1 + i for i in range(5) for _ in range(3)]
    assert not set(train.speakers) & set(test.speakers)
    assert set(test.speakers) == {
        "ravdess/17",
        *(f"{n}/{c.test[0]}1" for n, c in CORPORA.items() if c.test),
    }
    assert len(pool_speech(["F0.mean_voiced"], root=small_root)) == len(train) + len(test)
    assert train.levels[:, len(CHANNELS) :].any(axis=0).all()
    assert not train.levels[:, : len(CHANNELS)].any()


def test_real_counts(real_data: Path) -> None:
    if not (real_data / "speech").is_dir():
        pytest.skip("no speech corpora")
    data = find_dataset("speech").read(real_data, features=False)
    assert {name.split("/")[0] for name in data.groups.tolist()} == set(CORPORA)
