"""Protocols of CMU-MOSEI: their known counts, and tables that are not the official one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trivalent.cli.main import main
from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import LabelMap, map_scores
from trivalent.lab.datasets.mosei import (
    COLUMNS,
    FILE,
    PROTOCOLS,
    explain_distribution,
    read_segments,
    split_of,
)
from trivalent.lab.datasets.protocols import check_counts, class_counts, describe
from trivalent.lab.datasets.registry import find_dataset

MOSEI = find_dataset("mosei")
HEADER = ",".join([*COLUMNS, "text"])
ROW = "abc,0,0,1.0,2.5,train,train,1.5,so good"


def write_table(root: Path, *lines: str, header: str = HEADER) -> Path:
    path = root / FILE
    path.parent.mkdir(parents=True)
    path.write_text("\n".join([header, *lines]), encoding="utf-8")
    return root


def test_segment_protocol(real_data: Path) -> None:
    assert len(read_segments(real_data)) == 23_259
    found = describe(MOSEI.read(real_data, "segment", features=False))
    assert [part["samples"] for part in found.values()] == [16_326, 1_871, 4_659]
    assert found["train"]["classes"] == {"negative": 4_738, "neutral": 3_540, "positive": 8_048}
    assert found["val"]["classes"] == {"negative": 506, "neutral": 433, "positive": 932}
    assert found["test"]["classes"] == {"negative": 1_350, "neutral": 1_025, "positive": 2_284}
    assert [round(v) for v in found["train"]["percent"].values()] == [29, 22, 49]


def test_sdk_subset(real_data: Path) -> None:
    found = describe(MOSEI.read(real_data, "sdk-subset", features=False))
    assert [part["samples"] for part in found.values()] == [2_249, 300, 676]
    assert list(found["train"]["classes"].values()) == [224, 1_134, 891]
    assert list(found["val"]["classes"].values()) == [31, 166, 103]
    assert list(found["test"]["classes"].values()) == [77, 341, 258]
    assert list(found["train"]["seven_percent"].values()) == [0.3, 2.0, 7.7, 50.4, 28.5, 9.9, 1.2]
    assert found["train"]["groups"] == found["train"]["samples"]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_counts_hold_and_videos_are_in_one_part(real_data: Path, protocol) -> None:
    data = MOSEI.load(real_data, protocol, False)
    check_counts(data, protocol)
    videos = [set(data.groups[data.split == split].tolist()) for split in protocol.counts]
    assert sum(map(len, videos)) == len(set.union(*videos))


def test_rounding_and_first_segments_make_the_imbalance(real_data: Path) -> None:
    steps = explain_distribution(real_data)["distribution"]
    shares = [[round(v) for v in step["percent"].values()] for step in steps]
    assert shares[0] == [29, 22, 49]
    assert shares[-1] == [10, 50, 40]


def test_an_incomplete_table_is_refused(real_data: Path) -> None:
    protocol = MOSEI.protocol("segment")
    fewer = MOSEI.load(real_data, protocol, False).take(np.arange(22_000))
    with pytest.raises(DataError, match=r"protocol segment, got .* samples\): these are not the complete"):
        check_counts(fewer, protocol)


def test_counts_by_hand(tmp_path: Path) -> None:
    rows = [ROW, "abc,1,1,2.5,4,train,train,-0.333333,", "xyz,-1,0,0,3,train,train,0.5,sp no"]
    root = write_table(tmp_path, *rows)
    found = read_segments(root)
    assert found.text.tolist() == ["so good", "", "sp no"]
    np.testing.assert_array_equal(found.position, [0, 1, 0])
    segment, subset = (MOSEI.load(root, p, False) for p in PROTOCOLS)
    assert class_counts(segment.labels).tolist() == [1, 0, 1]
    # Of each video the first segment only, whatever its clip; one half rounds to zero.
    assert class_counts(subset.labels).tolist() == [0, 1, 1]
    assert segment.ids.tolist() == ["abc[0]", "abc[1]"]
    assert subset.ids.tolist() == ["abc[0]", "xyz[0]"]
    assert split_of(found, "segment").tolist() == ["train", "train", ""]
    assert segment.dropped == {"segments that are no sample": 1}
    assert map_scores(found.score, LabelMap.SIGN).tolist() == [2, 0, 2]


def test_a_split_without_samples_says_which_have_some(tmp_path: Path) -> None:
    data = MOSEI.load(write_table(tmp_path, ROW), PROTOCOLS[0], False)
    assert list(describe(data)) == ["train"]
    with pytest.raises(DataError, match=r"samples in test of mosei, protocol segment, got none .*: train"):
        data.part("test")


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


def test_a_video_in_two_parts_is_refused(tmp_path: Path) -> None:
    root = write_table(tmp_path, ROW, "abc,1,1,2.5,4,test,test,1,")
    with pytest.raises(DataError, match="every video or speaker of mosei in one split, got 'abc'"):
        MOSEI.load(root, PROTOCOLS[0], False)


def test_impossible_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_segments(tmp_path / "absent")
    with pytest.raises(DataError, match="expected the columns sentiment"):
        read_segments(write_table(tmp_path / "a", header=HEADER.replace("sentiment", "score")))
    root = write_table(tmp_path / "b", ROW)
    (root / FILE).write_bytes(HEADER.encode() + b"\n\xff\xfe,0,0,1,2,train,train,1,\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_segments(root)
    with pytest.raises(UsageError, match="segment, sdk-subset, segment-steps, got 'sdk'"):
        MOSEI.protocol("sdk")


def test_command(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--root", str(real_data), "--protocol", "sdk-subset"]
    assert main(["data", "info", "mosei", "--json", *options]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["splits"]["train"]["classes"] == {"negative": 224, "neutral": 1134, "positive": 891}
    assert content["splits"]["train"]["samples"] == 2_249
    assert (content["dataset"], content["protocol"]) == ("mosei", "sdk-subset")
    assert content["known_counts"] == "reproduced"
    assert main(["data", "info", "mosei", *options]) == 0
    assert "10.0 / 50.4 / 39.6 %" in capsys.readouterr().out


def test_command_misused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["data", "list"]) == 0
    assert "CMU-MOSEI" in capsys.readouterr().out
    assert main(["data", "info", "mosie"]) == 2
    assert "expected a data set among mosei, " in capsys.readouterr().err
    assert main(["data", "info", "mosei", "--protocol", "sdk"]) == 2
    assert "among segment, sdk-subset, segment-steps, got 'sdk'" in capsys.readouterr().err
    assert main(["data", "info", "mosei", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
