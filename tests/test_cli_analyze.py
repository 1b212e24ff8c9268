"""`trivalent analyze` as a user types it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from trivalent.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["analyze", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_text_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "--text", "I love it.", "--json")
    assert (status, err) == (0, "")
    data = json.loads(out)
    assert data["overall"]["label"] == "positive"
    assert data["utterances"][0]["modalities"]["face"]["status"] == "missing"


def test_sample_table_and_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    html, table = tmp_path / "r.html", tmp_path / "r.csv"
    status, out, _ = run(capsys, "--sample", "--html", str(html), "--csv", str(table))
    assert status == 0
    assert "forget" in out.lower()
    assert "<html" in html.read_text(encoding="utf-8")
    with table.open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) >= 2


def test_one_bad_source_does_not_stop_the_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good = tmp_path / "good.txt"
    good.write_text("A wonderful day.")
    status, out, err = run(capsys, str(tmp_path / "absent.mp4"), str(good), "--json")
    assert status == 1
    assert err.count("\n") == 1
    data = json.loads(out)
    assert len(data["analyses"]) == 1
    assert len(data["failures"]) == 1


@pytest.mark.parametrize("text", ["", "...", "\x01"])
def test_bad_text_is_one_line(capsys: pytest.CaptureFixture[str], text: str) -> None:
    status, out, err = run(capsys, "--text", text, "--json")
    assert (status, out) == (1, "")
    assert err.startswith("trivalent: expected")
    assert err.count("\n") == 1


def test_nothing_is_written_after_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, _, err = run(capsys, str(tmp_path / "absent.mp4"), "--html", str(tmp_path / "r.html"))
    assert status == 1
    assert "absent.mp4" in err
    assert list(tmp_path.iterdir()) == []


def test_unknown_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "--text", "fine", "--model", "nonesuch")
    assert status == 1
    assert "default" in err
    assert "nonesuch" in err
