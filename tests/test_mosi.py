"""CMU-MOSI from official files that are written here, and from the tables that stand in for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py", reason="the extra train is not installed")

from trivalent.bundle.encoder import check_encoder
from trivalent.cli.main import main
from trivalent.core.errors import DataError
from trivalent.core.types import Modality
from trivalent.lab.datasets import mosi
from trivalent.lab.datasets.cmu import standard_folds
from trivalent.lab.datasets.csd import ComputationalSequence, TimedFeatures, write_csd
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.problems.encoders import encoder_of

SEGMENT, TRANSCRIBED = mosi.PROTOCOLS
FOLDS = standard_folds("mosi")
TRAIN, TEST = (
    next(video for video in sorted(FOLDS) if FOLDS[video] == split) for split in ("train", "test")
)
TWO = np.array([[0.0, 1], [1, 3]])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))


def write(root: Path, file: str, **content: tuple[np.ndarray, np.ndarray]) -> None:
    (root / mosi.FOLDER).mkdir(parents=True, exist_ok=True)
    pairs = ((video, TimedFeatures(*pair)) for video, pair in content.items())
    write_csd(root / mosi.FOLDER / file, "root", sequences=pairs)


def write_transcripts(root: Path, *rows: str, header: str = "name,text,score") -> None:
    (root / mosi.FOLDER).mkdir(parents=True, exist_ok=True)
    (root / mosi.FOLDER / mosi.TRANSCRIPTS).write_text("\n".join([header, *rows]), encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two videos of the official folds and one of none."""
    root = tmp_path / "root"
    write(
        root,
        mosi.LABELS,
        **{
            TRAIN: (TWO, np.array([[-1.2], [0.0]])),
            TEST: (TWO[:1], np.array([[2.4]])),
            "elsewhere": (TWO[:1], np.array([[1.0]])),
        },
    )
    return root


def test_labels_and_times(root: Path) -> None:
    data = mosi.load_mosi(root, SEGMENT)
    order = sorted([TRAIN, TEST])
    assert data.ids.tolist() == [f"{v}[{i}]" for v in order for i in range(2 if v == TRAIN else 1)]
    train = data.part("train")
    assert (train.labels.tolist(), train.scores.tolist(), train.seconds.tolist()) == (
        [0, 1],
        [-1.2, 0],
        [1, 2],
    )
    assert data.part("test").labels.tolist() == [2]
    assert data.dropped == {"utterances of videos in no fold": 1}
    assert data.texts is None
    assert data.features == {}


@pytest.mark.parametrize(
    ("file", "modality", "extractor", "width"),
    [
        ("CMU_MOSI_TimestampedWordVectors.csd", Modality.TEXT, "glove", 300),
        ("CMU_MOSI_TimestampedWordVectors_1.1.csd", Modality.TEXT, "glove", 300),
        ("CMU_MOSI_COVAREP.csd", Modality.AUDIO, "covarep", 74),
        ("CMU_MOSI_Visual_OpenFace_2.csd", Modality.FACE, "openface2", 713),
        ("CMU_MOSI_VisualOpenFace2.csd", Modality.FACE, "openface2", 713),
        ("CMU_MOSI_Visual_Facet_42.csd", Modality.FACE, "facet", 35),
        ("CMU_MOSI_Visual_Facet_41.csd", Modality.FACE, "facet", 47),
    ],
)
def test_every_official_feature_file(
    root: Path, file: str, modality: Modality, extractor: str, width: int
) -> None:
    values = np.arange(2.0)[:, None] + np.zeros((2, width))
    write(root, file, **{TRAIN: (np.array([[0.0, 2], [2, 4]]), values)})
    data = mosi.load_mosi(root, SEGMENT)
    block = data.features[modality]
    assert (block.extractor, len(block.columns)) == (extractor, width)
    np.testing.assert_allclose(data.part("train").features[modality].values[:, 0], [0, 0.5])
    assert np.isnan(data.part("test").features[modality].values).all()
    assert data.dropped[f"{file}: videos absent"] == 1
    if extractor == "covarep":
        assert block.columns[:2] == ("F0", "VUV")
    if extractor == "openface2":
        assert block.columns[-1] == "AU45_c"
    assert mosi.load_mosi(root, SEGMENT, False).features == {}


def test_the_better_of_two_face_files_is_used(root: Path) -> None:
    for file, width in (("CMU_MOSI_Visual_Facet_42.csd", 35), ("CMU_MOSI_Visual_OpenFace_2.csd", 713)):
        write(root, file, **{TRAIN: (TWO, np.zeros((2, width)))})
    assert mosi.load_mosi(root, SEGMENT).features[Modality.FACE].extractor == "openface2"


def test_texts_come_from_transcripts_then_from_words(root: Path) -> None:
    words = (np.array([[0.1, 0.5], [0.5, 0.9], [1.2, 1.4]]), np.array([[b"so"], [b"sp"], [b"bad"]]))
    write(root, mosi.WORDS, **{TRAIN: words})
    write_transcripts(root, f"{TRAIN}_1,SO  SO,-1.2", f"{TEST}_1,WRONG,0.6")
    data = mosi.load_mosi(root, SEGMENT)
    assert data.part("train").texts == ("so so", "bad")
    assert data.part("test").texts == ("",), "its score is another one, so it belongs to another utterance"
    assert data.dropped["transcripts of another score, not used"] == 1
    some = mosi.load_mosi(root, TRANSCRIBED)
    assert some.ids.tolist() == [f"{TRAIN}[0]"]
    assert some.dropped["utterances without transcript"] == 2


