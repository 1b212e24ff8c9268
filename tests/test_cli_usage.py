"""The command line's errors: status 2 for usage, 1 for input, always one line on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bundles import write_bundle
from trivalent.bundle.loading import installed_bundles
from trivalent.cli.main import COMMANDS, main
from trivalent.core.assets import REGISTRY
from trivalent.core.version import __version__
from trivalent.features.registry import OWN


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Return status, stdout and stderr; argparse's own exit counts the same."""
    try:
        status = main([str(a) for a in argv])
    except SystemExit as stop:
        status = int(stop.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return str(write_bundle(tmp_path / "tiny"))


USAGE = {
    "no command": [],
    "unknown command": ["analyse"],
    "unknown option": ["analyze", "--text", "x", "--jsn"],
    "no source": ["analyze"],
    "text and sample": ["analyze", "--text", "x", "--sample"],
    "source and text": ["analyze", "a.wav", "--text", "x"],
    "source and sample": ["analyze", "a.wav", "--sample"],
    "transcript of a text": ["analyze", "--text", "x", "--transcript", "t.srt"],
    "transcript of two": ["analyze", "a.wav", "b.wav", "--transcript", "t.srt"],
    "threads": ["analyze", "--text", "x", "--threads", "0"],
    "threads no number": ["analyze", "--text", "x", "--threads", "two"],
    "face rate": ["analyze", "a.mp4", "--face-rate", "0"],
    "face rate nan": ["analyze", "a.mp4", "--face-rate", "nan"],
    "html in no folder": ["analyze", "--text", "x", "--html", "no/such/folder/r.html"],
    "csv is a folder": ["analyze", "--text", "x", "--csv", "."],
    "extract nothing": ["extract"],
    "extract unknown": ["extract", "mfcc", "a.wav", "-o", "f.npz"],
    "extract without output": ["extract", "covarep", "a.wav"],
    "extract to another format": ["extract", "covarep", "a.wav", "-o", "f.xlsx"],
    "extract no columns": ["extract", "covarep", "a.wav", "-o", "f.npz", "--columns", " "],
    "extract a wrong column": ["extract", "covarep", "a.wav", "-o", "f.npz", "--columns", "F0,F7"],
    "extract face option for voice": ["extract", "covarep", "a.wav", "-o", "f.npz", "--landmarks"],
    "extract transcript for voice": ["extract", "covarep", "a.wav", "-o", "f.npz", "--transcript", "t.srt"],
    "extract glove file for face": ["extract", "face", "a.mp4", "-o", "f.npz", "--glove-file", "g.txt"],
    "extract face rate": ["extract", "face", "a.mp4", "-o", "f.npz", "--face-rate", "1000"],
    "model what": ["model"],
    "model action": ["model", "delete"],
    "model show what": ["model", "show"],
    "train what": ["train"],
    "train where": ["train", "r.yaml"],
}


@pytest.mark.parametrize("argv", USAGE.values(), ids=USAGE)
def test_usage_errors(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    status, out, err = run(capsys, *argv)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("trivalent")


BAD_VALUES = {
    "thresholds of two": ["--thresholds", "0.5,0.5"],
    "thresholds no numbers": ["--thresholds", "low,high,high"],
    "thresholds of zero": ["--thresholds", "0,0.5,0.5"],
    "thresholds above one": ["--thresholds", "0.5,0.5,1.5"],
    "thresholds nan": ["--thresholds", "nan,0.5,0.5"],
    "confidence": ["--min-confidence", "2"],
    "modality": ["--modalities", "text,smell"],
    "no modality": ["--modalities", ","],
    "text switched off": ["--modalities", "face"],
}


@pytest.mark.parametrize("options", BAD_VALUES.values(), ids=BAD_VALUES)
def test_bad_values_of_analyze(capsys: pytest.CaptureFixture[str], bundle: str, options: list[str]) -> None:
    status, out, err = run(capsys, "analyze", "--text", "good", "--model", bundle, *options)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1, err


def test_input_errors_are_one_line_with_status_one(
    capsys: pytest.CaptureFixture[str], bundle: str, tmp_path: Path
) -> None:
    (tmp_path / "no.wav").write_text("not a sound")
    (tmp_path / "empty.txt").write_text("")
    cases = [
        ["analyze", "--text", "", "--model", bundle],
        ["analyze", "--text", "?!", "--model", bundle],
        ["analyze", "--text", "x", "--model", "no-such-bundle"],
        ["analyze", tmp_path / "absent.mp4", "--model", bundle],
        ["analyze", tmp_path / "no.wav", "--model", bundle],
        ["analyze", tmp_path / "empty.txt", "--model", bundle],
        ["analyze", tmp_path, "--model", bundle],
        ["extract", "covarep", tmp_path / "absent.wav", "-o", tmp_path / "f.npz"],
        ["extract", "covarep", tmp_path / "empty.txt", "-o", tmp_path / "f.npz"],
        ["model", "show", "no-such-bundle"],
    ]
    for argv in cases:
        status, out, err = run(capsys, *argv)
        assert (status, out) == (1, ""), argv
        assert len(err.splitlines()) == 1, err
    assert not (tmp_path / "f.npz").exists()


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "--version")
    assert (status, out, err) == (0, f"trivalent {__version__}\n", "")
    for module in COMMANDS:
        name = module.__name__.rsplit(".", 1)[1]
        status, out, err = run(capsys, name, "--help")
        assert (status, err) == (0, "")
        assert f"trivalent {name}" in out


def test_extract_help_names_every_extractor(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "extract", "--help")
    assert all(name in out for name in OWN)


def test_model_list(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    status, out, err = run(capsys, "model", "list")
    assert (status, err) == (0, "")
    for name, asset in REGISTRY.items():
        (line,) = [line for line in out.splitlines() if f" {name} " in line]
        assert asset.sha256[:12] in line
        assert asset.licence in line
    assert all(name in out for name in installed_bundles())


def test_model_show(capsys: pytest.CaptureFixture[str], bundle: str) -> None:
    status, out, err = run(capsys, "model", "show", bundle)
    assert (status, err) == (0, "")
    card = json.loads(out)
    assert (card["name"], card["version"], card["summary"]) == ("tiny", "7", "for tests")


def test_debug_shows_the_traceback(bundle: str) -> None:
    from trivalent.core.errors import TextError

    with pytest.raises(TextError):
        main(["analyze", "--text", "", "--model", bundle, "--debug"])


def test_surprises_are_one_line_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trivalent.cli import model

    def fail(arguments: object) -> int:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(model, "run", fail)
    status, out, err = run(capsys, "model", "list")
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "trivalent: unexpected ZeroDivisionError: two lines; run again with --debug and report it"
    ]


def test_interrupt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from trivalent.cli import model

    def interrupt(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "run", interrupt)
    assert run(capsys, "model", "list") == (130, "", "trivalent: interrupted\n")


def test_text_to_json(capsys: pytest.CaptureFixture[str], bundle: str) -> None:
    status, out, err = run(capsys, "analyze", "--text", "a good film", "--model", bundle, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["schema"] == "trivalent.analysis/1"
    assert np.isclose(sum(document["overall"]["probabilities"].values()), 1)
