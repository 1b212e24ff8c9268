"""The one loop: resumption, determinism, the schedule, averaged weights, the chosen epoch."""

from __future__ import annotations

import copy
import io
import logging
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from torch import Tensor, nn  # noqa: E402

from trivalent.core.errors import RecipeError  # noqa: E402
from trivalent.lab.fit import training, training_progress  # noqa: E402
from trivalent.lab.fit.members import Single  # noqa: E402
from trivalent.lab.fit.training import Fitted, TrainingConfig, fit  # noqa: E402


class KilledError(Exception):
    """Stands for a machine that goes away."""


class Toy:
    """Two noisy rings by a small network with dropout, so that every source of chance is used."""

    def __init__(self, *, die_at: int | None = None, scores: list[float] | None = None) -> None:
        rng = np.random.default_rng(7)
        angle = rng.uniform(0, 2 * math.pi, 96)
        radius = np.repeat([1.0, 2.0], 48) + rng.normal(0, 0.2, 96)
        self.x = torch.tensor(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)).float()
        self.y = torch.tensor(np.repeat([0, 1], 48))
        self.die_at, self.scores = die_at, scores
        self.seen: list[list[int]] = []
        self.losses = 0
        self.states: list[dict[str, Tensor]] = []

    def batches_per_epoch(self) -> int:
        return 6

    def batches(self, rng: np.random.Generator) -> Iterator[Tensor]:
        order = rng.permutation(96)
        for start in range(0, 96, 16):
            yield torch.tensor(order[start : start + 16])

    def loss(self, network: nn.Module, batch: Tensor) -> Tensor:
        if self.losses == self.die_at:
            raise KilledError
        self.losses += 1
        self.seen.append(batch.tolist())
        noisy = self.x[batch] + 0.01 * torch.randn(len(batch), 2)
        return nn.functional.cross_entropy(network(noisy), self.y[batch])

    def parameters(self, network: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
        return [{"params": list(network.parameters()), "lr": config.learning_rate}]

    def validate(self, network: nn.Module) -> dict[str, float]:
        assert not network.training
        self.states.append({k: v.clone() for k, v in network.state_dict().items()})
        if self.scores is not None:
            return {"score": self.scores[len(self.states) - 1]}
        return {"score": -float(nn.functional.cross_entropy(network(self.x), self.y))}


def new_network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))


def config(**changes: Any) -> TrainingConfig:
    values = {
        "epochs": 3,
        "learning_rate": 0.02,
        "averaging": 0.9,
        "validations_per_epoch": 2,
        "warmup": 0.2,
    }
    return TrainingConfig(**{**values, **changes})


def same(a: Fitted, b: Fitted) -> bool:
    ours, theirs = a.network.state_dict(), b.network.state_dict()
    return (
        all(torch.equal(ours[k], theirs[k]) for k in ours) and a.history == b.history and a.best == b.best
    )


