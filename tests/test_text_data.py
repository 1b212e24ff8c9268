"""Text corpora: the published counts, no video on two sides, texts as people say them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import data_root
from trivalent.core.errors import DataError
from trivalent.lab.datasets.ch_sims import read_clips
from trivalent.lab.datasets.splits import split_of
from trivalent.lab.datasets.text import (
    CORPORA,
    TextData,
    concatenate,
    load_corpus,
    parts_of,
    plain_text,
    without_texts,
)
from trivalent.lab.experts.text_task import load_teaching

TALK = {"semaine": 2889, "iemocap": 2696, "emorynlp": 6281, "goemotions": 38559}
SPLITS = ("train", "val", "test")
PUBLISHED = {"meld": (9989, 1109, 2610), "sst5": (8544, 1101, 2210)}
needs_data = pytest.mark.skipif(not data_root().is_dir(), reason="no real data; set TRIVALENT_DATA")


def load(corpus: str, split: str) -> TextData:
    return load_corpus(corpus, split, root=data_root())


def available(corpus: str) -> dict[str, TextData]:
    return {s: load(corpus, s) for s in parts_of(corpus)}


@needs_data
@pytest.mark.parametrize("corpus", PUBLISHED)
def test_published_counts(corpus: str) -> None:
    assert tuple(len(data) for data in available(corpus).values()) == PUBLISHED[corpus]


@needs_data
def test_classes_of_meld() -> None:
    assert np.bincount(load("meld", "test").labels).tolist() == [833, 1256, 521]


@needs_data
def test_classes_of_sst5() -> None:
    """As three classes: 0 and 1 negative, 2 neutral, 3 and 4 positive."""
    assert np.bincount(load("sst5", "test").labels).tolist() == [279 + 633, 389, 510 + 399]


@needs_data
def test_counts_of_the_others() -> None:
    tweets = available("tweeteval")
    assert len(tweets["train"]) + len(tweets["val"]) == 8000
    assert 600 < len(tweets["val"]) < 1000
    assert len(tweets["test"]) == 2000
    assert sum(map(len, available("mosi").values())) == 1447
    assert {part: len(data) for part, data in available("mosei").items()} == {"test": 2478}
    assert {c: len(load(c, "train")) for c in TALK} == TALK


@needs_data
def test_no_text_of_moseis_test_fold_can_be_learnt() -> None:
    for part in ("train", "val"):
        with pytest.raises(DataError, match="official test fold"):
            load("mosei", part)


@needs_data
def test_iemocap_is_split_by_session() -> None:
    assert {part: set(data.groups) for part, data in available("iemocap").items()} == {
        "train": {"iemocap/Ses03", "iemocap/Ses04"},
        "val": {"iemocap/Ses02"},
        "test": {"iemocap/Ses01"},
    }


@needs_data
def test_nothing_that_judges_another_corpus_is_taught() -> None:
    taught = set(map(plain_text, load_teaching("emorynlp", root=data_root()).texts))
    judged = {plain_text(text) for part in ("val", "test") for text in load("meld", part).texts}
    assert taught
    assert not taught & judged
    assert {plain_text(t) for t in load("emorynlp", "train").texts} & judged, "the series is the same"


@needs_data
@pytest.mark.parametrize("corpus", CORPORA)
def test_no_video_is_on_two_sides(corpus: str) -> None:
    parts = [set(data.groups) for data in available(corpus).values()]
    assert sum(map(len, parts)) == len(set.union(*parts))


@needs_data
@pytest.mark.parametrize("corpus", ["mosi", "mosei", "meld", "semaine"])
def test_groups_hold_several_utterances(corpus: str) -> None:
    data = load(corpus, "test" if corpus == "mosei" else "train")
    assert len(set(data.groups)) < len(data) / 2
    assert all(group.startswith(f"{corpus}/") for group in data.groups)


@needs_data
@pytest.mark.parametrize("corpus", CORPORA)
def test_every_part_is_sound(corpus: str) -> None:
    for split, data in available(corpus).items():
        n = len(data)
        assert len(data.labels) == len(data.valence) == len(data.groups) == len(data.corpus) == n
        assert set(data.labels.tolist()) == ({0, 2} if corpus == "reviews_zh" else {0, 1, 2}), split
        assert set(data.corpus) == {corpus}
        assert all(text.strip() for text in data.texts)
        known = np.isfinite(data.valence)
        assert (np.abs(data.valence[known]) <= 1).all()
        np.testing.assert_array_equal(np.sign(data.valence[known]) + 1, data.labels[known])
        assert known.all() == (corpus in ("sst5", "mosi", "mosei", "ch_sims"))
        assert known.any() == known.all()


@needs_data
def test_published_test_parts_teach_and_choose_nothing() -> None:
    published = {
        text.strip()
        for name in ("ch-sims", "ch-sims-v2")
        for clips in [read_clips(data_root(), name)]
        for text, split in zip(clips.texts, clips.split, strict=True)
        if split == "test" and len(text) > 8  # a shorter one is said in other clips, too
    }
    used = {t for part in ("train", "val") for t in load("ch_sims", part).texts}
    assert len(used & published) < 0.005 * len(used)
    assert {g for part in ("train", "val") for g in load("cped", part).groups} == {
        f"cped/{series}" for series in (32, 39, 40, 44, 45)
    }
    assert len(load("cped", "test")) == 17_195


@needs_data
def test_pause_marks_are_removed() -> None:
    words = [w for data in available("mosei").values() for text in data.texts for w in text.split()]
    assert "sp" not in words
    assert len(words) > 20_000
    raw = (data_root() / "cmu_mosei" / "segments.csv").read_text(encoding="utf-8")
    assert " sp " in raw, "the marks are in the file, so that the test means something"


@needs_data
def test_texts_are_as_people_write_them() -> None:
    sst = " ".join(load("sst5", "train").texts)
    assert not any(mark in sst for mark in ("-lrb-", "-rrb-", " n't", " 's ", "``"))
    meld = " ".join(t for s in SPLITS for t in load("meld", s).texts)
    assert not set(meld) & {"\ufffd", "\x91", "\x92"}
    assert all(text == text.lower() for text in load("mosi", "train").texts)


@needs_data
def test_loading_twice_is_the_same() -> None:
    one, two = load("mosei", "test"), load("mosei", "test")
    assert one.texts == two.texts
    np.testing.assert_array_equal(one.labels, two.labels)


def test_texts_are_left_out_whatever_their_case_and_signs() -> None:
    data = TextData(("Oh, NO!", "Yes."), np.array([0, 2]), np.zeros(2, np.float32), ("a", "b"), ("x",) * 2)
    assert without_texts(data, {plain_text("oh no")}).texts == ("Yes.",)


def test_take_and_concatenate() -> None:
    data = TextData(
        ("a", "b", "c"),
        np.array([0, 1, 2]),
        np.array([np.nan, 0, 1], np.float32),
        ("x/1", "x/1", "x/2"),
        ("x",) * 3,
    )
    for rows in (np.array([True, False, True]), np.array([0, 2])):
        part = data.take(rows)
        assert (part.texts, part.groups, part.labels.tolist()) == (("a", "c"), ("x/1", "x/2"), [0, 2])
    both = concatenate([data, data.take(np.array([1]))])
    assert both.texts == ("a", "b", "c", "b")
    assert both.labels.tolist() == [0, 1, 2, 1]
    assert len(both) == len(both.corpus) == len(both.valence) == 4


def test_hashed_splits_have_their_sizes_and_stay() -> None:
    names = [f"video{i}" for i in range(4000)]
    parts = [split_of(name) for name in names]
    assert parts.count("train") / 4000 == pytest.approx(0.65, abs=0.03)
    assert parts.count("val") / 4000 == pytest.approx(0.15, abs=0.03)
    # Frozen: another hash would move videos from test to train.
    assert [split_of(n) for n in ("03bSnISJMiM", "0h-zjBukYpk", "1DmNV9C1hbY")] == [
        "train",
        "train",
        "test",
    ]


def test_unknown_and_absent(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a corpus among .*got 'imdb'"):
        load_corpus("imdb", "train", root=tmp_path)
    with pytest.raises(DataError, match="its test transcripts are not in this data"):
        load_corpus("mosi", "test", root=tmp_path)
    for corpus in CORPORA:
        with pytest.raises(DataError, match=r"expected .*(No such file|got neither).*set TRIVALENT_DATA"):
            load_corpus(corpus, parts_of(corpus)[0], root=tmp_path)


def test_a_file_without_its_columns(tmp_path: Path) -> None:
    (tmp_path / "sst5").mkdir()
    (tmp_path / "sst5" / "train.csv").write_text("label,sentence\n1,good\n")
    with pytest.raises(DataError, match=r"expected columns text"):
        load_corpus("sst5", "train", root=tmp_path)
    (tmp_path / "sst5" / "train.csv").write_text("")
    with pytest.raises(DataError, match="expected columns"):
        load_corpus("sst5", "train", root=tmp_path)
    (tmp_path / "sst5" / "train.csv").write_text("label,text\n")
    with pytest.raises(DataError, match="expected"):
        load_corpus("sst5", "train", root=tmp_path)


def test_an_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train, val"):
        load_corpus("sst5", "dev", root=tmp_path)
