"""MMSA pickles: what they hold, their data sets, and that nothing else in a pickle is ever run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trivalent.cli.main import main
from trivalent.core.errors import DataError
from trivalent.core.types import Modality
from trivalent.lab.datasets import ch_sims
from trivalent.lab.datasets.mmsa import load_mmsa, load_restricted, valid_steps
from trivalent.lab.datasets.mmsa_dataset import mmsa_dataset
from trivalent.lab.datasets.registry import DATASETS, find_dataset


def part(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(n)
    return {
        "id": [f"video{n}$_${i}" for i in range(n)],
        "raw_text": np.array([f"text {i}" for i in range(n)], dtype=object),
        "text": rng.standard_normal((n, 5, 4)).astype(np.float32),
        "audio": rng.standard_normal((n, 7, 3)),
        "vision": rng.standard_normal((n, 6, 2)),
        "audio_lengths": list(range(1, n + 1)),
        "regression_labels": np.linspace(-3, 3, n),
    }


def content() -> dict[str, Any]:
    return {"train": part(4), "valid": part(2), "test": part(3)}


def write(path: Path, value: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


class Shell:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_split(tmp_path: Path, protocol: int) -> None:
    found = load_mmsa(write(tmp_path / "a.pkl", content(), protocol))
    assert {name: len(p) for name, p in found.items()} == {"train": 4, "val": 2, "test": 3}
    train, expected = found["train"], part(4)
    assert train.ids[0] == "video4$_$0"
    assert train.texts == ("text 0", "text 1", "text 2", "text 3")
    np.testing.assert_array_equal(train.features["text"], expected["text"])
    assert train.features["text"].dtype == np.float32
    assert train.lengths["audio"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(train.scores, [-3, -1, 1, 3])


def test_scalars_and_plain_containers(tmp_path: Path) -> None:
    value = {"a": [np.float32(1.5), (1, None, b"x")], "b": {1, 2}}
    assert load_restricted(write(tmp_path / "a.pkl", value)) == value


@pytest.mark.parametrize(
    ("value", "name"),
    [(Shell(), "system"), (Path("x"), "pathlib"), (np.random.default_rng(0), "numpy.random"), (len, "len")],
)
def test_anything_else_is_named_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    hidden = {**content(), "extra": [value]}
    with pytest.raises(DataError, match=rf"a\.pkl: expected NumPy arrays .*{name}.* nothing of it was run"):
        load_mmsa(write(tmp_path / "a.pkl", hidden))
    assert not (tmp_path / "ran").exists()


def test_damaged_and_absent(tmp_path: Path) -> None:
    whole = pickle.dumps(content())
    for i, data in enumerate((b"", b"hello", whole[:200], whole[:-1], b"\x80\x09.")):
        path = tmp_path / f"{i}.pkl"
        path.write_bytes(data)
        with pytest.raises(DataError, match="damaged"):
            load_mmsa(path)
    with pytest.raises(DataError, match="No such file"):
        load_mmsa(tmp_path / "absent.pkl")


def test_other_contents(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    with pytest.raises(DataError, match=r"expected the splits train, valid, test in a\.pkl, got list"):
        load_mmsa(write(path, [1, 2]))
    lacking = content()
    del lacking["test"]["regression_labels"]
    with pytest.raises(DataError, match=r"fields regression_labels in a\.pkl, test"):
        load_mmsa(write(path, lacking))
    short = content()
    short["valid"]["audio"] = short["valid"]["audio"][:1]
    with pytest.raises(DataError, match=r"expected 2 entries of audio in a\.pkl, valid, got 1"):
        load_mmsa(write(path, short))
    twice = content()
    twice["train"]["id"][1] = twice["train"]["id"][0]
    with pytest.raises(DataError, match=r"each id once in a\.pkl, train, got 1 repeated"):
        load_mmsa(write(path, twice))
    empty = content()
    empty["valid"] = {name: values[:0] for name, values in empty["valid"].items()}
    with pytest.raises(DataError, match=r"expected samples in a\.pkl, valid, got none"):
        load_mmsa(write(path, empty))
    with pytest.raises(DataError, match=r"named fields in a\.pkl, train, got list"):
        load_mmsa(write(path, {**content(), "train": [1]}))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "audio",
            [np.zeros((2, 3)), np.zeros((5, 3)), np.zeros((1, 3))],
            "audio in .*rows of unequal length",
        ),
        (
            "vision",
            np.zeros((3, 2)),
            r"numbers with 3 axes as vision in a\.pkl, test, got float64 of shape",
        ),
        ("text", np.full((3, 5, 4), "x"), "numbers with 3 axes as text"),
        ("regression_labels", np.array(["a", "b", "c"]), "numbers with 1 axes as regression_labels"),
        ("audio_lengths", [1, 2], r"expected 3 entries of audio_lengths in a\.pkl, test, got 2"),
        ("id", np.zeros((3, 3)), r"one text per sample as id in a\.pkl, test, got shape \(3, 3\)"),
    ],
)
def test_fields_of_another_shape(tmp_path: Path, name: str, value: Any, message: str) -> None:
    changed = content()
    changed["test"][name] = value
    with pytest.raises(DataError, match=message):
        load_mmsa(write(tmp_path / "a.pkl", changed))


@pytest.mark.parametrize(
    ("absent", "added", "message"),
    [
        ("regression_labels", "labels", "files of MulT"),
        ("regression_labels", "classification_labels", "classes alone are not read"),
        ("id", "index", "fields id in .* whether splits share videos"),
    ],
)
def test_older_forms(tmp_path: Path, absent: str, added: str, message: str) -> None:
    changed = content()
    changed["train"][added] = changed["train"].pop(absent)
    with pytest.raises(DataError, match=message):
        load_mmsa(write(tmp_path / "a.pkl", changed))


def padded(*, lengths: bool) -> dict[str, Any]:
    """Three samples of four steps: padded behind, padded in front, and with a gap."""
    audio = np.zeros((3, 4, 2))
    audio[0, :2] = [[1, -np.inf], [3, 5]]
    audio[1, 2:] = [[2, 4], [4, 8]]
    audio[2, [0, 2]] = [[1, 1], [2, 0]]
    tokens = np.zeros((3, 3, 4))
    tokens[:, 1] = [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    content: dict[str, Any] = {
        "id": ["a$_$0", "b$_$0", "b$_$1"],
        "raw_text": ["x", "y", "z"],
        "text": np.arange(1, 25, dtype=np.float32).reshape(3, 4, 2),  # not zero beyond the mask
        "text_bert": tokens,
        "audio": audio,
        "regression_labels": np.array([[-0.4], [0.0], [1.0]]),
    }
    return content | ({"audio_lengths": np.array([2, 2, 9])} if lengths else {})


@pytest.mark.parametrize("lengths", [True, False])
def test_padding_does_not_count(tmp_path: Path, lengths: bool) -> None:
    """An aligned file (without lengths) and an unaligned one."""
    file = {"train": padded(lengths=lengths), "valid": part(2), "test": part(3)}
    for name in ("valid", "test"):
        file[name] = {k: v[..., :2] if k in ("text", "audio") else v for k, v in file[name].items()}
        del file[name]["vision"]
    path = write(tmp_path / "a.pkl", file)
    train = load_mmsa(path)["train"]
    expected = [[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0]]
    assert valid_steps(train, "audio").astype(int).tolist() == expected
    steps = mmsa_dataset(path, name="a", sequences=True).part("train").features
    values = steps[Modality.AUDIO].values
    there = np.isfinite(values).any(axis=2)
    assert there[:, :4].astype(int).tolist() == expected
    assert not there[:, 4:].any(), "padded to the steps of the other parts"
    assert values.dtype == np.float32
    assert np.isnan(values[0, 0]).tolist() == [False, True]
    assert np.isfinite(steps[Modality.TEXT].values).any(axis=2).sum(axis=1).tolist() == [2, 4, 1]
    data = mmsa_dataset(path, name="a").part("train")
    np.testing.assert_array_equal(data.features[Modality.AUDIO].values, [[2, 5], [3, 6], [1.5, 0.5]])
    np.testing.assert_array_equal(data.features[Modality.TEXT].values, [[2, 3], [12, 13], [17, 18]])
    assert data.features[Modality.AUDIO].columns == ("audio_0", "audio_1")
    assert data.dropped == {"audio: values that are not finite, left out of the means": 1}


def test_lengths_win_over_padding_that_is_not_zero(tmp_path: Path) -> None:
    train = load_mmsa(write(tmp_path / "a.pkl", content()))["train"]
    assert valid_steps(train, "audio").sum(axis=1).tolist() == [1, 2, 3, 4]
    assert valid_steps(train, "vision").all()


def test_means_against_a_loop(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pkl", {"train": part(600), "valid": part(2), "test": part(3)})
    data = mmsa_dataset(path, name="a")
    train = load_mmsa(path)["train"]
    for row in (0, 5, 599):  # beyond one chunk, too
        expected = train.features["audio"][row, : row + 1].mean(axis=0)
        np.testing.assert_allclose(data.features[Modality.AUDIO].values[row], expected, rtol=1e-6)


def test_a_sample_without_a_modality_or_a_score(tmp_path: Path) -> None:
    file = content()
    file["train"]["audio"][1] = 0
    file["train"]["regression_labels"][2] = np.nan
    data = mmsa_dataset(write(tmp_path / "a.pkl", file), name="a")
    assert data.features[Modality.AUDIO].present[:3].tolist() == [True, False, True]
    assert data.ids[:3].tolist() == ["video4$_$0", "video4$_$1", "video4$_$3"]
    assert data.dropped == {"samples without a score": 1}
    assert data.split.tolist() == ["train"] * 3 + ["val"] * 2 + ["test"] * 3
    assert data.texts[2] == "text 3"
    assert not mmsa_dataset(tmp_path / "a.pkl", name="a", features=False).features


def test_scales(tmp_path: Path) -> None:
    file = content()
    path = write(tmp_path / "a.pkl", file)
    assert mmsa_dataset(path, name="a").scores[:4].tolist() == [-3, -1, 1, 3]
    with pytest.raises(
        DataError, match=r"in \[-1, 1\] in a\.pkl, got -3 for video4\$_\$0 \(6 such in all\)"
    ):
        mmsa_dataset(path, name="a", scale=3)
    for name in file:
        file[name]["regression_labels"] = file[name]["regression_labels"] / 3
    small = mmsa_dataset(write(path, file), name="a")
    np.testing.assert_allclose(small.scores[:4], [-3, -1, 1, 3], rtol=0, atol=1e-6)


def test_videos_and_widths(tmp_path: Path) -> None:
    file = content()
    file["test"]["id"][0] = "video4$_$9"
    path = write(tmp_path / "a.pkl", file)
    with pytest.raises(
        DataError, match=r"every video of a\.pkl in one split, got 1 of 3 .* protocol by-video"
    ):
        mmsa_dataset(path, name="a")
    split = mmsa_dataset(path, name="a", by_video=True)
    assert len(set(split.split[split.groups == "video4"].tolist())) == 1
    file["test"]["id"][0] = "utterance"
    with pytest.raises(DataError, match=r"an id VIDEO\$_\$CLIP, got 'utterance'"):
        mmsa_dataset(write(path, file), name="a")
    file = content()
    file["test"]["audio"] = file["test"]["audio"][..., :1]
    with pytest.raises(DataError, match=r"audio of one width in every split of a\.pkl"):
        mmsa_dataset(write(path, file), name="a")


def counted(counts: dict[str, tuple[int, int, int]]) -> dict[str, Any]:
    """Write a file of MOSI's size, a video for each split."""
    file = {}
    for key, split in {"train": "train", "valid": "val", "test": "test"}.items():
        own = part(sum(counts[split]))
        own["regression_labels"] = np.repeat([-1.2, 0.0, 2.0], counts[split])
        file[key] = own
    return file


