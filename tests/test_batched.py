"""Batched ensembles: each member learns what it would learn alone, whatever its companions."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from torch import Tensor, nn  # noqa: E402
from torch.func import functional_call  # noqa: E402
from torch.utils._pytree import tree_map  # noqa: E402

from trivalent.core.errors import DataError, UsageError  # noqa: E402
from trivalent.core.types import Modality  # noqa: E402
from trivalent.lab.fit.losses import build_loss  # noqa: E402
from trivalent.lab.fit.members import (  # noqa: E402
    Members,
    _Caller,
    dropout_layers,
    seeded,
)
from trivalent.lab.fit.training import Fitted, TrainingConfig, fit  # noqa: E402
from trivalent.lab.fusion import task as fusion_task  # noqa: E402
from trivalent.lab.fusion.task import (  # noqa: E402
    FusionData,
    FusionTask,
    member_macro_f1,
    mix_samples,
    partner,
)
from trivalent.lab.measure.metrics import macro_f1  # noqa: E402
from trivalent.lab.networks import build_network  # noqa: E402
from trivalent.lab.networks.dropout import SeededDropout, draw_masks  # noqa: E402
from trivalent.lab.networks.presence import drop_modalities  # noqa: E402

WIDTHS = {Modality.TEXT: 7, Modality.AUDIO: 5, Modality.FACE: 9}
SEEDS = (3, 11, 20)
BATCH = 16


class Small(nn.Module):
    """A fusion network of our own: joined features, two layers, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(sum(WIDTHS.values()), 12)
        self.norm = nn.LayerNorm(12)
        self.dropout = SeededDropout(0.3, (12,))
        self.second = nn.Linear(12, 3)
        self.register_buffer("scale", torch.tensor(1.5))

    def forward(self, features: dict[Modality, Tensor], present: dict[Modality, Tensor]) -> Tensor:
        x = torch.cat([features[m] * present[m][:, None].to(features[m].dtype) for m in WIDTHS], 1)
        return self.scale * self.second(self.dropout(torch.relu(self.norm(self.first(x)))))


