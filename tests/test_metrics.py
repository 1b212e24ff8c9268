"""Metrics of classes and probabilities: cases worked by hand, bounds, the bootstrap."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.core.errors import DataError
from trivalent.lab.measure.metrics import (
    accuracy,
    bootstrap_interval,
    brier,
    class_scores,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
    macro_recall,
    matthews_correlation,
    negative_log_likelihood,
    summarize,
    weighted_f1,
)

sklearn = pytest.importorskip("sklearn.metrics", reason="needs the extra train")

codes = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)
rows = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda p: (np.array(p) / sum(p)).tolist())
tables = st.lists(st.tuples(st.integers(0, 2), rows), min_size=1, max_size=40)
checked = settings(max_examples=60, deadline=None)

# Truth 0 0 0 1 1 2 2 2 2 2, said 0 0 1 1 2 2 2 2 0 0: rows of the matrix 2 1 0 | 0 1 1 | 2 0 3.
TRUTH = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
SAID = np.array([0, 0, 1, 1, 2, 2, 2, 2, 0, 0])


def split(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    labels, predicted = zip(*pairs, strict=True)
    return np.array(labels), np.array(predicted)


def unpack(items: list[tuple[int, list[float]]]) -> tuple[np.ndarray, np.ndarray]:
    labels, probabilities = zip(*items, strict=True)
    return np.array(labels), np.array(probabilities)


def test_by_hand() -> None:
    assert confusion_matrix(TRUTH, SAID).tolist() == [[2, 1, 0], [0, 1, 1], [2, 0, 3]]
    assert accuracy(TRUTH, SAID) == 0.6
    scores = class_scores(TRUTH, SAID)
    np.testing.assert_allclose(scores["precision"], [2 / 4, 1 / 2, 3 / 4])
    np.testing.assert_allclose(scores["recall"], [2 / 3, 1 / 2, 3 / 5])
    f1 = [4 / 7, 1 / 2, 6 / 9]
    np.testing.assert_allclose(scores["f1"], f1)
    assert scores["support"].tolist() == [3, 2, 5]
    assert macro_f1(TRUTH, SAID) == pytest.approx(sum(f1) / 3)
    assert weighted_f1(TRUTH, SAID) == pytest.approx((3 * f1[0] + 2 * f1[1] + 5 * f1[2]) / 10)
    assert macro_recall(TRUTH, SAID) == pytest.approx((2 / 3 + 1 / 2 + 3 / 5) / 3)


def test_matthews_by_hand() -> None:
    """(c s - sum t p) / sqrt((s^2 - sum t^2)(s^2 - sum p^2)), t = 3 2 5, p = 4 2 4, c = 6, s = 10."""
    expected = (60 - (12 + 4 + 20)) / ((100 - 38) * (100 - 36)) ** 0.5
    assert matthews_correlation(TRUTH, SAID) == pytest.approx(expected)


def test_always_majority() -> None:
    """The figures of the constant answer on MELD's test part: accuracy .481, macro-F1 .217."""
    labels = np.repeat([0, 1, 2], [833, 1256, 521])
    constant = np.ones_like(labels)
    assert accuracy(labels, constant) == pytest.approx(0.481, abs=5e-4)
    assert macro_f1(labels, constant) == pytest.approx(0.217, abs=5e-4)
    assert macro_recall(labels, constant) == pytest.approx(1 / 3)


@given(codes)
@checked
def test_bounds_and_perfection(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = split(pairs)
    for metric in (accuracy, macro_f1, weighted_f1, macro_recall):
        assert 0 <= metric(labels, predicted) <= 1
        assert metric(labels, labels) == 1


def test_nll_stays_finite() -> None:
    sure = np.array([[1.0, 0.0, 0.0]])
    assert negative_log_likelihood(np.array([1]), sure) == pytest.approx(-np.log(1e-12))
    assert negative_log_likelihood(np.array([0]), sure) == 0
    assert brier(np.array([1]), sure) == 2
    assert brier(np.array([0]), sure) == 0


def test_ece_by_hand() -> None:
    """Two of three right at confidence .9, none of one at .5: (3/4) |2/3 - .9| + (1/4) .5."""
    probabilities = np.array([[0.9, 0.1, 0.0]] * 3 + [[0.5, 0.3, 0.2]])
    labels = np.array([0, 0, 1, 2])
    assert expected_calibration_error(labels, probabilities) == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.125)


