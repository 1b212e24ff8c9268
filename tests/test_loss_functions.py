"""The losses by name: by hand, by torch's own, by numeric gradients, batched and masked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the extra train")
import torch.nn.functional as F  # noqa: E402, N812

from trivalent.core.errors import DataError, UsageError  # noqa: E402
from trivalent.lab.fit import loss_functions as terms  # noqa: E402
from trivalent.lab.fit.losses import LOSSES, build_loss, class_weights, loss_options  # noqa: E402

COUNTS = np.array([10, 40, 50])
VARIANTS = [
    ("cross_entropy", {}),
    ("cross_entropy", {"weights": "sqrt"}),
    ("cross_entropy", {"weights": "effective", "beta": 0.9}),
    ("focal", {}),
    ("focal", {"gamma": 0.5, "weights": "linear"}),
    ("macro_f1", {}),
    ("focal_macro_f1", {"f1_factor": 0.7}),
    ("logit_adjusted", {"tau": 1.5}),
    ("ldam", {"scale": 2.0, "weights": "square"}),
    ("label_smoothing", {"weights": "linear"}),
]
variants = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=lambda v: str(v))

# Two samples: p = (.5, .25, .25) with truth 0, and (.1, .2, .7) with truth 1.
LOGITS = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], dtype=torch.float64))
LABELS = torch.tensor([0, 1])
MACRO_F1 = 1 - (2 * 0.5 / (0.6 + 1) + 2 * 0.2 / (0.45 + 1) + 0) / 3


def batch(n: int = 7, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    return logits, torch.randint(3, (n,), generator=generator)


def mean(a: float, b: float) -> float:
    return (a + b) / 2


FOCAL = mean(0.5**2 * -math.log(0.5), 0.8**2 * -math.log(0.2))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("cross_entropy", {}, mean(-math.log(0.5), -math.log(0.2))),
        # 100 / (10, 40, 50) = 10, 2.5, 2 with mean 14.5 / 3
        (
            "cross_entropy",
            {"weights": "linear"},
            mean(10 * -math.log(0.5), 2.5 * -math.log(0.2)) / (14.5 / 3),
        ),
        ("focal", {}, FOCAL),
        ("focal", {"gamma": 0.0}, mean(-math.log(0.5), -math.log(0.2))),
        ("macro_f1", {}, MACRO_F1),
        ("focal_macro_f1", {"f1_factor": 0.5}, FOCAL + 0.5 * MACRO_F1),
        # p * prior: (.05, .1, .125) of .275, and (.01, .08, .35) of .44
        ("logit_adjusted", {}, mean(-math.log(0.05 / 0.275), -math.log(0.08 / 0.44))),
        (
            "label_smoothing",
            {"smoothing": 0.3},
            mean(
                -0.8 * math.log(0.5) - 0.2 * math.log(0.25),
                -0.8 * math.log(0.2) - 0.1 * math.log(0.1) - 0.1 * math.log(0.7),
            ),
        ),
    ],
)
def test_by_hand(name: str, options: dict, expected: float) -> None:
    loss = build_loss(name, counts=COUNTS, **options)
    assert loss.name == name
    assert loss(LOGITS, LABELS).item() == pytest.approx(expected)


def test_ldam_by_hand() -> None:
    """Counts 1, 16, 81: margins .5 (1, 1/2, 1/3); exp(-m) shrinks the odds of the truth."""
    loss = build_loss("ldam", counts=np.array([1, 16, 81]), max_margin=0.5)
    kept = 0.5 * math.exp(-0.5), 0.2 * math.exp(-0.25)
    expected = mean(-math.log(kept[0] / (kept[0] + 0.5)), -math.log(kept[1] / (kept[1] + 0.8)))
    assert loss(LOGITS, LABELS).item() == pytest.approx(expected)
    scaled = build_loss("ldam", counts=np.array([1, 16, 81]), max_margin=0.0, scale=3.0)
    assert scaled(LOGITS, LABELS).item() == pytest.approx(F.cross_entropy(3 * LOGITS, LABELS).item())


@given(st.integers(0, 10_000), st.integers(1, 30), st.floats(0, 0.9))
@settings(max_examples=40, deadline=None)
def test_equals_torch_where_both_exist(seed: int, n: int, smoothing: float) -> None:
    logits, labels = batch(n, seed)
    w = torch.tensor(class_weights(COUNTS, "sqrt"))
    ours = build_loss("cross_entropy", counts=COUNTS, weights="sqrt").per_sample
    assert ours is not None
    torch.testing.assert_close(
        ours(logits, labels), F.cross_entropy(logits, labels, weight=w, reduction="none")
    )
    smooth = build_loss("label_smoothing", counts=COUNTS, smoothing=smoothing)
    theirs = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(smooth(logits, labels), theirs)


@given(st.integers(0, 10_000), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_macro_f1_of_certain_answers_is_that_of_scikit_learn(seed: int, n: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    logits, labels = batch(n, seed)
    said = logits.argmax(1)
    hard = 1000 * terms.one_hot(said, logits)
    theirs = sklearn.f1_score(labels, said, labels=[0, 1, 2], average="macro", zero_division=0)
    assert terms.soft_macro_f1(hard, labels).item() == pytest.approx(1 - theirs)


@given(st.integers(0, 10_000), st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_soft_counts_equal_a_naive_loop(seed: int, n: int) -> None:
    logits, labels = batch(n, seed)
    w = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    p = torch.softmax(logits, 1)
    total = 0.0
    for c in range(3):
        tp = fp = fn = 0.0
        for i in range(n):
            if labels[i] == c:
                tp += float(w[i] * p[i, c])
                fn += float(w[i] * (1 - p[i, c]))
            else:
                fp += float(w[i] * p[i, c])
        total += 2 * tp / (2 * tp + fp + fn)
    assert terms.soft_macro_f1(logits, labels, w).item() == pytest.approx(1 - total / 3)


@variants
def test_gradients(name: str, options: dict) -> None:
    logits, labels = batch()
    loss = build_loss(name, counts=COUNTS, **options)
    weight = torch.tensor([1.0, 0.5, 2.0, 0.0, 1.0, 1.0, 0.3], dtype=torch.float64)
    z = logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, labels), (z,))
    assert torch.autograd.gradcheck(lambda z: loss(z, labels, weight), (z,))


@variants
def test_padding_counts_nothing(name: str, options: dict) -> None:
    logits, labels = batch()
    loss = build_loss(name, counts=COUNTS, **options)
    padded = torch.cat([logits, torch.full((4, 3), 5.0, dtype=torch.float64)]).requires_grad_()
    padded_labels = torch.cat([labels, torch.tensor([0, 2, -1, -100])])
    mask = torch.tensor([True] * 7 + [False] * 4)
    value = loss(padded, padded_labels, mask)
    torch.testing.assert_close(value, loss(logits, labels))
    (gradient,) = torch.autograd.grad(value, padded)
    assert (gradient[7:] == 0).all()
    assert torch.isfinite(loss(padded, padded_labels, torch.zeros(11)))


@variants
def test_a_weight_of_two_is_a_sample_twice(name: str, options: dict) -> None:
    logits, labels = batch()
    loss = build_loss(name, counts=COUNTS, **options)
    twice = loss(torch.cat([logits, logits[:2]]), torch.cat([labels, labels[:2]]))
    weight = torch.tensor([2.0, 2, 1, 1, 1, 1, 1])
    torch.testing.assert_close(loss(logits, labels, weight), twice)


@variants
def test_batched_members_equal_single_ones(name: str, options: dict) -> None:
    loss = build_loss(name, counts=COUNTS, **options)
    pairs = [batch(7, seed) for seed in range(4)]
    logits, labels = (torch.stack(t) for t in zip(*pairs, strict=True))
    masks = torch.arange(7) < torch.tensor([7, 5, 3, 1])[:, None]
    gradients, values = torch.func.vmap(torch.func.grad_and_value(loss))(logits, labels, masks)
    for i, (z, y) in enumerate(pairs):
        n = int(masks[i].sum())
        single = z[:n].requires_grad_()
        value = loss(single, y[:n])
        torch.testing.assert_close(values[i], value)
        torch.testing.assert_close(gradients[i, :n], torch.autograd.grad(value, single)[0])
        assert (gradients[i, n:] == 0).all()


@variants
def test_sure_answers_stay_finite_in_single_precision(name: str, options: dict) -> None:
    loss = build_loss(name, counts=COUNTS, **options)
    logits = torch.tensor([[200.0, 0.0, 0.0], [0.0, 0.0, 200.0]], requires_grad=True)
    value = loss(logits, torch.tensor([0, 0]))
    assert value.dtype is torch.float32
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


def test_hyper_parameters_of_members_may_differ() -> None:
    logits, labels = batch()
    gammas = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    batched = torch.func.vmap(lambda g: terms.focal(logits, labels, gamma=g).mean())(gammas)
    single = torch.stack([terms.focal(logits, labels, gamma=float(g)).mean() for g in gammas])
    torch.testing.assert_close(batched, single)


def test_logit_adjustment_moves_the_optimum_to_balance() -> None:
    """With no features the best logits are the prior; adjusted, they are equal."""
    labels = torch.tensor([0] * 1 + [1] * 4 + [2] * 5)
    loss = build_loss("logit_adjusted", counts=COUNTS)
    z = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(z.expand(10, 3), labels), z)
    torch.testing.assert_close(gradient, torch.zeros(1, 3, dtype=torch.float64))


def test_options_are_listed() -> None:
    assert loss_options("macro_f1") == {}
    assert loss_options("label_smoothing") == {"smoothing": 0.1, "weights": "none", "beta": 0.999}
    for name in LOSSES:
        assert build_loss(name, counts=COUNTS, **loss_options(name)).name == name


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("focall", {}, "known loss, got 'focall'; did you mean 'focal'"),
        ("hinge", {}, "known loss, got 'hinge'; choose from: cross_entropy, focal"),
        ("focal", {"gama": 1}, "known option of focal, got 'gama'; did you mean 'gamma'"),
        ("macro_f1", {"x": 1}, "choose from: none"),
        ("focal", {"gamma": -1.0}, r"expected gamma in \[0, inf\), got -1"),
        ("focal", {"gamma": math.inf}, "gamma"),
        ("logit_adjusted", {"tau": math.nan}, "tau"),
        ("label_smoothing", {"smoothing": 1.5}, r"smoothing in \[0, 1\]"),
        ("ldam", {"max_margin": -0.1}, "max_margin"),
        ("cross_entropy", {"weights": "cube"}, "known class weighting, got 'cube'"),
        ("cross_entropy", {"weights": "effective", "beta": 1.0}, "beta"),
    ],
)
def test_what_cannot_be_built(name: str, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_loss(name, counts=COUNTS, **options)


def test_an_empty_class_is_refused_before_training() -> None:
    for name in LOSSES:
        with pytest.raises(DataError, match=r"got counts 0\.0, 4\.0, 5\.0"):
            build_loss(name, counts=np.array([0, 4, 5]))
