"""Checks of data roots that the tests write: whole, incomplete, damaged, of the wrong size."""

from __future__ import annotations

import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trivalent.cli.main import main
from trivalent.core.errors import DataError, MissingExtraError
from trivalent.lab.datasets.check import check, render_check
from trivalent.lab.datasets.entry import OfficialFile
from trivalent.lab.datasets.registry import DATASETS
from trivalent.lab.datasets.verify import verify_file

h5py = pytest.importorskip("h5py", reason="the extra train is not installed")

from trivalent.lab.datasets.cmu import SYNTHETIC, standard_folds  # noqa: E402
from trivalent.lab.datasets.csd import TimedFeatures, write_csd  # noqa: E402

COVAREP = "cmu_mosei/CMU_MOSEI_COVAREP.csd"
LABELS = "cmu_mosei/CMU_MOSEI_Labels.csd"
VIDEOS = list(standard_folds("mosei"))[:6]


def sequence(columns: int, value: float = 1.0) -> TimedFeatures:
    return TimedFeatures(np.array([[0.0, 1.0], [1.0, 2.0]]), np.full((2, columns), value, np.float32))


def write(root: Path, path: str, *, columns: int = 74, **metadata: str) -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    parts = ((video, sequence(columns)) for video in [*VIDEOS, "not-in-any-fold"])
    return write_csd(target, target.stem, sequences=parts, metadata=metadata)


def found(content: dict[str, Any], path: str) -> dict[str, Any]:
    return next(f for f in content["files"] if f["path"] == path)


@pytest.fixture
def mosei() -> Any:
    """MOSEI without known counts: small trees can be read."""
    entry = DATASETS["mosei"]
    return replace(entry, protocols=tuple(replace(p, counts={}) for p in entry.protocols))


def test_the_real_table_is_enough(real_data: Path) -> None:
    content = check(DATASETS["mosei"], real_data)
    assert content["ok"]
    assert [(p["name"], p["status"], p["samples"]) for p in content["protocols"]] == [
        ("segment", "reproduced", 22_856),
        ("sdk-subset", "reproduced", 3_225),
        ("segment-steps", "reproduced", 22_856),
    ]


def test_a_small_tree(tmp_path: Path, mosei: Any) -> None:
    write(tmp_path, LABELS, columns=7)
    write(tmp_path, COVAREP)
    content = check(mosei, tmp_path)
    assert content["ok"]
    file = found(content, COVAREP)
    assert (file["status"], file["keys"], file["videos"], file["synthetic"]) == ("ok", 7, 7, False)
    assert file["fold"] == {"present": 6, "missing": 3219}
    assert found(content, "cmu_mosei/CMU_MOSEI_VisualFacet42.csd")["status"] == "absent"
    assert {p["status"] for p in content["protocols"]} == {"read"}
    text = render_check(content)
    assert "6 of the 3,225 videos of the standard folds" in text
    assert "trivalent data fetch mosei" in text
    json.dumps(content)


def test_known_counts_that_are_not_reproduced(tmp_path: Path) -> None:
    write(tmp_path, LABELS, columns=7)
    content = check(DATASETS["mosei"], tmp_path)
    assert not content["ok"]
    assert all("not the complete official files" in p["reason"] for p in content["protocols"])
    assert "not readable: expected (" in render_check(content)


def test_one_protocol_that_can_be_read_is_enough(tmp_path: Path, mosei: Any) -> None:
    write(tmp_path, LABELS, columns=7)
    impossible = replace(mosei.protocols[0], name="other", counts={"train": (1, 2, 3)})
    content = check(replace(mosei, protocols=(impossible, mosei.protocols[1])), tmp_path)
    assert content["ok"]
    assert [p["status"] for p in content["protocols"]] == ["failed", "read"]


def test_a_truncated_file(tmp_path: Path, mosei: Any) -> None:
    write(tmp_path, LABELS, columns=7)
    path = write(tmp_path, COVAREP)
    path.write_bytes(path.read_bytes()[:-2000])
    content = check(mosei, tmp_path)
    assert not content["ok"]
    assert found(content, COVAREP)["status"] == "damaged"
    assert "complete HDF5 file" in found(content, COVAREP)["reason"]
    assert found(content, LABELS)["status"] == "ok"


def test_damaged_keys_are_found_by_a_deep_check(tmp_path: Path, mosei: Any) -> None:
    write(tmp_path, LABELS, columns=7)
    with h5py.File(write(tmp_path, COVAREP), "r+") as file:
        group = file["CMU_MOSEI_COVAREP/data"][VIDEOS[0]]
        del group["intervals"]
    assert check(mosei, tmp_path)["ok"]
    content = check(mosei, tmp_path, deep=True)
    assert not content["ok"]
    assert found(content, COVAREP)["damaged_keys"] == [VIDEOS[0]]
    assert f"expected 7 readable keys, 1 are damaged, first '{VIDEOS[0]}'" in render_check(content)
    assert "every key readable" in render_check({**content, "files": [found(content, LABELS)]})