@pytest.mark.parametrize("averaging", [0.0, 0.9])
@pytest.mark.parametrize("die_at", [1, 6, 10, 17])
def test_a_killed_run_continues_to_the_same_result(tmp_path: Path, die_at: int, averaging: float) -> None:
    chosen = config(averaging=averaging)
    whole = fit(new_network(), Toy(), config=chosen)
    checkpoint = tmp_path / "run.pt"
    with pytest.raises(KilledError):
        fit(new_network(), Toy(die_at=die_at), config=chosen, checkpoint=checkpoint)
    assert checkpoint.exists() == (die_at >= 3), "written at every validation, here every third step"
    rest = Toy()
    continued = fit(new_network(), rest, config=chosen, checkpoint=checkpoint)
    assert same(whole, continued)
    assert len(rest.seen) == 18 - 3 * (die_at // 3), "only the steps after the checkpoint are repeated"


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = fit(new_network(), Toy(), config=config(), checkpoint=tmp_path / "run.pt")
    idle = Toy()
    again = fit(new_network(), idle, config=config(), checkpoint=tmp_path / "run.pt")
    assert idle.seen == []
    assert same(first, again)


def test_checkpoints_are_whole_and_hold_no_code(tmp_path: Path) -> None:
    fit(new_network(), Toy(), config=config(), checkpoint=tmp_path / "deep" / "run.pt")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["run.pt"]
    state = torch.load(tmp_path / "deep" / "run.pt", weights_only=True)
    assert state["step"] == 18


def test_the_seed_decides_everything() -> None:
    one, same_seed, other = (fit(new_network(), Toy(), config=config(seed=s)) for s in (0, 0, 1))
    assert same(one, same_seed)
    assert not same(one, other)


def test_outside_randomness_does_not_matter() -> None:
    expected = fit(new_network(), Toy(), config=config())
    network = new_network()
    torch.manual_seed(999)
    np.random.seed(999)
    assert same(fit(network, Toy(), config=config()), expected)


def test_epochs_differ_and_cover_the_data() -> None:
    toy = Toy()
    fit(new_network(), toy, config=config(epochs=2))
    first, second = ([row for batch in toy.seen[i : i + 6] for row in batch] for i in (0, 6))
    assert sorted(first) == sorted(second) == list(range(96))
    assert first != second


def test_a_part_of_an_epoch() -> None:
    toy = Toy()
    fitted = fit(new_network(), toy, config=config(epochs=1.5, validations_per_epoch=1))
    assert len(toy.seen) == 9
    assert [h["epoch"] for h in fitted.history] == [1.0, 1.5]


def test_the_best_validation_is_chosen() -> None:
    toy = Toy(scores=[0.1, 0.7, 0.3, 0.7, 0.2, 0.6])
    fitted = fit(new_network(), toy, config=config())
    assert [h["score"] for h in fitted.history] == toy.scores
    assert fitted.best["score"] == 0.7
    assert fitted.best["epoch"] == 1.0, "of equals the earlier"
    for name, value in fitted.network.state_dict().items():
        assert torch.equal(value, toy.states[1][name])
    assert not fitted.network.training


def test_without_validations_the_last_weights_are_returned() -> None:
    toy = Toy(scores=[0.5])
    fitted = fit(new_network(), toy, config=config(validations_per_epoch=0))
    assert len(fitted.history) == 1
    assert fitted.best["epoch"] == 3.0


def test_averaged_weights_follow_the_recursion() -> None:
    """mean_k = d mean_(k-1) + (1 - d) w_k, with d = min(averaging, k / (k + 10))."""
    raw: list[dict[str, Tensor]] = []

    class Watched(Toy):
        def loss(self, network: nn.Module, batch: Tensor) -> Tensor:
            raw.append({k: v.detach().clone() for k, v in network.named_parameters()})
            return super().loss(network, batch)

    network = new_network()
    start = {k: v.detach().clone() for k, v in network.named_parameters()}
    toy = Watched(scores=[float(i) for i in range(18)])
    fit(network, toy, config=config(validations_per_epoch=6, averaging=0.5))
    raw.append({k: v.detach().clone() for k, v in network.named_parameters()})
    mean = copy.deepcopy(start)
    for step in range(1, 19):
        decay = min(0.5, step / (step + 10))
        for name, new in raw[step].items():
            mean[name] = decay * mean[name] + (1 - decay) * new
            torch.testing.assert_close(toy.states[step - 1][name], mean[name], atol=1e-6, rtol=1e-5)


def test_running_statistics_are_averaged_like_the_weights() -> None:
    seen: list[Tensor] = []

    class Watched(Toy):
        def loss(self, network: nn.Module, batch: Tensor) -> Tensor:
            out = super().loss(network, batch)
            seen.append(network[1].running_mean.clone())
            return out

    def normed() -> nn.Module:
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))

    fitted = fit(normed(), Watched(), config=config(averaging=0.5, validations_per_epoch=0))
    mean = torch.zeros(8)
    for step, new in enumerate(seen, start=1):
        decay = min(0.5, step / (step + 10))
        mean = decay * mean + (1 - decay) * new
    torch.testing.assert_close(fitted.network[1].running_mean, mean, atol=1e-6, rtol=1e-5)
    assert not torch.equal(mean, seen[-1])


def test_averaging_leaves_the_trained_network_alone() -> None:
    network = new_network()
    fitted = fit(network, Toy(), config=config(averaging=0.9))
    assert fitted.network is not network
    plain = new_network()
    fitted = fit(plain, Toy(), config=config(averaging=0.0))
    assert fitted.network is plain
    (member,) = fitted.members
    assert (member.network, member.best, member.history) == (plain, fitted.best, fitted.history)


