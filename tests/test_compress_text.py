"""Smaller text networks: weights read back, parts pruned, a student taught, the graph that ships."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from trivalent.bundle.fusion import softmax  # noqa: E402
from trivalent.bundle.graphs import Graph  # noqa: E402
from trivalent.bundle.loading import INSTALLED, load_bundle  # noqa: E402
from trivalent.core.errors import BundleError, RecipeError, UsageError  # noqa: E402
from trivalent.core.types import Modality  # noqa: E402
from trivalent.features.text import MAX_TOKENS, encode, pad  # noqa: E402
from trivalent.lab.compress import text, transfer  # noqa: E402
from trivalent.lab.compress.distillation import DistillationConfig, DistillationTask  # noqa: E402
from trivalent.lab.compress.judging import judge_text  # noqa: E402
from trivalent.lab.compress.pruning import (  # noqa: E402
    Importance,
    measure_importance,
    prune,
    prune_vocabulary,
    token_counts,
)
from trivalent.lab.compress.reading import read_weights  # noqa: E402
from trivalent.lab.compress.student import StudentConfig, TextStudent, whole_network  # noqa: E402
from trivalent.lab.compress.text import TextConfig, TextParts, prune_text  # noqa: E402
from trivalent.lab.compress.transfer import TeacherAnswers, TransferConfig, alter_texts  # noqa: E402
from trivalent.lab.datasets.text import TextData  # noqa: E402
from trivalent.lab.experts.text_task import predict  # noqa: E402
from trivalent.lab.fit.training import TrainingConfig, fit  # noqa: E402
from trivalent.lab.graphs.experts import export_text  # noqa: E402

TEXTS = (
    "I love it.",
    "I hate this so much",
    "It is a table.",
    "what a wonderful, lovely day",
    "ugh, awful",
)
EQUAL = Importance(np.ones((2, 2)), np.ones((2, 48)))
TINY = StudentConfig(width=64, embedding=64, layers=(0, 1), heads=2, feedforward=48, teacher_width=48)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))


@cache
def graph() -> bytes:
    return (INSTALLED / "default" / "text.onnx").read_bytes()


@cache
def whole() -> TextStudent:
    return whole_network(read_weights(graph(), where="text.onnx"), where="text.onnx")


def tiny(config: StudentConfig = TINY, *, rows: Any = None) -> TextStudent:
    torch.manual_seed(0)
    network = TextStudent(config, rows=np.arange(30522) if rows is None else rows)
    for parameter in network.parameters():  # no zeros or ones, as after training
        torch.nn.init.normal_(parameter, float(parameter.detach().mean().round()), 0.1)
    torch.nn.init.normal_(network.embedding.weight)
    return network.eval()


def data(texts: tuple[str, ...] = TEXTS, labels: tuple[int, ...] = (2, 0, 1, 2, 0)) -> TextData:
    n = len(texts)
    return TextData(texts, np.array(labels), np.full(n, np.nan, np.float32), ("g",) * n, ("meld",) * n)


# Reading and pruning.


def test_the_default_network_is_read_back_from_its_int8_graph() -> None:
    expert = load_bundle("default", threads=1).experts[Modality.TEXT]
    shipped = expert.from_tokens(*pad(encode(TEXTS)))
    read = softmax(predict(whole(), TEXTS).astype(float) / expert.spec.temperature)
    # Activations are int8 in the graph only.
    assert np.abs(read - shipped).max() < 0.08
    assert (read.argmax(1) == shipped.argmax(1)).all()
    config = whole().config
    assert (len(config.layers), config.heads, config.feedforward, config.width) == (6, 12, 1536, 384)


def test_a_float_graph_is_read_back_exactly(tmp_path: Path) -> None:
    network = tiny()
    export_text(network, tmp_path / "t.onnx", int8=False, tokens=MAX_TOKENS)
    weights = read_weights((tmp_path / "t.onnx").read_bytes(), where="t")
    for name, value in network.state_dict().items():
        if name != "rows" and not name.startswith("teacher."):  # neither is a weight of the graph
            np.testing.assert_array_equal(weights[f"network.{name}"], value.numpy(), err_msg=name)


def test_other_graphs_are_refused() -> None:
    with pytest.raises(BundleError, match="expected an ONNX graph in x"):
        read_weights(b"no graph", where="x")
    voice = (INSTALLED / "default" / "audio.onnx").read_bytes()
    with pytest.raises(BundleError, match=r"text expert that trivalent train made in audio\.onnx"):
        whole_network(read_weights(voice, where="audio.onnx"), where="audio.onnx")


def test_nothing_pruned_is_nothing_changed() -> None:
    large = tiny()
    same = prune(large, TINY, importance=EQUAL).eval()
    np.testing.assert_array_equal(predict(same, TEXTS), predict(large, TEXTS))


def test_parts_without_effect_are_pruned_without_effect() -> None:
    """Heads and rows whose way out is zero cost nothing, and importance finds them."""
    large = tiny(replace(TINY, heads=4, feedforward=60))
    with torch.no_grad():
        for layer in large.layers:
            layer.out.weight[:, :64] = 0  # heads 0 and 1
            layer.outer.weight[:, 10:22] = 0
    importance = measure_importance(large, TEXTS)
    assert importance.heads.shape == (2, 4)
    assert (importance.heads[:, :2] == 0).all()
    assert (importance.heads[:, 2:] > 0).all()
    assert (importance.rows[:, 10:22] == 0).all()
    small = prune(large, TINY, importance=importance).eval()
    np.testing.assert_allclose(predict(small, TEXTS), predict(large, TEXTS), atol=1e-5)
    assert all(p.grad is None for p in large.parameters())


def test_importance_is_the_first_order_change() -> None:
    """Of a head's whole contribution, by finite differences of the loss."""
    network, loss = tiny(), torch.nn.functional.cross_entropy
    table, mask = (torch.from_numpy(x) for x in pad(encode(TEXTS[:1])))
    found = measure_importance(network, TEXTS[:1]).heads
    with torch.inference_mode():
        label = network(table, mask).argmax(1)
        before = loss(network(table, mask).double(), label)
        weight = network.layers[1].out.weight
        plain, step = weight.clone(), 0.01
        weight[:, :32] *= 1 - step
        after = loss(network(table, mask).double(), label)
        weight.copy_(plain)
    assert abs(float(after - before)) / step == pytest.approx(found[1, 0], rel=0.05)


