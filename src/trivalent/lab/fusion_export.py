"""The seeds of a fusion network as one ONNX graph, checked against torch."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trivalent.errors import BundleError
from trivalent.lab.export import OPSET, _without_traces
from trivalent.lab.networks.base import FusionNetwork, PositionalInputs


class SeedMean(nn.Module):
    """The mean of the logits of equal networks; arguments as of `PositionalInputs`."""

    def __init__(self, networks: Sequence[FusionNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(PositionalInputs(network) for network in networks)

    def forward(self, present: Tensor, *features: Tensor) -> Tensor:
        """Return logits, shape (batch, 3)."""
        return torch.stack([member(present, *features) for member in self.members]).mean(0)


def export_fusion(networks: Sequence[FusionNetwork]) -> bytes:
    """Make the graph: `present` (batch, modalities) and the features by modality to `logits` (batch, 3).

    Parameters
    ----------
    networks : sequence of FusionNetwork
        Of one form. Features of absent modalities may be any finite numbers.

    Raises
    ------
    BundleError
        The graph differs from the networks by more than 1e-3, also for another batch size.
    """
    first = networks[0]
    graph = SeedMean(networks).eval()
    batch = torch.export.Dim("batch")
    count = len(first.modalities)
    # It warns of torchvision, which is not needed.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="# The axis name: batch will not be used")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            graph,
            _example(first, 3),
            str(path),
            input_names=["present", *map(str, first.modalities)],
            output_names=["logits"],
            dynamic_shapes=({0: batch}, tuple({0: batch} for _ in range(count))),
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
        _without_traces(path)
        content = path.read_bytes()
    for size in (1, 5):
        _check(content, graph, _example(first, size))
    return content


def _example(network: FusionNetwork, size: int) -> tuple[Tensor, ...]:
    """Draw a batch in which modalities are absent here and there, in one sample all of them."""
    generator = torch.Generator().manual_seed(size)
    count = len(network.modalities)
    present = (torch.rand((size, count), generator=generator) < 0.7).float()
    present[-1] = float(size == 1)
    return present, *(torch.randn((size, n), generator=generator) for n in network.widths.values())


def _check(content: bytes, graph: SeedMean, inputs: tuple[Tensor, ...]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    found = session.run(["logits"], dict(zip(names, (x.numpy() for x in inputs), strict=True)))[0]
    with torch.inference_mode():
        error = float(np.abs(found - graph(*inputs).numpy()).max())
    if not error <= 1e-3:
        raise BundleError(
            f"expected the graph to equal its networks, got a difference of {error:.1e}; report it"
        )
