"""Training samples of a system: real ones, and those that each seed's resampler made."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

from trivalent.lab.datasets.dataset import Dataset, Features
from trivalent.lab.problem import Problem, make_problem
from trivalent.lab.systems import System, _training_data
from trivalent.types import Modality


@pytest.fixture
def problem() -> Problem:
    rng = np.random.default_rng(0)
    names = np.array([f"v{i}" for i in range(60)])
    return make_problem(
        Dataset(
            "made-up",
            "by hand",
            ids=names,
            groups=names,
            split=np.array(["train"] * 40 + ["val"] * 10 + ["test"] * 10),
            labels=np.where(np.arange(60) % 4 == 0, 0, 1 + np.arange(60) % 2),
            scores=np.full(60, np.nan),
            seconds=np.full(60, np.nan),
            features={
                m: Features("x", ("a", "b"), rng.normal(size=(60, 2)).astype(np.float32)) for m in Modality
            },
        )
    )


def test_mixed_samples_count_by_their_share(problem: Problem) -> None:
    data, rows = _training_data(System(resampling="mixup"), problem, [0, 1])
    assert rows is not None
    assert data.weights is not None
    for own in rows:
        assert len(own) == 80  # both labels of each of the 40 mixtures
        weights = data.weights[own].numpy()
        np.testing.assert_allclose(weights[:40] + weights[40:], 1, atol=1e-6)
        assert weights.std() > 0.1
    assert not set(rows[0].tolist()) & set(rows[1].tolist())


def test_made_samples_of_smote_count_as_real_ones(problem: Problem) -> None:
    data, rows = _training_data(System(resampling="smote"), problem, [0, 1])
    assert rows is not None
    assert data.weights is not None
    assert (data.weights == 1).all()
    for own in rows:
        counts = np.bincount(data.labels[own].numpy())
        assert (counts == counts.max()).all()


def test_no_resampling_no_weights(problem: Problem) -> None:
    data, rows = _training_data(System(), problem, [0, 1])
    assert rows is None
    assert data.weights is None
