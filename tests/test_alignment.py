"""Alignment: time-weighted means against a plain loop, and what has no value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.core.errors import DataError
from trivalent.lab.datasets.alignment import average_over


def by_loop(intervals: np.ndarray, features: np.ndarray, spans: np.ndarray) -> np.ndarray:
    out = np.full((len(spans), features.shape[1]), np.nan)
    for i, (start, end) in enumerate(spans):
        shared = np.minimum(intervals[:, 1], end) - np.maximum(intervals[:, 0], start)
        for j in range(features.shape[1]):
            use = (shared > 1e-9) & np.isfinite(features[:, j])
            if use.any():
                out[i, j] = np.average(features[use, j], weights=shared[use])
    return out


@given(st.integers(0, 30), st.integers(1, 5), st.integers(0, 20), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_equals_the_loop(n: int, d: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    intervals = np.sort(rng.integers(0, 60, 2 * n) / 4.0).reshape(n, 2)  # gaps, touching and empty ones
    features = rng.standard_normal((n, d))
    features[rng.random((n, d)) < 0.2] = rng.choice([np.nan, np.inf, -np.inf])
    spans = np.sort(rng.integers(-8, 70, (m, 2)) / 4.0, axis=1)
    means, covered = average_over(intervals, features, spans=spans)
    np.testing.assert_allclose(means, by_loop(intervals, features, spans), atol=1e-7)
    assert ((covered >= 0) & (covered <= 1)).all()


@given(st.integers(1, 40), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_order_of_the_spans_and_constant_tracks(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.arange(n + 1) * 0.01
    intervals = np.stack([edges[:-1], edges[1:]], axis=1)
    spans = np.sort(rng.uniform(0, n * 0.01, (7, 2)), axis=1)
    spans = spans[spans[:, 1] - spans[:, 0] > 1e-6]
    means, covered = average_over(intervals, np.full((n, 2), 3.5), spans=spans)
    np.testing.assert_allclose(means, 3.5)
    np.testing.assert_allclose(covered, 1.0)
    order = rng.permutation(len(spans))
    again, _ = average_over(intervals, np.full((n, 2), 3.5), spans=spans[order])
    np.testing.assert_array_equal(again, means[order])


def test_what_is_covered() -> None:
    intervals, features = np.array([[0.0, 1], [2, 3]]), np.array([[1.0, np.nan], [3, 5]])
    means, covered = average_over(intervals, features, spans=np.array([[0.0, 3], [1, 2], [-5, -1], [9, 9]]))
    np.testing.assert_array_equal(means, [[2, 5], [np.nan] * 2, [np.nan] * 2, [np.nan] * 2])
    np.testing.assert_allclose(covered, [2 / 3, 0, 0, 0])


def test_many_columns_at_once() -> None:
    rng = np.random.default_rng(0)
    edges = np.arange(301) / 30
    intervals, features = np.stack([edges[:-1], edges[1:]], axis=1), rng.standard_normal((300, 150))
    spans = np.array([[0.0, 5.0], [2.51, 7.77]])
    np.testing.assert_allclose(
        average_over(intervals, features, spans=spans)[0], by_loop(intervals, features, spans), atol=1e-9
    )


@pytest.mark.parametrize(
    ("intervals", "spans", "message"),
    [
        ([[1, 2], [0, 1]], [[0, 1]], "follow each other, got .* in row 1"),
        ([[0, 2], [1, 3]], [[0, 1]], "follow each other, got .* in row 1"),
        ([[0, 1], [1, np.nan]], [[0, 1]], "finite times"),
        ([[0, 1], [1, 2]], [[1, 0]], "end after their start, got .* in row 0"),
        ([[0, 1]], [[0, 1]], r"features \(n, d\)"),
    ],
)
def test_impossible_times(intervals: list, spans: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        average_over(np.array(intervals, float), np.ones((2, 1)), spans=np.array(spans, float))
