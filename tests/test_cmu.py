"""CMU-MOSEI from its official files: pooled, aligned to words, damaged, synthetic, converted."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from trivalent.cli.main import main
from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import Modality
from trivalent.lab.datasets import cmu, mosei
from trivalent.lab.datasets.csd import ComputationalSequence, TimedFeatures, write_csd
from trivalent.lab.datasets.csd_table import SequenceTable
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.datasets.synthetic import Scale, synthesize_mosei
from trivalent.lab.datasets.words import align_words, word_features

WORD_TRACK, VOICE_TRACK, FACE_TRACK, _ = mosei.TRACKS
SEGMENT, SUBSET = mosei.PROTOCOLS


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two videos of the official folds, written by hand: 2 s at one row a second."""
    folder = tmp_path / "root" / mosei.FOLDER
    folder.mkdir(parents=True)
    train, val = (first_of(split) for split in ("train", "val"))
    seconds = np.array([[0.0, 1], [1, 2]])

    def write(file: str, content: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
        pairs = ((video, TimedFeatures(*pair)) for video, pair in content.items())
        write_csd(folder / file, Path(file).stem, sequences=pairs)

    scores = np.array([[-1.0] + [0] * 6, [0.5] + [0] * 6])
    write(mosei.LABELS, {train: (seconds, scores), val: (seconds[:1], scores[1:])})
    write(VOICE_TRACK.file, {train: (seconds, np.array([[1.0, 10], [3, -np.inf]]))})
    spoken = np.array([[0.0, 0.5], [0.5, 1.0], [1.2, 1.8]])
    write(mosei.WORDS, {train: (spoken, np.array([[b"so"], [b"sp"], [b"good"]]))})
    return tmp_path / "root"


def first_of(split: str) -> str:
    """Train sorts before val, as in the file."""
    return (min if split == "train" else max)(
        video for video, own in cmu.standard_folds("mosei").items() if own == split
    )


def test_segments_and_whole_videos(root: Path) -> None:
    train, val = first_of("train"), first_of("val")
    data = mosei.load_mosei(root, SEGMENT)
    assert data.ids.tolist() == [f"{train}[0]", f"{train}[1]", f"{val}[0]"]
    assert data.split.tolist() == ["train", "train", "val"]
    assert data.labels.tolist() == [0, 2, 2]
    voice = data.features[Modality.AUDIO]
    np.testing.assert_array_equal(voice.values, [[1, 10], [3, np.nan], [np.nan, np.nan]])
    assert voice.present.tolist() == [True, True, False]
    assert data.dropped[f"{VOICE_TRACK.file}: videos absent"] == 1
    whole = mosei.load_mosei(root, SUBSET)
    assert whole.labels.tolist() == [0, 1]  # one half rounds to zero
    np.testing.assert_array_equal(whole.features[Modality.AUDIO].values[0], [2, 10])
    assert mosei.load_mosei(root, SEGMENT, features=False).features == {}


def test_an_incomplete_set_is_told_by_its_counts(root: Path) -> None:
    with pytest.raises(DataError, match=r"expected \(4738, 3540, 8048\) .* not the complete official"):
        find_dataset("mosei").read(root)


def test_pooling_is_cached_until_the_file_changes(root: Path) -> None:
    before = mosei.load_mosei(root, SEGMENT).features[Modality.AUDIO].values
    path = root / mosei.FOLDER / VOICE_TRACK.file
    np.testing.assert_array_equal(
        mosei.load_mosei(root, SEGMENT).features[Modality.AUDIO].values[:, 0], before[:, 0]
    )
    with h5py.File(path, "r+") as file:
        group = file[path.stem]["data"][first_of("train")]["features"]
        group[...] = 7.0
    after = mosei.load_mosei(root, SEGMENT).features[Modality.AUDIO].values
    assert after[0, 0] == 7


def test_a_damaged_video_leaves_the_others(root: Path) -> None:
    path = root / mosei.FOLDER / VOICE_TRACK.file
    val = first_of("val")
    with h5py.File(path, "r+") as file:
        group = file[path.stem]["data"].create_group(val)
        group["features"], group["intervals"] = np.zeros((3, 2)), np.zeros((2, 2))
    data = mosei.load_mosei(root, SEGMENT)
    assert data.dropped[f"{VOICE_TRACK.file}: videos damaged"] == 1
    assert data.features[Modality.AUDIO].present.tolist() == [True, True, False]


def test_intervals_out_of_order_are_repaired_and_counted(root: Path) -> None:
    path = root / mosei.FOLDER / VOICE_TRACK.file
    backward = TimedFeatures(np.array([[1.0, 2], [0, 1.5]]), np.array([[3.0, 1], [1, 1]]))
    write_csd(path, path.stem, sequences=[(first_of("train"), backward)])
    data = mosei.load_mosei(root, SEGMENT)
    np.testing.assert_array_equal(data.features[Modality.AUDIO].values[:2, 0], [1, 3])
    assert data.dropped[f"{VOICE_TRACK.file}: intervals repaired"] == 2


def test_words(root: Path) -> None:
    segments = mosei.read_segments(root)
    spans = mosei.samples_of(segments, "segment").spans
    folder = root / mosei.FOLDER
    tracks = {VOICE_TRACK: folder / VOICE_TRACK.file}
    samples = list(align_words(folder / mosei.WORDS, tracks, spans))
    assert [s.row for s in samples] == [0, 1, 2]
    assert [s.words.tolist() for s in samples] == [[b"so"], [b"good"], []]
    np.testing.assert_array_equal(samples[1].features[Modality.AUDIO], [[3, np.nan]])
    found = word_features(folder / mosei.WORDS, tracks, spans, most=2)[Modality.AUDIO]
    assert found.values.shape == (3, 2, 2)
    there = np.isfinite(found.values).any(axis=2)
    assert there.tolist() == [[True, False], [True, False], [False, False]]
    kept = list(align_words(folder / mosei.WORDS, tracks, spans, pauses=True))
    assert kept[0].words.tolist() == [b"so", b"sp"]


def test_synthetic_files_say_what_they_are(real_data: Path, tmp_path: Path) -> None:
    segments = mosei.read_segments(real_data)
    scale = Scale(videos=4, rate=0.05, facet=True)
    first = synthesize_mosei(segments, tmp_path / "a", scale=scale)
    assert [p.name for p in first] == [mosei.LABELS, mosei.WORDS, *(t.file for t in mosei.TRACKS)]
    data = mosei.load_mosei(tmp_path / "a", SEGMENT)
    assert data.synthetic
    widths = {m: f.values.shape[1] for m, f in data.features.items()}
    assert widths == {Modality.TEXT: 300, Modality.AUDIO: 74, Modality.FACE: 713}
    real = mosei.load_mosei(real_data, SEGMENT)
    row_of = {name: i for i, name in enumerate(real.ids.tolist())}
    rows = [row_of[name] for name in data.ids.tolist()]
    np.testing.assert_allclose(real.scores[rows], data.scores)
    np.testing.assert_array_equal(real.split[rows], data.split)
    second = synthesize_mosei(segments, tmp_path / "b", scale=scale)
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    with pytest.raises(UsageError, match="rate in"):
        Scale(rate=0)


def test_real_labels_from_the_official_file(real_data: Path, tmp_path: Path) -> None:
    """The label file alone gives the counts of both protocols: folds are in the package."""
    segments = mosei.read_segments(real_data)
    synthesize_mosei(segments, tmp_path, scale=Scale(rate=0.001))
    for track in mosei.TRACKS:
        (tmp_path / mosei.FOLDER / track.file).unlink(missing_ok=True)
    for protocol in ("segment", "sdk-subset"):
        find_dataset("mosei").read(tmp_path, protocol)


def test_a_table_and_back_is_bit_equal(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "cmu_mosi" / "CMU_MOSI_ModifiedTimestampedWords_train.csd"
    once, table, twice = (tmp_path / name for name in ("once.csd", "table.npz", "twice.csd"))
    SequenceTable.read(source).write_csd(once)
    assert main(["data", "convert", str(once), "-o", str(table)]) == 0
    assert main(["data", "convert", str(table), "-o", str(twice)]) == 0
    assert once.read_bytes() == twice.read_bytes()
    with ComputationalSequence(source) as old, ComputationalSequence(twice) as new:
        assert (old.name, old.keys) == (new.name, new.keys)
        for key in old.keys:
            a, b = old.read(key), new.read(key)
            assert a.intervals.tobytes() == b.intervals.tobytes()
            assert a.features.tolist() == b.features.tolist()
    with pytest.raises(DataError, match="make it with `trivalent data convert`"):
        SequenceTable.load(source)
    assert main(["data", "convert", str(source), "-o", str(tmp_path / "x.csv")]) == 2


def test_commands(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path / "set"), "--root", str(real_data)]
    assert main(["data", "synthesize", "mosei", "--videos", "3", "--rate", "0.05", *out]) == 0
    assert "MiB, synthetic" in capsys.readouterr().out
    made = ["--root", str(tmp_path / "set")]
    assert main(["data", "info", "mosei", *made]) == 0  # a few videos alone have no known counts
    assert "SYNTHETIC" in capsys.readouterr().out
    assert main(["data", "convert", "mosei", "--align", "words", "-o", str(tmp_path / "w"), *made]) == 0
    with ComputationalSequence(tmp_path / "w" / VOICE_TRACK.file) as file:
        assert all(key.endswith("]") for key in file.keys)
        assert file.read(file.keys[0]).features.shape[1] == 74
    assert main(["data", "convert", "mosei", "-o", str(tmp_path / "a.csv"), "--root", str(real_data)]) == 0
    assert len((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()) == 22_857
    page = tmp_path / "page.html"
    assert main(["data", "info", "mosei", "--html", str(page), "--root", str(real_data)]) == 0
    shown = page.read_text(encoding="utf-8")
    assert "every segment, sign" in shown
    assert "<script" not in shown
