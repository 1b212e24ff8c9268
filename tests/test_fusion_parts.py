"""Parts of the fusion networks against torch's own, naive computations and hand-worked cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the extra train")

from torch import Tensor, nn  # noqa: E402

from fusion_batches import WIDTHS, batch_of, complete, filled, network_of  # noqa: E402
from trivalent.core.types import Modality  # noqa: E402
from trivalent.lab.networks import build_network  # noqa: E402
from trivalent.lab.networks.layers import MultiHeadAttention, TransformerLayer  # noqa: E402
from trivalent.lab.networks.misa import central_moment_discrepancy, orthogonality, safe_norm  # noqa: E402
from trivalent.lab.networks.sequences import positions  # noqa: E402
from trivalent.lab.networks.tensor import low_rank_product, outer_product, with_one  # noqa: E402

TEXT, AUDIO, FACE = Modality


def torch_twin(ours: MultiHeadAttention, width: int) -> nn.MultiheadAttention:
    """Return torch's attention with our weights."""
    twin = nn.MultiheadAttention(width, ours.heads, batch_first=True)
    projections = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        twin.in_proj_weight.copy_(torch.cat([layer.weight for layer in projections]))
        twin.in_proj_bias.copy_(torch.cat([layer.bias for layer in projections]))
        twin.out_proj.load_state_dict(ours.out.state_dict())
    return twin


def attention_of(width: int, heads: int) -> MultiHeadAttention:
    """Return an attention whose biases are not zero."""
    torch.manual_seed(width)
    attention = MultiHeadAttention(width, heads=heads)
    for p in attention.parameters():
        nn.init.normal_(p, std=0.3)
    return attention


