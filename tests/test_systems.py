"""Training samples of a system: real ones, and those that each seed's resampler made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from trivalent.core.errors import DataError, RecipeError, UsageError  # noqa: E402
from trivalent.core.types import Modality  # noqa: E402
from trivalent.lab.datasets.dataset import Dataset, Features  # noqa: E402
from trivalent.lab.fusion.seed_training import PAPER_TRAINING, System, _training_data, train_system  # noqa: E402
from trivalent.lab.fusion.task import FusionData  # noqa: E402
from trivalent.lab.problems.classification import Problem, make_problem  # noqa: E402
from trivalent.lab.problems.resampling import resample  # noqa: E402


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


def drawn(problem: Problem, resampling: str, **options: Any) -> tuple[FusionData, np.ndarray]:
    """Return the training data of one seed with the rows that it is trained on."""
    data, rows = _training_data(System(resampling=resampling, resampling_options=options), problem, [3])
    assert rows is not None
    return data, rows[0]


def joined(problem: Problem) -> np.ndarray:
    return np.concatenate([*problem.parts.train.features.values()], axis=1)


def with_gaps(problem: Problem) -> Problem:
    """Take the face of the first ten training samples away."""
    hidden = {Modality.FACE: np.arange(40) < 10}
    return replace(problem, parts=replace(problem.parts, train=problem.parts.train.hiding(hidden)))


def test_options_of_smote_reach_it(problem: Problem) -> None:
    """With one neighbour other samples are made than with five: those of the function itself."""
    labels = problem.parts.train.labels_to_fit()
    made = {}
    for k in (1, 5):
        data, rows = drawn(problem, "smote", k_neighbors=k)
        expected = resample("smote", joined(problem), labels, seed=3, k_neighbors=k)
        made[k] = np.concatenate([x[rows].numpy() for x in data.features.values()], axis=1)
        np.testing.assert_allclose(made[k], expected.X, atol=1e-6)
    assert not np.allclose(made[1], made[5])


def test_targets_by_class(problem: Problem) -> None:
    data, rows = drawn(problem, "random_over", target={0: 33})
    counts = problem.counts()
    assert np.bincount(data.labels[rows].numpy()).tolist() == [33, *counts[1:]]
    data, rows = drawn(problem, "weighted_sampler", size=400, power=0.0)
    shares = np.bincount(data.labels[rows].numpy()) / 400
    np.testing.assert_allclose(shares, counts / counts.sum(), atol=0.08)


def test_alpha_of_mixup(problem: Problem) -> None:
    spread = {}
    for alpha in (0.1, 50.0):
        data, rows = drawn(problem, "mixup", alpha=alpha)
        assert data.weights is not None
        spread[alpha] = float((data.weights[rows] - 0.5).abs().mean())
    assert spread[0.1] > 0.4  # nearly unmixed
    assert spread[50.0] < 0.1  # nearly halves


def test_noise_falls_on_one_modality_that_is_there(problem: Problem) -> None:
    gaps = with_gaps(problem)
    for scale in (0.0, 0.5):
        data, rows = drawn(gaps, "modality_noise", scale=scale)
        made = rows >= 40
        assert made.any()
        changed = []
        for row in rows[made].tolist():
            label = data.labels[row]
            # The original is a sample of the class that equals the copy in all but one modality.
            same = {
                m: ((x[:40] == x[row]).all(1) & (data.present[m][:40] == data.present[m][row]))
                for m, x in data.features.items()
            }
            agree = sum(own.int() for own in same.values())
            near = (agree * (data.labels[:40] == label)).argmax()
            changed.append([m for m in same if not same[m][near]])
            assert all(data.present[m][row] for m in changed[-1])
        assert {len(own) for own in changed} == ({0} if scale == 0 else {1})
        face = data.present[Modality.FACE][torch.from_numpy(rows[made])]
        assert face.any()
        assert not face.all()


def test_a_system_is_trained_with_noise(problem: Problem) -> None:
    training = replace(PAPER_TRAINING, epochs=1)
    system = System(resampling="modality_noise", resampling_options={"scale": 0.3}, training=training)
    trained = train_system(system, with_gaps(problem), [0, 1])
    assert np.isfinite(trained.logits(problem.parts.val)).all()


def test_interpolation_needs_every_modality(problem: Problem) -> None:
    for name in ("smote", "mixup"):
        with pytest.raises(DataError, match="such as random_over"):
            drawn(with_gaps(problem), name)
    drawn(with_gaps(problem), "random_over")


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("smote", {"alpha": 1.0}, RecipeError, "an option of smote, got 'alpha'; it has: target, k_neighb"),
        (
            "modality_noise",
            {"modalities": ["text"]},
            RecipeError,
            "got 'modalities'; it has: target, scale",
        ),
        ("mixup", {"seed": 1}, RecipeError, "got 'seed'; it has: alpha"),
        ("smoote", {}, UsageError, "did you mean 'smote'"),
    ],
)
def test_options_are_checked_at_once(
    name: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        System(resampling=name, resampling_options=options)
