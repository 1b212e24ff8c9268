"""RAVDESS: names, labels, splits, alterations; extraction on a few takes."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from trivalent.core.errors import DataError, FeatureError
from trivalent.core.types import Sentiment
from trivalent.lab.datasets import voice_tables
from trivalent.lab.datasets.ravdess import (
    FOLDER,
    actor_folds,
    extract_ravdess,
    list_takes,
    official_split,
    parse_take,
)
from trivalent.lab.datasets.tabular import TabularData
from trivalent.lab.datasets.voice_tables import Variant, alter, trim
from trivalent.media.sound import AudioTrack

NAMES = ("F0.semitone_std_voiced", "MCEP_1.mean_voiced", "VUV.mean")


def data_root() -> Path | None:
    root = Path(os.environ.get("TRIVALENT_DATA", Path(__file__).resolve().parents[2] / "shared/data"))
    return root if (root / FOLDER).is_dir() else None


@pytest.fixture(scope="module")
def root() -> Path:
    found = data_root()
    if found is None:
        pytest.skip("no RAVDESS in ../shared/data or $TRIVALENT_DATA")
    return found


@pytest.fixture
def small_root(root: Path, tmp_path: Path) -> Path:
    """Two takes of two actors, and one of surprise."""
    folder = tmp_path / "data" / FOLDER
    folder.mkdir(parents=True)
    for emotion, actor in (("03", "01"), ("05", "02"), ("08", "02")):
        source = next((root / FOLDER).glob(f"03-01-{emotion}-01-01-01-{actor}.*"))
        shutil.copy(source, folder / source.name)
    return tmp_path / "data"


def tabular(actors: list[int]) -> TabularData:
    n = len(actors)
    groups = np.array([f"ravdess/{actor:02d}" for actor in actors])
    ids = np.arange(n).astype(np.str_)
    zeros = np.zeros((n, 1), dtype=np.float32)
    return TabularData(zeros, ("x",), np.zeros(n, dtype=np.int64), groups, np.full(n, "ravdess"), ids)


def test_name() -> None:
    take = parse_take("03-01-06-02-01-02-12.flac")
    assert (take.modality, take.channel, take.emotion, take.intensity) == (3, 1, "fearful", 2)
    assert (take.statement, take.repetition, take.actor) == (1, 2, 12)
    assert take.stem == "03-01-06-02-01-02-12"


@pytest.mark.parametrize(
    ("emotion", "label"),
    [
        ("01", Sentiment.NEUTRAL),
        ("02", Sentiment.NEUTRAL),
        ("03", Sentiment.POSITIVE),
        ("04", Sentiment.NEGATIVE),
        ("05", Sentiment.NEGATIVE),
        ("06", Sentiment.NEGATIVE),
        ("07", Sentiment.NEGATIVE),
        ("08", None),
    ],
)
def test_labels(emotion: str, label: Sentiment | None) -> None:
    assert parse_take(f"03-01-{emotion}-01-01-01-01.flac").label is label


@pytest.mark.parametrize(
    "name", ["talk.flac", "03-01-06-02-01-02.flac", "03-01-09-01-01-01-01.wav", "3-1-6-2-1-2-12"]
)
def test_foreign_names_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="expected"):
        parse_take(name)


def test_absent_data_says_where_they_belong(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="TRIVALENT_DATA"):
        list_takes(tmp_path)


def test_all_takes(root: Path) -> None:
    takes = [take for take, _ in list_takes(root)]
    counts = Counter(take.label for take in takes)
    assert counts == {Sentiment.NEGATIVE: 640, Sentiment.NEUTRAL: 240, Sentiment.POSITIVE: 160}
    assert {take.actor for take in takes} == set(range(1, 21))


def test_official_split() -> None:
    actors = [1, 13, 16, 17, 20, 2, 12]
    split = official_split(tabular(actors))
    assert [part.tolist() for part in split] == [[0, 5, 6], [1, 2], [3, 4]]
    with pytest.raises(DataError, match="validation actors"):
        official_split(tabular(actors), validation=(17,))


@pytest.mark.parametrize("count", [2, 4, 8])
def test_folds_cover_the_training_actors_once(count: int) -> None:
    folds = actor_folds(count)
    assert sorted(actor for fold in folds for actor in fold) == list(range(1, 17))
    assert all(sum(actor % 2 for actor in fold) * 2 == len(fold) for fold in folds)


def test_extraction(small_root: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    variants = (Variant.CLEAN, Variant.NOISE)
    data = extract_ravdess(
        small_root,
        names=NAMES,
        cache=tmp_path / "cache",
        variants=variants,
        progress=lambda *c: calls.append(c),
    )
    assert data.columns == NAMES
    assert data.values.dtype == np.float32
    assert data.ids.tolist() == [
        "03-01-03-01-01-01-01",
        "03-01-05-01-01-01-02",
        "03-01-03-01-01-01-01#noise",
        "03-01-05-01-01-01-02#noise",
    ]
    assert data.groups.tolist() == ["ravdess/01", "ravdess/02"] * 2
    assert data.labels.tolist() == [2, 0, 2, 0]
    assert np.isfinite(data.values).all()
    assert calls == [(1, 2), (2, 2)] * 2
    assert data.dropped == 0


def test_other_names_need_no_extraction(
    small_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = extract_ravdess(small_root, names=NAMES, cache=tmp_path / "cache")
    monkeypatch.setattr(voice_tables, "open_recording", None)
    again = extract_ravdess(small_root, names=NAMES[::-1], cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.values, first.values[:, ::-1])
    with pytest.raises(FeatureError, match="did you mean"):
        extract_ravdess(small_root, names=["F0.meen"], cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.part"))


def test_damaged_cache_is_told(small_root: Path, tmp_path: Path) -> None:
    extract_ravdess(small_root, names=NAMES, cache=tmp_path / "cache")
    next((tmp_path / "cache").iterdir()).write_bytes(b"PK damaged")
    with pytest.raises(DataError, match="delete it"):
        extract_ravdess(small_root, names=NAMES, cache=tmp_path / "cache")


def test_silence_around_speech_is_cut(root: Path) -> None:
    take = next((root / FOLDER).glob("03-01-01-01-01-01-01.*"))
    audio = voice_tables.open_recording(take).audio
    assert audio is not None
    assert 0.3 * audio.duration_s < trim(audio).size / 16000 < 0.9 * audio.duration_s


def test_a_recording_without_speech_stays_whole() -> None:
    assert trim(AudioTrack(np.zeros(16000, dtype=np.int16))).size == 16000


@pytest.mark.parametrize("variant", list(Variant))
def test_alterations(variant: Variant) -> None:
    speech = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) * 0.1
    altered = alter(speech, variant, np.random.default_rng(0))
    speed = {Variant.SLOW: 0.9, Variant.FAST: 1.1}.get(variant, 1.0)
    assert altered.size == pytest.approx(speech.size / speed, abs=1)
    assert np.isfinite(altered).all()
    np.testing.assert_array_equal(altered, alter(speech, variant, np.random.default_rng(0)))
    assert (variant is Variant.CLEAN) == np.array_equal(altered, speech)
    assert alter(np.empty(0), variant, np.random.default_rng(0)).size == 0


def test_noise_has_the_level_drawn() -> None:
    speech = np.random.default_rng(1).standard_normal(16000)
    noise = voice_tables._with_noise(speech, snr_db=20, colour=1, rng=np.random.default_rng(0)) - speech
    assert 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(20)


def test_telephone_removes_low_and_high() -> None:
    white = np.random.default_rng(1).standard_normal(16000)
    power = np.abs(np.fft.rfft(alter(white, Variant.TELEPHONE, np.random.default_rng(0)))) ** 2
    assert power[:100].mean() < 1e-2 * power[1000:2000].mean()
    assert power[7000:].mean() < 1e-2 * power[1000:2000].mean()
