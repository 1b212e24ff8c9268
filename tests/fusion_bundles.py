"""A small fusion bundle whose graph is a linear map: made without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trivalent.bundle.calibration import VectorScaling
from trivalent.bundle.conformal import ConformalSets, Score
from trivalent.bundle.decision import Answers, Decision, DecisionRule
from trivalent.bundle.encoder import EncoderSpec
from trivalent.bundle.graphs import Graph
from trivalent.bundle.loading import Bundle
from trivalent.bundle.network import ATTENTION, SCORE, Block, DataSpec, ModalitySpec, Network, group_digest
from trivalent.core.types import FloatArray, Modality
from trivalent.features.cleaning import Cleaner
from trivalent.lab.bundles import write_bundle

COLUMNS = {Modality.TEXT: ("t0", "t1"), Modality.FACE: ("f0", "f1", "f2")}
GRAPH = "network.onnx"
EXTRACTORS = {Modality.TEXT: "bert", Modality.FACE: "openface2"}


def weights() -> dict[Modality, FloatArray]:
    """Weights (columns, 3) of each modality."""
    rng = np.random.default_rng(0)
    return {m: rng.normal(size=(len(c), 3)).astype(np.float32) for m, c in COLUMNS.items()}


def linear_graph(
    matrices: dict[Modality, FloatArray] | None = None,
    *,
    liking: FloatArray | None = None,
    scale: float | None = None,
) -> bytes:
    """Graph of logits = sum over modalities of present * (features @ weights).

    With `scale` it also answers `score`, the positive minus the negative logit within that limit.

    With `liking` of shape (1, heads, modalities) it also answers `attention`: each head reads what is
    present by its liking.
    """
    from onnx import TensorProto, helper, numpy_helper

    matrices = weights() if matrices is None else matrices
    nodes, parts, constants = [], [], []
    inputs = [helper.make_tensor_value_info("present", TensorProto.FLOAT, ["batch", len(matrices)])]
    for i, (m, w) in enumerate(matrices.items()):
        inputs.append(helper.make_tensor_value_info(str(m), TensorProto.FLOAT, ["batch", len(w)]))
        constants += [
            numpy_helper.from_array(w, f"w_{m}"),
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
    if scale is not None:
        constants += [
            numpy_helper.from_array(np.array([-1, 0, 1], np.float32), "signs"),
            numpy_helper.from_array(np.array(-scale, np.float32), "least"),
            numpy_helper.from_array(np.array(scale, np.float32), "greatest"),
        ]
        nodes += [
            helper.make_node("MatMul", ["logits", "signs"], ["free"]),
            helper.make_node("Clip", ["free", "least", "greatest"], [SCORE]),
        ]
        outputs.append(helper.make_tensor_value_info(SCORE, TensorProto.FLOAT, ["batch"]))
    if liking is not None:
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
        shape = ["batch", *liking.shape[1:]]
        outputs.append(helper.make_tensor_value_info(ATTENTION, TensorProto.FLOAT, shape))
    graph = helper.make_graph(nodes, "linear", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


def small_network(
    *,
    modalities: dict[Modality, ModalitySpec] | None = None,
    data: DataSpec | None = None,
    graph: bytes | None = None,
) -> Network:
    """Network over two columns of text and three of the face."""
    modalities = modalities or {
        m: ModalitySpec(
            EncoderSpec(EXTRACTORS[m]),
            Cleaner(c, np.full(len(c), 0.5), np.ones(len(c)), np.full(len(c), 2.0)),
        )
        for m, c in COLUMNS.items()
    }
    return Network(
        Graph(lambda: linear_graph() if graph is None else graph, name=GRAPH),
        modalities,
        VectorScaling(np.array([0.5, 1.0, 2.0]), np.array([0.1, 0.0, -0.1])),
        data or DataSpec("made-up", "all", "CC0", (0.2, 0.5, 0.3), (group_digest("seen"),)),
    )


def small_decision(rule: DecisionRule | None = None) -> Decision:
    """Argmax, with abstention and prediction sets."""
    sets = ConformalSets(np.array([0.7, np.inf, 0.8]), 0.1, Score.LAC, False, np.array([20, 20, 20]))
    return Decision(rule or DecisionRule(), 0.4, sets)


def small_bundle(**changes) -> Bundle[Network]:
    """Bundle of `small_network`, in memory."""
    content = {
        "name": "small",
        "version": "1",
        "sha256": "",
        "experts": {},
        "fusion": small_network(),
        "decision": small_decision(),
        "card": {"licence": "CC0"},
        "metrics": {"test": {}},
    }
    return Bundle(**{**content, **changes})


def save_small(folder: Path, **changes) -> Path:
    """Write `small_bundle` into a folder, with the graph `graph` if it is given."""
    graph = changes.pop("graph", None) or linear_graph()
    content = {k: v for k, v in vars(small_bundle(**changes)).items() if k != "sha256"}
    write_bundle(folder, **content, graphs={GRAPH: graph})
    return folder


def answers(bundle: Bundle[Network], given: dict[Modality, Block]) -> Answers:
    """Ask a bundle as `trivalent evaluate` does."""
    return bundle.decision.answer(bundle.fusion.posterior(given))


def features(n: int = 6, *, seed: int = 1) -> dict[Modality, Block]:
    """Draw features as the extractors would give them."""
    rng = np.random.default_rng(seed)
    return {m: (rng.normal(size=(n, len(c))), c) for m, c in COLUMNS.items()}
