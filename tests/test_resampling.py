"""Resampling: counts as asked, labels kept, nothing beyond the training values, the same by seed."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("imblearn", reason="needs the extra train")

from trivalent.core.errors import DataError, MissingExtraError, RecipeError, UsageError
from trivalent.lab.problems.resampling import RESAMPLERS, Resampled, resample

checked = settings(max_examples=40, deadline=None)
NEIGHBOURS = ("smote", "borderline_smote", "adasyn")
ADDING = ("random_over", *NEIGHBOURS, "modality_noise")
MODALITIES = ("text", "text", "audio", "face")


@st.composite
def folds(draw: st.DrawFn, smallest: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes of random sizes, rows shuffled."""
    sizes = draw(st.lists(st.integers(smallest, 25), min_size=3, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    y = rng.permutation(np.repeat([0, 1, 2], sizes))
    return rng.normal(size=(len(y), 4)) + 0.5 * y[:, None], y


def options_of(name: str) -> dict:
    return {"modalities": MODALITIES} if name == "modality_noise" else {}


def run(name: str, X: np.ndarray, y: np.ndarray, seed: int = 0, **options) -> Resampled:
    return resample(name, X, y, seed=seed, **options_of(name), **options)


@pytest.mark.parametrize("name", RESAMPLERS)
@given(data=folds(), seed=st.integers(0, 1000))
@checked
def test_what_all_keep(name: str, data: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    X, y = data
    before = X.copy(), y.copy()
    out = run(name, X, y, seed)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
    assert len(out) == len(out.X) == len(out.rows) == len(out.weights)
    assert (out.X.dtype, out.y.dtype) == (X.dtype, y.dtype)
    kept = out.rows >= 0
    np.testing.assert_array_equal(out.X[kept], X[out.rows[kept]])
    np.testing.assert_array_equal(out.y[kept], y[out.rows[kept]])
    again = run(name, X, y, seed)
    for field in ("X", "y", "rows", "weights"):
        np.testing.assert_array_equal(getattr(out, field), getattr(again, field))
    assert out.notes == again.notes


@pytest.mark.parametrize("name", ADDING)
@given(data=folds())
@checked
def test_adding_balances_and_keeps_the_originals(name: str, data: tuple) -> None:
    X, y = data
    out = run(name, X, y)
    if name == "random_over":
        np.testing.assert_array_equal(out.rows[: len(y)], np.arange(len(y)))
    else:
        assert out.rows.tolist() == [*range(len(y)), *[-1] * (len(out) - len(y))]
    counts, asked = Counter(out.y.tolist()), max(Counter(y.tolist()).values())
    for c, n in counts.items():
        missed = out.notes.get(f"class {c}: more (+) or fewer (-) than asked", 0)
        assert n == asked + missed
        assert name in ("adasyn", "borderline_smote") or not missed


@pytest.mark.parametrize("name", ["random_over", "smote", "modality_noise"])
@given(data=folds(2), more=st.lists(st.integers(0, 30), min_size=3, max_size=3))
@checked
def test_counts_by_class_as_asked(name: str, data: tuple, more: list[int]) -> None:
    X, y = data
    have = Counter(y.tolist())
    target = {c: have[c] + more[c] for c in range(3)}
    assert Counter(run(name, X, y, target=target).y.tolist()) == target
    only = run(name, X, y, target={1: have[1] + 3})
    assert Counter(only.y.tolist()) == {**have, 1: have[1] + 3}


@given(data=folds(), seed=st.integers(0, 1000))
@checked
def test_under_sampling(data: tuple, seed: int) -> None:
    X, y = data
    out = run("random_under", X, y, seed)
    smallest = min(Counter(y.tolist()).values())
    assert set(Counter(out.y.tolist()).values()) == {smallest}
    assert (np.diff(out.rows) > 0).all()  # without replacement, in order
    target = {c: n // 2 for c, n in Counter(y.tolist()).items()}
    assert Counter(run("random_under", X, y, target=target).y.tolist()) == +Counter(target)


@pytest.mark.parametrize("name", NEIGHBOURS)
@given(data=folds(2))
@checked
def test_only_training_values_of_the_class_are_interpolated(name: str, data: tuple) -> None:
    """Every new sample lies on a segment between two training samples of its class."""
    X, y = data
    out = run(name, X, y)
    for x, c in zip(out.X[len(y) :], out.y[len(y) :], strict=True):
        own = X[y == c]
        a, b = own[:, None], own[None]
        d = b - a
        length = (d**2).sum(-1)
        t = np.divide(((x - a) * d).sum(-1), length, out=np.zeros_like(length), where=length > 0)
        gap = np.abs(a + np.clip(t, 0, 1)[..., None] * d - x).max(-1)
        assert gap.min() < 1e-9


def test_few_neighbours_are_noted() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [3, 1, 20])
    X = rng.normal(size=(24, 4))
    for name in NEIGHBOURS:
        notes = run(name, X, y).notes
        assert notes["class 0: k_neighbors reduced to"] == 2
        assert notes["class 1: repeated, having one sample"] == 19
    assert run("smote", X, np.repeat([0, 1, 2], 8)).notes == {}


def test_classes_without_a_border_get_plain_smote() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [12, 20, 30])
    X = rng.normal(size=(62, 4)) + 1000 * y[:, None]
    for name in ("borderline_smote", "adasyn"):
        out = run(name, X, y)
        assert Counter(out.y.tolist()) == {0: 30, 1: 30, 2: 30}
        assert out.notes == {
            "class 0: plain SMOTE, no border found": 18,
            "class 1: plain SMOTE, no border found": 10,
        }


def test_adaptive_samples_gather_at_the_border() -> None:
    """Class 0 on a line from 0 to 1, class 1 around 1: the new samples lie near 1."""
    X = np.concatenate([np.linspace(0, 1, 30), np.linspace(0.9, 1.3, 90)])[:, None]
    y = np.repeat([0, 1], [30, 90])
    new = {name: run(name, X, y).X[120:, 0].mean() for name in NEIGHBOURS}
    assert new["smote"] < 0.65
    assert new["adasyn"] > 0.85
    assert new["borderline_smote"] > 0.85


def test_weighted_sampler_draws_by_class() -> None:
    y = np.repeat([0, 1, 2], [20, 80, 900])
    X = np.arange(1000.0)[:, None]
    n = 30_000
    for power, expected in ((1.0, [1 / 3, 1 / 3, 1 / 3]), (0.0, [0.02, 0.08, 0.9])):
        out = run("weighted_sampler", X, y, size=n, power=power)
        np.testing.assert_allclose(np.bincount(out.y) / n, expected, atol=0.015)
        np.testing.assert_array_equal(out.X[:, 0], out.rows)
    assert len(run("weighted_sampler", X, y)) == 1000


@given(data=folds(), seed=st.integers(0, 1000))
@checked
def test_mixup_mixes_values_and_weights_alike(data: tuple, seed: int) -> None:
    X, y = data
    n = len(y)
    X = np.concatenate([X, np.eye(3)[y]], axis=1)  # labels ride along as features
    out = resample("mixup", X, y, seed=seed, alpha=0.5)
    np.testing.assert_array_equal(out.X[:n], out.X[n:])
    np.testing.assert_array_equal(out.y[:n], y)
    assert sorted(out.y[n:].tolist()) == sorted(y.tolist())
    weights = out.weights[:n] + out.weights[n:]
    np.testing.assert_allclose(weights, 1)
    # What rode along is exactly the mixed target that the paired weights stand for.
    hot = np.eye(3)[out.y] * out.weights[:, None]
    np.testing.assert_allclose(hot[:n] + hot[n:], out.X[:n, -3:], atol=1e-12)
    assert (out.X.min(0) >= X.min(0) - 1e-12).all()
    assert (out.X.max(0) <= X.max(0) + 1e-12).all()


@given(data=folds(), seed=st.integers(0, 1000))
@checked
def test_noise_touches_one_modality(data: tuple, seed: int) -> None:
    X, y = data
    out = run("modality_noise", X, y, seed)
    for x, c in zip(out.X[len(y) :], out.y[len(y) :], strict=True):
        own = X[y == c]
        same = own == x
        modality_kept = np.stack([same[:, :2].all(1), same[:, 2], same[:, 3]], axis=1)
        assert (modality_kept.sum(1) >= 2).any()


def test_noise_has_the_deviation_asked_for() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(3000, 4)) * [1, 10, 100, 0]
    y = np.array([0] * 1 + [1] * 2999)
    out = run("modality_noise", X, y, scale=0.2)
    moved = out.X[3000:] - X[0]
    touched = moved != 0
    share = touched.mean(0)
    np.testing.assert_allclose(share[:3], 1 / 3, atol=0.04)
    assert share[3] == 0  # a constant column has no deviation
    assert (touched[:, 0] == touched[:, 1]).all()
    for column, deviation in ((0, 0.2), (1, 2.0), (2, 20.0)):
        assert moved[touched[:, column], column].std() == pytest.approx(deviation, rel=0.08)


def test_noise_leaves_missing_modalities_missing() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(40, 5, 4)).astype(np.float32)  # steps, too
    X[:10, :, :2] = np.nan
    y = np.array([0] * 10 + [1] * 30)
    out = run("modality_noise", X, y)
    new = out.X[40:]
    assert new.dtype == np.float32
    assert np.isnan(new[..., :2]).all()
    changed = np.array([[(x[:, j] != X[:10, :, j]).all() for j in (2, 3)] for x in new])
    assert (changed.sum(1) == 1).all()  # the noise is never spent on the absent modality


