"""The seeds of a fusion network as one ONNX graph, checked against torch."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from trivalent.bundle.network import ATTENTION, SCORE, STEPS
from trivalent.core.types import Modality
from trivalent.lab.fusion.target import THREE, Target
from trivalent.lab.graphs.compact import compact_graph
from trivalent.lab.graphs.torch_graphs import check_graph, write_graph
from trivalent.lab.networks.attention import Attending
from trivalent.lab.networks.base import Features, FusionNetwork, Present


class SeedMean(nn.Module):
    """The mean of the logits of equal networks, behind the front that they share.

    `forward(present, *tensors)` takes `present` of shape (batch, modalities) and the features in the order
    of the modalities; after those of a sequence a mask (batch, steps), 1 for a step that there is.
    """

    def __init__(
        self, networks: Sequence[FusionNetwork], target: Target, sequences: Collection[Modality] = ()
    ) -> None:
        super().__init__()
        self.modalities, self.sequences = networks[0].modalities, frozenset(sequences)
        self.members, self.front = nn.ModuleList(networks), networks[0].front()
        self.target = target

    def forward(self, present: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return logits, shape (batch, 3), and the score, shape (batch,), of a target that has one."""
        features, shown = self._named(present, tensors)
        return self._answers([member(features, shown) for member in self.members])

    def _answers(self, each: Sequence[Tensor]) -> tuple[Tensor, ...]:
        outputs = torch.stack(list(each))
        logits = self.target.logits(outputs).mean(0)
        return (logits, self.target.score(outputs).mean(0)) if self.target.scores else (logits,)

    def _named(self, present: Tensor, tensors: Sequence[Tensor]) -> tuple[Features, Present]:
        rest = iter(tensors)
        features: dict[Modality, Tensor] = {}
        shown: dict[Modality, Tensor] = {}
        for i, m in enumerate(self.modalities):
            features[m], shown[m] = next(rest), present[:, i]
            if m in self.sequences:
                shown[m] = next(rest) * shown[m].unsqueeze(1)
        return (features if self.front is None else self.front(features, shown)), shown


class AttendingSeedMean(SeedMean):
    """Of attention networks: also what their heads read."""

    def forward(self, present: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return what `SeedMean` does, and shares, shape (batch, heads, modalities).

        The share of a modality is the mean of the weights with which those that are present read it
        (Vaswani et al., NeurIPS 2017, eq. 1); it tells what was read, not what decided.
        """
        features, shown = self._named(present, tensors)
        members = (cast(Attending, member) for member in self.members)
        each, read = zip(*(member.attended(features, shown) for member in members), strict=True)
        weights = torch.stack(read)
        readers = present[:, None, :, None].to(weights.dtype)  # (batch, 1, reading, 1)
        shares = (weights.mean(0) * readers).sum(2) / readers.sum(2).clamp(min=1)
        return *self._answers(each), shares


def export_fusion(
    networks: Sequence[FusionNetwork], *, target: Target = THREE, sequences: Collection[Modality] = ()
) -> bytes:
    """Make the graph: `present` (batch, modalities) and the features by modality to `logits` (batch, 3).

    The features of a modality are (batch, width), of a sequence (batch, steps, width), and it is followed
    by `MODALITY_steps` (batch, steps), 1 for a step that there is. Each sequence has its own number of
    steps, two or more.

    What networks have in common in front of them, such as a sentence encoder, is stored once, and large
    weights then as int8.

    With scores it also answers `score` (batch,), of attention networks `attention` (batch, heads,
    modalities).

    Parameters
    ----------
    networks : sequence of FusionNetwork
        Of one form. Features of absent modalities may be any finite numbers.
    target : Target
        What they were trained to tell.
    sequences : collection of Modality
        Those that the networks read as sequences; their `reads_sequences` says whether they can.

    Raises
    ------
    BundleError
        The graph differs from the networks by more than 1e-3, also for another batch size.
    """
    first = networks[0]
    attends = isinstance(first, Attending)
    graph = (AttendingSeedMean if attends else SeedMean)(networks, target, sequences).eval()
    axes = {0: torch.export.Dim("batch")}
    names, shapes = ["present"], []
    for m in first.modalities:
        own = axes | ({1: torch.export.Dim(f"steps_{m}", min=2)} if m in sequences else {})
        names += [str(m), f"{m}{STEPS}"] if m in sequences else [str(m)]
        shapes += [own, own] if m in sequences else [own]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        write_graph(
            graph,
            _example(first, 3, sequences),
            path,
            inputs=names,
            outputs=("logits", *([SCORE] if target.scores else []), *([ATTENTION] if attends else [])),
            shapes=(axes, tuple(shapes)),
        )
        examples = [_example(first, size, sequences) for size in (1, 5)]
        check_graph(path, graph, [dict(zip(names, own, strict=True)) for own in examples])
        content = path.read_bytes()
    return content if graph.front is None else compact_graph(content)


def _example(network: FusionNetwork, size: int, sequences: Collection[Modality]) -> tuple[Tensor, ...]:
    """Draw a batch in which modalities and steps are absent here and there, in one sample all of them."""
    generator = torch.Generator().manual_seed(size)

    def mask(width: int) -> Tensor:
        drawn = (torch.rand((size, width), generator=generator) < 0.7).float()
        drawn[-1] = float(size == 1)
        return drawn

    tensors = [mask(len(network.modalities))]
    for place, (m, width) in enumerate(network.widths.items()):
        steps = (size + 1 + place,) if m in sequences else ()
        tensors.append(torch.randn((size, *steps, width), generator=generator))
        tensors += [mask(*steps)] if steps else []
    return tuple(tensors)