@pytest.mark.parametrize("known", [{"size": 10}, {"sha256": "0" * 64}])
def test_a_file_that_is_not_the_known_one(tmp_path: Path, mosei: Any, known: dict[str, Any]) -> None:
    write(tmp_path, LABELS, columns=7)
    entry = replace(mosei, files=(OfficialFile(LABELS, **known),))
    content = check(entry, tmp_path)
    assert not content["ok"]
    assert "expected 10 bytes" in str(content) or "expected sha256 000000000000" in str(content)


def test_synthetic_files_say_so_and_are_not_compared(tmp_path: Path, mosei: Any) -> None:
    write(tmp_path, LABELS, columns=7)
    write(tmp_path, COVAREP, **{SYNTHETIC: "yes"})
    content = check(replace(mosei, files=(OfficialFile(COVAREP, size=10),)), tmp_path)
    assert content["ok"]
    assert found(content, COVAREP)["synthetic"]
    assert "SYNTHETIC: values drawn at random" in render_check(content)


def save(path: Path, kind: str) -> None:
    if kind == "npz":
        np.savez(path, a=np.arange(5), b=np.ones(2))
    elif kind == "pkl":
        path.write_bytes(pickle.dumps({"train": {"id": np.arange(3)}}))
    elif kind == "csv":
        path.write_text("a,b\n1,2\n3,4\n", encoding="utf-8-sig")
    elif kind == "json":
        path.write_text('{"a": 1}')
    elif kind == "tar.gz":
        import tarfile

        with tarfile.open(path, "w:gz") as archive:
            archive.add(Path(__file__), "test.py")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "text " * 50)


TELLS = {
    "npz": ("arrays", ["a", "b"]),
    "pkl": ("fields", ["train"]),
    "csv": ("header", "a,b"),
    "json": ("entries", 1),
    "zip": ("members", 1),
    "tar.gz": ("bytes", None),
}


@pytest.mark.parametrize("kind", TELLS)
@pytest.mark.parametrize("deep", [False, True])
def test_other_kinds_of_files(tmp_path: Path, kind: str, deep: bool) -> None:
    path = tmp_path / f"file.{kind}"
    save(path, kind)
    key, value = TELLS[kind]
    told = verify_file(path, OfficialFile(path.name), deep=deep)
    assert told[key] == (value or path.stat().st_size)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if kind != "csv" else b"a,b\n")
    with pytest.raises(DataError, match=f"{'header and rows' if kind == 'csv' else 'complete'}"):
        verify_file(path, OfficialFile(path.name), deep=True)


def test_a_flipped_byte_in_an_archive_needs_a_deep_check(tmp_path: Path) -> None:
    path = tmp_path / "file.zip"
    save(path, "zip")
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    verify_file(path, OfficialFile("file.zip"))
    with pytest.raises(DataError, match=r"in which a.txt is damaged"):
        verify_file(path, OfficialFile("file.zip"), deep=True)


def test_a_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "file.pkl"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(DataError, match="nothing of it was run"):
        verify_file(path, OfficialFile("file.pkl"))


def test_a_large_pickle_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trivalent.lab.datasets.verify._WHOLE_PICKLE", 10)
    path = tmp_path / "file.pkl"
    save(path, "pkl")
    assert set(verify_file(path, OfficialFile("file.pkl"))) == {"bytes"}
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="which ends early"):
        verify_file(path, OfficialFile("file.pkl"))


def test_the_size_says_more_than_how_half_a_file_fails(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(b"PK half of it")
    with pytest.raises(DataError, match=r"expected 5,000 bytes in x/file.npz, got 13; get it anew"):
        verify_file(path, OfficialFile("x/file.npz", size=5000))


def test_a_folder_counts_its_files(tmp_path: Path) -> None:
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech" / "a.wav").write_bytes(b"12345")
    assert verify_file(tmp_path / "speech", OfficialFile("speech")) == {"bytes": 5}


def test_without_h5py_a_file_is_not_called_damaged(
    tmp_path: Path, mosei: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise MissingExtraError("h5py", "train")

    write(tmp_path, LABELS, columns=7)
    monkeypatch.setattr("trivalent.lab.datasets.csd._library", missing)
    content = check(mosei, tmp_path)
    assert found(content, LABELS)["status"] == "ok"
    assert not content["ok"]  # no protocol can be read
    assert "not opened (expected the optional package 'h5py'" in render_check(content)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "mosei", "--root", str(tmp_path), "--json"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["ok"] is False
    assert main(["data", "check", "mosei", "--root", str(tmp_path / "none")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["data", "check", "nonesuch", "--root", str(tmp_path)]) == 2
