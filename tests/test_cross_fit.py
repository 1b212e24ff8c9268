"""Cross-fitting, and pooled experts from recipe to folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from torch import nn  # noqa: E402

from trivalent.core.errors import RecipeError  # noqa: E402
from trivalent.lab.datasets.tabular import TabularData  # noqa: E402
from trivalent.lab.experts import sources  # noqa: E402
from trivalent.lab.experts.cross_fit import cross_fit  # noqa: E402
from trivalent.lab.experts.pooled import train_tabular  # noqa: E402
from trivalent.lab.experts.pooled_task import TabularTask  # noqa: E402
from trivalent.lab.recipes import Recipe  # noqa: E402

N = 24


class Left(nn.Module):
    """Knows which fold it left out, and answers with its seed."""

    def __init__(self, fold: int, seed: int) -> None:
        super().__init__()
        self.fold, self.seed = fold, seed


def test_everybody_is_judged_by_members_that_left_him_out() -> None:
    folds = np.array([0, 1, -1, 2] * (N // 4))
    labels = np.arange(N) % 3
    asked: list[tuple[int, int]] = []

    def logits_of(member: Left, rows: np.ndarray) -> np.ndarray:
        assert (folds[rows] == member.fold).all()
        asked.append((member.fold, member.seed))
        return np.eye(3)[labels[rows]] * member.seed

    found = cross_fit(
        Left,
        logits_of,
        folds=folds,
        labels=labels,
        sources=np.array(["a", "b", "b", "b"] * (N // 4)),
        seeds=(1, 2),
    )
    assert asked == [(fold, seed) for fold in (0, 1, 2) for seed in (1, 2)]
    assert [(m.fold, m.seed) for m in found.members] == asked
    assert found.labels.tolist() == labels[folds >= 0].tolist()
    expected = np.exp(np.eye(3)[found.labels] * 1.5 / found.temperature)  # the mean of the seeds
    np.testing.assert_allclose(found.probabilities, expected / expected.sum(1, keepdims=True))
    np.testing.assert_allclose(found.prior, found.probabilities.mean(0))
    assert {name: own["n"] for name, own in found.metrics.items()} == {"a": 6, "b": 12, "all": 18}


def people(*_: Any, **__: Any) -> tuple[TabularData, np.ndarray, np.ndarray]:
    """Six people, the last for the test; an altered copy of each sample; the person is written beside."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(6), 8)
    labels = np.tile([0, 1, 2, 0, 1, 2, 0, 1], 6)
    ids = [f"{p}-{i}{'#noise' * (i % 2)}" for i, p in enumerate(person)]
    x = np.stack([labels + rng.normal(0, 0.3, 48), person], 1).astype(np.float32)
    groups = np.array([f"p{p}" for p in person])
    data = TabularData(x, ("score", "person"), labels, groups, np.full(48, "made"), np.array(ids), 2)
    return data, np.where(person == 5, -1, person % 2), person == 5


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made = replace(sources.SOURCES["faces"], pooled=people)
    monkeypatch.setattr(sources, "SOURCES", {"made": made})


def recipe(**task: Any) -> Recipe:
    options = {"dataset": "made", "pooling": ["jawOpen.mean", "jawLeft.mean"], **task}
    training = {"epochs": 20, "batch_size": 8, "learning_rate": 0.05, "validations_per_epoch": 0}
    card = {"limits": "made up"}
    return Recipe("face", "face", seeds=(0, 1), task=options, training=training, card=card)


@pytest.mark.usefixtures("made_up")
def test_a_pooled_expert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[tuple[set[float], set[float], int]] = []
    plain = TabularTask.__init__

    def watched(self: TabularTask, *args: Any, **keywords: Any) -> None:
        plain(self, *args, **keywords)
        (train, _), (val, _) = keywords["train"], keywords["val"]
        parts.append((set(train[:, 1].tolist()), set(val[:, 1].tolist()), len(val)))

    monkeypatch.setattr(TabularTask, "__init__", watched)
    expert = train_tabular(recipe(), modality="face", root=tmp_path, out=tmp_path / "out")
    assert len(parts) == 4
    for train, val, count in parts:
        assert not train & val, "nobody is in both"
        assert len(train | val) == 5, "nobody of the test part is in either"
        assert count == 4 * len(val), "altered copies are not judged by"
    assert expert.graph.exists()
    assert expert.metrics["out_of_fold"]["made"]["accuracy"] > 0.8
    assert expert.card["limits"] == "made up"
    assert expert.card["licence"] == "weights trained on pictures for research use"
    assert (expert.card["samples"], expert.card["people"], expert.card["held_out_people"]) == (20, 5, 1)


@pytest.mark.usefixtures("made_up")
def test_altered_copies_are_judged_where_asked(tmp_path: Path) -> None:
    asked = recipe(judge_copies=True, balance_sources=True)
    expert = train_tabular(asked, modality="face", root=tmp_path, out=tmp_path / "out")
    assert expert.metrics["out_of_fold"]["made"]["n"] == 40
    assert expert.card["samples"] == 20, "pictures, not copies"


def test_data_sets_are_known_by_name(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="got 'made'; choose one"):
        train_tabular(recipe(), modality="face", root=tmp_path, out=tmp_path)
    with pytest.raises(RecipeError, match=r"expected COLUMN\.mean"):
        sources._pooled_pictures(people()[0], ["jawOpen.std"])
