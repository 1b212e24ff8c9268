"""A small fusion bundle whose graph is a linear map: made without torch."""

from __future__ import annotations

import numpy as np

from trivalent.core.types import FloatArray, Modality
from trivalent.features.cleaning import Cleaner
from trivalent.lab.answering import Answering, Decision
from trivalent.lab.conformal import ConformalSets, Score
from trivalent.lab.decide.calibration import VectorScaling
from trivalent.lab.fusion_bundle import DataSpec, FusionBundle, ModalitySpec, group_digest

COLUMNS = {Modality.TEXT: ("t0", "t1"), Modality.FACE: ("f0", "f1", "f2")}
EXTRACTORS = {Modality.TEXT: "bert", Modality.FACE: "openface2"}


def weights() -> dict[Modality, FloatArray]:
    """Weights (columns, 3) of each modality."""
    rng = np.random.default_rng(0)
    return {m: rng.normal(size=(len(c), 3)).astype(np.float32) for m, c in COLUMNS.items()}


def linear_graph() -> bytes:
    """Graph of logits = sum over modalities of present * (features @ weights)."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, parts, constants = [], [], []
    inputs = [helper.make_tensor_value_info("present", TensorProto.FLOAT, ["batch", len(COLUMNS)])]
    for i, (m, w) in enumerate(weights().items()):
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
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "linear", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


def small_bundle(**changes) -> FusionBundle:
    """Bundle over two columns of text and three of the face."""
    modalities = {
        m: ModalitySpec(
            EXTRACTORS[m], Cleaner(c, np.full(len(c), 0.5), np.ones(len(c)), np.full(len(c), 2.0))
        )
        for m, c in COLUMNS.items()
    }
    conformal = ConformalSets(np.array([0.7, np.inf, 0.8]), 0.1, Score.LAC, False, np.array([20, 20, 20]))
    content = {
        "name": "small",
        "data": DataSpec("made-up", "all", "CC0", (0.2, 0.5, 0.3), (group_digest("seen"),)),
        "modalities": modalities,
        "answering": Answering(
            VectorScaling(np.array([0.5, 1.0, 2.0]), np.array([0.1, 0.0, -0.1])), Decision(), 0.4, conformal
        ),
        "metrics": {"test": {}},
        "card": {"licence": "CC0"},
        "graph": linear_graph(),
    }
    return FusionBundle(**{**content, **changes})


def features(n: int = 6, *, seed: int = 1) -> dict[Modality, tuple[FloatArray, tuple[str, ...]]]:
    """Draw features as the extractors would give them."""
    rng = np.random.default_rng(seed)
    return {m: (rng.normal(size=(n, len(c))), c) for m, c in COLUMNS.items()}
