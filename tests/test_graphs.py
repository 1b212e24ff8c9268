"""Every network of the lab as an ONNX graph: equal to torch at any batch size and set of modalities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")
for package in ("onnxscript", "onnxruntime", "transformers"):
    pytest.importorskip(package, reason="needs the extra train")

import onnxruntime  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from conftest import data_root  # noqa: E402
from trivalent.core.errors import BundleError  # noqa: E402
from trivalent.core.types import Modality  # noqa: E402
from trivalent.features.text import encode, pad  # noqa: E402
from trivalent.lab.datasets.ravdess import SENTIMENTS  # noqa: E402
from trivalent.lab.datasets.registry import find_dataset  # noqa: E402
from trivalent.lab.experts.pooled_task import Ensemble, TabularNetwork  # noqa: E402
from trivalent.lab.graphs.experts import export_frames, export_tabular, export_text  # noqa: E402
from trivalent.lab.graphs.fusion import export_fusion  # noqa: E402
from trivalent.lab.graphs.torch_graphs import check_graph  # noqa: E402
from trivalent.lab.networks import NETWORKS, FusionNetwork, build_network  # noqa: E402
from trivalent.lab.networks.temporal import TemporalNetwork  # noqa: E402
from trivalent.lab.networks.text import TextClassifier  # noqa: E402
from trivalent.lab.problems.classification import Problem, make_problem  # noqa: E402

WIDTHS = {Modality.TEXT: 768, Modality.AUDIO: 40, Modality.FACE: 34}  # of the 922 MOSEI videos, cleaned
SEQUENCES = {f"{name}, steps": (Modality.TEXT, Modality.AUDIO) for name in ("mult", "sequence_transformer")}
VOCABULARY = 30522  # tokens of MiniLM
# Not end_to_end, which test_end_to_end.py exports: that takes long.
CASES = [*(name for name in NETWORKS if name != "end_to_end"), *SEQUENCES]
SIZES = (1, 3, 17)
TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}  # of logits; float32 sums in another order

Inputs = Mapping[str, Tensor]


@cache
def real_problem() -> Problem | None:
    """Read the 922 videos, None where they are not."""
    if not data_root().is_dir():
        return None
    return make_problem(find_dataset("mosei-922").read(data_root(), "sdk-subset"))


def network_of(case: str) -> FusionNetwork:
    name = case.partition(",")[0]
    torch.manual_seed(0)
    options = {"modality": "audio"} if name == "single" else {}
    network = build_network(name, widths=WIDTHS, **options).eval()
    if name == "linear":  # starts from zero, where nothing depends on anything
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.1)
    return network


@cache
def graph_of(case: str) -> bytes:
    """Export a network once for all tests: that takes seconds."""
    return export_fusion([network_of(case)], sequences=SEQUENCES.get(case, ()))


def inputs(network: FusionNetwork, size: int, sequences: Sequence[Modality], *, seed: int = 0) -> Inputs:
    """Draw features, and masks of steps where they are sequences of different lengths."""
    rng, drawn = torch.Generator().manual_seed(seed + size), {}
    for place, (m, n) in enumerate(network.widths.items()):
        steps = (2 + place + size % 5,) if m in sequences else ()
        drawn[m] = torch.randn((size, *steps, n), generator=rng)
        if steps:
            drawn[f"{m}_steps"] = (torch.rand((size, *steps), generator=rng) < 0.7).float()
    return drawn


def batches(network: FusionNetwork, *, sequences: Sequence[Modality]) -> Iterator[Inputs]:
    """Draw every batch size with every subset of modalities, and real videos where they are."""
    problem = None if sequences else real_problem()
    rng = torch.Generator().manual_seed(0)
    for size, pattern in product(SIZES, product([1.0, 0.0], repeat=len(network.modalities))):
        present = torch.tensor(pattern).expand(size, -1).contiguous()
        yield {"present": present, **inputs(network, size, sequences)}
        if problem is not None:
            rows = torch.randperm(len(problem.parts.test), generator=rng)[:size]
            features = problem.parts.test.features
            yield {
                "present": present,
                **{m: torch.from_numpy(np.nan_to_num(features[m]))[rows] for m in network.modalities},
            }


def mixed(network: FusionNetwork, *, sequences: Sequence[Modality]) -> Inputs:
    """Draw a batch in which samples, and steps of them, lack different modalities."""
    present = torch.rand((40, len(network.modalities)), generator=torch.Generator().manual_seed(1)) < 0.5
    return {"present": present.float(), **inputs(network, 40, sequences, seed=1)}


def logits_of(network: FusionNetwork, batch: Inputs) -> np.ndarray:
    present = {m: batch["present"][:, i] for i, m in enumerate(network.modalities)}
    for m in network.modalities:
        if (steps := batch.get(f"{m}_steps")) is not None:
            present[m] = present[m][:, None] * steps
    with torch.inference_mode():
        return network({m: batch[m] for m in network.modalities}, present).numpy()


def run(graph: bytes | Path, batch: Inputs) -> np.ndarray:
    content = graph.read_bytes() if isinstance(graph, Path) else graph
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {str(name): x.numpy() for name, x in batch.items()})[0]


@pytest.mark.parametrize("case", CASES)
def test_fusion_networks(case: str) -> None:
    network, sequences = network_of(case), SEQUENCES.get(case, ())
    session = onnxruntime.InferenceSession(graph_of(case), providers=["CPUExecutionProvider"])
    names = [own for m in network.modalities for own in ([m, f"{m}_steps"] if m in sequences else [m])]
    assert [i.name for i in session.get_inputs()] == ["present", *names]
    distinct = set()
    for batch in [*batches(network, sequences=sequences), mixed(network, sequences=sequences)]:
        found = session.run(["logits"], {str(name): x.numpy() for name, x in batch.items()})[0]
        np.testing.assert_allclose(found, logits_of(network, batch), **TOLERANCE)
        distinct.add(found[0].tobytes())
    assert len(distinct) > len(SIZES)  # the graph reads its inputs


def test_widths_are_those_of_the_real_features() -> None:
    problem = real_problem()
    if problem is None:
        pytest.skip(f"no real data at {data_root()}; set TRIVALENT_DATA")
    assert problem.widths == WIDTHS


def test_seeds_are_averaged() -> None:
    networks = [network_of("concatenation"), network_of("concatenation")]
    for parameter in networks[1].parameters():
        nn.init.normal_(parameter, std=0.1)
    batch = mixed(networks[0], sequences=())
    expected = np.mean([logits_of(network, batch) for network in networks], axis=0)
    np.testing.assert_allclose(run(export_fusion(networks), batch), expected, **TOLERANCE)


TEXTS = ["good", "not what I had hoped for, to be honest", "It rained; we went all the same.", "!"]


@pytest.fixture(scope="module")
def text_network() -> TextClassifier:
    """The text network around a small BERT of random weights."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    torch.manual_seed(0)
    return TextClassifier(BertModel(config, add_pooling_layer=False), width=32).eval()


