"""Tiny bundles with real ONNX graphs, so that the runtime is tested without trained weights."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from trivalent.bundle.decision import Decision, ratio
from trivalent.bundle.fusion import Beside, Pool
from trivalent.bundle.loading import FORMAT, ExpertSpec, Inputs
from trivalent.core.types import LABELS, Modality
from trivalent.features.frames import columns_of_channels
from trivalent.features.registry import extractor as registered

PRIOR = np.array([0.3, 0.4, 0.3])
WIDTH = 384
VOICE_POOLING = ("F0.semitone_std_voiced", "VUV.mean", "MCEP_1.mean")
VOICE_COLUMNS = ("F0", "VUV", "MCEP_1")
VOICE_CHANNELS = ("F0.shape", "VUV", "MCEP_1.delta")
FACE_POOLING = ("mouthSmileLeft.mean", "browDownLeft.mean")
FACE_COLUMNS = ("mouthSmileLeft", "browDownLeft")
# Rows are features, columns classes: a smile is positive, a frown is negative.
FACE_WEIGHTS = np.array([[-2.0, 0.0, 2.0], [2.0, 0.0, -2.0]])
VOICE_WEIGHTS = np.array([[0.5, -0.5, 0.5], [-0.2, 0.1, 0.1], [0.1, 0.0, -0.1]])

Manifest = dict[str, Any]


def linear_graph(weights: np.ndarray, bias: np.ndarray | None = None) -> bytes:
    """Return a graph from `features` (n, inputs) to `logits` (n, 3)."""
    bias = np.zeros(weights.shape[1]) if bias is None else bias
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", len(weights)])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", weights.shape[1]])],
        [
            numpy_helper.from_array(weights.astype(np.float32), "weights"),
            numpy_helper.from_array(bias.astype(np.float32), "bias"),
        ],
    )
    return _serialized(graph)


def text_graph(*, width: int = WIDTH, sentence: bool = True) -> bytes:
    """Return a graph from `ids` and `mask` (n, tokens) to `logits` (n, 3) and `sentence` (n, width).

    The vector of a token depends on its id modulo 64; the sentence is their mean over the mask.
    """
    rng = np.random.default_rng(0)
    constants = {
        "table": rng.normal(size=(64, width)).astype(np.float32),
        "head": (rng.normal(size=(width, 3)) / 8).astype(np.float32),
        "sixty_four": np.array(64, np.int64),
        "last": np.array([-1], np.int64),
        "tokens": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Mod", ["ids", "sixty_four"], ["rows"]),
        helper.make_node("Gather", ["table", "rows"], ["states"]),
        helper.make_node("Cast", ["mask"], ["mask_float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask_float", "last"], ["mask_wide"]),
        helper.make_node("Mul", ["states", "mask_wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask_wide", "tokens"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["sentence"]),
        helper.make_node("MatMul", ["sentence", "head"], ["logits"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "tokens_n"])
        for name in ("ids", "mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])]
    if sentence:
        outputs.append(helper.make_tensor_value_info("sentence", TensorProto.FLOAT, ["n", width]))
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return _serialized(helper.make_graph(nodes, "text", inputs, outputs, initializers))


def _serialized(graph: Any) -> bytes:
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    return model.SerializeToString()


def tabular_spec(
    extractor: str, columns: Sequence[str], *, pooling: Sequence[str], model: str, **changes: Any
) -> ExpertSpec:
    """Return a specification with mean 0 and scale 1."""
    values: dict[str, Any] = {
        "extractor": extractor,
        "extractor_version": registered(extractor).version,
        "columns": tuple(columns),
        "model": model,
        "temperature": 1.0,
        "prior": PRIOR,
        "pooling": tuple(pooling),
        "mean": np.zeros(len(pooling)),
        "scale": np.ones(len(pooling)),
    }
    return ExpertSpec(**{**values, **changes})


def frames_graph(weights: np.ndarray) -> bytes:
    """Return a graph from `frames` (n, steps, channels) to `logits` (n, 3): linear in the mean step."""
    nodes = [
        helper.make_node("ReduceMean", ["frames", "steps"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "frames",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["n", "steps_n", len(weights)])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", weights.shape[1]])],
        [
            numpy_helper.from_array(weights.astype(np.float32), "weights"),
            numpy_helper.from_array(np.array([1], np.int64), "steps"),
        ],
    )
    return _serialized(graph)


def frames_spec(channels: Sequence[str] = VOICE_CHANNELS, **changes: Any) -> ExpertSpec:
    """Return a specification of a voice expert over frames, with mean 0 and scale 1."""
    values: dict[str, Any] = {
        "extractor": "covarep",
        "extractor_version": registered("covarep").version,
        "columns": columns_of_channels(channels),
        "model": "voice.onnx",
        "temperature": 1.0,
        "prior": PRIOR,
        "mean": np.zeros(len(channels)),
        "scale": np.ones(len(channels)),
        "inputs": Inputs.FRAMES,
        "channels": tuple(channels),
    }
    return ExpertSpec(**{**values, **changes})


def experts() -> dict[Modality, tuple[ExpertSpec, bytes]]:
    """Return specification and graph of the three experts."""
    text = ExpertSpec("minilm", registered("minilm").version, ("ids", "mask"), "text.onnx", 1.3, PRIOR)
    voice = tabular_spec("covarep", VOICE_COLUMNS, pooling=VOICE_POOLING, model="voice.onnx")
    face = tabular_spec("face", FACE_COLUMNS, pooling=FACE_POOLING, model="face.onnx")
    return {
        Modality.TEXT: (text, text_graph()),
        Modality.AUDIO: (voice, linear_graph(VOICE_WEIGHTS)),
        Modality.FACE: (face, linear_graph(FACE_WEIGHTS)),
    }


def write_bundle(
    folder: Path,
    *,
    modalities: Sequence[str] = ("text", "audio", "face"),
    graphs: Mapping[str, bytes] | None = None,
    change: Callable[[Manifest], None] | None = None,
) -> Path:
    """Write a bundle; `change` may spoil its manifest just before it is written.

    `graphs` holds other graphs than those of `experts`, by modality.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {
        m: (spec, (graphs or {}).get(m, graph)) for m, (spec, graph) in experts().items() if m in modalities
    }
    files = {}
    for spec, graph in chosen.values():
        (folder / spec.model).write_bytes(graph)
        files[spec.model] = hashlib.sha256(graph).hexdigest()
    manifest: Manifest = {
        "format": FORMAT,
        "name": "tiny",
        "version": "7",
        "classes": list(LABELS),
        "experts": {str(m): spec.to_dict() for m, (spec, _) in chosen.items()},
        "fusion": Pool({m: Beside(0.6, 0.3) for m in chosen}, PRIOR).to_dict(),
        "decision": Decision(ratio()).to_dict(),
        "card": {"summary": "for tests"},
        "metrics": {},
        "files": files,
    }
    if change is not None:
        change(manifest)
    (folder / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def version_1(new: Manifest) -> Manifest:
    """Write what a network's manifest says as version 1 said it."""
    old = {key: new[key] for key in ("name", "classes", "card", "metrics", "files")}
    fusion = {key: value for key, value in new["fusion"].items() if key != "kind"}
    decision = dict(new["decision"])
    least, sets = decision.pop("min_confidence"), decision.pop("sets")
    return {
        "format": "trivalent.fusion-bundle/1",
        "kind": "fusion",
        **old,
        "data": fusion["data"],
        "modalities": fusion["modalities"],
        "answering": {
            "calibration": fusion["calibration"],
            "decision": decision,
            "min_confidence": least,
            "conformal": sets,
        },
    }


def age(folder: Path) -> Path:
    """Make the bundle of a network one of version 1."""
    path = folder / "bundle.json"
    path.write_text(json.dumps(version_1(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
    return folder


def zip_bundle(folder: Path, target: Path) -> Path:
    """Pack a folder's files into a .zip."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return target
