"""A network over features that our extractors make of recordings: a linear graph, made without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trivalent.bundle.calibration import VectorScaling
from trivalent.bundle.conformal import ConformalSets, Score
from trivalent.bundle.decision import Decision, DecisionRule
from trivalent.bundle.encoder import EncoderSpec
from trivalent.bundle.graphs import Graph
from trivalent.bundle.network import ATTENTION, DataSpec, ModalitySpec, Network
from trivalent.core.types import FloatArray, Modality
from trivalent.features.cleaning import Cleaner
from trivalent.features.registry import extractor
from trivalent.lab.bundles import write_bundle

GRAPH = "network.onnx"
HEADS = 4
POOLING = {
    Modality.TEXT: ("minilm", tuple(f"minilm_{i}.mean" for i in range(384))),
    Modality.AUDIO: ("covarep", ("F0.mean_voiced", "F0.semitone_std_voiced", "MCEP_0.mean", "NAQ.p50")),
    Modality.FACE: (
        "face",
        ("mouthSmileLeft.mean", "browDownLeft.logit_mean", "pose_yaw.std", "fer_happy.max"),
    ),
}


def encoder(modality: Modality) -> EncoderSpec:
    """Say how the features of a modality are made."""
    name, pooling = POOLING[modality]
    return EncoderSpec(name, extractor(name).version, pooling)


def attending_graph(modalities: tuple[Modality, ...], *, attends: bool = True) -> bytes:
    """Graph of logits = sum over modalities of present * (features @ weights); each head has its liking."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, parts, constants = [], [], []
    inputs = [helper.make_tensor_value_info("present", TensorProto.FLOAT, ["batch", len(modalities)])]
    for i, m in enumerate(modalities):
        width = len(POOLING[m][1])
        inputs.append(helper.make_tensor_value_info(str(m), TensorProto.FLOAT, ["batch", width]))
        weights = (rng.normal(size=(width, 3)) / np.sqrt(width)).astype(np.float32)
        constants += [
            numpy_helper.from_array(weights, f"w_{m}"),
            numpy_helper.from_array(np.array([i]), f"place_{m}"),
        ]
        nodes += [
            helper.make_node("Gather", ["present", f"place_{m}"], [f"here_{m}"], axis=1),
            helper.make_node("MatMul", [str(m), f"w_{m}"], [f"read_{m}"]),
            helper.make_node("Mul", [f"read_{m}", f"here_{m}"], [f"part_{m}"]),
        ]
        parts.append(f"part_{m}")
    nodes.append(helper.make_node("Sum", parts, ["logits"]))
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])]
    if attends:
        liking = rng.uniform(0.1, 1, (1, HEADS, len(modalities))).astype(np.float32)
        constants += [
            numpy_helper.from_array(np.array([1], np.int64), "over_heads"),
            numpy_helper.from_array(np.array([2], np.int64), "over_modalities"),
            numpy_helper.from_array(liking, "liking"),
        ]
        nodes += [
            helper.make_node("Unsqueeze", ["present", "over_heads"], ["wide"]),
            helper.make_node("Mul", ["wide", "liking"], ["liked"]),
            helper.make_node("ReduceSum", ["liked", "over_modalities"], ["all"], keepdims=1),
            helper.make_node("Div", ["liked", "all"], [ATTENTION]),
        ]
        outputs.append(
            helper.make_tensor_value_info(ATTENTION, TensorProto.FLOAT, ["batch", HEADS, len(modalities)])
        )
    graph = helper.make_graph(nodes, "linear", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


def recording_network(
    modalities: tuple[Modality, ...] = tuple(Modality), *, attends: bool = True, whisper: str = ""
) -> tuple[Network, bytes]:
    """Return a network and its graph."""
    content = attending_graph(modalities, attends=attends)
    specs = {}
    for m in modalities:
        names = POOLING[m][1]
        ones: FloatArray = np.ones(len(names))
        specs[m] = ModalitySpec(encoder(m), Cleaner(names, 0 * ones, 0 * ones, ones, clip=5.0))
    return (
        Network(
            Graph(lambda: content, name=GRAPH),
            specs,
            VectorScaling(np.full(3, 0.8), np.array([0.1, 0.0, -0.1])),
            DataSpec("made-up", "classes", "CC0", (0.2, 0.5, 0.3)),
            whisper,
        ),
        content,
    )


def recording_bundle(
    folder: Path,
    modalities: tuple[Modality, ...] = tuple(Modality),
    *,
    attends: bool = True,
    rule: DecisionRule | None = None,
    whisper: str = "",
) -> Path:
    """Write a bundle and return its folder."""
    network, content = recording_network(modalities, attends=attends, whisper=whisper)
    sets = ConformalSets(np.array([0.7, np.inf, 0.8]), 0.1, Score.LAC, False, np.array([20, 20, 20]))
    write_bundle(
        folder,
        name="joined",
        experts={},
        fusion=network,
        decision=Decision(rule or DecisionRule(), 0.0, sets),
        card={"title": "made up"},
        metrics={},
        graphs={GRAPH: content},
    )
    return folder
