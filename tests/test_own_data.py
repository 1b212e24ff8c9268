"""Your own data: the table with all that can be wrong in it, the split, the features, the command."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from media_samples import write_media
from trivalent.bundle.loading import installed_bundles
from trivalent.cli.main import main
from trivalent.core.errors import DataError, FeatureError, UsageError
from trivalent.core.types import Modality
from trivalent.lab.datasets.own import (
    ABSENT,
    NOTHING,
    REPEATED,
    TEST_ALONE,
    UNDECODABLE,
    OwnOptions,
    own_entry,
)
from trivalent.lab.datasets.own_features import OwnFeatures
from trivalent.lab.datasets.own_table import read_own_table
from trivalent.lab.datasets.own_training import check_classes, usable_modalities
from trivalent.lab.datasets.recordings import LazyRecording
from trivalent.lab.datasets.registry import find_dataset
from trivalent.speech.transcripts import Cue, Transcript

pytestmark = pytest.mark.usefixtures("tones_are_voices")

BARE = Path("not used")


def write(folder: Path, *lines: str, header: str = "path,label", encoding: str = "utf-8") -> Path:
    path = folder / "my.csv"
    path.write_bytes(("\n".join([header, *lines]) + "\n").encode(encoding))
    return path


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(name.encode())


def people(folder: Path, count: int = 6) -> list[str]:
    """Write three recordings, one of each class, for each of some people; return the lines."""
    lines = [
        f"p{i}-{label}.mp4,{label},p{i}"
        for i in range(count)
        for label in ("negative", "NEUTRAL", "Positive")
    ]
    touch(folder, *(line.split(",")[0] for line in lines))
    return lines


@pytest.fixture
def options(tmp_path: Path) -> OwnOptions:
    """Of the voice and the face, where nobody listens for words."""
    return OwnOptions(plan=OwnFeatures(recognize=False).plan(), cache=tmp_path / "cache")


# --- the table


@pytest.mark.parametrize(
    ("header", "lines", "message"),
    [
        (
            "path,sentiment",
            ["a,1"],
            "the columns path and label or score in line 1 of my.csv, got path, sentiment; name",
        ),
        ("path;label", ["a;1"], "got path;label; separate the cells by commas"),
        ("path,label,speakr", ["a,1,x"], "the column speaker in line 1 of my.csv, got 'speakr'; rename it"),
        (
            "path,label,label",
            ["a,1,1"],
            "the column label once in line 1 of my.csv, got 2 of them; drop one",
        ),
        ("path,label", [], "a recording per line in my.csv, got none; add lines"),
        (
            "path,label",
            ["a.mp4,happy"],
            "positive or a number from -3 to 3 in line 2 of my.csv, got 'happy'; correct the label, drop",
        ),
        ("path,label", ["a,1", "", "b,3.5"], "in line 4 of my.csv, got '3.5'; correct the label"),
        ("path,label", ["a,nan"], "got 'nan'"),
        ("path,label", ['a,"1,5"'], "got '1,5'"),
        (
            "path,label",
            ["a,1", "b,negative"],
            "names or numbers as labels in line 3 of my.csv, got 'negative' after",
        ),
        (
            "path,label",
            ["a,0", "b,1", "c,2"],
            "got only 0, 1, 2, which look like codes of classes; write negative",
        ),
        ("path,label", ["a,1", "b,0"], "got only 0, 1, which look like codes"),
        ("path,label", ["a,1", "b,3", "c,2"], "got only 1, 2, 3, which look like codes"),
        ("path,label", ["a,3", "b,3"], "got only 3, which look like codes"),
        (
            "path,score",
            ["a,5"],
            "-3 to 3 in the column score, in line 2 of my.csv, got '5'; correct it, drop",
        ),
        ("path,score", ["a,abc"], "line 2 of my.csv, got 'abc'"),
        ("path,score", ["a,1", "b,"], "line 3 of my.csv, got ''"),
        ("path,score", ["a,nan"], "got 'nan'"),
        ("path,label,score", ["a,,1"], "beside the score in line 2 of my.csv, got ''; correct the label"),
        ("path,label,score", ["a,1,1"], "beside the score in line 2 of my.csv, got '1'"),
        ("path,scores", ["a,1"], "the column score in line 1 of my.csv, got 'scores'; rename it"),
        (
            "path,label",
            ["a,1,x"],
            "2 cells in line 2 of my.csv, got 3; put a text that has commas into quotes",
        ),
        ("path,label", ["a"], "2 cells in line 2 of my.csv, got 1"),
        ("path,label", [",1"], "the path of a recording in line 2 of my.csv, got an empty cell; fill it"),
        (
            "path,label",
            ["a,1.5", "./a,2"],
            "each recording once in line 3 of my.csv, got 'a' as in line 2; drop one",
        ),
        (
            "path,label",
            ['a,"1'],
            "a CSV record in line 2 of my.csv, got unexpected end of data; correct the quotes",
        ),
        ("path,label", ["a\0,1"], "text in line 2 of my.csv, got a NUL character"),
        (
            "path,label,split",
            ["a,1.5,tset"],
            "train, val or test in line 2 of my.csv, got 'tset'; correct it",
        ),
        ("path,label,split", ["a,1.5,"], "train, val or test in line 2 of my.csv, got ''"),
        (
            "path,label,split",
            ["a,1.5,train"],
            "train, val, test of my.csv, got none in val and test; assign some",
        ),
        (
            "path,label,speaker,split",
            ["a,1.5,ann,train", "b,1.5,ann,test", "c,1.5,bob,val"],
            r"of my.csv \(column speaker\) in one split, got 'ann' in test and train \(1 such\)",
        ),
        (
            "path,label,video,split",
            ["a,1.5,v,train", "b,1.5,w,test", "c,1.5,v,val"],
            r"\(column video\) in one split, got 'v' in train and val",
        ),
    ],
)
def test_faulty_tables(tmp_path: Path, header: str, lines: list[str], message: str) -> None:
    path = write(tmp_path, *lines, header=header)
    with pytest.raises(DataError, match=message):
        own_entry(path)


def test_unreadable_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got .*my\.csv: No such file"):
        own_entry(tmp_path / "my.csv")
    with pytest.raises(
        DataError, match=r'UTF-8 in line 3 of my\.csv, got the byte 0xe9; save it anew as "CSV UTF-8"'
    ):
        own_entry(write(tmp_path, "a,1", "été.mp4,1", encoding="latin-1"))
    with pytest.raises(DataError, match=r"UTF-8 in line 1 of my\.csv, got the byte 0xff"):
        own_entry(write(tmp_path, "a,1", encoding="utf-16"))
    (tmp_path / "my.csv").write_bytes(b"\n \n")
    with pytest.raises(DataError, match="got an empty file"):
        own_entry(tmp_path / "my.csv")


def test_what_a_table_may_hold(tmp_path: Path) -> None:
    """A byte order mark, CRLF, any case, spaces, blank lines, other columns, quoted line breaks."""
    path = tmp_path / "my.csv"
    path.write_bytes(
        b'\xef\xbb\xbf Path ,LABEL,notes,Split,transcript\r\n a.mp4 , Negative ,"two\r\nlines",Dev,\r\n'
        b'\r\nsub/b.mp4,POSITIVE,,train,"Good, really."\r\nc.mp4,neutral,,TEST,\r\n'
    )
    table = read_own_table(path)
    assert [row.line for row in table.rows] == [2, 5, 6]
    assert [row.name for row in table.rows] == ["a.mp4", "sub/b.mp4", "c.mp4"]
    assert table.rows[1].media == tmp_path / "sub" / "b.mp4"
    assert table.labels.tolist() == [0, 2, 1]
    assert table.split is not None
    assert table.split.tolist() == ["val", "train", "test"]
    assert table.groups.tolist() == ["a.mp4", "sub/b.mp4", "c.mp4"]
    assert [None if said is None else said.text for said in table.transcripts()] == [
        None,
        "Good, really.",
        None,
    ]


def test_samples_that_share_a_speaker_or_a_video_are_one_group(tmp_path: Path) -> None:
    lines = ["a,-1,ann,v1", "b,1,bob,v1", "c,1,bob,v2", "d,1,cleo,v3", "e,1,,v3", "f,1,dan,"]
    table = read_own_table(write(tmp_path, *lines, header="path,label,speaker,video"))
    assert table.groups.tolist() == ["ann", "ann", "ann", "cleo", "cleo", "dan"]


def test_transcripts(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nWell done.\n")
    lines = ["a,1,a.srt", "b,-1,So bad.", "c,1,"]
    header = "path,label,transcript"
    first, second, third = read_own_table(write(tmp_path, *lines, header=header)).transcripts()
    assert first is not None
    assert (first.timed, first.text) == (True, "Well done.")
    assert second is not None
    assert (second.timed, second.text, third) == (False, "So bad.", None)
    touch(tmp_path, "a", "b", "c")
    data = own_entry(tmp_path / "my.csv").read(BARE, features=False)
    assert data.texts == ("Well done.", "So bad.", "")
    with pytest.raises(DataError, match=r"readable transcript, got .*d\.srt: .* \(line 2 of my\.csv\)"):
        own_entry(write(tmp_path, "a,-1,d.srt", header=header)).read(BARE, features=False)


# --- labels, protocols and splits


def test_classes_are_split_by_speaker(tmp_path: Path) -> None:
    path = write(tmp_path, *people(tmp_path, 10), header="path,label,speaker")
    entry = own_entry(path)
    assert ([p.name for p in entry.protocols], entry.title) == (["classes"], "your own data: 30 recordings")
    data = entry.read(BARE, features=False)
    assert [len(data.part(split)) for split in ("train", "val", "test")] == [18, 6, 6]
    for split in ("train", "val", "test"):
        assert len(set(np.bincount(data.part(split).labels).tolist())) == 1
    assert np.isnan(data.scores).all()
    assert data.ids[0] == "p0-negative.mp4"
    again = own_entry(path).read(BARE, features=False)
    assert data.split.tolist() == again.split.tolist()
    others = [
        own_entry(path, OwnOptions(seed=s)).read(BARE, features=False).split.tolist() for s in range(1, 4)
    ]
    assert any(other != data.split.tolist() for other in others)
    halves = own_entry(path, OwnOptions(fractions=(0.5, 0.5, 0.0))).read(BARE, features=False)
    assert np.unique(halves.split, return_counts=True)[1].tolist() == [15, 15]


def test_scores_have_two_protocols_and_one_split(tmp_path: Path) -> None:
    scores = [-3, -0.4, 0, 0.5, 1.5, 3, -1, 0.2, 2]
    names = [f"r{i}.wav" for i in range(len(scores))]
    touch(tmp_path, *names)
    entry = own_entry(write(tmp_path, *(f"{n},{s}" for n, s in zip(names, scores, strict=True))))
    sign, rounded = (entry.read(BARE, name, features=False) for name in ("sign", "round"))
    assert entry.read(BARE, features=False).protocol == "sign"
    assert sign.labels.tolist() == [0, 0, 1, 2, 2, 2, 0, 2, 2]
    assert rounded.labels.tolist() == [0, 1, 1, 1, 2, 2, 0, 1, 2]
    assert sign.scores.tolist() == scores
    assert sign.split.tolist() == rounded.split.tolist()
    with pytest.raises(UsageError, match=r"a protocol of my\.csv among sign, round, got 'classes'"):
        entry.protocol("classes")


def test_a_column_of_scores_is_as_scores_among_the_labels(tmp_path: Path) -> None:
    scores = [-3, -0.4, 0, 0.5, 1.5, 3, 1, 2, 0.2]
    names = [f"r{i}.wav" for i in range(len(scores))]
    touch(tmp_path, *names)
    lines = [f"{n},{s}" for n, s in zip(names, scores, strict=True)]
    among = own_entry(write(tmp_path, *lines)).read(BARE, features=False)
    beside = own_entry(write(tmp_path, *lines, header="path,score")).read(BARE, features=False)
    assert beside.scores.tolist() == among.scores.tolist() == scores
    assert beside.labels.tolist() == among.labels.tolist()
    codes = ["r0.wav,0", "r1.wav,1", "r2.wav,2"]  # where the column says that they are scores
    named = own_entry(write(tmp_path, *codes, header="path,score"))
    assert named.read(BARE, features=False).scores.tolist() == [0, 1, 2]

    table = write(tmp_path, "r0.wav,0.3,good", "r1.wav,-2,bad", "r2.wav,0,so", header="path,score,label")
    meant = {"good": "positive", "bad": "negative", "so": "neutral"}
    entry = own_entry(table, OwnOptions(label_map=meant))
    assert entry.read(BARE, features=False).labels.tolist() == [2, 0, 1]
    with pytest.raises(DataError, match=r"neutral beside the score 0.3, by the map round, in line 2"):
        entry.read(BARE, "round", features=False)


def test_too_few_speakers_are_split_by_recording_with_a_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, *"abcd")
    path = write(tmp_path, "a,1,x", "b,-3,x", "c,0,x", "d,2,x", header="path,label,speaker")
    with caplog.at_level(logging.WARNING):
        data = own_entry(path).read(BARE, features=False)
    assert sorted(set(data.split.tolist())) == ["test", "train", "val"]
    assert data.groups.tolist() == list("abcd")
    assert "too few speakers (1) for 3 parts: split by recording instead" in caplog.text
    whole = own_entry(path, OwnOptions(fractions=TEST_ALONE)).read(BARE, features=False)
    assert (set(whole.split.tolist()), set(whole.groups.tolist())) == ({"test"}, {"x"})
    videos = write(tmp_path, "a,1,x,v", "b,-3,y,w", "c,0,x,v", "d,2,x,v", header="path,label,speaker,video")
    with pytest.raises(DataError, match="at least 3 speakers or videos for 3 parts, got 2; collect more"):
        own_entry(videos).read(BARE, features=False)  # parts of a video are too much alike
    two = write(tmp_path, "a,1,x", "b,-3,y", header="path,label,speaker")
    with pytest.raises(DataError, match="at least 3 speakers or videos for 3 parts, got 2; collect more"):
        own_entry(two).read(BARE, features=False)


def test_labels_of_your_own_mean_what_you_say(tmp_path: Path) -> None:
    path = write(tmp_path, "a,0,test", "b,Froh,test", "c,neutral,test", header="path,label,split")
    with pytest.raises(DataError, match=r"in line 3 of my\.csv, got 'Froh'; .* with label_map"):
        own_entry(path)
    touch(tmp_path, *"abc")
    options = OwnOptions(label_map={0: "negative", "froh": "positive"})  # type: ignore[dict-item]
    assert own_entry(path, options).read(BARE, features=False).labels.tolist() == [0, 2, 1]
    with pytest.raises(
        UsageError, match="negative, neutral, positive as the meaning of the label '0', got 'sad'"
    ):
        OwnOptions(label_map={"0": "sad"})


def test_a_given_split_is_kept_and_test_alone_is_enough(tmp_path: Path) -> None:
    touch(tmp_path, "a", "b", "c")
    path = write(tmp_path, "a,1,val", "b,3,train", "c,0,test", header="path,label,split")
    assert own_entry(path).read(BARE, features=False).split.tolist() == ["val", "train", "test"]
    path = write(tmp_path, "a,-1,test", "b,2,test", header="path,label,split")
    assert own_entry(path).read(BARE, features=False).split.tolist() == ["test", "test"]


def test_absent_recordings_are_dropped_and_the_others_stay_where_they_were(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = people(tmp_path)
    path = write(tmp_path, *lines, header="path,label,speaker")
    whole = own_entry(path).read(BARE, features=False)
    (tmp_path / "p1-negative.mp4").unlink()
    with caplog.at_level(logging.WARNING):
        data = own_entry(path).read(BARE, features=False)
    assert data.dropped == {ABSENT: 1}
    assert "line 5, p1-negative.mp4: no such file" in caplog.text
    rest = whole.take(whole.ids != "p1-negative.mp4")
    assert (data.ids.tolist(), data.split.tolist()) == (rest.ids.tolist(), rest.split.tolist())
    for split in ("val", "test"):
        for name in whole.part(split).ids.tolist():
            (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(
        DataError, match=r"my\.csv without \d+ unusable recordings, got none in val and test; mend"
    ):
        own_entry(path).read(BARE, features=False)


def test_no_recording_at_all(tmp_path: Path, options: OwnOptions) -> None:
    path = write(tmp_path, "a.mp4,1", "b.mp4,2", "c.mp4,-1")
    for features in (False, True):
        with pytest.raises(DataError, match=r"got none of 3; line 2, a\.mp4: no such file; correct the"):
            own_entry(path).read(BARE, features=features)
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    with pytest.raises(DataError, match=r"got none of 3; line 2, a\.mp4: expected sound or video, got a"):
        own_entry(path, options).read(BARE)


# --- features


def sounds(folder: Path, count: int) -> None:
    for i in range(count):
        write_media(folder / f"{i}.wav", video=None, audio="pcm_s16le", rate=16000, seconds=1 + 0.1 * i)


def test_features_of_sounds_and_what_is_left_out(tmp_path: Path, options: OwnOptions) -> None:
    sounds(tmp_path, 4)
    (tmp_path / "again.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    touch(tmp_path, "text.wav")
    lines = ["0.wav,1", "1.wav,-1", "2.wav,0.5", "3.wav,-2", "again.wav,1", "text.wav,1", "gone.wav,1"]
    data = own_entry(write(tmp_path, *lines), options).read(BARE)
    assert data.ids.tolist() == ["0.wav", "1.wav", "2.wav", "3.wav"]
    assert data.dropped == {ABSENT: 1, UNDECODABLE: 1, REPEATED: 1}
    np.testing.assert_allclose(data.seconds, [1.0, 1.1, 1.2, 1.3], atol=0.01)
    assert set(data.features) == {Modality.AUDIO}  # nobody has a face
    assert options.plan is not None
    block = data.features[Modality.AUDIO]
    assert block.columns == options.plan.encoders[Modality.AUDIO].pooling
    assert (block.values.dtype, block.reasons) == (np.float64, ("",) * 4)
    assert data.texts is None
    assert data.take(np.array([3, 0])).features[Modality.AUDIO].reasons == ("", "")


def test_samples_without_anything_are_counted(tmp_path: Path, options: OwnOptions) -> None:
    sounds(tmp_path, 3)
    write_media(tmp_path / "mute.mp4", audio=None)
    lines = ["0.wav,1,train", "1.wav,-1,val", "2.wav,0,test", "mute.mp4,1,train"]
    data = own_entry(write(tmp_path, *lines, header="path,label,split"), options).read(BARE)
    assert data.dropped == {NOTHING: 1}
    assert data.ids.tolist() == ["0.wav", "1.wav", "2.wav"]


def test_a_repeated_recording_never_reaches_another_split(tmp_path: Path, options: OwnOptions) -> None:
    sounds(tmp_path, 3)
    (tmp_path / "again.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    lines = ["0.wav,1,train", "1.wav,1,val", "again.wav,1,test", "2.wav,-1,test"]
    data = own_entry(write(tmp_path, *lines, header="path,label,split"), options).read(BARE)
    assert data.split.tolist() == ["train", "val", "test"]
    assert data.dropped == {REPEATED: 1}


def test_utterances_have_the_label_and_the_group_of_their_recording(tmp_path: Path) -> None:
    """Recordings with transcripts of two cues each, far apart."""
    for i in range(3):
        write_media(tmp_path / f"{i}.wav", video=None, audio="pcm_s16le", rate=16000, seconds=12 + i)
    cues = (
        "1\n00:00:00,500 --> 00:00:03,000\nIt was {}.\n\n2\n00:00:08,000 --> 00:00:11,000\nThe end of it.\n"
    )
    for i, word in enumerate(("awful", "blue", "lovely")):
        (tmp_path / f"{i}.srt").write_text(cues.format(word))
    lines = [f"{i}.wav,{i - 1},p{i},{i}.srt" for i in range(3)]
    path = write(tmp_path, *lines, header="path,label,speaker,transcript")
    plan = OwnFeatures(cut="utterances", recognize=False).plan([Modality.TEXT, Modality.AUDIO])
    data = own_entry(path, OwnOptions(plan=plan, cache=tmp_path / "cache")).read(BARE)
    assert data.ids.tolist() == ["0.wav#1", "0.wav#2", "1.wav#1", "1.wav#2", "2.wav#1", "2.wav#2"]
    assert data.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.groups.tolist() == ["p0", "p0", "p1", "p1", "p2", "p2"]
    assert data.spans is not None
    np.testing.assert_allclose(data.spans[:2], [[0.5, 3.0], [8.0, 11.0]])
    np.testing.assert_allclose(data.seconds[:2], [2.5, 3.0])
    assert data.texts is not None
    assert data.texts[:2] == ("It was awful.", "The end of it.")
    words = data.features[Modality.TEXT].values
    np.testing.assert_array_equal(words[1], words[3])  # the same words beside others
    part = data.part("train")
    assert part.spans is not None
    assert len(part.spans) == len(part)


def clips(real_data: Path) -> list[Path]:
    found = sorted((real_data / "crema_d").glob("*.flv"))
    if len(found) < 4 or "default" not in installed_bundles():
        pytest.skip("needs the CREMA-D clips and the default bundle")
    return found[:4]


def test_real_clips_from_the_table_to_the_features(real_data: Path, tmp_path: Path) -> None:
    labels = {"ANG": "negative", "HAP": "positive", "NEU": "neutral", "SAD": "negative"}
    lines = [f"{clip},{labels[clip.stem.split('_')[2]]},{clip.stem}" for clip in clips(real_data)]
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    path = write(
        tmp_path, *lines, f"broken.mp4,negative,{lines[0].split(',')[2]}", header="path,label,speaker"
    )
    options = OwnOptions(cache=tmp_path / "cache", workers=2)
    data = own_entry(path, options).read(BARE)
    assert data.dropped == {UNDECODABLE: 1}
    assert len(data) == 4
    assert data.features[Modality.FACE].present.all()
    assert data.features[Modality.TEXT].present.all()
    # The sad clip has 0.22 s of voice: too little for an analysis, and so for training.
    audio = data.features[Modality.AUDIO]
    assert audio.present.tolist() == [True, True, True, False]
    assert [bool(reason) for reason in audio.reasons] == [False, False, False, True]
    assert "0.22 s of voiced speech" in audio.reasons[3]
    assert data.texts is not None
    assert all("forget" in text for text in data.texts)
    assert ((data.seconds > 1.5) & (data.seconds < 3)).all()
    again = own_entry(path, replace(options, workers=1)).read(BARE)
    for modality, block in data.features.items():
        np.testing.assert_array_equal(block.values, again.features[modality].values)


def test_what_is_extracted_is_checked() -> None:
    for options, message in [
        ({"text": "bert"}, "known text of features, got 'bert'"),
        ({"cut": "sentences"}, "known cut of features, got 'sentences'"),
        ({"workers": 0}, "at least one worker"),
        ({"whisper": "huge"}, "a Whisper size"),
        ({"glove_file": "x.txt"}, "text glove or both with a glove_file, got text minilm"),
    ]:
        with pytest.raises(UsageError, match=message):
            OwnFeatures(**options)  # type: ignore[arg-type]


def test_glove_of_a_file_is_named_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "vectors.txt"
    file.write_text("it 1 2\nwas 3 4\nfine 5 9\n")
    plan = OwnFeatures(text="glove", glove_file=str(file)).plan([Modality.TEXT])
    encoder = plan.encoders[Modality.TEXT]
    assert (encoder.extractor, encoder.pooling) == ("glove", ("glove_0.mean", "glove_1.mean"))
    assert encoder.options == {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    said = Transcript((Cue("It was fine, I think."),))
    sound = write_media(tmp_path / "a.wav", video=None, audio="pcm_s16le", rate=16000, seconds=3)
    table = LazyRecording(sound).extract(plan.extractions(said)[Modality.TEXT])
    np.testing.assert_allclose(table.values, [[(1 + 3 + 5) / 5, (2 + 4 + 9) / 5]])
    with pytest.raises(FeatureError, match="gone"):
        OwnFeatures(text="glove", glove_file=str(tmp_path / "gone.txt")).plan()


# --- training


def test_one_class_cannot_be_learned(tmp_path: Path) -> None:
    touch(tmp_path, *"abcd")
    lines = ["a,positive,train", "b,positive,train", "c,negative,val", "d,neutral,test"]
    path = write(tmp_path, *lines, header="path,label,split")
    with pytest.raises(
        DataError, match=r"two classes or more in my\.csv, got 2 of which all are positive; add"
    ):
        check_classes(own_entry(path).read(BARE, features=False))
    with pytest.raises(DataError, match="two classes or more"):  # nothing here could be decoded
        own_entry(path, OwnOptions(check=check_classes)).read(BARE)
    path = write(tmp_path, "a,neutral,train", *lines[1:], header="path,label,split")
    assert check_classes(own_entry(path).read(BARE, features=False)) == ("negative",)


def test_modalities_that_hardly_anybody_has_are_left_out(
    tmp_path: Path, options: OwnOptions, caplog: pytest.LogCaptureFixture
) -> None:
    sounds(tmp_path, 5)
    data = own_entry(write(tmp_path, *(f"{i}.wav,{i - 2}" for i in range(5))), options).read(BARE)
    with caplog.at_level(logging.WARNING):
        assert usable_modalities(data, tuple(Modality)) == (Modality.AUDIO,)
    assert "0 training samples have face: trained without it" in caplog.text
    with pytest.raises(DataError, match=r"at least 2 training samples of my\.csv with one of face"):
        usable_modalities(data, [Modality.FACE])


# --- registry and command line


def test_the_registry_knows_paths(tmp_path: Path) -> None:
    path = write(tmp_path, "a,-1")
    assert find_dataset(str(path), own=OwnOptions(workers=2)).name == "my.csv"
    with pytest.raises(UsageError, match=r"or the path of your own \.csv"):
        find_dataset("my.tsv")


def test_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRIVALENT_DATA", raising=False)
    path = write(tmp_path, *people(tmp_path), "gone.mp4,neutral,p0", header="path,label,speaker")
    assert main(["data", "info", str(path), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["dataset"], content["protocol"]) == ("my.csv", "classes")
    assert sum(part["samples"] for part in content["splits"].values()) == 18
    assert content["dropped"] == {ABSENT: 1}
    assert main(["data", "info", str(path), "--protocol", "sign", "--workers", "2"]) == 2
    assert main(["data", "info", str(path), "--workers", "0"]) == 2
    assert main(["data", "info", str(tmp_path / "absent.csv")]) == 1
    assert "check the path" in capsys.readouterr().err
