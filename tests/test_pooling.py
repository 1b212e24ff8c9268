"""Pooled statistics: hand-worked cases, properties, names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trivalent.bundle.encoder import EncoderSpec
from trivalent.core.errors import FeatureError
from trivalent.core.types import FeatureTable
from trivalent.experts.encoder import Encoder
from trivalent.features.levels import Level, recording_level
from trivalent.features.pooling import STATISTICS, columns_of, level_of_statistics, parse_name, pool

ORDERLESS = ("mean", "std", "min", "max", "p05", "p10", "p50", "p90", "iqr", "range", "skew")
finite = st.floats(-1e3, 1e3, allow_nan=False)


def make(**columns: list[float] | np.ndarray) -> FeatureTable:
    values = np.stack([np.asarray(c, dtype=np.float64) for c in columns.values()], axis=1)
    return FeatureTable("demo", "1", tuple(columns), 0.01 * np.arange(len(values)), values)


def one(table: FeatureTable, name: str) -> float:
    return float(pool(table, [name])[0])


def vectors(low: int = 1) -> st.SearchStrategy[np.ndarray]:
    return st.integers(low, 30).flatmap(lambda n: arrays(np.float64, n, elements=finite))


def test_hand_worked() -> None:
    table = make(F0=[100.0, 200.0, 400.0, np.nan], VUV=[0.0, 1.0, 1.0, 1.0])
    assert one(table, "F0.mean") == pytest.approx(700 / 3)
    assert one(table, "F0.mean_voiced") == 300
    assert one(table, "F0.std_voiced") == 100
    assert one(table, "F0.p50_voiced") == 300
    assert one(table, "F0.iqr_voiced") == 100
    assert one(table, "F0.slope_voiced") == pytest.approx(200 / 0.01)
    assert one(table, "F0.semitone_std_voiced") == pytest.approx(6)
    assert one(table, "F0.semitone_range") == pytest.approx(0.8 * 24)
    assert one(table, "F0.dabs") == pytest.approx(150 / 0.01)
    assert one(table, "VUV.mean") == 0.75
    assert one(table, "VUV.rate") == pytest.approx(1 / 0.04)


def test_changes_do_not_jump_over_gaps() -> None:
    table = make(x=[0.0, 1.0, np.nan, 50.0, 51.0])
    assert one(table, "x.dabs") == pytest.approx(100)
    assert one(table, "x.dstd") == pytest.approx(0, abs=1e-9)


def test_voicing_rate_counts_segments() -> None:
    assert one(make(VUV=[1.0, 0, 1, 1, 0, 0, 1, np.nan]), "VUV.rate") == pytest.approx(3 / 0.08)


def test_columns_of_a_face_table() -> None:
    table = make(mouthSmileLeft=[0.1, 0.3], jawOpen=[0.0, 1.0])
    assert one(table, "mouthSmileLeft.mean") == pytest.approx(0.2)
    with pytest.raises(FeatureError, match="VUV"):
        pool(table, ["jawOpen.mean_voiced"])


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("prefix", ["", "semitone_"])
def test_nothing_valid_is_nan(statistic: str, prefix: str) -> None:
    nothing = make(x=[np.nan, np.nan], VUV=[0.0, 1.0])
    empty = FeatureTable.absent("demo", "1", columns=["x", "VUV"], reason="too short")
    for table in (nothing, empty):
        assert np.isnan(pool(table, [f"x.{prefix}{statistic}", f"x.{prefix}{statistic}_voiced"])).all()


@pytest.mark.parametrize("statistic", STATISTICS)
def test_single_row_never_fails(statistic: str) -> None:
    value = one(make(x=[3.0]), f"x.{statistic}")
    assert np.isnan(value) == (statistic in {"slope", "dstd", "dabs", "rate"})


@given(vectors(), st.randoms(use_true_random=False))
def test_order_does_not_matter(x: np.ndarray, random: object) -> None:
    shuffled = x.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    names = [f"x.{s}" for s in ORDERLESS]
    np.testing.assert_allclose(pool(make(x=shuffled), names), pool(make(x=x), names), rtol=1e-6, atol=1e-6)


@given(finite, st.integers(2, 20))
def test_a_constant_has_no_spread(value: float, n: int) -> None:
    table = make(x=[value] * n)
    for statistic in ("mean", "min", "max", "p10", "p50", "p90"):
        assert one(table, f"x.{statistic}") == pytest.approx(value)
    for statistic in ("std", "iqr", "range", "skew", "slope", "dstd", "dabs"):
        assert one(table, f"x.{statistic}") == pytest.approx(0, abs=1e-6)


@given(vectors(2), st.data())
def test_rows_without_value_are_ignored(x: np.ndarray, data: st.DataObject) -> None:
    keep = data.draw(arrays(np.bool_, len(x)).filter(lambda k: bool(k.any())))
    holed = np.where(keep, x, data.draw(st.sampled_from([np.nan, np.inf, -np.inf])))
    names = [f"x.{s}" for s in ORDERLESS]
    actual = pool(make(x=holed), names)
    np.testing.assert_allclose(actual, pool(make(x=x[keep]), names), rtol=1e-9, atol=1e-9)
    voiced = pool(make(x=x, VUV=keep.astype(float)), [f"{n}_voiced" for n in names])
    np.testing.assert_allclose(voiced, actual, rtol=1e-9, atol=1e-9)


@given(vectors(3), finite, st.floats(0.1, 10))
def test_affine(x: np.ndarray, shift: float, scale: float) -> None:
    plain, moved = make(x=x), make(x=scale * x + shift)
    for statistic in ("mean", "p10", "p50", "p90"):
        expected = scale * one(plain, f"x.{statistic}") + shift
        assert one(moved, f"x.{statistic}") == pytest.approx(expected, rel=1e-6, abs=1e-6)
    for statistic in ("std", "iqr", "range", "slope", "dstd", "dabs"):
        expected = scale * one(plain, f"x.{statistic}")
        assert one(moved, f"x.{statistic}") == pytest.approx(expected, rel=1e-6, abs=1e-5)


@given(arrays(np.float64, 12, elements=st.floats(50, 500)), st.floats(0.5, 2))
def test_semitones_do_not_depend_on_the_register(f0: np.ndarray, factor: float) -> None:
    names = [f"F0.semitone_{s}" for s in ("std", "range", "slope", "dstd")]
    np.testing.assert_allclose(
        pool(make(F0=factor * f0), names), pool(make(F0=f0), names), rtol=1e-6, atol=1e-6
    )


def test_order_and_shape() -> None:
    table = make(a=[1.0, 3.0], b=[5.0, 5.0])
    actual = pool(table, ["b.mean", "a.mean", "b.mean"])
    assert actual.dtype == np.float64
    assert actual.tolist() == [5.0, 2.0, 5.0]
    assert pool(table, []).shape == (0,)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("F0", "COLUMN.STATISTIC"),
        (".mean", "COLUMN.STATISTIC"),
        ("F0.mena", "did you mean mean"),
        ("F0.mean_voicd", "expected a statistic"),
        ("F1.mean", "did you mean F0"),
        ("zzz.mean", "choose from F0, VUV"),
    ],
)
def test_unknown_names_get_a_hint(name: str, hint: str) -> None:
    with pytest.raises(FeatureError, match=hint):
        pool(make(F0=[1.0], VUV=[1.0]), [name])


def test_needed_columns() -> None:
    assert columns_of(["a.mean", "b.semitone_std_voiced", "a.p90"]) == ("a", "b", "VUV")
    assert parse_name("MCEP_3.dstd_voiced").column == "MCEP_3"


def test_statistics_above_the_level_of_a_recording() -> None:
    """Two utterances: each differs from the mean over the voiced rows of both; alone nothing does."""
    names = ["x.mean", "x.mean_voiced_above", "x.slope_above"]
    values = np.array([[1.0, 1], [3, 1], [8, 0]]), np.array([[7.0, 1]] * 4)
    one, two = (FeatureTable("demo", "1", ("x", "VUV"), np.arange(float(len(v))), v) for v in values)
    levels = [level_of_statistics(table, names) for table in (one, two)]
    assert [level.weight for level in levels] == [2, 4]
    recording = Level.mean(levels)
    voiced = (2 * 2 + 4 * 7) / 6
    assert pool(one, names, level=recording) == pytest.approx([4, 2 - voiced, 3.5 - 3.5 * 2 / 6])
    assert pool(two, names, level=recording) == pytest.approx([7, 7 - voiced, -3.5 * 2 / 6])
    assert pool(one, names).tolist() == [4, 0, 0]
    assert parse_name(names[1]).above
    assert columns_of(names) == ("x", "VUV")


def test_a_level_that_nobody_knows_is_missing() -> None:
    table = FeatureTable("demo", "1", ("x",), np.zeros(1), np.array([[2.0]]))
    level = level_of_statistics(table, ["x.dstd_above"])
    assert np.isnan(Level.mean([level, level]).values).all()
    assert np.isnan(pool(table, ["x.dstd_above"], level=level)).all()


def test_features_of_a_network_know_the_level_of_the_recording_too() -> None:
    """What is learned from is what is analysed, also where an expert's own statistics are learned from."""
    names = ("x.mean", "x.mean_above")
    tables = [make(x=[1.0, 3]), make(x=[6.0, 8])]
    encoder = Encoder(EncoderSpec("demo", "1", names))
    level = recording_level(map(encoder.level, tables))
    found = [encoder.from_table(table, level)[0] for table in tables]
    np.testing.assert_allclose(found, [[2, -2.5], [7, 2.5]])
    plain = Encoder(EncoderSpec("demo", "1", names[:1]))
    assert recording_level(map(plain.level, tables)) is None
