"""Protocols of CMU-MOSEI: their known counts, and tables that are not the official one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trivalent.cli.main import main
from trivalent.errors import DataError, UsageError
from trivalent.lab.datasets.mosei import COLUMNS, FILE, Segments, read_segments
from trivalent.lab.protocols import (
    PROTOCOLS,
    check_counts,
    class_counts,
    describe,
    explain_distribution,
    find_protocol,
)

HEADER = ",".join([*COLUMNS, "text"])
ROW = "abc,0,0,1.0,2.5,train,train,1.5,so good"


@pytest.fixture
def segments(real_data: Path) -> Segments:
    return read_segments(real_data)


def write_table(root: Path, *lines: str, header: str = HEADER) -> Path:
    path = root / FILE
    path.parent.mkdir(parents=True)
    path.write_text("\n".join([header, *lines]), encoding="utf-8")
    return root


def test_segment_protocol(segments: Segments) -> None:
    assert len(segments) == 23_259
    found = describe(segments, PROTOCOLS["segment"])
    assert [part["samples"] for part in found.values()] == [16_326, 1_871, 4_659]
    assert found["train"]["classes"] == {"negative": 4_738, "neutral": 3_540, "positive": 8_048}
    assert found["val"]["classes"] == {"negative": 506, "neutral": 433, "positive": 932}
    assert found["test"]["classes"] == {"negative": 1_350, "neutral": 1_025, "positive": 2_284}
    assert [round(v) for v in found["train"]["percent"].values()] == [29, 22, 49]


def test_sdk_subset(segments: Segments) -> None:
    found = describe(segments, PROTOCOLS["sdk-subset"])
    assert [part["samples"] for part in found.values()] == [2_249, 300, 676]
    assert list(found["train"]["classes"].values()) == [224, 1_134, 891]
    assert list(found["val"]["classes"].values()) == [31, 166, 103]
    assert list(found["test"]["classes"].values()) == [77, 341, 258]
    assert list(found["train"]["seven_percent"].values()) == [0.3, 2.0, 7.7, 50.4, 28.5, 9.9, 1.2]
    assert found["train"]["videos"] == found["train"]["samples"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_counts_hold_and_videos_are_in_one_part(segments: Segments, name: str) -> None:
    protocol = PROTOCOLS[name]
    check_counts(segments, protocol)
    part = protocol.part(segments)
    videos = [set(segments.video[part == split].tolist()) for split in protocol.counts]
    assert sum(map(len, videos)) == len(set.union(*videos))


def test_rounding_and_first_segments_make_the_imbalance(segments: Segments) -> None:
    shares = [[round(v) for v in step["percent"].values()] for step in explain_distribution(segments)]
    assert shares[0] == [29, 22, 49]
    assert shares[-1] == [10, 50, 40]


def test_an_incomplete_table_is_refused(segments: Segments) -> None:
    fewer = Segments(**{name: values[:-100] for name, values in vars(segments).items()})
    with pytest.raises(DataError, match=r"of the protocol segment, got .* samples\): this is not the"):
        check_counts(fewer, PROTOCOLS["segment"])


def test_counts_by_hand(tmp_path: Path) -> None:
    rows = [ROW, "abc,1,1,2.5,4,train,train,-0.333333,", "xyz,-1,0,0,3,train,train,0.5,sp no"]
    found = read_segments(write_table(tmp_path, *rows))
    assert found.has_text.tolist() == [True, False, True]
    assert class_counts(found, PROTOCOLS["segment"], "train").tolist() == [1, 0, 1]
    # Of each video the first segment only, whatever its clip; one half rounds to zero.
    assert class_counts(found, PROTOCOLS["sdk-subset"], "train").tolist() == [0, 1, 1]
    np.testing.assert_array_equal(found.position, [0, 1, 0])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "expected segments"),
        (["abc,0,0,1.0,x,train,train,1.5,a"], "number in column end of line 2 .* got 'x'"),
        (["abc,0,0,2.0,1.0,train,train,1.5,a"], "an end after its start .* line 2"),
        (["abc,0,0,1.0,nan,train,train,1.5,a"], "an end after its start"),
        ([ROW, "abc,1,1,1.0,2.0,train,train,3.5,a"], r"a score in \[-3, 3\] .* line 3"),
        ([ROW, ROW], "each segment once .* line 3"),
        (["abc"], "number in column clip_id of line 2 .* got None"),
    ],
)
def test_impossible_rows(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_segments(write_table(tmp_path, *lines))


def test_impossible_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_segments(tmp_path / "absent")
    with pytest.raises(DataError, match="expected the columns sentiment"):
        read_segments(write_table(tmp_path / "a", header=HEADER.replace("sentiment", "score")))
    root = write_table(tmp_path / "b", ROW)
    (root / FILE).write_bytes(HEADER.encode() + b"\n\xff\xfe,0,0,1,2,train,train,1,\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_segments(root)
    with pytest.raises(UsageError, match="segment, sdk-subset, got 'sdk'"):
        find_protocol("sdk")


def test_command(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--root", str(real_data), "--protocol", "sdk-subset"]
    assert main(["data", "info", "mosei", "--json", *options]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["splits"]["train"]["classes"] == {"negative": 224, "neutral": 1134, "positive": 891}
    assert (content["dataset"], content["protocol"]) == ("mosei", "sdk-subset")
    assert main(["data", "info", "mosei", *options]) == 0
    assert "10.0 / 50.4 / 39.6 %" in capsys.readouterr().out


def test_command_misused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["data", "list"]) == 0
    assert "CMU-MOSEI" in capsys.readouterr().out
    assert main(["data", "info", "mosi"]) == 2
    assert "expected a data set among mosei, got 'mosi'" in capsys.readouterr().err
    assert main(["data", "info", "mosei", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
