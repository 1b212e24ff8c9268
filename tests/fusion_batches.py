"""Batches and networks for the tests of fusion networks: small, with every pattern of presence."""

from __future__ import annotations

from itertools import product

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from torch import Tensor  # noqa: E402

from trivalent.core.types import Modality  # noqa: E402
from trivalent.lab.networks import NETWORKS, FusionNetwork, build_network  # noqa: E402
from trivalent.lab.networks.dropout import draw_masks  # noqa: E402

WIDTHS = {Modality.TEXT: 5, Modality.AUDIO: 4, Modality.FACE: 6}
STEPS = {Modality.TEXT: 3, Modality.AUDIO: 5, Modality.FACE: 2}
OPTIONS = {"linear": {"dropout": 0.3}, "single": {"modality": "audio"}, "tfn": {"width": 4}}
SEQUENCES = ("mult", "sequence_transformer", "end_to_end")  # networks that take steps
# Every network on pooled features, and those for sequences on sequences.
CASES = [*NETWORKS, *(f"{name}, steps" for name in SEQUENCES)]

Batch = tuple[dict[Modality, Tensor], dict[Modality, Tensor]]


def network_of(case: str, *, seed: int = 0) -> FusionNetwork:
    """Build a small network from a seed, in evaluation."""
    name = case.partition(",")[0]
    torch.manual_seed(seed)
    network = build_network(name, widths=WIDTHS, **OPTIONS.get(name, {})).eval()
    if name == "linear":  # starts from zero, where nothing depends on anything
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)
    return network


def batch_of(case: str, *, seed: int = 0) -> Batch:
    """Draw nine samples: all patterns of presence (none included), and a complete one more."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.tensor([*product([1.0, 0.0], repeat=3), (1.0, 1.0, 1.0)])
    features, present = {}, {}
    for i, (m, width) in enumerate(WIDTHS.items()):
        steps = (STEPS[m],) if "steps" in case else ()
        features[m] = torch.randn((len(patterns), *steps, width), generator=generator)
        mask = patterns[:, i]
        if steps:
            some = torch.rand((len(patterns), *steps), generator=generator) < 0.7
            mask = mask.unsqueeze(1) * (some | (torch.arange(*steps) == 1))
        present[m] = mask
    return features, present


def filled(batch: Batch, value: float) -> Batch:
    """Write a value wherever nothing is present."""
    features, present = batch
    return {m: torch.where(present[m].bool().unsqueeze(-1), x, value) for m, x in features.items()}, present


def complete(batch: Batch) -> Batch:
    """Declare everything present."""
    return batch[0], {m: torch.ones_like(mask) for m, mask in batch[1].items()}


def member_of(case: str, *, seed: int) -> FusionNetwork:
    """Build a member of an ensemble in training, with dropout masks of its own."""
    member = network_of(case, seed=seed).train()
    draw_masks(member, len(batch_of(case)[1][Modality.TEXT]), torch.Generator().manual_seed(seed))
    return member