def test_transcripts_alone(tmp_path: Path) -> None:
    write_transcripts(tmp_path, f"{TRAIN}_3,GOOD,1.5", f"{TEST}_1,BAD,-0.2")
    write(tmp_path, "CMU_MOSI_COVAREP.csd", **{TRAIN: (TWO, np.zeros((2, 74)))})
    for protocol in (SEGMENT, TRANSCRIBED):
        data = mosi.load_mosi(tmp_path, protocol)
        assert data.ids.tolist() == [f"{TRAIN}[2]", f"{TEST}[0]"]
        assert data.texts == ("good", "bad")
        assert np.isnan(data.seconds).all()
        assert data.features == {}
        assert sum(data.dropped.values()) == 1, "the feature file, which is useless without times"


def test_real_transcripts_alone_give_their_own_protocol(real_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / mosi.FOLDER
    folder.mkdir()
    (folder / mosi.TRANSCRIPTS).symlink_to(real_data / mosi.FOLDER / mosi.TRANSCRIPTS)
    entry = find_dataset("mosi")
    assert len(entry.read(tmp_path, "transcribed")) == 1447
    with pytest.raises(DataError, match=r"in train of mosi, protocol segment, .*\(-590 samples\)"):
        entry.read(tmp_path, "segment")


def test_counts_of_a_part_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match="not the complete official files"):
        find_dataset("mosi").read(root)


def test_real_labels_through_the_official_layout(real_data: Path, tmp_path: Path) -> None:
    table = mosi.read_utterances(real_data)
    content = {}
    for video in np.unique(table.video).tolist():
        rows = np.flatnonzero(table.video == video)
        rows = rows[np.argsort(table.position[rows])]
        start = np.arange(float(len(rows)))
        content[video] = (np.stack([start, start + 1], axis=1), table.score[rows, None])
    write(tmp_path, mosi.LABELS, **content)
    (tmp_path / mosi.FOLDER / mosi.TRANSCRIPTS).symlink_to(real_data / mosi.FOLDER / mosi.TRANSCRIPTS)
    data = find_dataset("mosi").read(tmp_path)
    assert len(data) == 2199
    assert data.dropped == {}
    assert len(find_dataset("mosi").read(tmp_path, "transcribed")) == 1447


def test_aligned_to_words(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (np.array([[0.0, 0.5], [0.5, 1.0]]), np.array([[b"so"], [b"bad"]]))
    write(root, mosi.WORDS, **{TRAIN: words})
    write(root, "CMU_MOSI_COVAREP.csd", **{TRAIN: (np.array([[0.0, 0.5], [0.5, 1]]), np.eye(2, 74))})
    out = tmp_path / "aligned"
    command = ["data", "convert", "mosi", "--align", "words", "-o", str(out), "--root", str(root)]
    assert main(command) == 0
    assert "3 samples aligned to words" in capsys.readouterr().out
    with ComputationalSequence(out / "CMU_MOSI_COVAREP.csd") as file:
        np.testing.assert_array_equal(file.read(f"{TRAIN}[0]").features, np.eye(2, 74))
    steps = mosi.load_mosi(root, find_dataset("mosi").protocol("segment-steps")).features[Modality.AUDIO]
    assert (steps.extractor, steps.columns[0], steps.present.tolist()) == (
        "covarep",
        "F0",
        [True, False, False],
    )
    np.testing.assert_array_equal(steps.values[0, :3], [*np.eye(2, 74), np.full(74, np.nan)])
    encoder = encoder_of(steps.extractor, steps.columns, steps.steps)
    assert encoder.steps is not None
    assert (encoder.steps.kind, encoder.from_recordings, encoder.options) == (
        "words",
        True,
        {"strict": True},
    )
    check_encoder(encoder, Modality.AUDIO)
    (root / mosi.FOLDER / mosi.LABELS).unlink()
    write_transcripts(root, f"{TRAIN}_1,A,1")
    assert main(command) == 1
    assert "which alone tells times" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("times", "scores", "message"),
    [
        ([[0.0, 1]], [[3.5]], r"score in \[-3, 3\] in data row 1 .* got 3.5"),
        ([[0.0, 1]], [[np.nan]], "got nan"),
        ([[1.0, 1]], [[1.0]], r"an end after its start .*\[0\]"),
        ([[0.0, 1]], [[b"good"]], "expected scores for"),
        (np.empty((0, 2)), np.empty((0, 1)), "expected utterances"),
    ],
)
def test_impossible_labels(tmp_path: Path, times, scores, message: str) -> None:
    write(tmp_path, mosi.LABELS, **{TRAIN: (np.array(times), np.array(scores))})
    with pytest.raises(DataError, match=message):
        mosi.load_mosi(tmp_path, SEGMENT)


def test_absent_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"expected {mosi.LABELS}.*found none"):
        mosi.load_mosi(tmp_path, SEGMENT)
    write(tmp_path, mosi.LABELS, nobody=(TWO, np.array([[1.0], [1]])))
    with pytest.raises(DataError, match="utterances of the 93 videos of MOSI"):
        mosi.load_mosi(tmp_path, SEGMENT)
    with pytest.raises(DataError, match=f"expected {mosi.TRANSCRIPTS}"):
        mosi.load_mosi(tmp_path, TRANSCRIBED)
    (tmp_path / mosi.FOLDER / mosi.LABELS).write_bytes(b"half a file")
    with pytest.raises(DataError, match="damaged"):
        mosi.load_mosi(tmp_path, SEGMENT)


@pytest.mark.parametrize("name", ["noname", "video_0", "video_x", "_1"])
def test_names_of_utterances(tmp_path: Path, name: str) -> None:
    write_transcripts(tmp_path, f"{name},A,1")
    with pytest.raises(DataError, match=f"expected names such as .* got '{name}'"):
        mosi.load_mosi(tmp_path, TRANSCRIBED)