@pytest.mark.parametrize(
    ("labels", "predicted", "message"),
    [
        ([], [], "non-empty"),
        ([0, 1], [0], r"got \(2,\) and \(1,\)"),
        ([[0]], [[0]], "vectors"),
        ([0, 3], [0, 1], r"codes 0\.\.2, got 0\.\.3"),
        ([0, 1], [-1, 1], r"got -1\.\.1"),
    ],
)
def test_what_cannot_be_counted_is_refused(labels: list, predicted: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        confusion_matrix(np.array(labels, int), np.array(predicted, int))


def test_summary_is_consistent() -> None:
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(3, size=200), rng.dirichlet(np.ones(3), size=200)
    predicted = probabilities.argmax(1)
    summary = summarize(labels, probabilities)
    assert summary["n"] == 200
    assert summary["macro_f1"] == macro_f1(labels, predicted)
    assert summary["nll"] == negative_log_likelihood(labels, probabilities)
    assert summary["negative_recall"] == pytest.approx(
        sklearn.recall_score(labels, predicted, labels=[0], average="macro")
    )
    assert summary["negative_f1"] == pytest.approx(
        sklearn.f1_score(labels, predicted, labels=[0], average="macro")
    )
    assert all(type(value) is float for value in summary.values())


def mean_truth(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(labels.mean())


def test_bootstrap_covers_what_it_should() -> None:
    """The interval of a mean equals the normal approximation when every item is its own group."""
    labels = np.random.default_rng(1).integers(3, size=900)
    p = np.zeros((900, 3))
    low, high = bootstrap_interval(
        mean_truth, labels, probabilities=p, groups=[str(i) for i in range(900)], rounds=2000
    )
    error = 1.96 * labels.std() / 30
    assert low == pytest.approx(labels.mean() - error, abs=0.15 * error)
    assert high == pytest.approx(labels.mean() + error, abs=0.15 * error)


def test_bootstrap_resamples_whole_groups() -> None:
    labels = np.repeat([0, 2, 0, 2], 50)
    seen: list[Counter] = []

    def spy(rows: np.ndarray, probabilities: np.ndarray) -> float:
        seen.append(Counter(probabilities[:, 0].tolist()))
        return float(rows.mean())

    identity = np.stack([np.repeat([0.0, 1.0, 2.0, 3.0], 50)] * 3, axis=1)
    groups = np.repeat(["a", "b", "c", "d"], 50).tolist()
    wide = bootstrap_interval(spy, labels, probabilities=identity, groups=groups, rounds=50)
    assert all(n % 50 == 0 for counter in seen for n in counter.values())
    singles = [str(i) for i in range(200)]
    narrow = bootstrap_interval(mean_truth, labels, probabilities=identity, groups=singles, rounds=200)
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])


def test_bootstrap_is_reproducible() -> None:
    rng = np.random.default_rng(2)
    labels, p = rng.integers(3, size=60), rng.dirichlet(np.ones(3), size=60)
    groups = [str(i // 5) for i in range(60)]

    def run(seed: int) -> tuple[float, float]:
        return bootstrap_interval(
            lambda y, q: accuracy(y, q.argmax(1)),
            labels,
            probabilities=p,
            groups=groups,
            rounds=100,
            seed=seed,
        )

    assert run(0) == run(0)
    assert run(0) != run(1)
    assert run(0)[0] <= accuracy(labels, p.argmax(1)) <= run(0)[1]
