"""The guard against leakage: what must not be possible raises, also through the tools that select."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trivalent.core.errors import DataError, LeakageError
from trivalent.core.types import Modality
from trivalent.lab.decide.answering import AnsweringConfig, choose_answering
from trivalent.lab.measure.metrics import accuracy
from trivalent.lab.problems.parts import Part, Parts, Role, Truth


def part(role: Role, *, groups: str, n: int = 30, seed: int = 0) -> Part:
    rng = np.random.default_rng(seed)
    features = {Modality.TEXT: rng.normal(size=(n, 4)).astype(np.float32)}
    names = np.array([f"{groups}{i // 3}" for i in range(n)])
    return Part(role, features, names, rng.permutation(np.arange(n) % 3))


def by_accuracy(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    return {"accuracy": accuracy(labels, predicted)}


def test_labels_of_the_test_part_are_out_of_reach() -> None:
    test = part(Role.TEST, groups="c")
    with pytest.raises(LeakageError, match="expected train or val data for selection, got the test part"):
        test.labels_to_select()
    with pytest.raises(LeakageError, match="expected train data for fitting, got the test part; fit on"):
        test.labels_to_fit()
    assert "_labels" not in repr(test)


def test_validation_labels_are_for_selection_only() -> None:
    val = part(Role.VAL, groups="b")
    assert len(val.labels_to_select()) == 30
    with pytest.raises(LeakageError, match="expected train data for fitting, got the val part"):
        val.labels_to_fit()


def test_scores_are_guarded_as_labels_are() -> None:
    scores = np.linspace(-3, 3, 6)

    def part_of(role: Role) -> Part:
        return part(role, groups="a", n=6)

    test, val, train = (
        replace(part_of(role), _scores=scores) for role in (Role.TEST, Role.VAL, Role.TRAIN)
    )
    with pytest.raises(LeakageError, match="for selection, got the test part"):
        test.scores_to_select()
    with pytest.raises(LeakageError, match="for fitting, got the val part"):
        val.scores_to_fit()
    assert val.scores_to_select() is train.scores_to_fit() is scores
    error = {"error": 0.0}
    for of in Truth:  # one of each
        assert test.score("a", scores, seed=0, by=lambda *_: error, of=of) == error
        with pytest.raises(LeakageError, match="got a second"):
            test.score("a", scores, seed=0, by=lambda *_: error, of=of)
    with pytest.raises(DataError, match="each of the 6 samples of train, got 6 without"):
        part_of(Role.TRAIN).scores_to_fit()
    with pytest.raises(LeakageError):
        test.take(np.array([0]))
    with pytest.raises(LeakageError):
        val.take(np.array([0]), Role.TRAIN)
    taken = train.take(np.array([4, 1]), Role.VAL)
    assert taken.scores_to_select().tolist() == scores[[4, 1]].tolist()
    assert taken.labels_to_select().tolist() == train.labels_to_fit()[[4, 1]].tolist()


def test_training_labels_are_for_both() -> None:
    train = part(Role.TRAIN, groups="a")
    assert train.labels_to_fit() is train.labels_to_select()


@pytest.mark.parametrize("shared", [("a", "a", "c"), ("a", "b", "a"), ("a", "b", "b")])
def test_a_group_in_two_parts(shared: tuple[str, str, str]) -> None:
    parts = [part(role, groups=groups) for role, groups in zip(Role, shared, strict=True)]
    with pytest.raises(LeakageError, match=r"in one split, got '.0' in .* and .*split by group"):
        Parts(*parts)
    Parts(*(part(role, groups=str(role)) for role in Role))


def test_a_second_score_on_test() -> None:
    test, predicted = part(Role.TEST, groups="c"), np.zeros(30, int)
    first = test.score("attention", predicted, seed=0, by=by_accuracy)
    assert first == {"accuracy": pytest.approx(1 / 3)}
    test.score("attention", predicted, seed=1, by=by_accuracy)
    test.score("linear", predicted, seed=0, by=by_accuracy)
    with pytest.raises(LeakageError, match="one score of 'attention', seed 0, on test, got a second"):
        test.score("attention", predicted, seed=0, by=by_accuracy)


def test_validation_may_be_scored_often() -> None:
    val = part(Role.VAL, groups="b")
    scores = [val.score("attention", np.zeros(30, int), seed=0, by=by_accuracy) for _ in range(3)]
    assert scores[0] == scores[2]


@pytest.mark.parametrize("decision", ["argmax", "threshold", "ratio"])
@pytest.mark.parametrize("calibration", ["none", "temperature", "vector"])
def test_selection_on_the_test_part_is_refused(decision: str, calibration: str) -> None:
    """A deliberate leak: a threshold that is searched on the items it is judged on."""
    logits = np.random.default_rng(1).normal(size=(30, 3))
    config = AnsweringConfig(calibration, decision, answered=0.8)
    with pytest.raises(LeakageError, match="for selection, got the test part"):
        choose_answering(logits, part(Role.TEST, groups="c"), config=config)
    choose_answering(logits, part(Role.VAL, groups="b"), config=config)


def test_prediction_sets_calibrated_on_the_test_part_are_refused() -> None:
    logits = np.random.default_rng(1).normal(size=(30, 3))
    val, test = part(Role.VAL, groups="b"), part(Role.TEST, groups="c")
    with pytest.raises(LeakageError, match="for selection, got the test part"):
        choose_answering(logits, val, config=AnsweringConfig(), apart=(logits, test))