def test_entries_by_name(tmp_path: Path, real_data: Path) -> None:
    folder = tmp_path / "mmsa" / "MOSI" / "Processed"
    folder.mkdir(parents=True)
    counts = DATASETS["mosi-mmsa"].protocols[0].counts
    write(folder / "aligned_50.pkl", counted(counts))
    data = DATASETS["mosi-mmsa"].read(tmp_path, "aligned")
    assert [int((data.split == s).sum()) for s in ("train", "val", "test")] == [1284, 229, 686]
    with pytest.raises(DataError, match=r"unaligned_50\.pkl or .*MOSI, got none"):
        DATASETS["mosi-mmsa"].read(tmp_path, "unaligned")
    write(folder / "unaligned_50.pkl", content())
    with pytest.raises(DataError, match="not the complete official files"):
        DATASETS["mosi-mmsa"].read(tmp_path, "unaligned")
    with np.load(real_data / "cmu_mosi" / "utterance_features.npz") as stored:
        for split, known in counts.items():  # the known counts are those of the real scores
            signs = np.sign(stored["score"][stored["split_sdk"] == split])
            assert tuple(int((signs == s).sum()) for s in (-1, 0, 1)) == known
    mosei = DATASETS["mosei-mmsa"].protocols[0].counts
    assert [sum(c) for c in mosei.values()] == [16326, 1871, 4659]


