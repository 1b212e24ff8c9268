"""CH-SIMS: transcripts and scores, split by video; tables that are not the published ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trivalent.cli.main import main
from trivalent.core.errors import DataError, UsageError
from trivalent.lab.datasets.ch_sims import (
    COUNTS,
    FILES,
    Clips,
    read_clips,
    split_by_video,
    video_of,
)
from trivalent.lab.datasets.registry import DATASETS
from trivalent.lab.datasets.splits import split_of

HEADER = "name,emo,val,split,chinese,english"
OWNERS = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode"
ROWS = (
    "video_0018_0004,0,-1.0,train,闭嘴，不是来抓你的。,Shut up.",
    "video_0018_0005,0,0.0,test,嗯,",
    "video_0029_0010,0,0.2,val,听得见吗,Can you hear me?",
)


def shared_videos(clips: Clips) -> tuple[int, int]:
    """Count the videos that the official split cuts apart, and all videos."""
    pairs = {(video_of(name), split) for name, split in zip(clips.names, clips.split, strict=True)}
    videos = [video for video, _ in pairs]
    return sum(videos.count(video) > 1 for video in set(videos)), len(set(videos))


def write(root: Path, *lines: str, header: str = HEADER, name: str = "ch_sims_v1.csv") -> Path:
    path = root / "ch_sims" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]), encoding="utf-8")
    return root


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("protocol", ["three", "three-english"])
def test_real_data(real_data: Path, name: str, protocol: str) -> None:
    data = DATASETS[name].read(real_data, protocol)  # asserts the known counts
    clips = read_clips(real_data, name)
    assert len(data) == len(clips) == sum(map(sum, COUNTS[name].values()))
    assert set(np.unique(data.split)) == {"train", "val", "test"}
    assert np.abs(data.scores).max() == 3
    assert not data.dropped
    assert not [t for t in data.texts or () if not t]
    assert str(shared_videos(clips)[0]) in DATASETS[name].protocols[0].description


def test_what_the_official_split_does(real_data: Path) -> None:
    v1, v2 = (read_clips(real_data, name) for name in FILES)
    assert [v1.split.count(s) for s in ("train", "val", "test")] == [1368, 456, 457]
    assert [v2.split.count(s) for s in ("train", "val", "test")] == [2722, 647, 1034]
    assert shared_videos(v1) == (60, 60)
    assert shared_videos(v2) == (129, 145)
    # The first version is contained in the second, and split there in the same way.
    a, b = (dict(zip(c.names, c.scores.tolist(), strict=True)) for c in (v1, v2))
    assert a.items() <= b.items()
    read = {name: DATASETS[name].read(real_data) for name in FILES}
    splits = [dict(zip(d.groups.tolist(), d.split.tolist(), strict=True)) for d in read.values()]
    assert splits[0].items() <= splits[1].items()


def test_rows_by_hand(tmp_path: Path) -> None:
    clips = read_clips(write(tmp_path, *ROWS))
    assert clips.names == ("video_0018_0004", "video_0018_0005", "video_0029_0010")
    np.testing.assert_allclose(clips.scores, [-3, 0, 0.6], rtol=0, atol=1e-12)
    assert clips.texts == ("闭嘴，不是来抓你的。", "嗯", "听得见吗")
    assert read_clips(tmp_path, text="english").texts == ("Shut up.", "", "Can you hear me?")
    entry = DATASETS["ch-sims"]
    data = entry.load(tmp_path, entry.protocols[0], False)
    assert data.labels.tolist() == [0, 1, 2]
    assert data.groups.tolist() == ["video_0018", "video_0018", "video_0029"]
    assert data.split.tolist() == [split_of("video_0018")] * 2 + [split_of("video_0029")]
    assert np.isnan(data.seconds).all()
    with pytest.raises(DataError, match=r"expected \(825, 227, 480\) .* not the complete official files"):
        entry.read(tmp_path)
    with pytest.raises(UsageError, match="among three, three-english, got 'five'"):
        entry.protocol("five")


def test_the_table_of_the_owners(tmp_path: Path) -> None:
    rows = (
        "video_0018,0004,闭嘴,-1.0,-0.6,0.0,0.2,Negative,train",
        "video_0029,0010,听,0.2,,,,Positive,valid",
    )
    root = write(tmp_path, *rows, header="\ufeff" + OWNERS, name="label.csv")
    clips = read_clips(root)
    assert clips.names == ("video_0018_0004", "video_0029_0010")
    assert clips.split == ("train", "valid")
    with pytest.raises(DataError, match=r"expected the columns english in .*label\.csv"):
        read_clips(root, text="english")
    with pytest.raises(DataError, match=r"ch_sims_v2s\.csv or meta\.csv"):
        read_clips(root, "ch-sims-v2")


def test_repeated_rows(tmp_path: Path) -> None:
    root = write(tmp_path, *ROWS, ROWS[0])
    entry = DATASETS["ch-sims"]
    assert entry.load(root, entry.protocols[0], True).dropped == {"rows repeated": 1}
    with pytest.raises(DataError, match=r"expected video_0018_0004 once .* another content in line 5"):
        read_clips(write(tmp_path, *ROWS, ROWS[0].replace("-1.0", "-0.8")))


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        ((), HEADER, "expected clips in .*, got none"),
        (ROWS, HEADER.replace("val", "value"), "expected the columns val in .* got name, emo, value"),
        (ROWS, "a,b,c,d,e,f", "expected the columns video_id, clip_id"),
        (
            (ROWS[0].replace("-1.0", "-1.5"),),
            HEADER,
            r"score in \[-1, 1\] in column val, line 2 .* got '-1.5'",
        ),
        ((ROWS[0], ROWS[1].replace("0.0", "nan")), HEADER, "column val, line 3 .* got 'nan'; correct"),
        ((ROWS[0].replace("-1.0", "M"),), HEADER, "got 'M'"),
        (("video_0018_0004,0,1.0",), HEADER, "expected 6 cells in line 2"),
        (("dia0,0,1.0,train,a,b",), HEADER, "name like video_0018_0004 in line 2 .* got 'dia0'"),
    ],
)
def test_impossible_tables(tmp_path: Path, lines: tuple[str, ...], header: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_clips(write(tmp_path, *lines, header=header))


def test_impossible_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ch_sims_v1\.csv or label\.csv in .* set TRIVALENT_DATA"):
        read_clips(tmp_path)
    root = write(tmp_path, *ROWS)
    path = root / "ch_sims" / "ch_sims_v1.csv"
    path.write_bytes(path.read_text(encoding="utf-8").encode("gb18030"))
    with pytest.raises(DataError, match=r"expected UTF-8 in .*ch_sims_v1\.csv.* \(iconv"):
        read_clips(root)


def test_videos() -> None:
    assert video_of("video_xjzw_00001") == "video_xjzw"
    assert video_of("aqgy3_0001_00012_1") == "aqgy3_0001"
    with pytest.raises(DataError, match="like video_0018_0004, got 'dia0'"):
        video_of("dia0")
    assert split_by_video(["a", "b", "a"]).tolist()[::2] == [split_of("a")] * 2


def test_command(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", "ch-sims", "--json", "--root", str(real_data)]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["known_counts"] == "reproduced"
    assert content["splits"]["train"]["classes"] == {"negative": 825, "neutral": 227, "positive": 480}
    assert sum(part["groups"] for part in content["splits"].values()) == 60