def test_a_narrower_table_keeps_the_principal_components() -> None:
    large = tiny()
    with torch.no_grad():  # all of rank 16, and a mean
        basis = torch.linalg.qr(torch.randn(64, 16))[0]
        large.embedding.weight.copy_(large.embedding.weight @ basis @ basis.T + 0.3)
    small = prune(large, replace(TINY, embedding=16), importance=EQUAL).eval()
    np.testing.assert_allclose(predict(small, TEXTS), predict(large, TEXTS), atol=1e-3)
    assert small.embedding.weight.detach().std(0).numpy() == pytest.approx(np.ones(16), rel=1e-3)


def test_rare_tokens_share_the_row_of_a_neighbour() -> None:
    large, counts = tiny(), token_counts(TEXTS, size=30522)
    stranger, other = 20000, 25000
    with torch.no_grad():
        large.embedding.weight[other] = 2 * large.embedding.weight[encode(["love"])[0][1]]
    small = prune_vocabulary(large, counts, size=1200)
    rows = small.rows.numpy()
    assert small.embedding.num_embeddings == 1200 == rows.max() + 1
    np.testing.assert_array_equal(predict(small, TEXTS), predict(large, TEXTS))
    assert rows[other] == rows[encode(["love"])[0][1]]
    assert rows[stranger] in range(1200)
    kept = prune(small, TINY, importance=EQUAL).eval()
    np.testing.assert_array_equal(predict(kept, TEXTS), predict(small, TEXTS))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": (0, 7)}, "layers among 0 to 1"),
        ({"heads": 5}, "at most 2 heads"),
        ({"embedding": 65}, "embedding of at most 64"),
    ],
)
def test_more_than_there_is(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        prune(tiny(), replace(TINY, **changes), importance=EQUAL)


def test_bad_configurations() -> None:
    with pytest.raises(UsageError, match="did you mean 'encoder'"):
        StudentConfig(family="encode")
    for wrong in (
        lambda: StudentConfig(layers=()),
        lambda: TransferConfig(copies=-1),
        lambda: DistillationConfig(temperature=0),
        lambda: TextConfig(seeds=()),
    ):
        with pytest.raises(RecipeError, match="expected"):
            wrong()
    with pytest.raises(UsageError, match="technique"):
        TextConfig(technique="shrink")


# Students.


@pytest.mark.parametrize("family", ["encoder", "convolution"])
def test_padding_does_not_matter(family: str) -> None:
    network = tiny(replace(TINY, family=family, embedding=32))
    together = predict(network, TEXTS)
    alone = np.concatenate([predict(network, [t]) for t in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("int8", [True, False])
@pytest.mark.parametrize("family", ["encoder", "convolution"])
def test_the_graph_equals_the_network(tmp_path: Path, family: str, int8: bool) -> None:
    rows = np.minimum(np.arange(30522), 4000)
    network = tiny(replace(TINY, family=family, embedding=32), rows=rows)
    path = tmp_path / "text.onnx"
    export_text(network, path, int8=int8, tokens=MAX_TOKENS)
    graph = Graph(path.read_bytes, name="text.onnx")
    ids, mask = pad(encode([*TEXTS, "long " * 300]))
    logits, sentence = graph.run({"ids": ids, "mask": mask}, ["logits", "sentence"])
    expected = predict(network, [*TEXTS, "long " * 300])
    np.testing.assert_allclose(logits, expected, atol=0.1 if int8 else 1e-4)
    assert sentence.shape == (6, 64)
    assert not list(tmp_path.glob("*.fp32.onnx"))


# Transfer and distillation.


def test_altered_texts() -> None:
    config = TransferConfig(copies=30)
    made = alter_texts(TEXTS, config, seed=1)
    assert made == alter_texts(TEXTS, config, seed=1)
    assert made != alter_texts(TEXTS, config, seed=2)
    assert len(set(made)) == len(made)
    assert not set(made) & set(TEXTS)
    words = {word for t in TEXTS for word in t.split()}
    plain = {word.strip(".,") for word in words}
    assert {word for t in made for word in t.split()} <= words | plain
    only = {"drops": 0.0, "spans": 0.0, "mixes": 0.0, "bare": 0.0}
    assert set(alter_texts(TEXTS, TransferConfig(copies=9, **{**only, "bare": 1.0}))) == {
        "I love it",
        "It is a table",
        "what a wonderful lovely day",
        "ugh awful",
    }
    for cut in alter_texts(TEXTS, TransferConfig(copies=9, **{**only, "spans": 1.0})):
        assert any(cut in t for t in TEXTS)
    assert alter_texts(TEXTS, TransferConfig(copies=0)) == []


def test_the_teacher_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "t.onnx"
    export_text(tiny(), path, int8=False, tokens=MAX_TOKENS)
    first = transfer.teacher_answers(path.read_bytes(), TEXTS)
    np.testing.assert_allclose(first.logits, predict(tiny(), TEXTS), atol=1e-4)
    assert first.sentences.shape == (5, 64)
    monkeypatch.setattr(transfer, "graph_answers", lambda *_: pytest.fail("asked again"))
    again = transfer.teacher_answers(path.read_bytes(), TEXTS)
    np.testing.assert_array_equal(again.logits, first.logits)
    (stored,) = (tmp_path / "cache").rglob("*.npz")
    stored.write_bytes(b"damaged")
    monkeypatch.undo()
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))
    np.testing.assert_array_equal(transfer.teacher_answers(path.read_bytes(), TEXTS).logits, first.logits)
    assert transfer.graph_answers(path.read_bytes(), []).logits.shape == (0, 3)


def task(**changes: Any) -> DistillationTask:
    rng = np.random.default_rng(0)
    altered = [f"{t} {word}" for t in TEXTS for word in ("really", "today", "again")]
    n = len(TEXTS) + len(altered)
    answers = TeacherAnswers(
        rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(n, 48)).astype(np.float16)
    )
    config = DistillationConfig(**changes)
    own = {"meld": data()}
    return DistillationTask(config, train=own, altered=altered, answers=answers, val=own, batch_size=4)


