"""One temperature per expert: found, optimal, harmless."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.errors import DataError
from trivalent.fusion import softmax
from trivalent.lab.calibration import fit_temperature
from trivalent.lab.metrics import expected_calibration_error, negative_log_likelihood


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
