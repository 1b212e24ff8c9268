"""Feature tables as files: what is written is read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from trivalent.core.errors import FeatureError, MissingExtraError, TrivalentError, UsageError
from trivalent.core.types import FeatureTable, Status
from trivalent.features.tables import SUFFIXES, check_suffix, read_table, write_table

TABLE = FeatureTable(
    "demo",
    "2",
    ("F0", "größe, Hz"),
    np.array([0.005, 0.015, 0.1]),
    np.array([[100.25, np.nan], [-1.0, 1e-12], [0.1 + 0.2, 7.0]]),
    meta={"hop_s": 0.01, "words": 3, "nested": {"a": [1, None]}},
)


def same(a: FeatureTable, b: FeatureTable) -> bool:
    return (
        (a.extractor, a.version, a.columns, a.status, a.reason, a.meta)
        == (b.extractor, b.version, b.columns, b.status, b.reason, b.meta)
        and np.array_equal(a.times, b.times)
        and np.array_equal(a.values, b.values, equal_nan=True)
        and a.values.dtype == b.values.dtype
    )


def test_npz_round_trip(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "t.npz")
    assert same(read_table(tmp_path / "t.npz"), TABLE)


def test_npz_layout_is_the_documented_one(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as data:
        assert sorted(data) == ["columns", "meta", "times", "values"]
        assert data["columns"].tolist() == list(TABLE.columns)
        meta = json.loads(str(data["meta"]))
    assert meta == {
        "extractor": "demo",
        "version": "2",
        "status": "ok",
        "reason": None,
        "options": TABLE.meta,
    }


@given(
    arrays(
        st.sampled_from([np.float32, np.float64]),
        array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=5),
        elements=st.floats(width=32),
    )
)
@settings(max_examples=25, deadline=None)
def test_any_values_survive(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("t") / "t.npz"
    columns = tuple(f"c{i}" for i in range(values.shape[1]))
    table = FeatureTable("demo", "1", columns, np.arange(float(len(values))), values)
    write_table(table, path)
    assert same(read_table(path), table)


def test_an_absent_table_keeps_its_reason(tmp_path: Path) -> None:
    table = FeatureTable.absent("face", "1", columns=["a"], reason="no face", status=Status.FAILED)
    write_table(table, tmp_path / "t.npz")
    assert same(read_table(tmp_path / "t.npz"), table)
    write_table(table, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines() == ["time_s,a"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_frames_carry_time_first_and_all_digits(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="needs the extra table")
    path = tmp_path / f"t{suffix}"
    write_table(TABLE, path)
    frame = pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path)
    assert frame.columns.tolist() == ["time_s", *TABLE.columns]
    np.testing.assert_allclose(frame["time_s"], TABLE.times, rtol=1e-15)
    np.testing.assert_allclose(frame[list(TABLE.columns)], TABLE.values, rtol=1e-15)


def test_pyarrow_is_named_when_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"'pyarrow'.*pip install 'trivalent\[table\]'"):
        write_table(TABLE, tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["t.txt", "t", "t.npz.gz", ".npz"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"expected a name that ends in \.npz, \.csv, \.parquet"):
        check_suffix(tmp_path / name)


def test_an_absent_folder_is_told(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        check_suffix(tmp_path / f"t{suffix}")
        with pytest.raises(UsageError, match="expected an existing folder"):
            check_suffix(tmp_path / "no" / f"t{suffix}")


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "t.npz").mkdir()
    with pytest.raises(TrivalentError, match="expected a place to write"):
        write_table(TABLE, tmp_path / "t.npz")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"PK\x03\x04",
        b"hello",
        b"\x93NUMPY",
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "t.npz").write_bytes(raw)
    with pytest.raises(FeatureError, match=r"expected a feature table in .*extract it again"):
        read_table(tmp_path / "t.npz")


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    write_table(TABLE, path)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(FeatureError, match="expected a feature table"):
        read_table(path)
    np.savez(path, values=np.zeros((1, 1)))
    with pytest.raises(FeatureError, match="meta"):
        read_table(path)
    with pytest.raises(FeatureError, match="expected a feature table"):
        read_table(tmp_path / "absent.npz")


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return sys.exit, ("unpickled",)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    trap = np.array([_Trap()], dtype=object)
    np.savez(path, values=trap, columns=trap, times=trap, meta=trap)
    with pytest.raises(FeatureError, match="expected a feature table"):
        read_table(path)
