"""One temperature per expert: found, optimal, harmless."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.bundle.calibration import VectorScaling
from trivalent.bundle.fusion import softmax
from trivalent.core.errors import DataError
from trivalent.lab.decide.calibration import fit_temperature, fit_vector_scaling
from trivalent.lab.measure.metrics import expected_calibration_error, negative_log_likelihood


def drawn(n: int = 6000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels that are drawn from their softmax: calibrated by construction."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, 3))
    cumulative = softmax(logits).cumsum(1)
    return logits, (rng.random((n, 1)) > cumulative).sum(1).clip(max=2)


@pytest.mark.parametrize("distortion", [0.3, 1.0, 4.0])
def test_a_distortion_is_undone(distortion: float) -> None:
    logits, labels = drawn()
    found = fit_temperature(distortion * logits, labels)
    assert found == pytest.approx(distortion, rel=0.06)
    before = expected_calibration_error(labels, softmax(distortion * logits))
    after = expected_calibration_error(labels, softmax(distortion * logits / found))
    assert after < max(0.02, before)


@given(st.integers(0, 1000), st.floats(0.2, 5))
@settings(max_examples=15, deadline=None)
def test_no_other_temperature_is_better(seed: int, distortion: float) -> None:
    logits, labels = drawn(400, seed)
    logits = logits * distortion

    def loss(t: float) -> float:
        return negative_log_likelihood(labels, softmax(logits / t))

    best = loss(fit_temperature(logits, labels))
    assert best <= min(loss(t) for t in np.geomspace(0.06, 19, 40)) + 1e-4


def test_the_ranking_is_kept() -> None:
    logits, labels = drawn(50)
    temperature = fit_temperature(logits, labels)
    np.testing.assert_array_equal(logits.argmax(1), (logits / temperature).argmax(1))


def test_bounds_hold_for_a_perfect_and_a_useless_expert() -> None:
    labels = np.arange(30) % 3
    assert 0.05 <= fit_temperature(5 * np.eye(3)[labels], labels) < 0.3
    assert 10 < fit_temperature(5 * np.eye(3)[(labels + 1) % 3], labels) <= 20


def test_nothing_to_calibrate_on() -> None:
    with pytest.raises(DataError, match="expected validation items to calibrate on, got none"):
        fit_temperature(np.empty((0, 3)), np.empty(0, int))


def test_vector_scaling_undoes_scale_and_bias() -> None:
    logits, labels = drawn(20_000)
    scale, bias = np.array([0.5, 1.0, 2.0]), np.array([1.5, -0.5, -1.0])
    found = fit_vector_scaling((logits - bias) / scale, labels)
    np.testing.assert_allclose(found.scale, scale, rtol=0.08)
    np.testing.assert_allclose(found.bias, bias, atol=0.12)
    assert found.bias.sum() == pytest.approx(0)
    np.testing.assert_allclose(found.probabilities(logits).sum(1), 1)


@given(st.integers(0, 1000), st.floats(0.2, 5), st.floats(-2, 2))
@settings(max_examples=25, deadline=None)
def test_vector_scaling_is_the_optimum(seed: int, distortion: float, shift: float) -> None:
    logits, labels = drawn(300, seed)
    logits = logits * distortion + [shift, 0, 0]
    found = fit_vector_scaling(logits, labels)

    def loss(scaling: VectorScaling) -> float:
        return negative_log_likelihood(labels, scaling.probabilities(logits))

    best = loss(found)
    # Never worse than the temperature that it contains, nor than any neighbour (convex: so, at all).
    temperature = fit_temperature(logits, labels)
    assert best <= negative_log_likelihood(labels, softmax(logits / temperature)) + 1e-9
    rng = np.random.default_rng(seed)
    for _ in range(20):
        step = 0.1 * rng.normal(size=(2, 3))
        scale = np.clip(found.scale + step[0], 0.05, 20)
        assert best <= loss(VectorScaling(scale, found.bias + step[1])) + 1e-5


def test_vector_scaling_stays_bounded_and_refuses_what_does_not_fit() -> None:
    labels = np.arange(30) % 3
    found = fit_vector_scaling(np.eye(3)[labels], labels)
    assert (found.scale <= 20).all()
    assert np.isfinite(found.bias).all()
    with pytest.raises(DataError, match="got none"):
        fit_vector_scaling(np.empty((0, 3)), np.empty(0, int))
    with pytest.raises(DataError, match=r"shape \(4, classes\), got \(5, 3\)"):
        fit_vector_scaling(np.zeros((5, 3)), np.zeros(4, int))
