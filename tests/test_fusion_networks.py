"""What every fusion network keeps to: shapes, blindness to the absent, ensembles, the registry."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the extra train")

from torch import nn  # noqa: E402
from torch.func import functional_call, grad, stack_module_state, vmap  # noqa: E402

from fusion_batches import CASES, SEQUENCES, WIDTHS, batch_of, complete, filled, member_of, network_of  # noqa: E402
from trivalent.core.errors import FeatureError, RecipeError  # noqa: E402
from trivalent.core.types import Modality  # noqa: E402
from trivalent.lab.networks import (  # noqa: E402
    NETWORKS,
    build_network,
    drop_modalities,
    functional_output,
    network_options,
)

LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2])


def total_loss(output) -> torch.Tensor:
    return nn.functional.cross_entropy(output.logits, LABELS) + output.auxiliary


@pytest.mark.parametrize("case", CASES)
def test_finite_logits_of_three_classes(case: str) -> None:
    network, batch = network_of(case), batch_of(case)
    logits = network(*batch)
    assert logits.shape == (9, 3)
    assert logits.isfinite().all()
    output = network.forward_all(*batch)
    torch.testing.assert_close(output.logits, logits)
    assert output.auxiliary.shape == ()
    assert bool(output.losses) == (case == "misa")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30, 0.0])
def test_values_of_the_absent_change_nothing(case: str, value: float) -> None:
    results = []
    for batch in (batch_of(case), filled(batch_of(case), value)):
        member = member_of(case, seed=3)
        output = member.forward_all(*batch)
        total_loss(output).backward()
        grads = {name: p.grad for name, p in member.named_parameters() if p.grad is not None}
        assert all(g.isfinite().all() for g in grads.values())
        results.append((output.logits, output.auxiliary, grads))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


@given(st.lists(st.tuples(*[st.booleans()] * 3), min_size=9, max_size=9), st.sampled_from(CASES))
@settings(max_examples=60, deadline=None)
def test_any_pattern_of_presence(patterns: list[tuple[bool, ...]], case: str) -> None:
    network, (features, steps) = network_of(case), batch_of(case)
    mask = torch.tensor(patterns)
    present = {
        m: mask[:, i].reshape(9, *[1] * (steps[m].dim() - 1)).expand(steps[m].shape)
        for i, m in enumerate(WIDTHS)
    }
    output = network.forward_all(*filled((features, present), math.nan))
    torch.testing.assert_close(output.logits, network(features, present), rtol=0, atol=0)
    assert output.logits.isfinite().all()
    assert output.auxiliary.isfinite()
    assert output.auxiliary >= 0


@pytest.mark.parametrize("case", CASES)
def test_no_gradient_reaches_the_features_of_the_absent(case: str) -> None:
    network, (features, present) = network_of(case), filled(batch_of(case), math.nan)
    leaves = {m: x.clone().requires_grad_() for m, x in features.items()}
    total_loss(network.forward_all(leaves, present)).backward()
    for m, x in leaves.items():
        if case == "single" and m is not Modality.AUDIO:
            assert x.grad is None
        else:
            assert x.grad.isfinite().all()
            assert (x.grad[~present[m].bool()] == 0).all()
            assert (x.grad[present[m].bool()] != 0).any()


@pytest.mark.parametrize("case", CASES)
def test_presence_matters_and_may_be_bool_or_float(case: str) -> None:
    network, (features, present) = network_of(case), batch_of(case)
    logits = network(features, present)
    as_bool = {m: mask.bool() for m, mask in present.items()}
    torch.testing.assert_close(network(features, as_bool), logits, rtol=0, atol=0)
    assert not torch.allclose(network(*complete((features, present)))[1:8], logits[1:8])


@pytest.mark.parametrize("case", CASES)
def test_tokens_are_learned_from_the_absent_alone(case: str) -> None:
    network, batch = network_of(case), batch_of(case)
    tokens = [p for name, p in network.named_parameters() if "tokens" in name]
    assert tokens
    network(*batch).square().sum().backward()
    assert all((t.grad != 0).any() for t in tokens)
    network.zero_grad()
    network(*complete(batch)).square().sum().backward()
    assert all((t.grad == 0).all() for t in tokens)


@pytest.mark.parametrize("case", CASES)
@given(order=st.permutations(range(9)))
@settings(max_examples=5, deadline=None)
def test_samples_do_not_see_each_other(case: str, order: list[int]) -> None:
    network, (features, present) = network_of(case), batch_of(case)
    shuffled = ({m: x[order] for m, x in features.items()}, {m: x[order] for m, x in present.items()})
    torch.testing.assert_close(network(*shuffled), network(features, present)[order])


@pytest.mark.parametrize("name", ["attention", "transformer"])
@given(order=st.permutations(range(3)))
@settings(max_examples=6, deadline=None)
def test_attention_has_no_order_of_modalities(name: str, order: list[int]) -> None:
    modalities = list(Modality)
    torch.manual_seed(0)
    first, second = (build_network(name, widths=dict.fromkeys(Modality, 4)).eval() for _ in range(2))
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        second.encoders.tokens.copy_(first.encoders.tokens[order])
    for to, source in zip(modalities, order, strict=True):
        second.encoders.encoders[to].load_state_dict(
            first.encoders.encoders[modalities[source]].state_dict()
        )
    features = {m: torch.randn(8, 4) for m in modalities}
    present = {m: torch.tensor([1, 0, 1, 0, 1, 0, 1, 0]).roll(i) for i, m in enumerate(modalities)}
    moved = [
        {to: given_[modalities[source]] for to, source in zip(modalities, order, strict=True)}
        for given_ in (features, present)
    ]
    torch.testing.assert_close(second(*moved), first(features, present))


@pytest.mark.parametrize("case", CASES)
def test_three_stacked_members_equal_three_single_ones(case: str) -> None:
    batch = filled(batch_of(case), math.nan)
    members = [member_of(case, seed=seed) for seed in range(3)]
    parameters, buffers = stack_module_state(members)

    def logits(weights, masks):
        return functional_call(members[0], (weights, masks), batch)

    def loss(weights, masks):
        state = {**weights, **masks}
        return total_loss(functional_output(members[0], state, features=batch[0], present=batch[1]))

    stacked = vmap(logits)(parameters, buffers)  # (members, batch, 3)
    slopes = vmap(grad(loss))(parameters, buffers)
    for i, member in enumerate(members):
        output = member.forward_all(*batch)
        torch.testing.assert_close(stacked[i], output.logits)
        total_loss(output).backward()
        for name, p in member.named_parameters():
            own = torch.zeros_like(p) if p.grad is None else p.grad
            torch.testing.assert_close(slopes[name][i], own, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(stacked[0], stacked[1])


@pytest.mark.parametrize("case", CASES)
def test_members_may_have_batches_of_their_own(case: str) -> None:
    members = [network_of(case, seed=seed) for seed in range(3)]
    batches = [batch_of(case, seed=seed) for seed in range(3)]
    features = {m: torch.stack([b[0][m] for b in batches]) for m in WIDTHS}
    present = {m: torch.stack([b[1][m] for b in batches]) for m in WIDTHS}
    state = {k: v for part in stack_module_state(members) for k, v in part.items()}
    stacked = vmap(lambda s, x, p: functional_call(members[0], s, (x, p)))(state, features, present)
    for i, (member, batch) in enumerate(zip(members, batches, strict=True)):
        torch.testing.assert_close(stacked[i], member(*batch))


@pytest.mark.parametrize("case", CASES)
def test_all_chance_is_in_the_masks(case: str) -> None:
    member, batch = member_of(case, seed=1), batch_of(case)
    assert not [m for m in member.modules() if isinstance(m, nn.Dropout | nn.modules.batchnorm._BatchNorm)]
    torch.testing.assert_close(member(*batch), member(*batch), rtol=0, atol=0)
    other = member_of(case, seed=1)
    torch.testing.assert_close(other(*batch), member(*batch), rtol=0, atol=0)
    assert not torch.allclose(member(*batch), network_of(case, seed=1)(*batch))


@pytest.mark.parametrize("name", [n for n in NETWORKS if n != "mult"])
def test_two_modalities_and_one(name: str) -> None:
    features, present = batch_of(name)
    for count in (1, 2):
        widths = dict(list(WIDTHS.items())[:count])
        options = {"modality": "text"} if name == "single" else {}
        logits = build_network(name, widths=widths, **options)(features, present)
        assert logits.shape == (9, 3)
        assert logits.isfinite().all()


def test_mult_takes_two_modalities_but_not_one() -> None:
    features, present = batch_of("mult")
    two = build_network("mult", widths={Modality.FACE: 6, Modality.TEXT: 5})
    assert two(features, present).shape == (9, 3)
    with pytest.raises(RecipeError, match=r"at least two modalities.*use 'single'"):
        build_network("mult", widths={Modality.FACE: 6})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("atention", {}, "got 'atention'; did you mean 'attention'"),
        ("zzz", {}, "known: linear, single, concatenation"),
        ("lmf", {"rnak": 3}, "an option of the network 'lmf', got 'rnak'; did you mean 'rank'"),
        ("attention", {"heads": 5}, "heads that divide the width 64, got 5"),
        ("attention", {"heads": 2.0}, "a whole number of at least 1 for heads, got 2.0; the default is 4"),
        ("attention", {"width": 0}, "whole number"),
        ("attention", {"dropout": 1.0}, r"a probability in \[0, 1\) for dropout, got 1.0"),
        ("misa", {"similarity": "much"}, "a number of at least 0 for similarity, got 'much'"),
        ("single", {}, "one modality of text, audio, face, got none; set the option `modality`"),
        ("single", {"modality": "txt"}, "got 'txt'; did you mean 'text'"),
    ],
)
def test_impossible_recipes(name: str, options: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_network(name, widths=WIDTHS, **options)


def test_impossible_widths() -> None:
    with pytest.raises(RecipeError, match="at least one modality, got none"):
        build_network("late", widths={})
    with pytest.raises(RecipeError, match="a positive width of face, got 0"):
        build_network("late", widths={Modality.FACE: 0})
    with pytest.raises(RecipeError, match="a modality, got 'faec'; did you mean 'face'"):
        build_network("late", widths={"faec": 3})


def test_options_are_those_of_the_class() -> None:
    for name in NETWORKS:
        options = network_options(name)
        assert "dropout" in options
        if name == "single":
            options["modality"] = "face"
        assert type(build_network(name, widths=WIDTHS, **options)) is NETWORKS[name]
    assert list(build_network("late", widths={"face": 6, "text": 5}).widths) == ["text", "face"]


@pytest.mark.parametrize("case", CASES)
def test_shapes_that_do_not_fit(case: str) -> None:
    network, (features, present) = network_of(case), batch_of(case)
    audio = Modality.AUDIO
    with pytest.raises(FeatureError, match="got none of audio"):
        network({m: x for m, x in features.items() if m is not audio}, present)
    with pytest.raises(FeatureError, match=r"audio features of shape \(batch, .*4\), got .*3\)"):
        network({**features, audio: features[audio][..., :3]}, present)
    with pytest.raises(FeatureError, match="presence of audio"):
        network(features, {**present, audio: present[audio][:1]})
    if not case.startswith(SEQUENCES):
        with pytest.raises(FeatureError, match="average over steps or use the network 'mult'"):
            network({**features, audio: features[audio].unsqueeze(1)}, present)


@given(
    st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=12),
    st.floats(0, 1),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_modality_dropout_keeps_one_of_what_is_there(
    patterns: list[tuple[bool, ...]], p: float, seed: int
) -> None:
    mask = torch.tensor(patterns)
    present = {m: mask[:, i] for i, m in enumerate(Modality)}
    kept = drop_modalities(present, torch.Generator().manual_seed(seed), p=p)
    again = drop_modalities(present, torch.Generator().manual_seed(seed), p=p)
    assert all(torch.equal(kept[m], again[m]) for m in Modality)
    assert all(kept[m].dtype == torch.bool for m in Modality)
    reduced = torch.stack([kept[m] for m in Modality], 1)
    assert not (reduced & ~mask).any()
    assert torch.equal(reduced.any(1), mask.any(1))
    if p == 0:
        assert torch.equal(reduced, mask)
    if p == 1:
        assert torch.equal(reduced.sum(1), mask.any(1).long())


def test_modality_dropout_has_the_rate_asked_for() -> None:
    present = {m: torch.ones(200_000, 2) for m in Modality}
    kept = drop_modalities(present, torch.Generator().manual_seed(0), p=0.4)
    for m in Modality:
        assert kept[m].shape == (200_000, 2)
        assert torch.equal(kept[m][:, 0], kept[m][:, 1])
        # All three fall with probability 0.4^3; a third of these are kept after all.
        rate = 0.6 + 0.4**3 / 3
        error = math.sqrt(rate * (1 - rate) / 200_000)
        assert kept[m][:, 0].double().mean().item() == pytest.approx(rate, abs=4 * error)
    with pytest.raises(RecipeError, match=r"in \[0, 1\], got 1.5"):
        drop_modalities(present, torch.Generator(), p=1.5)