@given(st.sampled_from([(8, 1), (8, 4), (64, 4)]), st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_attention_equals_that_of_torch(shape: tuple[int, int], n: int, k: int, seed: int) -> None:
    ours = attention_of(*shape)
    generator = torch.Generator().manual_seed(seed)
    queries, source = (torch.randn(4, steps, shape[0], generator=generator) for steps in (n, k))
    keys = torch.rand(4, k, generator=generator) < 0.6
    keys = keys | (torch.arange(k) == seed % k)
    read, weights = ours(queries, source, keys=keys)
    expected, shares = torch_twin(ours, shape[0])(
        queries, source, source, key_padding_mask=~keys, average_attn_weights=False
    )
    torch.testing.assert_close(read, expected)
    torch.testing.assert_close(weights, shares)
    assert (weights.transpose(-1, -2)[~keys[:, None].expand(4, shape[1], k)] == 0).all()


def test_attention_starts_like_that_of_torch() -> None:
    ours, theirs = MultiHeadAttention(64, heads=4), nn.MultiheadAttention(64, 4)
    bound = theirs.in_proj_weight.abs().max().item()
    for layer in (ours.query, ours.key, ours.value):
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert (layer.bias == 0).all()
    assert ours.out.weight.abs().max().item() == pytest.approx(
        theirs.out_proj.weight.abs().max().item(), rel=0.01
    )


@given(st.permutations(range(5)))
@settings(max_examples=10, deadline=None)
def test_attention_and_layer_follow_a_permutation_of_tokens(order: list[int]) -> None:
    torch.manual_seed(0)
    layer = TransformerLayer(8, heads=2, dropout=0.1).eval()
    x, keys = torch.randn(3, 5, 8), torch.tensor([[True, True, False, True, False]]).expand(3, 5)
    torch.testing.assert_close(layer(x[:, order], keys=keys[:, order]), layer(x, keys=keys)[:, order])
    read = layer.attention(x, x, keys=keys)[0]
    torch.testing.assert_close(layer.attention(x[:, order], x, keys=keys)[0], read[:, order])
    torch.testing.assert_close(layer.attention(x, x[:, order], keys=keys[:, order])[0], read)


def test_transformer_layer_equals_that_of_torch() -> None:
    torch.manual_seed(0)
    ours = TransformerLayer(8, heads=2, dropout=0.1).eval()
    theirs = nn.TransformerEncoderLayer(8, 2, 32, norm_first=True, batch_first=True).eval()
    theirs.self_attn = torch_twin(ours.attention, 8)
    pairs = ((theirs.norm1, ours.norm_in), (theirs.norm2, ours.feed_forward[0]))
    pairs += ((theirs.linear1, ours.feed_forward[1]), (theirs.linear2, ours.feed_forward[4]))
    for to, source in pairs:
        to.load_state_dict(source.state_dict())
    x = torch.randn(3, 5, 8)
    torch.testing.assert_close(ours(x, keys=torch.ones(3, 5, dtype=torch.bool)), theirs(x))


def test_attention_network_is_that_of_the_paper() -> None:
    widths = {TEXT: 300, AUDIO: 74, FACE: 710}
    network = build_network("attention", widths=widths)
    per_modality = [d * 128 + 128 + 2 * 128 + 128 * 64 + 64 for d in widths.values()]
    attention, norm, classifier = 4 * (64 * 64 + 64), 2 * 64, 64 * 128 + 128 + 128 * 3 + 3
    paper = sum(per_modality) + attention + norm + classifier
    assert paper == 190_147
    assert sum(p.numel() for p in network.parameters()) == paper + 3 * 64  # the tokens are ours


def test_attention_network_against_its_formula() -> None:
    network = network_of("attention")
    features, present = complete(batch_of("attention"))
    tokens = []
    for m in Modality:
        linear, norm, _, _, last = network.encoders.encoders[m]
        tokens.append(last(torch.relu(norm(linear(features[m])))))
    x = torch.stack(tokens, 1)
    read, weights = torch_twin(network.attention, 64)(x, x, x, average_attn_weights=False)
    y = nn.functional.layer_norm(x + read, (64,), network.norm.weight, network.norm.bias).mean(1)
    logits = network.head[3](torch.relu(network.head[0](y)))
    torch.testing.assert_close(network(features, present), logits)
    torch.testing.assert_close(network.attended(features, present)[1], weights)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_tensor_and_low_rank_against_loops(modalities: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rank, outputs, batch = 2, 3, 2
    z = rng.standard_normal((batch, modalities, width))
    factors = rng.standard_normal((modalities, rank, width + 1, outputs))
    scale = rng.standard_normal(rank)
    tensor = outer_product(torch.tensor(z))
    fused = low_rank_product(torch.tensor(z), torch.tensor(factors), rank_weights=torch.tensor(scale))
    one = np.concatenate([z, np.ones((batch, modalities, 1))], -1)
    for b in range(batch):
        full = np.zeros((width + 1,) * modalities)
        weights = np.zeros((*full.shape, outputs))
        for index in np.ndindex(*full.shape):
            full[index] = math.prod(one[b, m, i] for m, i in enumerate(index))
            for r in range(rank):
                parts = [factors[m, r, i] for m, i in enumerate(index)]
                weights[index] += scale[r] * np.prod(parts, axis=0)
        np.testing.assert_allclose(tensor[b].numpy(), full.ravel(), atol=1e-12)
        contracted = np.tensordot(full, weights, axes=modalities)
        np.testing.assert_allclose(fused[b].numpy(), contracted, atol=1e-10)


def test_tensor_networks_use_their_tensors() -> None:
    batch = complete(batch_of("tfn"))
    tfn, lmf = network_of("tfn"), network_of("lmf")
    z = with_one(tfn.encoders(*batch)[0])
    naive = torch.einsum("bi,bj,bk->bijk", *z.unbind(1)).flatten(1)
    torch.testing.assert_close(tfn(*batch), tfn.head(naive))
    z = with_one(lmf.encoders(*batch)[0])
    weights = torch.einsum("r,rih,rjh,rkh->ijkh", lmf.rank_weights, *lmf.factors)
    naive = torch.einsum("bi,bj,bk,ijkh->bh", *z.unbind(1), weights)
    torch.testing.assert_close(lmf(*batch), lmf.head(naive + lmf.bias), rtol=1e-4, atol=1e-5)


def test_tensor_by_swapped_modalities_is_transposed() -> None:
    z = torch.randn(2, 2, 3)
    swapped = outer_product(z.flip(1)).reshape(2, 4, 4)
    torch.testing.assert_close(swapped.transpose(1, 2), outer_product(z).reshape(2, 4, 4))


def test_late_fusion_averages_what_is_there() -> None:
    network, batch = network_of("late"), batch_of("late")
    members, _ = network._member_logits(*batch)
    for row, logits in enumerate(network(*batch)):
        there = [i for i, m in enumerate(Modality) if batch[1][m][row]] or [0, 1, 2]
        torch.testing.assert_close(logits, members[row, there].mean(0))


def test_a_closed_gate_lets_nothing_through() -> None:
    network, batch = network_of("gated"), batch_of("gated")
    before = network(*batch)
    with torch.no_grad():
        network.states[2].weight.add_(1.0)
    face = batch[1][FACE].bool() | (sum(batch[1].values()) == 0)
    changed = (network(*batch) != before).any(1)
    assert torch.equal(changed, face)


def moments(x: np.ndarray, k: int) -> np.ndarray:
    return x.mean(0) if k == 1 else ((x - x.mean(0)) ** k).mean(0)


def test_discrepancy_and_orthogonality_against_numpy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((6, 3)), rng.random((6, 3)) ** 2
    own, other = np.array([1, 1, 0, 1, 1, 0], bool), np.array([1, 1, 1, 1, 0, 0], bool)
    expected = sum(np.linalg.norm(moments(a[own], k) - moments(b[other], k)) for k in range(1, 6))
    tensors = [torch.tensor(x) for x in (a, b, own, other)]
    cmd = central_moment_discrepancy(*tensors[:2], mask_a=tensors[2], mask_b=tensors[3])
    assert cmd.item() == pytest.approx(expected, rel=1e-12)
    unit = []
    for x in (a, b):
        centred = x[own] - x[own].mean(0)
        unit.append(centred / np.linalg.norm(centred, axis=1, keepdims=True))
    expected = np.square(unit[0].T @ unit[1]).sum() / 9
    assert orthogonality(*tensors[:2], mask=tensors[2]).item() == pytest.approx(expected, rel=1e-4)


def test_discrepancy_by_hand() -> None:
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.5], [0.5]])
    both, none = torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.bool)
    # Means agree, the variances are 1/4 and 0, the fourth moments 1/16 and 0.
    distance = central_moment_discrepancy(a, b, mask_a=both, mask_b=both)
    assert distance.item() == pytest.approx(1 / 4 + 1 / 16)
    assert central_moment_discrepancy(a, a, mask_a=both, mask_b=both) == 0
    assert central_moment_discrepancy(a, b, mask_a=both, mask_b=none) == 0
    x = torch.zeros(1, 2, requires_grad=True)
    safe_norm(x).sum().backward()
    assert (x.grad == 0).all()


