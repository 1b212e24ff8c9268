"""The seeds of a fusion network as one ONNX graph, checked against torch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from trivalent.bundle.network import ATTENTION, SCORE
from trivalent.lab.fusion.target import THREE, Target
from trivalent.lab.graphs.torch_graphs import check_graph, write_graph
from trivalent.lab.networks.attention import AttentionFusion
from trivalent.lab.networks.base import FusionNetwork, PositionalInputs


class SeedMean(nn.Module):
    """The mean of the logits of equal networks; arguments as of `PositionalInputs`."""

    def __init__(self, networks: Sequence[FusionNetwork], target: Target) -> None:
        super().__init__()
        self.members = nn.ModuleList(PositionalInputs(network) for network in networks)
        self.target = target

    def forward(self, present: Tensor, *features: Tensor) -> tuple[Tensor, ...]:
        """Return logits, shape (batch, 3), and the score, shape (batch,), of a target that has one."""
        outputs = torch.stack([member(present, *features) for member in self.members])
        logits = self.target.logits(outputs).mean(0)
        return (logits, self.target.score(outputs).mean(0)) if self.target.scores else (logits,)


class AttendingSeedMean(SeedMean):
    """Of attention networks: also what their heads read."""

    def forward(self, present: Tensor, *features: Tensor) -> tuple[Tensor, ...]:
        """Return what `SeedMean` does, and shares, shape (batch, heads, modalities).

        The share of a modality is the mean of the weights with which those that are present read it
        (Vaswani et al., NeurIPS 2017, eq. 1); it tells what was read, not what decided.
        """
        answers = super().forward(present, *features)
        members = (cast(PositionalInputs, member) for member in self.members)
        weights = torch.stack([member.attention_weights(present, *features) for member in members])
        readers = present[:, None, :, None].to(weights.dtype)  # (batch, 1, reading, 1)
        return *answers, (weights.mean(0) * readers).sum(2) / readers.sum(2).clamp(min=1)


def export_fusion(
    networks: Sequence[FusionNetwork], *, target: Target = THREE, sequences: bool = False
) -> bytes:
    """Make the graph: `present` (batch, modalities) and the features by modality to `logits` (batch, 3).

    With scores it also answers `score` (batch,), of attention networks `attention` (batch, heads,
    modalities).

    Parameters
    ----------
    networks : sequence of FusionNetwork
        Of one form. Features of absent modalities may be any finite numbers.
    target : Target
        What they were trained to tell.
    sequences : bool
        For `mult` alone: `present` is (batch, modalities, steps) and the features are (batch, steps,
        width), aligned to the same two steps or more.

    Raises
    ------
    BundleError
        The graph differs from the networks by more than 1e-3, also for another batch size.
    """
    first = networks[0]
    attends = isinstance(first, AttentionFusion)
    graph = (AttendingSeedMean if attends else SeedMean)(networks, target).eval()
    names = ("present", *map(str, first.modalities))
    axes = {0: torch.export.Dim("batch")}
    steps = torch.export.Dim("steps", min=2)
    in_features = axes | ({1: steps} if sequences else {})
    in_presence = axes | ({2: steps} if sequences else {})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        write_graph(
            graph,
            _example(first, 3, steps=(4,) if sequences else ()),
            path,
            inputs=names,
            outputs=("logits", *([SCORE] if target.scores else []), *([ATTENTION] if attends else [])),
            shapes=(in_presence, tuple(in_features for _ in first.modalities)),
        )
        examples = [_example(first, size, steps=(size + 1,) if sequences else ()) for size in (1, 5)]
        check_graph(path, graph, [dict(zip(names, own, strict=True)) for own in examples])
        return path.read_bytes()


def _example(network: FusionNetwork, size: int, *, steps: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Draw a batch in which modalities are absent here and there, in one sample all of them."""
    generator = torch.Generator().manual_seed(size)
    present = (torch.rand((size, len(network.modalities), *steps), generator=generator) < 0.7).float()
    present[-1] = float(size == 1)
    widths = network.widths.values()
    return present, *(torch.randn((size, *steps, n), generator=generator) for n in widths)
