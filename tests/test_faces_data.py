"""Labelled faces, their cache, and splits by identity."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.core.errors import DataError
from trivalent.features.face import COLUMNS, Detector
from trivalent.features.face.landmarks import region_of_points
from trivalent.features.face.observation import FaceReader
from trivalent.lab.datasets import altered_faces
from trivalent.lab.datasets.altered_faces import extract_faces
from trivalent.lab.datasets.dataset import check_no_overlap
from trivalent.lab.datasets.face_alterations import Alteration, turned
from trivalent.lab.datasets.face_points import read_pictures
from trivalent.lab.datasets.faces import cache_key, read_labels, read_picture
from trivalent.lab.datasets.splits import Split, split_by_group
from trivalent.lab.datasets.tabular import NO_LABEL, TabularData

DATA = Path(os.environ.get("TRIVALENT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
HEADER = "file,source,emotion,identity,sentiment\n"


def small(n=6):
    names = np.array([f"person{i // 2}" for i in range(n)])
    return TabularData(
        values=np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        columns=("a", "b"),
        labels=np.arange(n) % 4 - 1,
        groups=names,
        sources=np.array(["x"] * n),
        ids=np.array([f"{i}.jpg" for i in range(n)]),
        dropped=3,
    )


@pytest.fixture(scope="module")
def real_root():
    if not (DATA / "faces" / "labels.csv").is_file():
        pytest.skip("the face pictures are absent; set TRIVALENT_DATA")
    return DATA


@pytest.fixture
def tiny_root(tmp_path, real_root):
    """A data root with three real pictures and a black one without a face."""
    import cv2

    folder = tmp_path / "root" / "faces"
    folder.mkdir(parents=True)
    rows = read_labels(real_root).groupby("emotion").first().loc[["happy", "sad", "surprise"]]
    lines = []
    for i, (emotion, row) in enumerate(rows.iterrows()):
        (folder / f"{i}.jpg").write_bytes((real_root / "faces" / row["file"]).read_bytes())
        lines.append(f"{i}.jpg,{row['source']},{emotion},{row['identity']},{row['sentiment']}\n")
    cv2.imwrite(str(folder / "black.png"), np.zeros((64, 64, 3), np.uint8))
    lines.append("black.png,made,neutral,nobody,neutral\n")
    (folder / "labels.csv").write_text(HEADER + "".join(lines))
    return folder.parent


def test_real_table(real_root):
    table = read_labels(real_root)
    assert len(table) == 6244
    assert (table["label"] == NO_LABEL).sum() == 545
    assert set(table.loc[table["label"] == NO_LABEL, "emotion"]) == {"surprise"}
    assert table.groupby("source")["identity"].nunique()["taiwanese_ntu"] == 29


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def test_extraction_labels_groups_and_cache(tiny_root, cached, monkeypatch):
    data = extract_faces(tiny_root, cache=cached)
    assert data.columns == COLUMNS
    assert data.ids.tolist() == ["0.jpg", "1.jpg"], "surprise has no label"
    assert data.labels.tolist() == [2, 0]
    assert data.dropped == 1
    assert data.values.dtype == np.float32
    assert np.isfinite(data.select([name for name in COLUMNS if name != "score"]).values).all()
    assert all(g.startswith(f"{s}/") for g, s in zip(data.groups, data.sources, strict=True))
    assert (cached / f"faces-{cache_key(tiny_root)}-none.npz").is_file()

    monkeypatch.setattr(altered_faces, "FaceReader", None)  # calling it would fail: the cache must serve
    again = extract_faces(tiny_root, cache=cached)
    np.testing.assert_array_equal(again.values, data.values)
    assert again.ids.tolist() == data.ids.tolist()


def test_altered_copies_are_of_the_same_people_and_sources_of_their_own(tiny_root, cached):
    clean = extract_faces(tiny_root, cache=cached)
    turned = extract_faces(tiny_root, Alteration.TURN, cache=cached)
    assert turned.ids.tolist() == [f"{name}#turn" for name in clean.ids]
    assert turned.sources.tolist() == [f"{name}#turn" for name in clean.sources]
    assert turned.groups.tolist() == clean.groups.tolist()
    yaw = COLUMNS.index("pose_yaw")
    assert (np.abs(turned.values[:, yaw] - clean.values[:, yaw]) > 5).all()


def test_a_head_is_turned_to_the_side_that_is_asked_for(tiny_root, cached):
    pictures, reader = read_pictures(tiny_root), FaceReader()
    yaws = []
    for yaw in (-25.0, 0.0, 25.0):
        picture = read_picture(tiny_root / "faces" / "0.jpg")
        image, points = turned(picture, pictures.points[0].astype(float), yaw=yaw, pitch=0.0)
        face = reader.locate(image, region_of_points(points))
        yaws.append(reader.measure(image, face, faces=1, detector=Detector.TRACK).pose[1])
    assert abs(yaws[0] - yaws[2]) > 20
    assert min(yaws[0], yaws[2]) < yaws[1] < max(yaws[0], yaws[2])


def test_cache_key_follows_the_table(tiny_root):
    before = cache_key(tiny_root)
    table = tiny_root / "faces" / "labels.csv"
    table.write_text(table.read_text().replace(",happy,", ",joy,"))
    assert cache_key(tiny_root) != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "found none"),
        ("file,source\n", "none named emotion"),
        (HEADER + "a.jpg,x,happy,ann,joyful\n", "got 'joyful'"),
    ],
)
def test_bad_tables(content, message, tmp_path):
    (tmp_path / "faces").mkdir()
    if content is not None:
        (tmp_path / "faces" / "labels.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path)


def test_bad_pictures(tmp_path):
    with pytest.raises(DataError, match="found none"):
        read_picture(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(DataError, match="cannot be decoded"):
        read_picture(tmp_path / "a.jpg")


# --- tables


def test_round_trip(tmp_path):
    data = small()
    data.save(tmp_path / "deep" / "a.npz")
    back = TabularData.load(tmp_path / "deep" / "a.npz")
    for name in ("values", "labels", "groups", "sources", "ids"):
        np.testing.assert_array_equal(getattr(back, name), getattr(data, name))
    assert (back.columns, back.dropped) == (data.columns, data.dropped)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.npz"]


def test_damaged_file(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError, match="delete it"):
        TabularData.load(tmp_path / "a.npz")


def test_take_and_select():
    data = small()
    assert data.take(data.labels == 1).ids.tolist() == ["2.jpg"]
    assert data.take(np.array([3, 0])).ids.tolist() == ["3.jpg", "0.jpg"]
    chosen = data.select(["b"])
    assert chosen.columns == ("b",)
    assert chosen.values[:, 0].tolist() == data.values[:, 1].tolist()
    with pytest.raises(DataError, match="unknown 'c'"):
        data.select(["a", "c"])


def test_lengths_and_labels_are_checked():
    data = small(2)
    fields = {**vars(data)}
    for change, message in (
        ({"columns": ("a",)}, "expected values of shape"),
        ({"labels": np.array([0])}, "expected 2 labels, got 1"),
        ({"labels": np.array([0, 7])}, "got 7"),
    ):
        with pytest.raises(DataError, match=message):
            TabularData(**{**fields, **change})


# --- splits


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=80), st.integers(0, 5))
def test_split_is_a_partition_without_shared_groups(people, seed):
    names = np.array([f"p{p}" for p in people])
    split = split_by_group(names, seed=seed)
    assert sorted(np.concatenate(split).tolist()) == list(range(len(names)))
    assert not set(names[split.train]) & set(names[split.test])
    assert not set(names[split.train]) & set(names[split.validation])


def test_split_depends_on_names_only():
    names = np.array([f"p{i}" for i in range(50)])
    split = split_by_group(names)
    backwards = split_by_group(names[::-1])
    assert set(names[split.test]) == set(names[::-1][backwards.test])
    assert [len(part) for part in split] == [30, 10, 10]
    assert set(names[split_by_group(names, seed=1).test]) != set(names[split.test])


def test_each_source_has_its_share():
    names = np.array([f"a{i}" for i in range(10)] + [f"b{i}" for i in range(100)])
    sources = np.array(["a"] * 10 + ["b"] * 100)
    split = split_by_group(names, sources=sources)
    assert (sources[split.test] == "a").sum() == 2
    assert (sources[split.test] == "b").sum() == 20


def test_overlap_raises():
    names = np.array(["ann", "bob", "ann"])
    with pytest.raises(DataError, match="'ann' in test and train"):
        check_no_overlap(names, Split(np.array([0]), np.array([1]), np.array([2])).names(3), "three")
    people = np.array([f"p{i}" for i in range(20)])
    # The same twenty people, cut elsewhere in a source that has more of them.
    names = np.concatenate([people, people, [f"q{i}" for i in range(25)]])
    sources = np.array(["a"] * 20 + ["b"] * 45)
    with pytest.raises(DataError, match="of all sources in one split"):
        split_by_group(names, sources=sources)


def test_fractions_are_checked():
    with pytest.raises(DataError, match="sum to 1"):
        split_by_group(["a"], fractions=(0.5, 0.5, 0.5))


def test_real_split_by_identity(real_root):
    table = read_labels(real_root)
    groups = (table["source"] + "/" + table["identity"]).to_numpy(dtype=str)
    split = split_by_group(groups, sources=table["source"].to_numpy(dtype=str))
    shares = np.array([len(part) for part in split]) / len(table)
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.05)