def data(
    n: int, *, seed: int = 0, weighted: bool = False, dtype: torch.dtype = torch.float32
) -> FusionData:
    """Noisy classes, some modalities absent."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    centres = {
        m: np.random.default_rng(99 + i).normal(size=(3, w)) for i, (m, w) in enumerate(WIDTHS.items())
    }
    features = {
        m: torch.tensor(c[labels] + 1.5 * rng.normal(size=(n, WIDTHS[m])), dtype=dtype)
        for m, c in centres.items()
    }
    present = {m: torch.tensor(rng.random(n) < 0.8) for m in WIDTHS}
    weights = torch.tensor(rng.uniform(0.5, 2, n), dtype=dtype) if weighted else None
    return FusionData(features, present, torch.tensor(labels), weights)


def task(*, dtype: torch.dtype = torch.float32, weighted: bool = False, **options: Any) -> FusionTask:
    train, val = data(90, dtype=dtype, weighted=weighted), data(60, seed=1, dtype=dtype)
    return FusionTask(train, val, batch_size=BATCH, **options)


def config(**changes: Any) -> TrainingConfig:
    values = {
        "epochs": 4,
        "learning_rate": 0.01,
        "optimizer": "adam",
        "schedule": "plateau",
        "weight_decay": 0.0,
    }
    return TrainingConfig(**{**values, **changes})


def small(dtype: torch.dtype = torch.float32) -> nn.Module:
    return Small().to(dtype)


class Unbatched(Members):
    """One network, called by its weights as it is: no `vmap`."""

    def forward(self, *inputs: Any, shared: bool = False, method: str = "forward") -> Any:
        state = {**self._state(), **(self.masks if self.training else {})}
        named = {f"network.{name}": value[0] for name, value in state.items()}
        given = inputs if shared else tree_map(lambda x: x[0], inputs)
        outputs = functional_call(_Caller(self.pattern, method), named, given)
        return tree_map(lambda x: x[None], outputs)


def alone(
    seed: int, *, build: Any = small, rows: Any = None, options: dict[str, Any], **changes: Any
) -> Fitted:
    own = None if rows is None else [rows[SEEDS.index(seed)]]
    network = Unbatched.build(build, [seed])
    return fit(network, task(rows=own, **options), config=config(**changes)).members[0]


def together(
    *, build: Any = small, seeds: Sequence[int] = SEEDS, options: dict[str, Any], **changes: Any
) -> Fitted:
    return fit(Members.build(build, seeds), task(**options), config=config(**changes))


def assert_close(one: Fitted, other: Fitted, *, atol: float = 1e-5) -> None:
    ours, theirs = one.network.state_dict(), other.network.state_dict()
    assert list(ours) == list(theirs)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], atol=atol, rtol=0)
    assert one.best == pytest.approx(other.best)
    assert [h["score"] for h in one.history] == pytest.approx([h["score"] for h in other.history])


def equal(a: Fitted, b: Fitted) -> bool:
    ours, theirs = a.network.state_dict(), b.network.state_dict()
    same = (
        all(torch.equal(ours[k], theirs[k]) for k in ours) and a.history == b.history and a.best == b.best
    )
    return same and len(a.members) == len(b.members) and all(map(equal, a.members, b.members))


class Reference:
    """One network by torch's own parts, written without the loop, the task and the ensemble."""

    def __init__(self, seed: int, *, epochs: int, clip: float, patience: int, dropout: float) -> None:
        train, val = data(90, dtype=torch.float64), data(60, seed=1, dtype=torch.float64)
        network = seeded(partial(small, torch.float64), seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, "max", factor=0.5, patience=patience
        )
        self.scores: list[float] = []
        self.rates: list[float] = []
        self.clipped = 0
        self.weights: dict[str, Tensor] = {}
        for epoch in range(epochs):
            rng = np.random.default_rng((seed, epoch))
            order = rng.permutation(90)
            generator = torch.Generator().manual_seed(int(rng.integers(2**63, size=1)[0]))
            draw_masks(network, 90, generator)
            mask = network.dropout.mask
            shown = drop_modalities({m: x[order] for m, x in train.present.items()}, generator, p=dropout)
            network.train()
            for start in range(0, 90, BATCH):
                rows = order[start : start + BATCH]
                network.dropout.mask = mask[start : start + BATCH]
                present = {m: x[start : start + BATCH] for m, x in shown.items()}
                logits = network({m: x[rows] for m, x in train.features.items()}, present)
                optimizer.zero_grad()
                nn.functional.cross_entropy(logits, train.labels[rows]).backward()
                self.clipped += bool(nn.utils.clip_grad_norm_(network.parameters(), clip) > clip)
                optimizer.step()
            network.eval()
            predicted = network(val.features, val.present).argmax(1).numpy()
            score = macro_f1(val.labels.numpy(), predicted)
            if score > max(self.scores, default=-1.0):
                self.weights = copy.deepcopy(network.state_dict())
            self.scores.append(score)
            plateau.step(score)
            self.rates.append(optimizer.param_groups[0]["lr"])


