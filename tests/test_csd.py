"""Computational sequences: the real file, files that we write, and damaged ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.core.errors import DataError

h5py = pytest.importorskip("h5py", reason="the extra train is not installed")

from trivalent.lab.datasets.csd import ComputationalSequence, TimedFeatures, write_csd  # noqa: E402

WORDS = Path("cmu_mosi") / "CMU_MOSI_ModifiedTimestampedWords_train.csd"


def sequence(n: int = 3, d: int = 2) -> TimedFeatures:
    edges = np.arange(n + 1.0)
    return TimedFeatures(
        np.stack([edges[:-1], edges[1:]], axis=1), np.arange(n * d, dtype=np.float32).reshape(n, d)
    )


def test_the_real_words_of_mosi(real_data: Path) -> None:
    with ComputationalSequence(real_data / WORDS) as words:
        assert words.name == "CMU_MOSI_ModifiedTimestampedWords"
        assert len(words.keys) == len(words.videos) == 62
        assert words.metadata["uuid"] == "c4af6b6b-2249-4c7d-8b0f-1a1739837722"
        found = words.read("1DmNV9C1hbY", ordered=True)
        assert found.intervals.shape == (243, 2)
        assert found.features[:2, 0].tolist() == [b"everyone", b"welcome"]


def test_the_real_file_survives_a_round_trip(real_data: Path, tmp_path: Path) -> None:
    with ComputationalSequence(real_data / WORDS) as words:
        parts = ((key, words.read(key)) for key in words.keys)
        path = write_csd(tmp_path / "copy.csd", words.name, sequences=parts, metadata=words.metadata)
        with ComputationalSequence(path) as copy:
            assert (copy.name, copy.keys, copy.metadata) == (words.name, words.keys, words.metadata)
            for key in words.keys:
                one, two = words.read(key), copy.read(key)
                assert one.features.dtype == two.features.dtype
                np.testing.assert_array_equal(one.features, two.features)
                np.testing.assert_array_equal(one.intervals, two.intervals)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_\-]{1,12}(\[\d\])?", fullmatch=True),
        st.tuples(st.integers(0, 6), st.integers(1, 4), st.sampled_from(["f4", "f8", "i4"])),
        max_size=5,
    )
)
@settings(max_examples=25, deadline=None)
def test_round_trip_is_bit_equal(tmp_path_factory: pytest.TempPathFactory, shapes: dict) -> None:
    rng = np.random.default_rng(0)
    written = {
        key: TimedFeatures(sequence(n).intervals, (100 * rng.standard_normal((n, d))).astype(kind))
        for key, (n, d, kind) in shapes.items()
    }
    path = write_csd(tmp_path_factory.mktemp("csd") / "x.csd", "X", sequences=written.items())
    with ComputationalSequence(path) as read:
        assert set(read.keys) == set(written)
        for key, expected in written.items():
            found = read.read(key, ordered=True)
            assert found.features.tobytes() == expected.features.tobytes()
            assert found.intervals.tobytes() == expected.intervals.tobytes()


def test_segments_of_a_video_are_in_their_order(tmp_path: Path) -> None:
    keys = ["v[10]", "v[2]", "w", "v[0]"]
    path = write_csd(tmp_path / "x.csd", "X", sequences=((key, sequence()) for key in keys))
    with ComputationalSequence(path) as read:
        assert read.videos == {"v": ("v[0]", "v[2]", "v[10]"), "w": ("w",)}


def bad(intervals: object, features: object) -> TimedFeatures:
    return TimedFeatures(np.asarray(intervals, float), np.asarray(features, float))


IMPOSSIBLE = [
    (bad([[0, 1]], [[1], [2]]), False, "as many intervals as features"),
    (bad([0, 1], [[1], [2]]), False, r"intervals \(n, 2\)"),
    (bad([[0, 1], [2, 1]], [[1], [2]]), False, r"an end after the start .* row 1"),
    (bad([[0, np.nan]], [[1]]), False, "an end after the start"),
    (bad([[1, 2], [0, 1]], [[1], [2]]), True, "follow each other .* row 1"),
    (bad([[0, 2], [1, 3]], [[1], [2]]), True, "follow each other .* row 1"),
]


@pytest.mark.parametrize(("broken", "ordered", "message"), IMPOSSIBLE)
def test_a_bad_key_is_named_and_leaves_the_rest(
    tmp_path: Path, broken: TimedFeatures, ordered: bool, message: str
) -> None:
    path = write_csd(tmp_path / "x.csd", "X", sequences=[("good", sequence())])
    with h5py.File(path, "a") as file:
        file["X/data/bad/features"] = broken.features
        file["X/data/bad/intervals"] = broken.intervals
    with ComputationalSequence(path) as read:
        with pytest.raises(DataError, match=f"{message}.*"):
            read.read("bad", ordered=ordered)
        found = dict(read.survey(ordered=ordered))
        assert isinstance(found["bad"], DataError)
        assert isinstance(found["good"], TimedFeatures)


def test_a_key_without_intervals_or_of_nobody(tmp_path: Path) -> None:
    path = write_csd(tmp_path / "x.csd", "X", sequences=[("good", sequence())])
    with h5py.File(path, "a") as file:
        file["X/data/half/features"] = np.zeros((2, 1))
    with ComputationalSequence(path) as read:
        with pytest.raises(DataError, match="key 'half', which is damaged"):
            read.read("half")
        with pytest.raises(DataError, match="got 'nobody', which it does not hold; it has 2 keys"):
            read.read("nobody")


def test_files_that_are_no_sequences(tmp_path: Path, real_data: Path) -> None:
    text = tmp_path / "text.csd"
    text.write_text("hello")
    whole = (real_data / WORDS).read_bytes()
    cut = tmp_path / "cut.csd"
    cut.write_bytes(whole[: len(whole) // 3])
    for path in (text, cut):
        with pytest.raises(DataError, match=f"{path.name}, which is damaged"):
            ComputationalSequence(path)
    with pytest.raises(DataError, match="which is none"):
        ComputationalSequence(tmp_path / "absent.csd")
    with h5py.File(tmp_path / "other.csd", "w") as file:
        file["X/values"] = [1]
    with pytest.raises(DataError, match="not a computational sequence"):
        ComputationalSequence(tmp_path / "other.csd")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.csd"
    with pytest.raises(DataError, match="each key once, got 'a' again"):
        write_csd(path, "X", sequences=[("a", sequence()), ("a", sequence())])
    with pytest.raises(DataError, match="a place to write"):
        write_csd(tmp_path / "absent" / "x.csd", "X", sequences=[("a", sequence())])
    assert not list(tmp_path.iterdir())
