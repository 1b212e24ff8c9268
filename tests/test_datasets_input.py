"""Files that are not the published ones, clips of MELD, and the published form of text corpora."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from media_samples import write_media
from trivalent.core.errors import DataError
from trivalent.core.types import Modality
from trivalent.lab.datasets import meld, mosei_922, mosi_utterances, ravdess_entry, text_entries
from trivalent.lab.datasets.entry import Entry
from trivalent.lab.datasets.reading import mend_quotes, read_arrays, read_rows
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.datasets.text import load_corpus
from trivalent.lab.datasets.text_files import SST_ARCHIVE, read_sst5, read_tweets
from trivalent.lab.datasets.voice_pooling import VOICE_POOLING

MELD_HEADER = ",".join(meld.COLUMNS)
MELD_ROW = 'Hi,neutral,0,0,"00:00:01,500","00:00:03,000"'


def load(entry: Entry, root: Path, protocol: str | None = None, features: bool = False):
    return entry.load(root, entry.protocol(protocol), features)


def save(path: Path, **arrays) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def meld_root(root: Path, *rows: str, header: str = MELD_HEADER) -> Path:
    (root / "meld").mkdir(parents=True, exist_ok=True)
    for file in meld.FILES.values():
        (root / "meld" / file).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return root


def videos(**changes) -> dict[str, np.ndarray]:
    """Four videos: three in folds, one in none; the second has an infinite cell."""
    voice = np.ones((4, 40), np.float32)
    voice[1, 7] = -np.inf
    arrays = {
        "video_id": np.array(["a", "b", "c", "d"]),
        "fold_sdk": np.array(["train", "val", "test", "none"]),
        "labels7": np.tile(np.array([[-0.5], [1e-8], [0.3], [1]], np.float32), 7),
        "bert_cls": np.ones((4, 768), np.float32),
        "covarep40": voice,
        "openface35": np.ones((4, 35), np.float32),
    }
    return arrays | changes


def test_videos_by_hand(tmp_path: Path) -> None:
    save(tmp_path / mosei_922.FILE, **videos())
    data = load(find_dataset("mosei-922"), tmp_path, "video-mean")
    assert (data.ids.tolist(), data.labels.tolist()) == (["a", "b", "c"], [0, 1, 2])
    assert data.split.tolist() == ["train", "val", "test"]
    assert data.dropped == {"videos in no fold": 1, "infinite cells of covarep40 taken for gaps": 1}
    assert np.isnan(data.features[Modality.AUDIO].values).sum() == 1
    (tmp_path / "cmu_mosei" / "segments.csv").write_text(
        "video_id,clip_id,csd_index,start,end,split_mmsa,fold_sdk,sentiment\n"
        "a,1,1,0,1,train,train,3\na,0,0,1,2,train,train,0.5\nb,0,0,0,1,val,val,-1.5\n"
    )
    first = load(find_dataset("mosei-922"), tmp_path, "sdk-subset")
    assert (first.ids.tolist(), first.labels.tolist()) == (["a", "b"], [1, 0])
    assert first.dropped["videos without a first segment"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bert_cls": np.ones((3, 768))}, r"bert_cls of shape \(4, 768\) .* got \(3, 768\)"),
        ({"covarep40": np.ones((4, 74))}, r"covarep40 of shape \(4, 40\) .* got \(4, 74\)"),
        ({"openface35": np.full((4, 35), "x")}, "expected numbers in openface35"),
        ({"fold_sdk": np.array(["train", "dev", "test", "none"])}, "got 'dev'"),
        ({"labels7": np.full((4, 7), 4.0)}, r"score in \[-3, 3\] .* got 4.0"),
        ({"labels7": np.full((4, 7), np.nan)}, "got nan"),
        ({"video_id": np.array(["a", "a", "c", "d"])}, "each sample once .* 'a' 2 times"),
        ({"video_id": np.array([{}, 1, 2, 3], object)}, "expected .npz arrays"),
        ({"video_id": np.array("a")}, "video_id of shape"),
    ],
)
def test_videos_that_are_not_the_published_ones(tmp_path: Path, changes, message: str) -> None:
    save(tmp_path / mosei_922.FILE, **videos(**changes))
    with pytest.raises(DataError, match=message):
        load(find_dataset("mosei-922"), tmp_path, "video-mean")


def test_arrays_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with pytest.raises(DataError, match=r"expected the file .*No such file.*set TRIVALENT_DATA"):
        read_arrays(path, {"a": ()})
    save(path, a=np.arange(1000))
    with pytest.raises(DataError, match=r"expected the arrays b, c in .* got a; the file is not"):
        read_arrays(path, {"a": (), "b": (), "c": ()})
    whole = path.read_bytes()
    for broken in (b"", b"no archive", whole[: len(whole) // 2], whole[:200] + b"\xff" * 200 + whole[400:]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="get the file anew"):
            read_arrays(path, {"a": ()})
    np.save(tmp_path / "y.npy", np.arange(3))
    (tmp_path / "y.npy").rename(path)
    with pytest.raises(DataError, match=r"expected .npz arrays"):
        read_arrays(path, {"a": ()})


def utterances(**changes) -> dict[str, np.ndarray]:
    arrays = {
        "name": np.array(["a_1", "a_2", "b_1"]),
        "score": np.array([-1, 0, 2.4], np.float32),
        "split_cmf": np.array(["train", "train", "test"]),
        "text": np.ones((3, 100)),
        "audio": np.ones((3, 73)),
        "video": np.ones((3, 100)),
    }
    return arrays | changes


def test_utterances_by_hand(tmp_path: Path) -> None:
    save(tmp_path / mosi_utterances.FILE, **utterances())
    data = load(find_dataset("mosi-utterances"), tmp_path)
    assert data.labels.tolist() == [0, 1, 2]
    assert data.groups.tolist() == ["a", "a", "b"]
    assert data.split[2] == "test"
    assert data.texts is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio": np.ones((2, 73))}, r"audio of shape \(3, 73\)"),
        ({"score": np.array([0, 0, 3.2])}, r"score in \[-3, 3\] in data row 3"),
        ({"split_cmf": np.array(["train", "val", "test"])}, "train or test .* got 'val'"),
        ({"split_cmf": np.array(["train", "test", "test"])}, "one split, got 'a'"),
        ({"name": np.array(["a1", "a2", "b1"])}, "names such as"),
    ],
)
def test_utterances_that_are_not_the_published_ones(tmp_path: Path, changes, message: str) -> None:
    save(tmp_path / mosi_utterances.FILE, **utterances(**changes))
    with pytest.raises(DataError, match=message):
        load(find_dataset("mosi-utterances"), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": np.array(["01-01-03-01-01-01-01", "nothing"])}, "expected a RAVDESS name"),
        ({"openface_au35": np.ones((1, 35))}, r"shape \(2, 35\)"),
        ({"name": np.array(["03-01-08-01-01-01-01"] * 2)}, "takes with a sentiment"),
        ({"name": np.array(["03-01-03-01-01-01-01"] * 2)}, "each sample once"),
    ],
)
def test_takes_that_are_not_the_published_ones(tmp_path: Path, changes, message: str) -> None:
    names = np.array(["03-01-03-01-01-01-01", "03-01-05-01-01-01-24"])
    save(tmp_path / ravdess_entry.FILE, **({"name": names, "openface_au35": np.ones((2, 35))} | changes))
    with pytest.raises(DataError, match=message):
        load(find_dataset("ravdess"), tmp_path)


def test_actors_beyond_the_protocol_are_counted(tmp_path: Path) -> None:
    names = np.array(["03-01-03-01-01-01-01", "03-01-05-01-01-01-24", "03-01-08-01-01-01-01"])
    save(tmp_path / ravdess_entry.FILE, name=names, openface_au35=np.ones((3, 35)))
    data = load(find_dataset("ravdess"), tmp_path)
    assert data.ids.tolist() == ["03-01-03-01-01-01-01"]
    assert data.dropped == {"takes of surprise, which has no valence": 1, "takes of other actors": 1}


def test_voice_and_face_are_of_the_same_take(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two real takes, one of them without a recording."""
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))
    names = ["03-01-05-01-01-01-02", "03-01-03-01-01-01-01"]
    speech = tmp_path / "ravdess" / "speech" / "Actor_01"
    speech.mkdir(parents=True)
    (speech / f"{names[1]}.flac").symlink_to(real_data / "ravdess" / "speech" / f"{names[1]}.flac")
    save(tmp_path / ravdess_entry.FILE, name=np.array(names), openface_au35=np.ones((2, 35)))
    data = load(find_dataset("ravdess"), tmp_path, features=True)
    voice = data.features[Modality.AUDIO]
    assert voice.columns == VOICE_POOLING
    assert voice.present.tolist() == [False, True]
    assert data.dropped == {"takes without a voice": 1}
    assert voice.extractor == "covarep"