def test_members_equal_networks_trained_by_torch_alone() -> None:
    """Clipping, learning rate and best epoch differ between members, and still all agree."""
    options = {"dtype": torch.float64, "modality_dropout": 0.3}
    fitted = together(
        build=partial(small, torch.float64), options=options, epochs=9, clip=0.6, plateau_patience=0
    )
    expected = [Reference(s, epochs=9, clip=0.6, patience=0, dropout=0.3) for s in SEEDS]
    assert len({e.clipped for e in expected}) > 1
    assert len({tuple(e.rates) for e in expected}) > 1
    assert len({int(np.argmax(e.scores)) for e in expected}) > 1
    for member, own in zip(fitted.members, expected, strict=True):
        assert [h["score"] for h in member.history] == pytest.approx(own.scores, abs=1e-12)
        assert member.best["score"] == pytest.approx(max(own.scores))
        assert member.best["epoch"] == 1 + int(np.argmax(own.scores))
        for name, value in member.network.state_dict().items():
            torch.testing.assert_close(value, own.weights[name], atol=1e-9, rtol=0)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "cosine, adamw": ({}, {"schedule": "cosine", "optimizer": "adamw", "weight_decay": 0.1}),
    "constant, decay in the gradient": ({}, {"schedule": "constant", "weight_decay": 0.1}),
    "plateau, adamw": ({}, {"plateau_patience": 0, "optimizer": "adamw", "weight_decay": 0.1}),
    "averaged weights": ({}, {"averaging": 0.9}),
    "modality dropout": ({"modality_dropout": 0.5}, {}),
    "mixup": ({"mixup": 0.4}, {}),
    "mixup, weights": ({"mixup": 0.4, "weighted": True}, {}),
    "weights": ({"weighted": True}, {}),
    "no clipping, part of an epoch": ({}, {"clip": 0.0, "epochs": 2.5, "validations_per_epoch": 2}),
    "per-sample loss": ({"loss": partial(nn.functional.cross_entropy, reduction="none")}, {}),
    "loss of the set": (
        {"loss": build_loss("focal_macro_f1", counts=np.array([30, 30, 30])), "weighted": True},
        {},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_batched_equals_one_by_one(case: str) -> None:
    options, changes = CASES[case]
    fitted = together(options=options, **changes)
    for seed, member in zip(SEEDS, fitted.members, strict=True):
        assert_close(alone(seed, options=options, **changes), member)


@pytest.mark.parametrize(
    "name", ["concatenation", "late", "attention", "gated", "transformer", "tfn", "lmf", "misa", "mult"]
)
def test_every_fusion_network_can_be_batched(name: str) -> None:
    """In double: keys' biases have no effect, so that their gradient is rounding, which Adam magnifies."""
    options = {"modality_dropout": 0.2, "dtype": torch.float64}
    changes = {"epochs": 2, "learning_rate": 1e-3}

    def build() -> nn.Module:
        return build_network(name, widths=WIDTHS).double()

    fitted = together(build=build, seeds=SEEDS[:2], options=options, **changes)
    for seed, member in zip(SEEDS[:2], fitted.members, strict=True):
        assert_close(alone(seed, build=build, options=options, **changes), member, atol=1e-9)


def test_own_losses_of_a_network_count() -> None:
    """Terms that `misa` wants minimised besides the criterion, which is switched off here."""
    network = build_network("misa", widths=WIDTHS).eval()
    silent = task(loss=lambda logits, labels: 0 * logits.sum())
    batch = next(silent.batches([np.random.default_rng(0)]))
    rows = batch.block[0, batch.part]
    expected = network.forward_all(
        {m: x[rows] for m, x in silent.train.features.items()},
        {m: x[rows] for m, x in silent.train.present.items()},
    ).auxiliary
    assert expected > 0
    torch.testing.assert_close(silent.loss(Members([network]), batch), expected)
    batch = next(silent.batches([np.random.default_rng(0), np.random.default_rng(0)]))
    members = Members([network, network])
    torch.testing.assert_close(silent.loss(members, batch), 2 * expected)


def test_masks_of_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion_task, "BLOCK", 2)
    blocks = list(task().batches([np.random.default_rng(0)]))
    assert [len(b.block[0]) for b in blocks] == [32, 32, 32, 32, 26, 26]
    rows = torch.cat([b.block[:, b.part] for b in blocks], 1)
    assert sorted(rows[0].tolist()) == list(range(90))
    assert len({b.seeds for b in blocks}) == 3
    options = {"modality_dropout": 0.3}
    member = together(options=options).members[1]
    assert_close(alone(SEEDS[1], options=options), member)


def test_companions_do_not_matter() -> None:
    options = {"modality_dropout": 0.3, "mixup": 0.2}
    many = together(options=options).members[1]
    one = together(seeds=SEEDS[1:2], options=options).members[0]
    assert_close(many, one)
    other = together(seeds=(4,), options=options).members[0]
    assert other.history != one.history


def test_modality_dropout_is_reproducible_and_hides() -> None:
    seen: list[list[Tensor]] = []

    class Watched(Small):
        def forward(self, features: dict[Modality, Tensor], present: dict[Modality, Tensor]) -> Tensor:
            if self.training:
                seen[-1].append(torch.stack([present[m] for m in WIDTHS], 1))
            return super().forward(features, present)

    for seed in (5, 5, 6):
        seen.append([])
        fit(Unbatched.build(Watched, [seed]), task(modality_dropout=0.5), config=config(epochs=1))
    first, again, other = (torch.cat(s).float() for s in seen)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    had = torch.stack(list(data(90).present.values()), 1)
    assert first.sum() < 0.8 * had.sum()
    assert (first.sum(1) == 0).sum() == (had.sum(1) == 0).sum(), "the last modality stays"


