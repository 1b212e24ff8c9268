"""Systems that vote are one network: trained, exported and judged like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from trivalent.bundle.fusion import softmax  # noqa: E402
from trivalent.bundle.loading import load_network  # noqa: E402
from trivalent.core.errors import RecipeError, UsageError  # noqa: E402
from trivalent.core.types import Modality  # noqa: E402
from trivalent.lab.fusion.recipe import parse_fusion  # noqa: E402
from trivalent.lab.fusion.train import select, train_fusion  # noqa: E402
from trivalent.lab.fusion.voting import Vote, Voted  # noqa: E402
from trivalent.lab.measure.metrics import macro_f1  # noqa: E402
from trivalent.lab.networks import build_network  # noqa: E402

WIDTHS = {Modality.TEXT: 5, Modality.FACE: 4}
RECIPE = {
    "name": "vote",
    "data": "mosei-922",
    "protocol": "sdk-subset",
    "seeds": [0, 1],
    "training": {"epochs": 2},
    "members": [{"loss_options": {"weights": "sqrt"}}, {"network": "concatenation"}],
}


def batch(n: int) -> tuple[dict[Modality, torch.Tensor], dict[Modality, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    features = {m: torch.randn((n, width), generator=generator) for m, width in WIDTHS.items()}
    return features, {m: torch.ones(n) for m in WIDTHS}


def test_the_vote_is_the_mean_of_probabilities() -> None:
    networks = [build_network(name, widths=WIDTHS).eval() for name in ("attention", "concatenation")]
    features, present = batch(6)
    vote = Vote(networks, np.array([0.75, 0.25])).eval()
    with torch.inference_mode():
        expected = sum(
            w * torch.softmax(network(features, present), -1)
            for w, network in zip((0.75, 0.25), networks, strict=True)
        )
        torch.testing.assert_close(torch.softmax(vote(features, present), -1), expected)


def test_weights_are_searched_on_validation_and_the_graph_votes(real_data: Path, tmp_path: Path) -> None:
    recipe = parse_fusion(RECIPE, where="test")
    problem = recipe.problem(real_data)
    selected = select(recipe, problem)
    voted, val = selected.trained, selected.problem.parts.val
    assert isinstance(voted, Voted)
    assert voted.weights.sum() == pytest.approx(1)
    labels = val.labels_to_select()
    means = [softmax(own.logits(val).mean(0)) for own in voted.systems]
    mixed = np.tensordot(voted.weights, np.stack(means), axes=1)
    alone = max(macro_f1(labels, own.argmax(1)) for own in means)
    assert macro_f1(labels, mixed.argmax(1)) >= alone - 1e-12
    told = train_fusion(recipe, out=tmp_path / "run", root=real_data, rounds=20)
    assert "vote on mosei-922" in told[0]
    network = load_network(tmp_path / "run").fusion
    data = recipe.entry().read(real_data, recipe.protocol)
    rows = data.split == "val"
    blocks = {m: (f.values[rows], f.columns) for m, f in data.features.items()}
    probabilities = network.posterior(blocks)
    expected = selected.ensemble.answer(voted.logits(val).mean(0)).probabilities
    if len(probabilities) == len(expected):  # no half of validation was put aside
        np.testing.assert_allclose(probabilities, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": [{"network": "attention"}]}, "two members or more"),
        ({"vote": [1.0]}, "as many weights"),
        ({"vote": [-1.0, 2.0]}, "as many weights"),
        ({"vote": [0, 0]}, "as many weights"),
        ({"members": [{"data": "mosi"}, {}]}, "key of a member"),
        ({"members": [{"network": "attenton"}, {}]}, "attenton"),
    ],
)
def test_members_that_cannot_vote(changes: dict[str, object], message: str) -> None:
    with pytest.raises((RecipeError, UsageError), match=message):
        parse_fusion({**RECIPE, **changes}, where="test")