def misa_losses(present: dict[Modality, Tensor], **weights: float) -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = build_network("misa", widths=WIDTHS, **weights).eval()
    return network.forward_all(batch_of("misa")[0], present).losses


def test_misa_losses_by_their_parts() -> None:
    features, present = complete(batch_of("misa"))
    network = network_of("misa")
    u, shared, private, mask = network._represent(features, present)
    every = mask[:, 0]
    similar = [
        central_moment_discrepancy(shared[:, i], shared[:, j], mask_a=every, mask_b=every)
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    apart = [(shared[:, i], private[:, i]) for i in range(3)]
    apart += [(private[:, i], private[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    decoded = [layer(shared[:, i] + private[:, i]) for i, layer in enumerate(network.decoders)]
    expected = {
        "similarity": sum(similar) / 3,
        "difference": 0.3 * sum(orthogonality(a, b, mask=every) for a, b in apart),
        "reconstruction": nn.functional.mse_loss(torch.stack(decoded, 1), u),
    }
    torch.testing.assert_close(misa_losses(present), expected)
    doubled = misa_losses(present, similarity=2.0, difference=0.6, reconstruction=2.0)
    torch.testing.assert_close(doubled, {name: 2 * loss for name, loss in expected.items()})


def test_misa_losses_count_only_rows_with_their_modalities() -> None:
    features, present = filled(batch_of("misa"), math.nan)
    u, shared, private, mask = network_of("misa")._represent(features, present)
    similar, apart, errors = [], [], []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        a, b, both = shared[mask[:, i], i], shared[mask[:, j], j], mask[:, i] & mask[:, j]
        rows = [torch.ones(len(x), dtype=torch.bool) for x in (a, b, private[both])]
        similar.append(central_moment_discrepancy(a, b, mask_a=rows[0], mask_b=rows[1]))
        apart.append(orthogonality(private[both, i], private[both, j], mask=rows[2]))
    for i, decoder in enumerate(network_of("misa").decoders):
        c, p, own = shared[mask[:, i], i], private[mask[:, i], i], u[mask[:, i], i]
        apart.append(orthogonality(c, p, mask=torch.ones(len(c), dtype=torch.bool)))
        errors.append(nn.functional.mse_loss(decoder(c + p), own))
    expected = {
        "similarity": sum(similar) / 3,
        "difference": 0.3 * sum(apart),
        "reconstruction": sum(errors) / 3,
    }
    torch.testing.assert_close(misa_losses(present), expected)


def test_misa_losses_without_anything_to_compare() -> None:
    ones, zeros = torch.ones(9), torch.zeros(9)
    alone = misa_losses({TEXT: ones, AUDIO: zeros, FACE: zeros})
    assert alone["similarity"] == 0
    assert alone["difference"] > 0
    nothing = misa_losses(dict.fromkeys(Modality, zeros))
    assert all(loss == 0 for loss in nothing.values())


def test_positions_by_hand() -> None:
    table = positions(3, 5)
    assert table.shape == (3, 5)
    expected = [math.sin(2), math.cos(2), math.sin(2 / 10_000 ** (2 / 5)), math.cos(2 / 10_000 ** (2 / 5))]
    np.testing.assert_allclose(table[2, :4], expected, rtol=1e-5)


of_sequences = pytest.mark.parametrize("name", ["mult", "sequence_transformer"])


@of_sequences
def test_a_network_of_sequences_does_not_see_the_length_of_the_padding(name: str) -> None:
    network, (features, present) = network_of(name), filled(batch_of(f"{name}, steps"), math.nan)
    longer = {m: torch.cat([x, torch.full_like(x, math.nan)], 1) for m, x in features.items()}
    mask = {m: torch.cat([x, torch.zeros_like(x)], 1) for m, x in present.items()}
    torch.testing.assert_close(network(longer, mask), network(features, present))


@of_sequences
def test_a_network_of_sequences_takes_pooled_features_as_one_step(name: str) -> None:
    network, (features, present) = network_of(name), batch_of(name)
    steps = {m: x.unsqueeze(1) for m, x in features.items()}
    logits = network(features, present)
    torch.testing.assert_close(network(steps, present), logits)
    mixed = {**steps, FACE: features[FACE]}
    torch.testing.assert_close(network(mixed, {**present, TEXT: present[TEXT].unsqueeze(1)}), logits)


@of_sequences
def test_a_network_of_sequences_knows_the_order_of_steps(name: str) -> None:
    network, (features, present) = network_of(name), complete(batch_of(f"{name}, steps"))
    turned = {m: x.flip(1) for m, x in features.items()}
    assert not torch.allclose(network(turned, present), network(features, present), atol=1e-4)
