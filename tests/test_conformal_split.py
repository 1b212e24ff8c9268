"""Validation items for prediction sets alone: who gets them, and what they are for, by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from trivalent.core.errors import DataError, LeakageError
from trivalent.core.types import Modality
from trivalent.lab.decide.answering import AnsweringConfig, choose_answering
from trivalent.lab.decide.conformal_split import ConformalSplit, split_validation
from trivalent.lab.measure.metrics import macro_f1
from trivalent.lab.problems.parts import Part, Role


def part(labels: np.ndarray, *, per_group: int = 1, role: Role = Role.VAL) -> Part:
    n = len(labels)
    groups = np.array([f"v{i // per_group}" for i in range(n)])
    return Part(role, {Modality.TEXT: np.arange(n, dtype=np.float32)[:, None]}, groups, labels)


@pytest.mark.parametrize(
    ("samples", "per_group", "split"),
    [(260, 1, True), (150, 1, False), (260, 8, True), (260, 26, False), (2000, 150, False)],
)
def test_large_validation_parts_are_split(samples: int, per_group: int, split: bool) -> None:
    given = part(np.zeros(samples, int), per_group=per_group)
    chosen_on, apart = split_validation(given, "auto")
    assert (apart is not None) == split
    if apart is None:
        assert chosen_on is given
    else:
        assert min(len(chosen_on), len(apart)) >= 100


@pytest.mark.parametrize("per_group", [1, 3])
def test_halves_are_disjoint_by_group_and_lose_nothing(per_group: int) -> None:
    labels = np.arange(61) % 3
    halves = split_validation(part(labels, per_group=per_group), "always")
    found = [own for own in halves if own is not None]
    assert len(found) == 2
    assert not set(found[0].groups) & set(found[1].groups)
    rows = np.concatenate([own.features[Modality.TEXT][:, 0] for own in found]).astype(int)
    assert sorted(rows.tolist()) == list(range(61))
    assert np.concatenate([own.labels_to_select() for own in found]).tolist() == labels[rows].tolist()
    assert {own.role for own in found} == {Role.VAL}
    again = split_validation(part(labels[::-1], per_group=per_group), "always")
    assert again[0].groups.tolist() == found[0].groups.tolist()  # labels play no part


def test_no_split_of_one_group_or_of_test_data() -> None:
    one = part(np.zeros(5, int), per_group=5)
    assert split_validation(one, "auto") == (one, None)
    assert split_validation(one, ConformalSplit.NEVER) == (one, None)
    with pytest.raises(DataError, match=r"two videos or speakers or more, got 5 samples of one; .* never"):
        split_validation(one, "always")
    with pytest.raises(LeakageError):
        split_validation(part(np.zeros(300, int), role=Role.TEST), "auto")


def coverage_of(how: str, seed: int, *, samples: int, fresh: int = 1000) -> float:
    """Share of fresh items whose label is in the set of the best of 30 epochs, calibrated.

    An epoch is a linear model; the labels are drawn from the probabilities of another one.
    """
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(6, 3))
    epochs = rng.normal(size=(30, 6, 3)) + 0.3 * truth
    x = rng.normal(size=(samples + fresh, 6))
    labels = (x @ truth + rng.gumbel(size=(samples + fresh, 3))).argmax(1)
    chosen_on, apart = split_validation(part(labels[:samples]), how)
    rows = [own.features[Modality.TEXT][:, 0].astype(int) for own in (chosen_on, apart) if own is not None]
    scores = [macro_f1(labels[rows[0]], (x[rows[0]] @ own).argmax(1)) for own in epochs]
    logits = x @ epochs[int(np.argmax(scores))]
    answering = choose_answering(
        logits[rows[0]],
        chosen_on,
        config=AnsweringConfig(calibration="vector", decision="ratio", coverage=0.9),
        apart=None if apart is None else (logits[rows[1]], apart),
    )
    sets = answering.answer(logits[samples:]).sets
    return float(sets[np.arange(fresh), labels[samples:]].mean())


@pytest.mark.parametrize("samples", [60, 220])
def test_stated_coverage_holds_with_items_apart_and_not_without(samples: int) -> None:
    found = {
        how: np.array([coverage_of(how, seed, samples=samples) for seed in range(200)])
        for how in ("always", "never")
    }
    mean = {how: float(own.mean()) for how, own in found.items()}
    error = {how: 3 * float(own.std(ddof=1)) / 200**0.5 for how, own in found.items()}
    # In [1 - alpha, 1 - alpha + 1 / (n + 1)] on average, for n items apart; 3 standard errors.
    assert 0.9 - error["always"] < mean["always"] < 0.9 + 1 / (samples / 2 + 1) + error["always"]
    assert mean["never"] + error["never"] < 0.9


def test_a_large_part_keeps_its_promise_by_default() -> None:
    found = np.array([coverage_of("auto", seed, samples=260) for seed in range(100)])
    assert abs(found.mean() - 0.9) < 1 / 130 + 3 * found.std(ddof=1) / 10
    # With 100 items apart the coverage of one of them is a Beta(91, 10) number: mostly .84 to .95.
    assert np.mean((found > 0.83) & (found < 0.96)) > 0.9