class Mortal(FusionTask):
    """Dies at a step."""

    die_at = -1

    def loss(self, network: Members, batch: Any) -> Tensor:
        if self.die_at == 0:
            raise KilledError
        self.die_at -= 1
        return super().loss(network, batch)


class KilledError(Exception):
    """Stands for a machine that goes away."""


@pytest.mark.parametrize("seeds", [SEEDS, SEEDS[:1]], ids=["members", "one"])
@pytest.mark.parametrize("die_at", [4, 7, 13, 23])
def test_a_killed_run_continues_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, die_at: int, seeds: tuple[int, ...]
) -> None:
    """To the bit; checkpoints lie within epochs and within blocks of masks."""
    monkeypatch.setattr(fusion_task, "BLOCK", 4)
    chosen = config(validations_per_epoch=2, plateau_patience=0, averaging=0.5)

    def run(kill: int = -1, checkpoint: Path | None = None) -> Fitted:
        mortal = Mortal(data(90), data(60, seed=1), batch_size=BATCH, modality_dropout=0.3, mixup=0.2)
        mortal.die_at = kill
        return fit(Members.build(Small, seeds), mortal, config=chosen, checkpoint=checkpoint)

    whole = run()
    with pytest.raises(KilledError):
        run(die_at, tmp_path / "run.pt")
    assert equal(run(checkpoint=tmp_path / "run.pt"), whole)
    assert equal(run(0, checkpoint=tmp_path / "run.pt"), whole), "a finished run is not trained again"


def test_a_checkpoint_of_other_seeds_is_refused(tmp_path: Path) -> None:
    fit(Members.build(Small, SEEDS), task(), config=config(epochs=1), checkpoint=tmp_path / "run.pt")
    with pytest.raises(UsageError, match="expected a checkpoint of the seeds"):
        fit(Members.build(Small, (0, 1, 2)), task(), config=config(), checkpoint=tmp_path / "run.pt")


def test_each_member_keeps_its_own_best_weights() -> None:
    scores = np.array([[0.1, 0.9, 0.3], [0.5, 0.2, 0.3], [0.4, 0.95, 0.2], [0.5, 0.1, 0.9]])
    states: list[dict[str, Tensor]] = []

    class Scripted(FusionTask):
        def validate(self, network: Members) -> dict[str, Any]:
            states.append({k: v.clone() for k, v in network.state_dict().items()})
            return {"score": scores[len(states) - 1], "other": 2.0}

    scripted = Scripted(data(90), data(60, seed=1), batch_size=BATCH)
    fitted = fit(Members.build(Small, SEEDS), scripted, config=config())
    assert [m.best["epoch"] for m in fitted.members] == [2, 3, 4], "of equals the earlier"
    assert [[h["score"] for h in m.history] for m in fitted.members] == scores.T.tolist()
    for k, chosen in enumerate([1, 2, 3]):
        for name, value in fitted.network.state_dict().items():
            assert torch.equal(value[k], states[chosen][name][k])
    assert fitted.best["score"] == pytest.approx(np.mean([0.5, 0.95, 0.9]))
    assert [h["score"] for h in fitted.history] == pytest.approx(scores.mean(1))
    assert fitted.best["other"] == 2.0
    assert not any(m.network.training for m in fitted.members)