@pytest.mark.parametrize("name", ["unchanged", "weighted_sampler", "random_over", "random_under"])
def test_picking_takes_sequences_and_gaps(name: str) -> None:
    X = np.full((6, 2, 3), np.nan, np.float32)
    out = run(name, X, np.array([0, 1, 1, 2, 2, 2]))
    assert out.X.shape[1:] == (2, 3)
    assert out.weights.tolist() == [1.0] * len(out)


X6, Y6 = np.arange(12.0).reshape(6, 2), np.array([0, 0, 1, 1, 1, 2])


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("smot", {}, UsageError, "known resampler, got 'smot'; did you mean 'smote'"),
        ("smote", {"k": 2}, RecipeError, "an option of smote, got 'k'; it has: target, k_neighbors"),
        ("random_over", {"seeds": 2}, RecipeError, "an option of random_over, got 'seeds'; it has: target"),
        ("unchanged", {"target": {}}, RecipeError, "got 'target'; it has none"),
        ("smote", {"k_neighbors": 2.0}, RecipeError, "a whole number for k_neighbors .* the default is 5"),
        ("smote", {"k_neighbors": True}, RecipeError, "a whole number for k_neighbors of smote, got True"),
        ("mixup", {"alpha": "2e-1"}, RecipeError, "a number for alpha of mixup, got '2e-1'"),
        ("modality_noise", {}, UsageError, "the modality of each column for modality_noise, got none"),
        ("modality_noise", {"modalities": ["text"]}, DataError, "modality of each of 2 columns"),
        ("modality_noise", {"modalities": ["a", "b"], "scale": -1}, UsageError, "scale of 0 or more"),
        ("random_over", {"target": {0: 1}}, DataError, "at least 2 for class 0, got 1; under-sample"),
        ("random_over", {"target": {7: 9}}, DataError, "got class 7; leave it out"),
        ("random_over", {"target": "more"}, UsageError, "got 'more'"),
        ("random_over", {"target": {"negative": 9}}, DataError, "got class 'negative'"),
        ("random_over", {"target": {0: "all"}}, UsageError, "whole numbers by class, got"),
        ("random_over", {"target": 100}, UsageError, "whole numbers by class, got 100"),
        ("weighted_sampler", {"size": "all"}, UsageError, "size of 1 or more, got 'all'"),
        ("random_under", {"target": {0: 5}}, DataError, "0 to 2 for class 0, got 5; over-sample"),
        ("smote", {"k_neighbors": 0}, UsageError, "k_neighbors of 1 or more, got 0"),
        ("borderline_smote", {"m_neighbors": 0}, UsageError, "m_neighbors of 1 or more, got 0"),
        ("mixup", {"alpha": 0.0}, UsageError, "alpha above 0, got 0"),
        ("weighted_sampler", {"size": 0}, UsageError, "size of 1 or more, got 0"),
    ],
)
def test_what_cannot_be_asked(name: str, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        resample(name, X6, Y6, seed=0, **options)


def test_what_cannot_be_resampled() -> None:
    gaps = X6.copy()
    gaps[0, 0] = np.nan
    for name in (*NEIGHBOURS, "mixup"):
        with pytest.raises(DataError, match=r"got 1 that are not; impute .* such as random_over"):
            resample(name, gaps, Y6, seed=0)
    with pytest.raises(DataError, match="table of samples by columns for SMOTE"):
        resample("smote", X6[..., None], Y6, seed=0)
    with pytest.raises(DataError, match="two classes or more for ADASYN, got only 0"):
        resample("adasyn", X6, np.zeros(6, int), seed=0)
    for X, y in ((X6, Y6[1:]), (X6[:, 0], Y6), (X6[:0], Y6[:0])):
        with pytest.raises(DataError, match=r"expected features \(n, \.\.\.\) and labels"):
            resample("unchanged", X, y, seed=0)


def test_seeds_differ_and_generators_are_taken() -> None:
    a, b = (run("smote", X6, Y6, seed).X for seed in (0, 1))
    assert (a != b).any()
    c = run("smote", X6, Y6, np.random.default_rng(0)).X
    np.testing.assert_array_equal(a, c)


def test_absent_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imblearn", None)
    with pytest.raises(MissingExtraError, match=r"'imbalanced-learn'.*trivalent\[train\]"):
        run("smote", X6, Y6)
    assert len(run("random_over", X6, Y6)) == 9
