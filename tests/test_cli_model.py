"""`trivalent model`: bundles of both kinds listed, shown and exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="needs the extra train")

from bundles import write_bundle
from fusion_bundles import save_small
from recording_networks import recording_bundle
from trivalent.bundle.loading import load_any
from trivalent.cli.main import main
from trivalent.features.registry import extractor


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """A bundle of experts, and a result folder around a fusion bundle."""
    save_small(tmp_path / "run" / "bundle")
    return {"experts": write_bundle(tmp_path / "tiny"), "fusion": tmp_path / "run"}


@pytest.mark.parametrize("kind", ["experts", "fusion"])
def test_export_and_show(
    kind: str, places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = [tmp_path / "one.zip", tmp_path / "two.zip"]
    # The second is packed from the first, not from the folder.
    for source, target in zip((places[kind], targets[0]), targets, strict=True):
        assert main(["model", "export", str(source), "-o", str(target)]) == 0
        assert capsys.readouterr().out == f"{target}\n"
    assert targets[0].read_bytes() == targets[1].read_bytes()
    shown = []
    for where in (places[kind], targets[0]):
        assert main(["model", "show", str(where)]) == 0
        shown.append(json.loads(capsys.readouterr().out))
    assert shown[0] == shown[1]
    assert (shown[0]["kind"], shown[0]["sha256"]) == (kind, load_any(places[kind]).sha256)
    if kind == "fusion":
        assert shown[0]["features"]["face"] == {"extractor": "openface2", "columns": 3}
        assert (shown[0]["licence"], shown[0]["data"]["name"]) == ("CC0", "made-up")
        assert shown[0]["judges"] == "features of a data set"


def test_show_says_what_a_network_makes_of_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = recording_bundle(tmp_path / "b", whisper="base.en")
    assert main(["model", "show", str(where)]) == 0
    shown = json.loads(capsys.readouterr().out)
    version = extractor("covarep").version
    assert shown["features"]["audio"] == {"extractor": "covarep", "version": version, "columns": 4}
    assert (shown["judges"], shown["whisper"]) == ("recordings", "base.en")


def test_list_of_a_folder(
    places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (places["experts"] / "face.onnx").write_bytes(b"other")
    assert main(["model", "list", str(tmp_path)]) == 0
    run, tiny = capsys.readouterr().out.splitlines()
    assert run.startswith(f"{tmp_path / 'run'}  small  fusion  sha256 ")
    assert tiny.startswith(f"{tmp_path / 'tiny'}  cannot be read: expected face.onnx with sha256")
    assert main(["model", "list", str(places["fusion"])]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    (tmp_path / "empty").mkdir()
    assert main(["model", "list", str(tmp_path / "empty")]) == 1
    assert "expected a bundle, or a folder of bundles" in capsys.readouterr().err


def test_a_damaged_bundle_is_not_exported(
    places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (places["fusion"] / "bundle" / "network.onnx").write_bytes(b"other")
    target = tmp_path / "kept.zip"
    target.write_bytes(b"what was here")
    assert main(["model", "export", str(places["fusion"]), "-o", str(target)]) == 1
    assert "damaged" in capsys.readouterr().err
    assert target.read_bytes() == b"what was here"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["export"], "the name or path of a bundle after 'model export'"),
        (["export", "default"], "-o F.zip with 'model export'"),
        (["show", "default", "-o", "f.zip"], "and only there"),
        (["export", "default", "-o", "folder"], "a target that ends in .zip"),
    ],
)
def test_usage(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", *argv]) == 2
    assert message in capsys.readouterr().err


def test_analyze_tells_what_a_fusion_bundle_is_for(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", "--text", "good", "--model", str(places["fusion"])]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    for words in ("the fusion bundle 'small'", "text by 'bert' (2 columns)", "trivalent evaluate"):
        assert words in line