def test_members_have_their_own_rows() -> None:
    """Resampled copies: each member has other samples, some of them several times."""
    rows = [np.random.default_rng(s).integers(90, size=75) for s in SEEDS]
    options: dict[str, Any] = {"modality_dropout": 0.2}
    fitted = together(options={**options, "rows": rows})
    for seed, member in zip(SEEDS, fitted.members, strict=True):
        assert_close(alone(seed, rows=rows, options=options), member)
    batches = list(task(rows=rows).batches([np.random.default_rng(s) for s in SEEDS]))
    drawn = torch.cat([b.block[:, b.part] for b in batches], 1)
    assert [sorted(own) for own in drawn.tolist()] == [sorted(own) for own in rows]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([np.arange(5), np.arange(6), np.arange(5)], "equally many rows"),
        ([np.arange(5)], "expected rows for 3 members"),
        ([], "equally many rows"),
    ],
)
def test_rows_that_do_not_fit(rows: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        together(options={"rows": rows})


def with_gradients(members: Members, *, scale: float = 1.0) -> list[nn.Module]:
    """Give random gradients of different size to members, and the same to plain copies of them."""
    plain = members.split()
    generator = torch.Generator().manual_seed(1)
    names = dict(zip(members.names, members.stacked, strict=True))
    factors = scale * 10.0 ** torch.arange(-2, members.size - 2)
    for name, p in names.items():
        own = torch.randn(p.shape, generator=generator)
        p.grad = own * factors.view(-1, *[1] * (p.dim() - 1))
        for k, network in enumerate(plain):
            network.get_parameter(name).grad = p.grad[k].clone()
    return plain


def test_clipping_is_per_member() -> None:
    members = Members.build(Small, range(4))
    plain = with_gradients(members)
    members.clip_gradients(1.0)
    norms = [float(nn.utils.clip_grad_norm_(network.parameters(), 1.0)) for network in plain]
    assert min(norms) < 1 < max(norms)
    for name, p in zip(members.names, members.stacked, strict=True):
        for k, network in enumerate(plain):
            torch.testing.assert_close(p.grad[k], network.get_parameter(name).grad, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_learning_rates_are_per_member(kind: Any) -> None:
    members = Members.build(Small, range(3))
    rates = [1.0, 0.25, 0.5]
    together_ = kind(members.parameters(), lr=0.01, weight_decay=0.1)
    plain = members.split()
    own = [kind(n.parameters(), lr=0.01 * r, weight_decay=0.1) for n, r in zip(plain, rates, strict=True)]
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        for name, p in zip(members.names, members.stacked, strict=True):
            p.grad = torch.randn(p.shape, generator=generator)
            for k, network in enumerate(plain):
                network.get_parameter(name).grad = p.grad[k].clone()
        together_.param_groups[0]["lr"] = 0.01
        members.step(together_, rates)
        for optimizer in own:
            optimizer.step()
    for split, network in zip(members.split(), plain, strict=True):
        for name, value in network.named_parameters():
            torch.testing.assert_close(split.get_parameter(name), value, atol=1e-6, rtol=0)


def test_members_split_into_what_they_were() -> None:
    networks = [seeded(Small, s) for s in SEEDS]
    networks[1].scale.fill_(4.0)
    members = Members(networks, seeds=SEEDS)
    assert sum(p.numel() for p in members.parameters()) == 3 * sum(p.numel() for p in Small().parameters())
    for before, after in zip(networks, members.split(), strict=True):
        assert type(after) is Small
        assert before.state_dict().keys() == after.state_dict().keys()
        assert all(torch.equal(v, after.state_dict()[k]) for k, v in before.state_dict().items())
    members.split()[0].first.weight.data.zero_()
    assert torch.equal(members.split()[0].first.weight, networks[0].first.weight), "copies"
    other = copy.deepcopy(members).eval()
    assert members.pattern.training
    assert not other.pattern.training


def test_members_predict_as_the_networks_do() -> None:
    networks = [seeded(Small, s).eval() for s in SEEDS]
    members, some = Members(networks), data(20)
    shared = members(some.features, some.present, shared=True)
    stacked = {m: torch.stack([x, x + 1, x - 1]) for m, x in some.features.items()}
    own = members(stacked, {m: x.expand(3, -1) for m, x in some.present.items()})
    for k, network in enumerate(networks):
        torch.testing.assert_close(shared[k], network(some.features, some.present))
        expected = network({m: x[k] for m, x in stacked.items()}, some.present)
        torch.testing.assert_close(own[k], expected)


def test_masks_are_each_member_s_own() -> None:
    members, network = Members.build(Small, SEEDS), Small()
    generators = [torch.Generator().manual_seed(s) for s in SEEDS]
    masks = members.draw_masks(8, generators=generators)
    assert {name: m.shape for name, m in masks.items()} == {"dropout.mask": (3, 8, 12)}
    for k, seed in enumerate(SEEDS):
        draw_masks(network, 8, torch.Generator().manual_seed(seed))
        assert torch.equal(masks["dropout.mask"][k], network.dropout.mask)
    assert list(dropout_layers(members.pattern)) == ["dropout"]
    assert members.split()[0].dropout.mask.shape == (1, 12)


FORMS: list[tuple[list[nn.Module], tuple[int, ...], str]] = [
    ([], (), "at least one network"),
    ([Small(), Small()], (1,), "expected 2 seeds"),
    ([nn.Linear(2, 3), nn.Linear(3, 3)], (), "another form at 1"),
    ([nn.Linear(2, 3), Small()], (), "another form at 1"),
    ([nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.1))], (), "expected dropout by SeededDropout, got '1'"),
    ([nn.Sequential(nn.BatchNorm1d(2))], (), "without running statistics, got '0'"),
]


