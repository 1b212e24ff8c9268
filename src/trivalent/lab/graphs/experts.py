"""The networks of the experts as ONNX graphs, full precision and int8, checked against torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from trivalent.features.text import encode, pad
from trivalent.lab.graphs.torch_graphs import check_graph, write_graph

log = logging.getLogger(__name__)
BATCH = torch.export.Dim("batch")


class SentenceNetwork(Protocol):
    """What a text graph is made of: token ids to a sentence vector, and that to logits."""

    @property
    def head(self) -> nn.Module:
        """Sentence vectors (batch, width) to logits (batch, 3)."""

    def pooled(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return sentence vectors, shape (batch, width)."""


class _TextGraph(nn.Module):
    """What the runtime needs of a text network: logits and the sentence vector."""

    def __init__(self, network: SentenceNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.network.pooled(ids, mask)
        return self.network.head(pooled), pooled


def export_text(network: SentenceNetwork, path: Path, *, int8: bool = True, tokens: int = 512) -> None:
    """Write a text graph; `ids` and `mask` (batch, tokens) to `logits` and `sentence` (its vector).

    Weights of matrix products and embeddings become int8 with one scale per row; activations
    are quantized at run time ("dynamic"), so no calibration data is needed.

    Parameters
    ----------
    network : SentenceNetwork
    path : Path
    int8 : bool
        Or full precision.
    tokens : int
        The most that the network takes.

    Raises
    ------
    BundleError
        The full-precision graph differs from the network by more than 1e-3.
    """
    graph = _TextGraph(network).eval()
    full = path.with_suffix(".fp32.onnx")
    axes = {0: BATCH, 1: torch.export.Dim("tokens", min=2, max=tokens)}
    write_graph(
        graph,
        _tokens("a short text", "one that is a little longer, too"),
        full,
        inputs=("ids", "mask"),
        outputs=("logits", "sentence"),
        shapes={"ids": axes, "mask": axes},
    )
    texts = (
        ["alone"],
        ["a short text", "one that is a little longer, too", "and a third"],
        ["long " * 200],
    )
    check_graph(full, graph, [dict(zip(("ids", "mask"), _tokens(*own), strict=True)) for own in texts])
    if int8:
        quantize(full, path)
        full.unlink()
    else:
        full.replace(path)


def _tokens(*texts: str) -> tuple[Tensor, Tensor]:
    ids, mask = pad(encode(texts))
    return torch.from_numpy(ids), torch.from_numpy(mask)


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
    """Write a graph from `features` (batch, inputs) to `logits` (batch, 3).

    Raises
    ------
    BundleError
        The graph differs from the network by more than 1e-3.
    """
    write_graph(
        network.eval(),
        (torch.randn(3, inputs),),
        path,
        inputs=("features",),
        shapes={"features": {0: BATCH}},
    )
    check_graph(path, network, [{"features": torch.randn(size, inputs)} for size in (1, 5)])


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
    write_graph(
        graph,
        (torch.randn(2, 50, channels),),
        path,
        inputs=("frames",),
        shapes={"frames": {0: BATCH, 1: torch.export.Dim("steps", min=2)}},
    )
    check_graph(path, graph, [{"frames": torch.randn(n, k, channels)} for n, k in ((1, 9), (3, 211))])