@pytest.fixture(scope="module")
def text_graph(text_network: TextClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a graph."""
    path: Path = tmp_path_factory.mktemp("text") / "text.onnx"
    export_text(text_network, path, int8=False)
    return path


def test_text_network(text_network: TextClassifier, text_graph: Path) -> None:
    root = data_root() / "sst5"
    real = find_dataset("sst5").read(data_root()).texts[:17] if root.is_dir() else ()
    rng = np.random.default_rng(0)
    for size in SIZES:
        ids = rng.integers(1, VOCABULARY, size=(size, 3 * size))
        mask = (np.arange(3 * size) < rng.integers(1, 3 * size + 1, size=(size, 1))).astype(np.int64)
        for pair in [(ids, mask), pad(encode((TEXTS * size)[:size])), pad(encode(real[:size]))]:
            if not pair[0].size:
                continue
            batch = dict(zip(("ids", "mask"), map(torch.from_numpy, pair), strict=True))
            with torch.inference_mode():
                expected = text_network(**batch).numpy()
            np.testing.assert_allclose(run(text_graph, batch), expected, **TOLERANCE)


def test_temporal_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    emotions = [int(s) for s in SENTIMENTS.values()]
    members = [TemporalNetwork(6, width=8, dropout=0.1, sentiments=emotions).eval() for _ in range(2)]
    for member in members:
        member.norm.running_mean.normal_()
    export_frames(members, tmp_path / "audio.onnx", channels=6)
    for size, steps in product(SIZES, (2, 50, 333)):
        takes = torch.randn(size, steps, 6)
        with torch.inference_mode():
            whole = torch.ones(size, steps)
            expected = torch.stack([m(takes, whole) for m in members]).mean(0).numpy()
        np.testing.assert_allclose(run(tmp_path / "audio.onnx", {"frames": takes}), expected, **TOLERANCE)


@pytest.mark.parametrize("hidden", [0, 16])
def test_tabular_network(tmp_path: Path, hidden: int) -> None:
    torch.manual_seed(0)
    problem, width = real_problem(), WIDTHS[Modality.FACE]
    ensemble = Ensemble([TabularNetwork(width, hidden=hidden, dropout=0.1) for _ in range(2)]).eval()
    export_tabular(ensemble, tmp_path / "face.onnx", inputs=width)
    for size in SIZES:
        drawn = [torch.randn(size, width)]
        if problem is not None:
            drawn.append(torch.from_numpy(problem.parts.test.features[Modality.FACE][:size]))
        for x in drawn:
            with torch.inference_mode():
                expected = ensemble(x).numpy()
            np.testing.assert_allclose(run(tmp_path / "face.onnx", {"features": x}), expected, **TOLERANCE)


def test_another_network_is_told_from_the_one_exported(tmp_path: Path) -> None:
    graph = tmp_path / "face.onnx"
    network, other = (TabularNetwork(4, hidden=0, dropout=0).eval() for _ in range(2))
    export_tabular(network, graph, inputs=4)
    example = {"features": torch.ones(2, 4)}
    check_graph(graph, network, [example])
    with pytest.raises(BundleError, match=r"the graph face\.onnx to equal its network, got a difference"):
        check_graph(graph, other, [example])


def test_no_graph_names_a_file_of_this_machine(text_graph: Path) -> None:
    for content in (graph_of("attention"), text_graph.read_bytes()):
        assert b".py" not in content
        assert str(Path(__file__).parents[1]).encode() not in content