@pytest.mark.parametrize(("networks", "seeds", "message"), FORMS)
def test_networks_that_cannot_be_members(
    networks: list[nn.Module], seeds: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Members(networks, seeds=seeds)


def test_training_needs_seeds() -> None:
    with pytest.raises(UsageError, match="expected members with seeds"):
        fit(Members([Small()]), task(), config=config())


def test_initial_weights_leave_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    Members.build(Small, SEEDS)
    assert torch.equal(torch.get_rng_state(), before)


def test_macro_f1_of_members() -> None:
    rng = np.random.default_rng(0)
    for classes in (1, 2, 3):
        labels, predicted = rng.integers(classes, size=40), rng.integers(3, size=(50, 40))
        predicted[:10] = predicted[:10].clip(max=1)
        found = member_macro_f1(torch.tensor(labels), torch.tensor(predicted))
        assert found.tolist() == pytest.approx([macro_f1(labels, own) for own in predicted], abs=1e-12)


def test_mixed_samples_by_hand() -> None:
    """Partners are cyclic: 0 with 2, 1 with 0, 2 with 1. Absent rows hold NaN and are not mixed in."""
    features = {Modality.TEXT: torch.tensor([[[1.0], [3.0], [math.nan]]])}
    present = {Modality.TEXT: torch.tensor([[1.0, 1.0, 0.0]])}
    mixed, either = mix_samples(features, present, shares=torch.tensor([0.75]))
    assert mixed[Modality.TEXT].flatten().tolist() == [1.0, 0.75 * 3 + 0.25 * 1, 3.0]
    assert either[Modality.TEXT].tolist() == [[True, True, True]]
    nothing, none = mix_samples(features, {Modality.TEXT: torch.zeros(1, 3)}, shares=torch.tensor([0.75]))
    assert nothing[Modality.TEXT].flatten().tolist() == [0, 0, 0]
    assert not none[Modality.TEXT].any()
    assert partner(torch.arange(6).view(2, 3)).tolist() == [[2, 0, 1], [5, 3, 4]]


def test_mixed_sequences_keep_their_steps() -> None:
    features = {Modality.AUDIO: torch.randn(2, 4, 5, 3)}
    for mask in (torch.ones(2, 4), torch.ones(2, 4, 5)):
        mixed, either = mix_samples(features, {Modality.AUDIO: mask}, shares=torch.tensor([1.0, 0.0]))
        torch.testing.assert_close(mixed[Modality.AUDIO][0], features[Modality.AUDIO][0])
        torch.testing.assert_close(mixed[Modality.AUDIO][1], features[Modality.AUDIO][1].roll(1, 0))
        assert either[Modality.AUDIO].shape == mask.shape


def test_data_that_does_not_fit() -> None:
    good = data(4)
    one = {Modality.TEXT: good.features[Modality.TEXT]}
    for arguments, message in [
        (({}, {}, good.labels), "expected presence of the modalities"),
        ((good.features, {}, good.labels), "expected presence of the modalities"),
        ((good.features, good.present, good.labels[:2]), "of 2 samples"),
        ((good.features, good.present, good.labels, torch.ones(3)), "expected weights of 4 samples"),
        (
            ({m: x[:0] for m, x in one.items()}, {m: torch.ones(0) for m in one}, good.labels[:0]),
            "one sample",
        ),
    ]:
        with pytest.raises(DataError, match=message):
            FusionData(*arguments)


def test_it_learns() -> None:
    fitted = together(options={}, epochs=20)
    assert min(m.best["score"] for m in fitted.members) > 0.75