def test_schedule() -> None:
    rates = [training._schedule(i / 100, 0.1) for i in range(101)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.5)
    assert max(rates) == rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0)
    assert training._schedule(0.0, 0.0) == 1


def test_it_learns() -> None:
    fitted = fit(new_network(), Toy(), config=config(epochs=12, learning_rate=0.1))
    assert fitted.best["score"] > -0.55 > fitted.history[0]["score"]


@pytest.mark.parametrize("patience", [0, 2, 3])
def test_plateau_as_torch_sets_it(patience: int) -> None:
    rng = np.random.default_rng(patience)
    for _ in range(20):
        ours = training._Plateau(factor=0.5, patience=patience)
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=patience)
        # Rounded, so that equal scores and gains below the threshold occur.
        for score in rng.uniform(0.4, 0.6, 25).round(2) * (1 + rng.integers(2, size=25) * 5e-5):
            ours.update(float(score))
            theirs.step(float(score))
            assert ours.rate == optimizer.param_groups[0]["lr"]


def rates(**changes: Any) -> list[float]:
    """Learning rates that a run uses, step by step."""
    used: list[float] = []
    toy = Toy(scores=[0.5, 0.4, 0.3, 0.6, 0.5, 0.5])

    def watched(members: Single, optimizer: torch.optim.Optimizer, factors: list[float]) -> None:
        step(members, optimizer, factors)
        used.append(optimizer.param_groups[0]["lr"])

    step = Single.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Single, "step", watched)
        fit(new_network(), toy, config=config(**changes))
    return used


def test_the_rate_follows_the_chosen_schedule() -> None:
    assert rates(schedule="constant") == [0.02] * 18
    found = rates(schedule="plateau", plateau_patience=1, plateau_factor=0.1)
    assert found == pytest.approx([0.02] * 9 + [0.002] * 9)
    assert rates() == [0.02 * training._schedule(i / 18, 0.2) for i in range(18)]


def test_adam_decays_in_the_gradient() -> None:
    """With Adam a step has the size of the rate whatever the decay; with AdamW the decay adds to it."""

    class Flat(Toy):
        def loss(self, network: nn.Module, batch: Tensor) -> Tensor:
            return 0 * sum(p.sum() for p in network.parameters())

    for optimizer, factor in (("adam", None), ("adamw", 1 - 0.02 * 0.5)):
        network = new_network()
        before = network[0].weight.detach().clone()
        chosen = config(
            optimizer=optimizer, weight_decay=0.5, schedule="constant", averaging=0, epochs=1 / 6
        )
        after = fit(network, Flat(), config=chosen).network[0].weight
        expected = before * factor if factor else before - 0.02 * before.sign()
        torch.testing.assert_close(after, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("key", ["schedule", "optimizer"])
def test_an_unknown_choice(key: str) -> None:
    with pytest.raises(RecipeError, match=f"expected {key} among .*, got 'cosin'"):
        config(**{key: "cosin"})


def test_a_checkpoint_of_the_first_version_is_continued(tmp_path: Path) -> None:
    """It knew neither seeds nor plateaus, and held the figures of one network."""
    whole = fit(new_network(), Toy(), config=config())
    checkpoint = tmp_path / "run.pt"
    with pytest.raises(KilledError):
        fit(new_network(), Toy(die_at=10), config=config(), checkpoint=checkpoint)
    state = torch.load(checkpoint, weights_only=True)
    del state["seeds"], state["plateaus"]
    (state["history"],), (state["best"],) = state.pop("histories"), state.pop("bests")
    torch.save(state, checkpoint)
    assert same(fit(new_network(), Toy(), config=config(), checkpoint=checkpoint), whole)


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="trivalent")
    monkeypatch.setattr(training_progress, "TELL_EVERY_S", -1.0)
    fit(new_network(), Toy(), config=config())
    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("step") for line in lines) == 18
    assert sum(line.startswith("validation") for line in lines) == 6
    caplog.clear()
    monkeypatch.setattr(sys, "stderr", Terminal())
    fit(new_network(), Toy(), config=config())
    assert not caplog.records
    shown = sys.stderr.getvalue()
    assert "training, validation -0." in shown
    assert "18/18" in shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
