"""Networks from strangers: tried as experts are, before anybody is judged by them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from bundles import zip_bundle
from fusion_bundles import save_small
from recording_networks import GRAPH, POOLING, recording_bundle
from trivalent import Analyzer
from trivalent.bundle.decision import DecisionKind, DecisionRule
from trivalent.bundle.loading import load_bundle
from trivalent.bundle.network import ATTENTION, MAX_HEADS
from trivalent.bundle.shelf import added_bundles, install, resolve
from trivalent.bundle.trial import examine
from trivalent.core.assets import DATA
from trivalent.core.errors import AssetError, BundleError
from trivalent.core.types import Modality

EVEN = np.full((1, 4, 3), 1 / 3)
FLAT = np.zeros((3, 3))


def graph(attention: np.ndarray = EVEN, weights: np.ndarray = FLAT) -> bytes:
    """Graph of logits = present @ weights, whose heads read the same whatever they see."""
    names = ["present", *Modality]
    widths = [len(Modality), *(len(POOLING[m][1]) for m in Modality)]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
        for name, width in zip(names, widths, strict=True)
    ]
    shares = numpy_helper.from_array(attention.astype(np.float32))
    nodes = [
        helper.make_node("MatMul", ["present", "weights"], ["logits"]),
        helper.make_node("Constant", [], [ATTENTION], value=shares),
    ]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", weights.shape[1]]),
        helper.make_tensor_value_info(ATTENTION, TensorProto.FLOAT, list(attention.shape)),
    ]
    constants = [numpy_helper.from_array(weights.astype(np.float32), "weights")]
    model = helper.make_model(
        helper.make_graph(nodes, "even", inputs, outputs, constants),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    return model.SerializeToString()


def external() -> bytes:
    """Graph whose weights lie in a file of the computer that opens it."""
    tensor = numpy_helper.from_array(FLAT.astype(np.float32), "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    node = helper.make_node("MatMul", ["present", "weights"], ["logits"])
    return helper.make_model(helper.make_graph([node], "x", [], [], [tensor])).SerializeToString()


def made(folder: Path, content: bytes | None = None, **changes: Any) -> Path:
    """Write a network, with another graph or with another entry for its voice."""
    recording_bundle(folder)
    if content is not None:
        (folder / GRAPH).write_bytes(content)
    manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    manifest["files"][GRAPH] = hashlib.sha256((folder / GRAPH).read_bytes()).hexdigest()
    manifest["fusion"]["modalities"]["audio"].update(changes)
    (folder / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_a_network_is_added_and_judges(tmp_path: Path) -> None:
    home = tmp_path / "home"
    added = install(zip_bundle(recording_bundle(tmp_path / "b"), tmp_path / "b.zip"), home)
    assert added_bundles(home) == [added.name] == ["joined"]
    assert added.modalities == tuple(Modality)
    found = Analyzer(resolve("joined", home)).analyze_text("I love how this turned out.")
    assert found.model.sha256 == added.sha256
    assert found.utterances[0].attention == {Modality.TEXT: (1.0,) * 4}


@pytest.mark.parametrize("attends", [True, False])
def test_whatever_it_is_made_of(tmp_path: Path, attends: bool) -> None:
    rule = DecisionRule(DecisionKind.THRESHOLD, (0.2,))
    where = recording_bundle(tmp_path / "b", (Modality.AUDIO,), attends=attends, rule=rule)
    assert examine(where)["sha256"] == load_bundle(where).sha256


@pytest.mark.parametrize(
    "shares",
    [
        np.full((1, 3, 4), 0.25),
        np.full((1, 4), 0.25),
        np.full((2, 4, 3), 0.25),
        np.zeros((1, 0, 3)),
        np.full((1, MAX_HEADS + 1, 3), 1 / 3),
        np.full((1, 4, 3), 7.0),
        np.full((1, 4, 3), -0.1),
        np.full((1, 4, 3), np.nan),
    ],
    ids=["turned", "flat", "rows", "none", "many", "above", "below", "nan"],
)
def test_attention_that_is_none(tmp_path: Path, shares: np.ndarray) -> None:
    with pytest.raises(BundleError, match="shares from 0 to 1 of 1 to 64 heads"):
        examine(made(tmp_path / "b", graph(shares)))


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda: graph(weights=np.zeros((3, 4))), r"answer of the network .* of shape \(7, 3\), got"),
        (lambda: graph(weights=np.full((3, 3), np.inf)), "finite probabilities of the network for text"),
        (lambda: graph(weights=np.zeros((2, 3))), "ShapeInferenceError"),
        (external, "another file"),
        (lambda: b"cos\nsystem\n(S'true'\ntR.", "expected an ONNX"),
        (lambda: b"\x00\x00\x00\x00ORTM" + bytes(40), "onnxruntime's own format"),
    ],
    ids=["classes", "infinite", "width", "outside", "pickle", "ort"],
)
def test_graphs_that_do_not_answer_or_reach_out(
    tmp_path: Path, content: Callable[[], bytes], told: str
) -> None:
    with pytest.raises(BundleError, match=told):
        examine(made(tmp_path / "b", content()))


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"creak_weights": "/etc/passwd"}},
        {"options": {"glove_file": "/etc/passwd"}},
        {"extractor": "glove", "options": {"sha256": "/etc/passwd"}},
        {"extractor": "../../covarep"},
        {"version": "0"},
    ],
    ids=str,
)
def test_features_that_are_not_made_here(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(BundleError):
        examine(made(tmp_path / "b", **changes))


@pytest.mark.parametrize("size", ["large-v3", "../../etc"])
def test_a_recogniser_is_not_fetched_because_a_stranger_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))
    analyzer = Analyzer(recording_bundle(tmp_path / "b", whisper=size))
    with pytest.raises(AssetError, match=f"'{size}', which 'joined' was trained with.*--whisper"):
        analyzer.analyze(DATA / "samples" / "sample.mp4")
    assert analyzer.analyze_text("I love it.").model.name == "joined"
    assert not (tmp_path / "cache").exists()


def test_the_features_of_a_data_set_are_refused_with_the_reason(tmp_path: Path) -> None:
    home, archive = tmp_path / "home", zip_bundle(save_small(tmp_path / "b"), tmp_path / "b.zip")
    with pytest.raises(BundleError, match="features of a data set that no extractor makes: text by 'bert'"):
        install(archive, home)
    assert added_bundles(home) == []
