"""Losses and class weights: by hand, by torch's own, by numeric gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the extra train")

from trivalent.core.errors import DataError, UsageError  # noqa: E402
from trivalent.lab.fit.losses import ClassWeights, class_weights, soft_cross_entropy, soft_targets  # noqa: E402

MOSEI = np.array([224, 1134, 891])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("none", [1, 1, 1]),
        ("sqrt", [1.54, 0.69, 0.77]),
        ("linear", [2.07, 0.41, 0.52]),
        ("square", [2.72, 0.11, 0.17]),
    ],
)
def test_weights_of_the_published_counts(rule: str, expected: list[float]) -> None:
    np.testing.assert_allclose(class_weights(MOSEI, rule), expected, atol=0.005)


@given(st.lists(st.integers(1, 10_000), min_size=3, max_size=3), st.sampled_from(ClassWeights))
@settings(max_examples=40, deadline=None)
def test_weights_have_mean_one_and_grow_with_rarity(counts: list[int], rule: ClassWeights) -> None:
    weights = class_weights(np.array(counts), rule)
    assert weights.mean() == pytest.approx(1)
    ordered = weights[np.argsort(counts, kind="stable")]
    assert (np.diff(ordered) <= 1e-12).all()
    if rule.power is not None:
        ratio = (counts[0] / counts[1]) ** rule.power
    else:
        ratio = (1 - 0.999 ** counts[0]) / (1 - 0.999 ** counts[1])
    assert weights[1] / weights[0] == pytest.approx(ratio)


def test_effective_number_lies_between_equal_and_linear() -> None:
    np.testing.assert_allclose(class_weights(MOSEI, "effective", beta=0.0), 1)
    near = class_weights(MOSEI, "effective", beta=1 - 1e-9)
    np.testing.assert_allclose(near, class_weights(MOSEI, "linear"), rtol=1e-5)


@pytest.mark.parametrize("counts", [[0, 3, 4], [], [1, -1, 2], [1, float("nan"), 2]])
def test_a_class_without_samples_is_refused(counts: list[float]) -> None:
    with pytest.raises(DataError, match="expected training samples of every class"):
        class_weights(np.array(counts), "linear")


def test_beta_below_one() -> None:
    with pytest.raises(UsageError, match=r"expected beta in \[0, 1\), got 1"):
        class_weights(MOSEI, "effective", beta=1.0)


def test_unknown_rule() -> None:
    with pytest.raises(ValueError, match="cube"):
        class_weights(MOSEI, "cube")


def test_targets_by_hand() -> None:
    nan = math.nan
    labels = torch.tensor([0, 1, 2, 2, 1])
    valence = torch.tensor([nan, nan, 0.0, 0.15, 0.0])
    soft = soft_targets(labels, valence, smoothing=0.06, ambiguity=0.3)
    kept = 0.94
    moved = 0.3 * math.exp(-1)
    expected = [
        [kept + 0.02, 0.02, 0.02],
        [0.02, kept + 0.02, 0.02],
        [0.02, kept * 0.3 + 0.02, kept * 0.7 + 0.02],
        [0.02, kept * moved + 0.02, kept * (1 - moved) + 0.02],
        [0.02, kept + 0.02, 0.02],
    ]
    torch.testing.assert_close(soft, torch.tensor(expected))


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(-1, 1) | st.just(math.nan)), min_size=1, max_size=10),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
)
@settings(max_examples=50, deadline=None)
def test_targets_are_distributions(
    items: list[tuple[int, float]], smoothing: float, ambiguity: float
) -> None:
    labels, valence = torch.tensor([y for y, _ in items]), torch.tensor([v for _, v in items])
    soft = soft_targets(labels, valence, smoothing=smoothing, ambiguity=ambiguity)
    torch.testing.assert_close(soft.sum(1), torch.ones(len(items)))
    assert (soft >= 0).all()
    # The label keeps at least what ambiguity leaves it.
    kept = soft[torch.arange(len(items)), labels]
    assert (kept >= (1 - ambiguity) * (1 - smoothing) - 1e-6).all()


def test_strong_annotations_stay_sharp() -> None:
    strong = soft_targets(torch.tensor([2]), torch.tensor([1.0]), smoothing=0.0, ambiguity=0.3)
    assert strong[0, 2] > 0.999


def test_loss_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]))
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    weights = torch.tensor([2.0, 1.0, 0.5])
    expected = (2 * -math.log(0.5) + 0.5 * -math.log(0.2) + 0.25 * -math.log(0.7)) / 2
    assert soft_cross_entropy(logits, targets, weights).item() == pytest.approx(expected, rel=1e-6)


def test_loss_equals_torch_where_both_exist() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (20,), generator=generator)
    weights = torch.tensor([1.5, 0.7, 0.8], dtype=torch.float64)
    one_hot = torch.nn.functional.one_hot(labels, 3).double()
    theirs = torch.nn.functional.cross_entropy(logits, labels, weight=weights, reduction="sum") / 20
    torch.testing.assert_close(soft_cross_entropy(logits, one_hot, weights), theirs)
    nan = torch.full((20,), math.nan)
    smooth = soft_targets(labels, nan, smoothing=0.1, ambiguity=0.3).double()
    theirs = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    ours = soft_cross_entropy(logits, smooth, torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_gradients() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.softmax(torch.randn(5, 3, generator=generator, dtype=torch.float64), -1)
    per_item = torch.rand(5, 3, generator=generator, dtype=torch.float64)
    for weights in (torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64), per_item):
        assert torch.autograd.gradcheck(lambda z, w=weights: soft_cross_entropy(z, targets, w), (logits,))


def test_unknown_valence_gives_no_nan_gradient() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    targets = soft_targets(
        torch.tensor([0, 2]), torch.tensor([math.nan, 0.1]), smoothing=0.05, ambiguity=0.3
    )
    soft_cross_entropy(logits, targets, torch.ones(3)).backward()
    assert torch.isfinite(logits.grad).all()