def test_sims_by_name(tmp_path: Path, real_data: Path) -> None:
    """The real clips of CH-SIMS as a pickle: the official split, which is then split anew by video."""
    clips = ch_sims.read_clips(real_data)
    file: dict[str, Any] = {}
    for key, split in {"train": "train", "valid": "val", "test": "test"}.items():
        rows = [i for i, s in enumerate(clips.split) if s == split]
        file[key] = {
            "id": ["$_$".join(clips.names[i].rsplit("_", 1)) for i in rows],
            "raw_text": [clips.texts[i] for i in rows],
            "text": np.ones((len(rows), 1, 1), np.float32),
            "regression_labels": (clips.scores[rows] / 3).astype(np.float32),
        }
    path = tmp_path / "mmsa" / "SIMS" / "unaligned_39.pkl"
    path.parent.mkdir(parents=True)
    write(path, file)
    assert [len(part["id"]) for part in file.values()] == [1368, 456, 457]
    data = DATASETS["sims-mmsa"].read(tmp_path)  # asserts the counts of ch-sims
    table = DATASETS["ch-sims"].read(real_data)
    assert sorted(zip(data.groups, data.split, data.labels, strict=True)) == sorted(
        zip(table.groups, table.split, table.labels, strict=True)
    )
    with pytest.raises(DataError, match="got 60 of 60 in two or three"):
        find_dataset(str(path)).read(tmp_path)


def test_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRIVALENT_DATA", raising=False)
    path = write(tmp_path / "aligned_50.pkl", content())
    assert main(["data", "info", str(path), "--features"]) == 0
    shown = capsys.readouterr().out
    assert "aligned_50.pkl, protocol stored" in shown
    assert "mmsa-audio" in shown
    assert main(["data", "info", str(path), "--protocol", "by-video"]) == 0
    assert main(["data", "info", str(tmp_path / "absent.pkl")]) == 1
    assert "No such file" in capsys.readouterr().err
    assert main(["data", "list"]) == 0
    assert "sims2-mmsa" in capsys.readouterr().out