def test_an_epoch_has_every_text_once_and_some_altered_ones() -> None:
    own = task(altered=2.0)
    batches = list(own.batches(np.random.default_rng(0)))
    assert len(batches) == own.batches_per_epoch() == 4
    labelled = sum(int((b.weights.sum(1) > 0).sum()) for b in batches)
    assert (labelled, sum(len(b.ids) for b in batches)) == (5, 15)
    again = list(own.batches(np.random.default_rng(0)))
    assert all(torch.equal(a.ids, b.ids) for a, b in zip(batches, again, strict=True))
    assert sum(len(b.ids) for b in task(altered=0.0).batches(np.random.default_rng(0))) == 5


def test_the_loss_equals_its_formula() -> None:
    own, network = task(temperature=3.0, hard=0.4, sentence=0.7, altered=1.0, smoothing=0.0), tiny()
    for batch in own.batches(np.random.default_rng(0)):
        foretold = network.teacher(network.pooled(batch.ids, batch.mask)).detach().numpy()
        z = network(batch.ids, batch.mask).detach().numpy().astype(float)
        total = 0.0
        for i in range(len(z)):
            p, q = softmax(batch.logits[i].numpy() / 3), softmax(z[i] / 3)
            soft = 9 * float((p * np.log(p / q)).sum())
            hard = -float(
                (batch.weights[i].numpy() * batch.targets[i].numpy() * np.log(softmax(z[i]))).sum()
            )
            known = batch.weights[i].sum() > 0
            total += (0.6 * soft + 0.4 * hard if known else soft) / len(z)
        total += 0.7 * float(((foretold - batch.sentences.numpy()) ** 2).mean())
        assert own.loss(network, batch).item() == pytest.approx(total, rel=1e-4)


