"""Networks to ONNX graphs, full precision and int8, checked against torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from trivalent.errors import BundleError
from trivalent.features.text import encode, pad
from trivalent.lab.networks.text import TextClassifier

log = logging.getLogger(__name__)
OPSET = 18


class _TextGraph(nn.Module):
    """What the runtime needs of the text network: logits and the sentence embedding."""

    def __init__(self, network: TextClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.network.pooled(ids, mask)
        return self.network.head(pooled), pooled


def export_text(network: TextClassifier, path: Path, *, int8: bool = True) -> None:
    """Write the text graph; `ids` and `mask` (batch, tokens) to `logits` and `sentence` (its vector).

    Weights of matrix products and embeddings become int8 with one scale per row; activations
    are quantized at run time ("dynamic"), so no calibration data is needed.

    Raises
    ------
    BundleError
        The full-precision graph differs from the network by more than 1e-3.
    """
    ids, mask = (
        torch.from_numpy(t) for t in pad(encode(["a short text", "one that is a little longer, too"]))
    )
    graph = _TextGraph(network).eval()
    full = path.with_suffix(".fp32.onnx")
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens", min=2, max=512)
    torch.onnx.export(
        graph,
        (ids, mask),
        str(full),
        input_names=["ids", "mask"],
        output_names=["logits", "sentence"],
        dynamic_shapes={"ids": {0: batch, 1: tokens}, "mask": {0: batch, 1: tokens}},
        opset_version=OPSET,
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    _without_traces(full)
    with torch.inference_mode():
        expected = graph(ids, mask)[0].numpy()
    _compare(full, {"ids": ids.numpy(), "mask": mask.numpy()}, expected=expected)
    if int8:
        quantize(full, path)
        full.unlink()
    else:
        full.replace(path)


def quantize(full: Path, path: Path) -> None:
    """Write the int8 twin of a graph."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = path.with_suffix(".prepared.onnx")
    quant_pre_process(str(full), str(prepared), skip_symbolic_shape=True)
    quantize_dynamic(
        str(prepared),
        str(path),
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,  # 7 bits: exact on processors without VNNI
        op_types_to_quantize=["MatMul", "Gemm", "Gather"],
    )
    prepared.unlink()
    log.info("%s: %.1f MB", path.name, path.stat().st_size / 1e6)


def export_tabular(network: nn.Module, path: Path, *, inputs: int) -> None:
    """Write a graph from `features` (batch, inputs) to `logits` (batch, 3)."""
    example = torch.randn(3, inputs)
    torch.onnx.export(
        network.eval(),
        (example,),
        str(path),
        input_names=["features"],
        output_names=["logits"],
        dynamic_shapes={"features": {0: torch.export.Dim("batch")}},
        opset_version=OPSET,
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    _without_traces(path)
    with torch.inference_mode():
        expected = network(example).numpy()
    _compare(path, {"features": example.numpy()}, expected=expected)


class _FramesGraph(nn.Module):
    """The mean of the members' logits for whole takes: no mask."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, frames: Tensor) -> Tensor:
        mask = torch.ones_like(frames[:, :, 0])
        return torch.stack([member(frames, mask) for member in self.members]).mean(0)


def export_frames(members: Sequence[nn.Module], path: Path, *, channels: int) -> None:
    """Write a graph from `frames` (batch, steps, channels) to `logits` (batch, 3).

    The takes of a batch have one length, any from 2 steps on.

    Raises
    ------
    BundleError
        The graph differs from the networks by more than 1e-3, at two lengths.
    """
    graph = _FramesGraph(members).eval()
    batch, steps = torch.export.Dim("batch"), torch.export.Dim("steps", min=2)
    torch.onnx.export(
        graph,
        (torch.randn(2, 50, channels),),
        str(path),
        input_names=["frames"],
        output_names=["logits"],
        dynamic_shapes={"frames": {0: batch, 1: steps}},
        opset_version=OPSET,
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    _without_traces(path)
    for shape in ((1, 9, channels), (3, 211, channels)):
        example = torch.randn(shape)
        with torch.inference_mode():
            expected = graph(example).numpy()
        _compare(path, {"frames": example.numpy()}, expected=expected)


def _without_traces(path: Path) -> None:
    """Drop the exporter's stack traces: they name the files of the machine that exported."""
    model = onnx.load(path)
    parts = [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer]
    for part in [*parts, *model.graph.input, *model.graph.output, *model.functions]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


def _compare(path: Path, inputs: dict[str, np.ndarray], *, expected: np.ndarray) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    error = float(np.abs(session.run(None, inputs)[0] - expected).max())
    if error > 1e-3:
        raise BundleError(
            f"expected the graph {path.name} to equal its network, got a difference of {error:.1e}"
        )
