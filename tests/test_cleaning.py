"""Cleaning: what is removed, repaired and scaled, on made-up tables and on the real MOSEI features."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trivalent.core.errors import DataError, FeatureError
from trivalent.features.cleaning import Cleaner
from trivalent.lab.datasets.dataset import Features
from trivalent.lab.problems.cleaning import CleaningConfig, fit_cleaner

# Eighths: a column that varies does so by more than rounding.
CELLS = st.one_of(st.integers(-8000, 8000).map(lambda n: n / 8), st.sampled_from([np.nan, np.inf, -np.inf]))
TABLES = st.tuples(st.integers(2, 12), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=CELLS)
)


def named(values: np.ndarray) -> Features:
    return Features("demo", tuple(f"c{i}" for i in range(values.shape[1])), values.astype(np.float32))


@given(values=TABLES, scaling=st.sampled_from(["zscore", "l2", "none"]))
def test_cleaned_rows_are_finite_and_absent_ones_stay_absent(values: np.ndarray, scaling: str) -> None:
    features = named(values)
    try:
        cleaner = fit_cleaner(features, CleaningConfig(scaling=scaling))
    except DataError:
        assert all(len(set(column[np.isfinite(column)].tolist())) < 2 for column in values.T)
        return
    cleaned, repaired = cleaner.apply(values, features.columns)
    kept = [features.columns.index(name) for name in cleaner.columns]
    present = np.isfinite(values[:, kept]).any(axis=1)
    assert np.isfinite(cleaned[present]).all()
    assert np.isnan(cleaned[~present]).all()
    assert repaired == (~np.isfinite(values[present][:, kept])).sum()
    again = Cleaner.from_dict(json.loads(json.dumps(cleaner.to_dict())))
    np.testing.assert_array_equal(again.apply(values, features.columns)[0], cleaned)


def test_z_scores_by_hand() -> None:
    values = np.array([[1.0, 5, 1], [3, 5, 2], [np.nan, 5, 3], [5, 5, 4]])
    cleaner = fit_cleaner(named(values), CleaningConfig(clip=0))
    assert (cleaner.columns, dict(cleaner.removed)) == (("c0", "c2"), {"c1": "constant"})
    # The median 3 fills the gap: mean 3, deviation sqrt(2).
    cleaned, repaired = cleaner.apply(values, ("c0", "c1", "c2"))
    np.testing.assert_allclose(cleaned[:, 0], np.array([-2, 0, 0, 2]) / np.sqrt(2), rtol=1e-6)
    assert (repaired, dict(cleaner.repaired)) == (1, {"c0": 1})


def test_lengths_and_limits() -> None:
    values = np.array([[3.0, 4], [6, 8], [0, 1]])
    rows = fit_cleaner(named(values), CleaningConfig(scaling="l2")).apply(values, ("c0", "c1"))[0]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    far = np.concatenate([np.zeros(99), [100.0]])[:, None]
    assert fit_cleaner(named(far), CleaningConfig(clip=3)).apply(far, ("c0",))[0].max() == 3


def test_an_exploding_column_is_removed_by_its_training_deviation() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((50, 4)) * [1, 2, 3, 1e7]
    cleaner = fit_cleaner(named(values))
    assert list(cleaner.removed) == ["c3"]
    assert "deviation" in cleaner.removed["c3"]
    assert not fit_cleaner(named(values), CleaningConfig(explode=0)).removed


def test_columns_are_found_by_name() -> None:
    values = np.arange(8.0).reshape(4, 2) ** 2
    cleaner = fit_cleaner(named(values))
    swapped = cleaner.apply(values[:, ::-1], ("c1", "c0"))[0]
    np.testing.assert_array_equal(swapped, cleaner.apply(values, ("c0", "c1"))[0])
    with pytest.raises(FeatureError, match=r"expected the columns c1 \(1 in all\)"):
        cleaner.apply(values[:, :1], ("c0",))


def test_nothing_to_fit_on() -> None:
    with pytest.raises(DataError, match="got none of 3; leave the modality out"):
        fit_cleaner(named(np.full((3, 2), np.nan)))
    with pytest.raises(DataError, match="usable column"):
        fit_cleaner(named(np.ones((3, 2))))
    with pytest.raises(FeatureError, match="fields of a cleaner"):
        Cleaner.from_dict({"columns": ["a"]})
    content = fit_cleaner(named(np.arange(4.0).reshape(4, 1))).to_dict()
    with pytest.raises(FeatureError, match="positive scale for 1 columns"):
        Cleaner.from_dict(content | {"scale": [0.0]})


def test_real_covarep_and_openface(real_data: Path) -> None:
    with np.load(real_data / "cmu_mosei" / "video_level_922.npz") as data:
        train = data["fold_sdk"] == "train"
        covarep, openface = data["covarep40"], data["openface35"]
    voice = fit_cleaner(named(covarep[train]))
    assert voice.repaired["c7"] == (~np.isfinite(covarep[train, 7])).sum() > 400  # mostly -inf
    face = fit_cleaner(named(openface[train]))
    assert face.removed["c0"] == "constant"
    for cleaner, values in ((voice, covarep), (face, openface)):
        cleaned, _ = cleaner.apply(values, tuple(f"c{i}" for i in range(values.shape[1])))
        assert np.isfinite(cleaned).all()
        assert np.abs(cleaned).max() <= 5
        np.testing.assert_allclose(cleaned[train].mean(0), 0, atol=0.1)