def test_a_student_learns_from_answers_alone() -> None:
    """Random answers of a teacher to twenty texts, learnt by heart."""
    own, network = task(hard=0.0, sentence=0.0, altered=3.0), tiny(replace(TINY, dropout=0.0))
    training = TrainingConfig(epochs=30, batch_size=4, learning_rate=3e-3, weight_decay=0.0)
    own.val = {"meld": replace(data(), labels=own.logits[:5].argmax(1).numpy())}
    fitted = fit(network, own, config=training)
    assert fitted.best["meld_macro_f1"] == 1.0


def test_a_frozen_table() -> None:
    own, network = task(embedding_rate=0.0), tiny()
    before = network.embedding.weight.clone()
    fit(network, own, config=TrainingConfig(epochs=1, batch_size=4, learning_rate=1e-2))
    assert torch.equal(network.embedding.weight, before)


# From a graph and a configuration to a student.


def test_distillation_from_the_default_graph(tmp_path: Path) -> None:
    parts = TextParts({"meld": data()}, {"meld": data()})
    config = TextConfig(
        corpora=("meld",),
        seeds=(0, 1),
        importance=3,
        student={"layers": [0], "heads": 2, "feedforward": 64, "embedding": 32, "vocabulary": 1500},
        transfer={"copies": 1},
        training={"epochs": 1, "batch_size": 4, "learning_rate": 1e-4},
    )
    students = text.distill_text(graph(), config, parts, out=tmp_path, where="text.onnx")
    assert [s.seed for s in students] == [0, 1]
    assert students[0].network.embedding.weight.shape == (1500, 32)
    assert len(list(tmp_path.glob("text-*-seed?.pt"))) == 2
    again = text.distill_text(graph(), config, parts, out=tmp_path, where="text.onnx")  # from checkpoints
    np.testing.assert_array_equal(predict(again[1].network, TEXTS), predict(students[1].network, TEXTS))
    start = prune_text(graph(), config, parts, where="text.onnx")
    assert not np.array_equal(predict(start, TEXTS), predict(students[0].network, TEXTS))
    export_text(students[0].network, tmp_path / "t.onnx", tokens=MAX_TOKENS)
    judged = judge_text((tmp_path / "t.onnx").read_bytes(), parts.val)
    assert judged.parts["meld"]["n"] == 5
    assert judged.probabilities.sum(1) == pytest.approx(np.ones(5))
    assert judged.to_metrics()["scores"]["score"] == judged.scores["score"]