def test_stray_bytes_are_mended_and_counted(tmp_path: Path) -> None:
    root = meld_root(tmp_path, MELD_ROW)
    path = root / "meld" / "train_sent_emo.csv"
    path.write_bytes(
        MELD_HEADER.encode()
        + b"\nIt\x92s \x91so\x92 \xc3\x91u,negative,0,0,0:00:01,0:00:02\n"
        + "don\x92t,positive,0,1,0:00:01,x\n".encode()
    )
    data = load(find_dataset("meld"), root)
    assert data.texts is not None
    assert data.texts[:2] == ("It’s ‘so’ Ñu", "don’t")
    assert data.dropped == {"stray bytes mended": 4}
    np.testing.assert_array_equal(data.seconds, [1, np.nan, 1.5, 1.5])
    assert load_corpus("meld", "train", root=root).texts[0] == "It’s ‘so’ Ñu"
    assert mend_quotes("’Ñé…".encode()) == ("’Ñé…", 0)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (
            (MELD_ROW.replace("neutral", "happy"),),
            MELD_HEADER,
            "column Sentiment of data row 1 .* got 'happy'",
        ),
        ((MELD_ROW,), MELD_HEADER.replace("Sentiment", "Emotion"), r"expected columns Sentiment"),
        (("Hi,neutral",), MELD_HEADER, "expected 6 cells in data row 1 .* cut off"),
        ((MELD_ROW, MELD_ROW), MELD_HEADER, "each sample once .*dia0_utt0' 2 times"),
    ],
)
def test_tables_of_meld_that_are_not_the_published_ones(
    tmp_path: Path, rows: tuple[str, ...], header: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load(find_dataset("meld"), meld_root(tmp_path, *rows, header=header))


def test_clips_of_meld(tmp_path: Path) -> None:
    rows = [MELD_ROW.replace("0,0,", f"{d},{u},", 1) for d, u in ((0, 0), (0, 1), (1, 0))]
    root = meld_root(tmp_path, *rows)
    paths, counts = meld.meld_clips(root)
    assert (paths, counts) == ({}, {"missing": 9, "damaged": 0, "other": 0})
    assert find_dataset("meld").extra is not None
    assert find_dataset("meld").extra(root) == {}
    folder = root / "meld" / "train_splits"
    folder.mkdir()
    write_media(folder / "dia0_utt0.mp4", seconds=0.4)
    whole = (folder / "dia0_utt0.mp4").read_bytes()
    (folder / "dia0_utt1.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "dia9_utt9.mp4").write_bytes(whole)
    paths, counts = meld.meld_clips(root)
    assert paths == {"train/dia0_utt0": folder / "dia0_utt0.mp4"}
    assert counts == {"missing": 7, "damaged": 1, "other": 1}
    assert set(paths) <= set(load(find_dataset("meld"), root).ids.tolist())
    assert len(meld.meld_clips(root, check=False)[0]) == 2
    assert find_dataset("meld").extra(root) == {"clips": {"found": 2, "missing": 7, "other": 1}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"label,text\n5,good\n", "one of 0, 1, 2, 3, 4 in column label of data row 1 .* got '5'"),
        (b"label,text\n1,so\nx,good\n", "data row 2 .* got 'x'"),
        (b"label,text\n1\n", "expected 2 cells in data row 1"),
        (b"label,text\n1,caf\xe9\n", "expected UTF-8 in .* got the byte 0xe9 at 16"),
        (b"label,sentence\n1,so\n", r"expected columns text"),
        (b"\x00\x00", "expected columns"),
    ],
)
def test_sentences_that_are_not_the_published_ones(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "sst5").mkdir()
    (tmp_path / "sst5" / "train.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(find_dataset("sst5"), tmp_path)


def test_a_label_of_a_tweet_that_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "tweeteval_sentiment").mkdir()
    (tmp_path / "tweeteval_sentiment" / "dev.csv").write_text("label,text\n3,hi\n")
    with pytest.raises(DataError, match="one of 0, 1, 2 in column label"):
        read_tweets(tmp_path, "dev")


