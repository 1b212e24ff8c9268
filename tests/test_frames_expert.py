"""The voice expert over frames: network, task, cross-fitting, resumption, and the graph that ships."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from torch import nn  # noqa: E402

from trivalent.bundle.fusion import softmax  # noqa: E402
from trivalent.bundle.loading import Expert, Inputs  # noqa: E402
from trivalent.core.assets import DATA  # noqa: E402
from trivalent.core.errors import BundleError, RecipeError  # noqa: E402
from trivalent.features.covarep import covarep  # noqa: E402
from trivalent.features.frames import CHANNELS, frames  # noqa: E402
from trivalent.lab import train  # noqa: E402
from trivalent.lab.datasets.ravdess import SENTIMENTS, TRAIN_ACTORS, actor_folds  # noqa: E402
from trivalent.lab.datasets.voice_takes import TakeData, load_takes  # noqa: E402
from trivalent.lab.experts import frames as frames_expert  # noqa: E402
from trivalent.lab.experts import sources  # noqa: E402
from trivalent.lab.experts.frames import train_frames  # noqa: E402
from trivalent.lab.experts.frames_task import (  # noqa: E402
    FramesTask,
    FramesTaskConfig,
    logits_of_takes,
    pad_frames,
)
from trivalent.lab.experts.trained import TrainedExpert  # noqa: E402
from trivalent.lab.fit.training import TrainingConfig, fit  # noqa: E402
from trivalent.lab.graphs.experts import export_frames  # noqa: E402
from trivalent.lab.networks.temporal import AttentivePooling, TemporalNetwork  # noqa: E402
from trivalent.lab.recipes import Recipe  # noqa: E402
from trivalent.media.recording import open_recording  # noqa: E402
from trivalent.media.sound import SAMPLE_RATE  # noqa: E402

EMOTIONS = [int(s) for s in SENTIMENTS.values()]


@pytest.fixture(autouse=True)
def without_compilation() -> Iterator[None]:
    """Spare oneDNN a new kernel for every length of a batch."""
    with torch.backends.mkldnn.flags(enabled=False):
        yield


def new_network(channels: int = 4, **changes: Any) -> TemporalNetwork:
    torch.manual_seed(0)
    options: dict[str, Any] = {"width": 8, "dropout": 0.2, "sentiments": EMOTIONS, **changes}
    network = TemporalNetwork(channels, **options)
    for module in network.modules():  # running statistics as after training
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.5)
    return network.eval()


def takes(lengths: list[int], channels: int = 4, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, channels)).astype(np.float32) for n in lengths]


def config(**changes: Any) -> FramesTaskConfig:
    values: dict[str, Any] = {"width": 8, "channels": CHANNELS[:4], "masked_channels": 2, **changes}
    return FramesTaskConfig("ravdess", **values)


# The network.


def test_a_take_is_judged_alike_alone_and_in_a_padded_batch() -> None:
    network, own = new_network(), takes([3, 40, 17])
    together = logits_of_takes(network, own)
    alone = np.concatenate([logits_of_takes(network, [x]) for x in own])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_what_stands_in_the_padding_does_not_matter() -> None:
    network = new_network()
    x, mask = pad_frames(takes([3, 9]))
    spoilt = torch.where(mask[..., None] > 0, x, torch.full_like(x, 7.0))
    torch.testing.assert_close(network(spoilt, mask), network(x, mask))


def test_emotions_add_up() -> None:
    network = new_network()
    x, mask = pad_frames(takes([5, 5]))
    fine = network.fine(x, mask).softmax(1)
    expected = torch.stack([fine[:, torch.tensor(EMOTIONS) == s].sum(1) for s in range(3)], 1)
    torch.testing.assert_close(network(x, mask).softmax(1), expected)


def test_pooling_equals_its_formula() -> None:
    torch.manual_seed(1)
    pooling, x, mask = AttentivePooling(3), torch.randn(2, 3, 6), torch.ones(2, 6)
    mask[1, 4:] = 0
    for i, n in ((0, 6), (1, 4)):
        own = x[i, :, :n]
        weight = torch.softmax(pooling.score(own[None])[0, 0], -1)
        deviation = (own.var(1, unbiased=False) + 1e-5).sqrt()
        expected = torch.cat([own @ weight, own.mean(1), deviation])
        torch.testing.assert_close(pooling(x, mask)[i], expected, atol=1e-5, rtol=1e-5)


# The task.


def new_task(copies: int = 2, n: int = 24, **changes: Any) -> FramesTask:
    rng = np.random.default_rng(0)
    emotions = np.arange(n) % len(EMOTIONS)
    own = takes(rng.integers(6, 30, n).tolist())
    # An emotion raises one channel or lowers it.
    for take, emotion in zip(own, emotions.tolist(), strict=True):
        take[:, emotion % 4] += 2 if emotion < 4 else -2
    train = [[x + 100 * k for k in range(copies)] for x in own]
    data = data_of(train, emotions, np.arange(n) % 3)
    return FramesTask(config(**changes), train=data, val=data, batch_size=8)


def data_of(copies: list[list[np.ndarray]], emotions: np.ndarray, actors: np.ndarray) -> TakeData:
    """Takes that have no levels."""
    fold_of = {actor: i for i, fold in enumerate(actor_folds()) for actor in fold}
    n, channels = len(copies), copies[0][0].shape[1]
    return TakeData(
        copies=copies,
        levels=np.zeros((n, channels)),
        voiced=np.full(n, 50.0),
        labels=np.array(EMOTIONS)[emotions],
        emotions=np.asarray(emotions),
        speakers=np.array([f"ravdess/{actor:02d}" for actor in actors]),
        sources=np.full(n, "ravdess"),
        folds=np.array([fold_of.get(int(actor), -1) for actor in actors]),
        ids=[f"{actor}-{emotion}" for actor, emotion in zip(actors, emotions, strict=True)],
    )


PLAIN = {"altered": 0.0, "crop_rate": 0.0, "masked_steps": 0, "masked_channels": 0, "mixup_rate": 0.0}


def test_without_augmentation_every_take_comes_once() -> None:
    task = new_task(**PLAIN)
    batches = list(task.batches(np.random.default_rng(0)))
    assert len(batches) == task.batches_per_epoch() == 3
    seen = sorted(float(x[m > 0].sum()) for b in batches for x, m in zip(b.frames, b.mask, strict=True))
    np.testing.assert_allclose(
        seen, sorted(float(own[0].sum()) for own in task.train.copies), rtol=1e-4, atol=1e-4
    )
    assert all(b.share == 1 for b in batches)


def test_augmentations() -> None:
    batches = [
        b
        for seed in range(30)
        for b in new_task(altered=1.0, mixup_rate=0.5).batches(np.random.default_rng(seed))
    ]
    mixed = [b for b in batches if b.share < 1]
    assert 0.3 < len(mixed) / len(batches) < 0.7
    assert all(0.5 <= b.share < 1 for b in mixed)
    assert all(sorted(b.partner.tolist()) == list(range(8)) for b in batches)
    rows = [(x[m > 0], int(m.sum())) for b in batches for x, m in zip(b.frames, b.mask, strict=True)]
    altered = [x.max() > 50 for x, _ in rows]
    assert 0.3 < np.mean(altered) < 0.7
    assert min(n for _, n in rows) < 6 < max(n for _, n in rows)
    zeroed = [bool((x == 0).all(0).any()) for x, _ in rows]
    assert any(zeroed)
    assert not all(zeroed)


def test_balanced_draws_hear_every_class_of_every_collection_alike() -> None:
    data = new_task().train
    sources = np.array(["large"] * 18 + ["small"] * 6)
    many = replace(data, sources=sources)
    task = FramesTask(
        config(**PLAIN, balance=True, draws=4000, class_weights="none"), train=many, val=many, batch_size=50
    )
    assert task.batches_per_epoch() == 80
    labels = np.concatenate([b.labels for b in task.batches(np.random.default_rng(0))])
    assert np.bincount(labels) / 4000 == pytest.approx(1 / 3, abs=0.03)
    assert task.chances[sources == "small"].sum() == pytest.approx(1 / 2)


def test_takes_are_heard_among_others_of_their_speaker() -> None:
    """The level of a take is told from that of the takes beside it, each by its voiced speech."""
    data = replace(
        new_task(copies=1).train,
        levels=np.c_[np.zeros((24, 3)), np.arange(24.0)],
        voiced=np.where(np.arange(24) < 12, 10.0, 30.0),
        clip=4.0,
    )
    heard = data.with_speaker(np.array([0, 23]))
    own = [data.copies[i][0] for i in (0, 23)]
    below = np.average(np.arange(0, 24, 3), weights=data.voiced[::3])
    assert heard[0][:, 3] == pytest.approx(np.clip(own[0][:, 3] - below, -4, 4), abs=1e-5)
    np.testing.assert_array_equal(heard[0][:, :3], np.clip(own[0][:, :3], -4, 4))
    assert heard[1][:, 3].mean() > own[1][:, 3].mean()
    task = FramesTask(config(**PLAIN, alone=0.5), train=data, val=data, batch_size=8)
    alone = [np.array_equal(task._copy(5, np.random.default_rng(i)), data.copies[5][0]) for i in range(60)]
    assert 0.3 < np.mean(alone) < 0.75


def test_batches_depend_on_the_generator_alone() -> None:
    one, two = (list(new_task().batches(np.random.default_rng(4))) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert all((own[0] != 0).all() for own in new_task().train.copies), (
        "the takes themselves stay as they are"
    )


def test_the_loss_equals_its_formula() -> None:
    task, network = new_task(smoothing=0.0, **{**PLAIN, "mixup_rate": 1.0}), new_network()
    batch = next(task.batches(np.random.default_rng(1)))
    assert 0.5 <= batch.share < 1
    x = batch.share * batch.frames + (1 - batch.share) * batch.frames[batch.partner]
    fine = network.fine(x, torch.maximum(batch.mask, batch.mask[batch.partner])).softmax(1).detach()
    counts = np.bincount(task.train.labels, minlength=3)
    weights = np.sqrt(1 / counts)
    weights /= weights[task.train.labels].mean()
    total = 0.0
    for i in range(8):
        for j, share in ((i, batch.share), (int(batch.partner[i]), 1 - batch.share)):
            label, emotion = int(batch.labels[j]), int(batch.emotions[j])
            summed = sum(float(fine[i, k]) for k in range(7) if EMOTIONS[k] == label)
            total -= share * weights[label] * (np.log(float(fine[i, emotion])) + np.log(summed)) / 2 / 8
    assert float(task.loss(network, batch)) == pytest.approx(total, rel=1e-4)


def test_it_learns() -> None:
    task = new_task(copies=1, n=56, mixup_rate=0.0)
    training = TrainingConfig(
        epochs=20, batch_size=8, learning_rate=0.01, averaging=0.9, validations_per_epoch=0, warmup=0.1
    )
    assert fit(new_network(dropout=0.1), task, config=training).best["score"] > 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"inputs": "pooled"}, "inputs frames"), ({"masked_channels": 9}, "masked_channels of at most 4")],
)
def test_bad_configurations(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        config(**changes)


def test_an_unknown_kind_of_inputs(tmp_path: Path) -> None:
    recipe = tmp_path / "voice.yaml"
    recipe.write_text("kind: voice\nname: voice\ntask: {dataset: ravdess, inputs: pictures}\n")
    with pytest.raises(RecipeError, match=r"task\.inputs among frames, pooled, got 'pictures'"):
        train.train(recipe, out=tmp_path / "out", root=tmp_path)


# From recipe to expert.


def take_data() -> TakeData:
    """Two takes of each emotion by every training actor, of all channels."""
    rng = np.random.default_rng(3)
    copies, emotions, actors = [], [], []
    for actor in TRAIN_ACTORS:
        for emotion in range(len(EMOTIONS)):
            x = rng.normal(size=(int(rng.integers(12, 25)), len(CHANNELS)))
            x[:, emotion] += 2
            x[:, 5] *= 3
            copies.append([x.astype(np.float32), (x + 0.1).astype(np.float32)])
            emotions.append(emotion)
            actors.append(actor)
    return data_of(copies, np.array(emotions), np.array(actors))


def recipe(*, seeds: tuple[int, ...] = (0, 1), **training: Any) -> Recipe:
    options: dict[str, Any] = {"epochs": 1, "batch_size": 32, "learning_rate": 0.01, "averaging": 0.9}
    task: dict[str, Any] = {"dataset": "ravdess", "inputs": "frames", "width": 8, "dropout": 0.1}
    options |= {"validations_per_epoch": 0, **training}
    return Recipe("voice", "voice", seeds=seeds, task=task, training=options)


@pytest.fixture
def fake_takes(monkeypatch: pytest.MonkeyPatch) -> TakeData:
    data = take_data()
    fake = replace(sources.SOURCES["ravdess"], takes=lambda *_, **__: data)
    monkeypatch.setattr(sources, "SOURCES", {"ravdess": fake})
    return data


@pytest.fixture
def no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_expert, "export_frames", lambda *_, **__: None)


@pytest.mark.usefixtures("no_graph")
def test_members_are_cross_fitted(
    fake_takes: TakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every member is trained on twelve actors and judged on the other four."""
    fake_takes.copies[:] = [[mark(x, actor) for x in own] for own, actor in marked(fake_takes)]
    parts: list[tuple[set[int], set[int]]] = []
    plain = FramesTask.__init__

    def watched(self: FramesTask, *args: Any, **keywords: Any) -> None:
        plain(self, *args, **keywords)
        train = {actor_of(x) for own in keywords["train"].copies for x in own}
        parts.append((train, {actor_of(own[0]) for own in keywords["val"].copies}))

    monkeypatch.setattr(FramesTask, "__init__", watched)
    expert = train_frames(recipe(), modality="audio", root=tmp_path, out=tmp_path / "out")
    assert len(parts) == 8
    for train_actors, held in parts:
        assert len(held) == 4
        assert train_actors == set(TRAIN_ACTORS) - held
    assert set.union(*(held for _, held in parts)) == set(TRAIN_ACTORS)
    assert expert.spec.inputs is Inputs.FRAMES
    clean = np.concatenate([own[0] for own in fake_takes.copies])
    np.testing.assert_allclose(expert.spec.scale[3:], clean[:, 3:].std(0), rtol=1e-4)
    assert expert.spec.scale[:3].tolist() == [1, 1, 1]
    again = TrainedExpert.load(tmp_path / "out")
    assert again.spec.to_dict() == expert.spec.to_dict()
    assert again.metrics["out_of_fold"]["ravdess"]["n"] == len(fake_takes)
    assert "two fixed sentences" in again.card["limits"]


