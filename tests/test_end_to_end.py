"""Encoders trained with the fusion: what is frozen stays, padding changes nothing, graphs answer alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("transformers", reason="needs the extra train")

import onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from trivalent.bundle.graphs import Graph  # noqa: E402
from trivalent.bundle.network import ATTENTION  # noqa: E402
from trivalent.bundle.network import STEPS as STEPS_OF  # noqa: E402
from trivalent.core.errors import RecipeError  # noqa: E402
from trivalent.core.types import Modality, Utterance  # noqa: E402
from trivalent.experts.encoder import Encoder  # noqa: E402
from trivalent.experts.text import read_texts  # noqa: E402
from trivalent.features.extractor import Material  # noqa: E402
from trivalent.features.text import encode, pad  # noqa: E402
from trivalent.features.tokens import LONGEST, TOKENS  # noqa: E402
from trivalent.lab.datasets.dataset import Dataset, Features, stacked  # noqa: E402
from trivalent.lab.datasets.own_features import OwnFeatures  # noqa: E402
from trivalent.lab.datasets.text_features import with_text_features  # noqa: E402
from trivalent.lab.fit.members import Members  # noqa: E402
from trivalent.lab.fit.training import TrainingConfig, fit  # noqa: E402
from trivalent.lab.fusion.recipe import parse_fusion  # noqa: E402
from trivalent.lab.fusion.task import FusionData, FusionTask  # noqa: E402
from trivalent.lab.fusion.train import _tell_few  # noqa: E402
from trivalent.lab.graphs.compact import compact_graph  # noqa: E402
from trivalent.lab.graphs.fusion import export_fusion  # noqa: E402
from trivalent.lab.networks import FusionNetwork, build_network, sentence  # noqa: E402
from trivalent.lab.networks.encoders import DEFAULT, pretrained_encoder  # noqa: E402
from trivalent.lab.networks.layers import masked_mean  # noqa: E402
from trivalent.lab.networks.sentence import SentenceLayer, frozen_layers  # noqa: E402
from trivalent.lab.problems.cleaning import CleaningConfig, fit_cleaner  # noqa: E402

WIDTHS = {Modality.TEXT: 1, Modality.AUDIO: 4, Modality.FACE: 6}
STEPS = {Modality.TEXT: 7, Modality.AUDIO: 40, Modality.FACE: 12}
OPTIONS = {"hidden": 8, "width": 8, "head_hidden": 8}
TEXTS = ["It was good.", "not what I had hoped for", "so"]

Batch = tuple[dict[Modality, Tensor], dict[Modality, Tensor]]


def tiny_encoder() -> tuple[nn.Module, int]:
    """Make a BERT of two narrow layers."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=100,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    return BertModel(config, add_pooling_layer=False), 16


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the tiny encoder in place of MiniLM."""
    monkeypatch.setattr(sentence, "pretrained_encoder", lambda _: tiny_encoder())
    frozen_layers.cache_clear()
    yield
    frozen_layers.cache_clear()


def batch_of(size: int, *, seed: int = 0, longer: int = 0) -> Batch:
    """Draw samples of different lengths, padded; the first lacks everything."""
    rng = np.random.default_rng(seed)
    features, present = {}, {}
    for m, width in WIDTHS.items():
        steps = STEPS[m]
        lengths = rng.integers(1, steps + 1, size)
        lengths[0] = 0
        drawn = rng.normal(size=(size, steps, width))
        if m is Modality.TEXT:
            drawn = rng.integers(1, 100, size=drawn.shape)
        mask = np.arange(steps + longer) < lengths[:, None]
        values = np.full((size, steps + longer, width), np.nan)
        values[:, :steps] = np.where(mask[:, :steps, None], drawn, np.nan)
        features[m] = torch.from_numpy(values).float()
        present[m] = torch.from_numpy(mask)
    return features, present


def answer(network: FusionNetwork, batch: Batch) -> Tensor:
    front = network.front()
    assert front is not None
    with torch.no_grad():
        return network(front.read(*batch), batch[1])


def network_of(
    free_layers: int = 1, *, seed: int = 0, modalities: Sequence[Modality] = tuple(WIDTHS)
) -> FusionNetwork:
    torch.manual_seed(seed)
    widths = {m: WIDTHS[m] for m in modalities}
    return build_network("end_to_end", widths=widths, free_layers=free_layers, **OPTIONS).eval()


@pytest.mark.parametrize("free_layers", [0, 1, 2])
def test_padding_and_other_samples_change_nothing(tiny: None, free_layers: int) -> None:
    network, batch = network_of(free_layers), batch_of(6)
    logits = answer(network, batch)
    assert logits.isfinite().all()
    torch.testing.assert_close(answer(network, batch_of(6, longer=9)), logits)
    for i in range(6):
        alone = tuple({m: x[i : i + 1] for m, x in part.items()} for part in batch)
        torch.testing.assert_close(answer(network, alone), logits[i : i + 1])


def test_frozen_layers_are_frozen_and_free_ones_learn(tiny: None) -> None:
    features, present = batch_of(24)
    front = frozen_layers(1)
    before = {name: p.clone() for name, p in front.named_parameters()}
    members = Members.build(lambda: build_network("end_to_end", widths=WIDTHS, **OPTIONS), [0, 1])
    own = {name: p.detach().clone() for name, p in zip(members.names, members.stacked, strict=True)}
    free = [name for name in own if name.startswith("encoders.encoders.text.layers.0.")]
    assert free
    assert all(torch.equal(own[name][0], own[name][1]) for name in free)  # the published weights
    assert not any("embeddings" in name for name in own)
    data = FusionData(front.read(features, present), present, torch.arange(24) % 3)
    task = FusionTask(data, data, batch_size=8, modality_dropout=0.3)
    config = TrainingConfig(epochs=2, learning_rate=1e-2, clip=0.0)
    rates = {group["lr"]: len(group["params"]) for group in task.parameters(members, config)}
    assert rates.keys() == {config.learning_rate, config.pretrained_learning_rate}
    fit(members, task, config=config)
    assert members.pattern.front() is front
    for name, p in front.named_parameters():
        assert torch.equal(p, before[name])
        assert not p.requires_grad
    moved = dict(zip(members.names, members.stacked, strict=True))
    assert all(not torch.equal(moved[name], own[name]) for name in free if "key.bias" not in name)
    assert not torch.equal(moved[free[0]][0], moved[free[0]][1])


def test_seeds_in_one_graph(tiny: None) -> None:
    modalities = (Modality.TEXT, Modality.AUDIO)
    networks = [network_of(seed=seed, modalities=modalities) for seed in range(2)]
    content = export_fusion(networks, sequences=modalities)
    graph = Graph(lambda: content, name="g")
    for size, longer in ((1, 0), (6, 5)):
        features, present = batch_of(size, longer=longer)
        expected = torch.stack([answer(network, (features, present)) for network in networks]).mean(0)
        masks = [present[m] for m in modalities]
        inputs = {"present": torch.stack([mask.any(1) for mask in masks], 1).float().numpy()}
        for m, mask in zip(modalities, masks, strict=True):
            inputs |= {str(m): features[m].nan_to_num().numpy(), f"{m}{STEPS_OF}": mask.float().numpy()}
        logits, shares = graph.run(inputs, ["logits", ATTENTION])
        np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)
        np.testing.assert_allclose(shares[1:].sum(2), 1, atol=1e-5)
    shapes = [tuple(weights.dims) for weights in onnx.load_from_string(content).graph.initializer]
    assert shapes.count((100, 16)) == 1  # the embeddings, once for all seeds


def test_more_layers_than_there_are(tiny: None) -> None:
    with pytest.raises(RecipeError, match=r"at most 2 free layers.*got 3"):
        network_of(3)
    with pytest.raises(RecipeError, match="a whole number of at least 0 for free_layers, got -1"):
        network_of(-1)


def test_a_text_of_vectors_needs_no_sentence_encoder() -> None:
    assert build_network("end_to_end", widths={Modality.TEXT: 5}).front() is None


def test_minilm_in_two_parts_is_minilm() -> None:
    ids, mask = (torch.from_numpy(x) for x in pad(encode(TEXTS)))
    encoder, _ = pretrained_encoder(DEFAULT)
    front = frozen_layers(2)
    features, present = {Modality.TEXT: ids.float()[..., None]}, {Modality.TEXT: mask.bool()}
    with torch.no_grad():
        x = front(features, present)[Modality.TEXT]
        for layer in front.above:
            x = SentenceLayer(layer, heads=front.heads, dropout=0.0).eval()(x, mask.bool())
        whole = encoder.eval()(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(
        masked_mean(x, mask.bool()), masked_mean(whole, mask.bool()), atol=1e-5, rtol=1e-4
    )


def test_tokens_are_those_of_the_text_expert() -> None:
    said = [
        Utterance(0, 1.0, 2.0, "It  was\x00 good."),
        Utterance(1, 2.0, 3.0, " "),
        Utterance(2, 3.0, 4.0, "so"),
    ]
    table = TOKENS.extract(Material(words=lambda: said))
    assert table.values[:, 0].tolist() == [*encode(["It was good."])[0], *encode(["so"])[0]]
    assert table.values.max() < 2**24
    assert (np.diff(table.times) > 0).all()
    long = TOKENS.extract(Material(words=lambda: [Utterance(0, 0.0, 9.0, "well " * 900)]))
    assert long.values[[0, -1], 0].tolist() == [101, 102]
    assert len(long) == LONGEST
    assert TOKENS.extract(Material(words=lambda: [said[1]])).reason is not None


def test_a_network_gets_the_tokens_that_an_analysis_finds() -> None:
    recipe = {"name": "demo", "data": "mine.csv", "network": "end_to_end"}
    features = {"text": "tokens", "steps": "frames", "rate_hz": 25.0, "most": 500}
    plan = parse_fusion(recipe | {"features": features}, where="demo").plan
    spec = plan.encoders[Modality.TEXT]
    (reading,) = read_texts(Encoder(spec), [Utterance(0, 1.0, 2.0, TEXTS[0])])
    assert reading.features is not None
    assert reading.features[:, 0].tolist() == encode([TEXTS[0]])[0]
    block = Features(
        spec.extractor, spec.statistics, stacked([reading.features, np.full((0, 1), np.nan)], 1)
    )
    cleaned, repaired = fit_cleaner(block, CleaningConfig()).apply(block.values, block.columns)
    np.testing.assert_array_equal(cleaned, block.values.astype(np.float32))
    assert repaired == 0
    frames = {m: plan.encoders[m].steps for m in (Modality.AUDIO, Modality.FACE)}
    assert {m: steps.rate_hz for m, steps in frames.items() if steps} == {"audio": 25.0, "face": 5.0}
    with pytest.raises(RecipeError, match=r"reads tokens \(end_to_end\).*got attention"):
        parse_fusion(recipe | {"network": "attention", "features": {"text": "tokens"}}, where="demo")


@pytest.mark.parametrize(
    ("network", "least", "told"), [("end_to_end", 31, 1), ("end_to_end", 32, 0), ("attention", 2, 0)]
)
def test_few_samples_are_told(
    caplog: pytest.LogCaptureFixture, network: str, least: int, told: int
) -> None:
    recipe = parse_fusion({"name": "demo", "data": "mine.csv", "network": network}, where="demo")
    _tell_few(recipe, SimpleNamespace(name="demo", counts=lambda: np.array([90, least, 40])))  # type: ignore[arg-type]
    assert caplog.text.count(f"{least} training samples of the rarest class") == told


def test_texts_of_a_data_set_as_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path))
    names = np.array(["a", "b", "c"])
    bare = Dataset(
        "demo", "p", names, names, np.full(3, "train"), np.array([0, 1, 2]), *[np.full(3, np.nan)] * 2
    )
    data = replace(bare, texts=("It was good.", "", "so"))
    for _ in range(2):  # made, and read from the cache
        values = with_text_features(data, OwnFeatures(text="tokens").words()).features[Modality.TEXT].values
        assert [int(n) for n in np.isfinite(values).sum((1, 2))] == [6, 0, 3]


def test_compact_weights() -> None:
    rng = np.random.default_rng(0)
    table, matrix, bias = rng.normal(size=(700, 128)), rng.normal(size=(128, 600)), np.zeros(600)
    table[3], matrix[:, 5] = 0, 0
    weights = {"table": table, "matrix": matrix, "bias": bias}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "matrix"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "demo",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 600])],
        [numpy_helper.from_array(x.astype(np.float32), name) for name, x in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    full = model.SerializeToString()
    small = compact_graph(full)
    assert len(small) < 0.27 * len(full)
    ids = {"ids": np.arange(700)}
    expected, found = (Graph(lambda c=c: c, name="g").run(ids, ["logits"])[0] for c in (full, small))  # type: ignore[misc]
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    alone = Graph(lambda: small, name="g").run({"ids": np.arange(3)}, ["logits"])[0]
    np.testing.assert_allclose(alone, found[:3], rtol=0, atol=1e-5)