def test_a_table_with_a_byte_order_mark_and_a_line_end_within_a_cell(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'\xef\xbb\xbflabel,text\r\n1,"two\nlines \xe2\x80\xa8 here"\r\n')
    assert read_rows(path, ("label", "text")) == ([{"label": "1", "text": "two\nlines \u2028 here"}], 0)


def test_published_trees(tmp_path: Path) -> None:
    (tmp_path / "sst5").mkdir()
    trees = "(3 (2 It) (4 (4 (2 's) (4 fun\\/good)) (2 -LRB-)))\n(0 (1 Bad) (2 .))\n"
    with zipfile.ZipFile(tmp_path / "sst5" / SST_ARCHIVE, "w") as archive:
        for part in ("train", "dev"):
            archive.writestr(f"trees/{part}.txt", trees)
    texts, labels = read_sst5(tmp_path, "train")
    assert texts == ["it 's fun/good -lrb-", "bad ."]
    assert labels.tolist() == [3, 0]
    assert load_corpus("sst5", "val", root=tmp_path).texts[1] == "bad."
    with pytest.raises(DataError, match=r"expected trees/test.txt in"):
        read_sst5(tmp_path, "test")
    (tmp_path / "sst5" / SST_ARCHIVE).write_bytes(b"half")
    with pytest.raises(DataError, match="get it anew"):
        read_sst5(tmp_path, "dev")