def marked(data: TakeData) -> Iterator[tuple[list[np.ndarray], int]]:
    return zip(data.copies, [int(name[-2:]) for name in data.speakers], strict=True)


def mark(x: np.ndarray, actor: int) -> np.ndarray:
    """Write the actor into a channel that is not scaled."""
    return np.concatenate([x[:, :1], np.full((len(x), 1), actor / 8, np.float32), x[:, 2:]], axis=1)


def actor_of(x: np.ndarray) -> int:
    return round(8 * float(x[0, 1]))


class KilledError(Exception):
    """Stands for a machine that goes away."""


@pytest.mark.usefixtures("no_graph")
def test_a_killed_training_continues(
    fake_takes: TakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_frames(recipe(), modality="audio", root=tmp_path, out=tmp_path / "whole")
    calls = {"fits": 0, "losses": 0}
    plain_fit, plain_loss = frames_expert.fit, FramesTask.loss

    def dying(*args: Any, **keywords: Any) -> Any:
        calls["fits"] += 1
        if calls["fits"] == 6:
            raise KilledError
        return plain_fit(*args, **keywords)

    def counted(self: FramesTask, *args: Any) -> Any:
        calls["losses"] += 1
        return plain_loss(self, *args)

    monkeypatch.setattr(frames_expert, "fit", dying)
    with pytest.raises(KilledError):
        train_frames(recipe(), modality="audio", root=tmp_path, out=tmp_path / "killed")
    assert len(list((tmp_path / "killed").glob("member-*.pt"))) == 5
    monkeypatch.setattr(FramesTask, "loss", counted)
    rest = train_frames(recipe(), modality="audio", root=tmp_path, out=tmp_path / "killed")
    assert calls["losses"] == 3 * (84 // 32), "only three members are trained"
    assert rest.metrics == whole.metrics
    # Other settings start anew.
    other = recipe(learning_rate=0.02, seeds=(0,))
    train_frames(other, modality="audio", root=tmp_path, out=tmp_path / "killed")
    assert len(list((tmp_path / "killed").glob("member-*.pt"))) == 8 + 4


# The graph.


def test_the_runtime_equals_torch_on_a_real_clip(
    fake_takes: TakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_takes.folds[:] //= 2
    expert = train_frames(recipe(seeds=(0,)), modality="audio", root=tmp_path, out=tmp_path)
    members = []
    for path in sorted(tmp_path.glob("member-*.pt")):
        network = new_network(len(CHANNELS), dropout=0.1)
        network.load_state_dict(torch.load(path, weights_only=True)["best_weights"])
        members.append(network.eval())
    assert len(members) == 2
    audio = open_recording(DATA / "samples" / "sample.mp4").audio
    assert audio is not None
    runtime = Expert(expert.spec, expert.graph.read_bytes, threads=1)
    for start, end in ((0.0, 2.4), (0.6, 1.1), (0.0, 9.5)):
        table = covarep(audio.read(start, end), SAMPLE_RATE, columns=expert.spec.columns)
        found, missing = runtime.from_table(table)
        x = np.clip((frames(table) - expert.spec.mean) / expert.spec.scale, -4, 4).astype(np.float32)
        logits = np.mean([logits_of_takes(n, [x]) for n in members], axis=0)
        np.testing.assert_allclose(found, softmax(logits / expert.spec.temperature)[0], atol=1e-5)
        assert missing == 0


def test_the_graph_names_no_file_of_this_machine(tmp_path: Path) -> None:
    export_frames([new_network()], tmp_path / "audio.onnx", channels=4)
    raw = (tmp_path / "audio.onnx").read_bytes()
    assert b".py" not in raw
    assert str(Path(__file__).parents[1]).encode() not in raw


def test_a_graph_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trivalent.bundle.graphs.Graph.run", wrong)
    with pytest.raises(BundleError, match="to equal its network"):
        export_frames([new_network()], tmp_path / "audio.onnx", channels=4)


def wrong(_: Any, inputs: dict[str, np.ndarray], outputs: tuple[str, ...]) -> list[np.ndarray]:
    """Answer something else."""
    return [np.full((len(inputs["frames"]), 3), 9.0) for _ in outputs]


# Real takes.


def test_real_takes_are_of_the_actors_asked_for(real_data: Path) -> None:
    if not (real_data / "ravdess" / "speech").is_dir():
        pytest.skip("no RAVDESS")
    data = load_takes(CHANNELS, root=real_data, actors=(1, 2))
    assert set(data.speakers.tolist()) == {"ravdess/01", "ravdess/02"}
    assert len(data) == 2 * 52
    assert np.bincount(data.labels).tolist() == [64, 24, 16]
    assert all(len(own) == 1 and np.isfinite(own[0]).all() for own in data.copies)
    lengths = [len(own[0]) for own in data.copies]
    assert 30 < min(lengths) < max(lengths) < 300