def test_published_tweets(tmp_path: Path) -> None:
    folder = tmp_path / "tweeteval_sentiment"
    folder.mkdir()
    for part in ("train", "val", "test"):
        (folder / f"{part}_text.txt").write_text(f"so good {part}\nbad \u2028 day\n", encoding="utf-8")
        (folder / f"{part}_labels.txt").write_text("2\n0\n")
    data = load(find_dataset("tweeteval"), tmp_path, "published")
    assert data.labels.tolist() == [2, 0] * 3
    assert data.ids.tolist()[:3] == ["tweeteval/train0", "tweeteval/train1", "tweeteval/val0"]
    (folder / "val_labels.txt").write_text("2\n")
    with pytest.raises(DataError, match=r"a label for each of 2 tweets .* got 1"):
        load(find_dataset("tweeteval"), tmp_path, "published")
    assert [p.name for p in text_entries.ENTRIES[1].protocols] == ["three", "published"]


@pytest.mark.parametrize(
    "name", ["mosei-922", "mosi", "mosi-utterances", "meld", "sst5", "tweeteval", "ravdess"]
)
def test_an_empty_root(tmp_path: Path, name: str) -> None:
    entry = find_dataset(name)
    for protocol in entry.protocols:
        with pytest.raises(DataError, match=r"expected .*(found none|No such file).*TRIVALENT_DATA"):
            entry.read(tmp_path, protocol.name)
    assert entry.files
    assert entry.remedy
    assert all(url.startswith("http") for file in entry.files for url in file.urls)
