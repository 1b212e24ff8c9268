"""Sequences: from a table to steps, through a network of a bundle, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_bundles import small_decision
from recording_networks import GRAPH
from trivalent.analyzer import Analyzer
from trivalent.bundle.calibration import VectorScaling
from trivalent.bundle.encoder import EncoderSpec, check_encoder
from trivalent.bundle.graphs import Graph
from trivalent.bundle.loading import load_bundle
from trivalent.bundle.network import DataSpec, ModalitySpec, Network
from trivalent.bundle.trial import examine
from trivalent.core.assets import DATA
from trivalent.core.errors import BundleError, FeatureError
from trivalent.core.types import FeatureTable, Modality, Status, Utterance, Word
from trivalent.experts.encoder import Encoder
from trivalent.experts.readings import read_table
from trivalent.experts.redecide import redecide
from trivalent.features.cleaning import Cleaner
from trivalent.features.registry import extractor
from trivalent.features.steps import MAX_STEPS, StepKind, Steps, steps_of
from trivalent.lab.bundles import write_bundle

SAMPLE = DATA / "samples" / "sample.mp4"
COLUMNS = {
    Modality.TEXT: ("minilm", Steps(StepKind.ROWS, ("minilm_0", "minilm_1"), most=3)),
    Modality.AUDIO: ("covarep", Steps(StepKind.WORDS, ("F0", "VUV", "MCEP_0"), most=20)),
    Modality.FACE: ("face", Steps(StepKind.FRAMES, ("mouthSmileLeft", "pose_yaw"), rate_hz=2.0, most=20)),
}


def table(values: list[float], times: list[float] | None = None) -> FeatureTable:
    at = np.arange(len(values), dtype=float) if times is None else np.array(times)
    return FeatureTable("demo", "1", ("x",), at, np.array(values)[:, None])


def said(*spans: tuple[float, float]) -> Utterance:
    words = tuple(Word("w", *span) for span in spans)
    return Utterance(0, spans[0][0], spans[-1][1], "w", words)


def cut(kind: str, given: FeatureTable, utterance: Utterance, **more: Any) -> list[float]:
    return steps_of(given, Steps(StepKind(kind), ("x",), **more), utterance).ravel().tolist()


def test_a_word_has_the_mean_of_its_rows_or_its_nearest_row() -> None:
    ten_a_second = table([0.0, 1.0, 2.0, 3.0], [0.0, 0.1, 0.2, 0.3])
    assert cut("words", ten_a_second, said((0.0, 0.2), (0.2, 0.3))) == [0.5, 2.0]
    five_a_second = table([0.0, 1.0], [0.0, 0.2])
    assert cut("words", five_a_second, said((0.02, 0.05), (0.1, 0.12), (0.3, 0.3))) == [0.0, 1.0, 1.0]
    assert np.isnan(cut("words", five_a_second, said((1.0, 2.0)))).all(), "too far from any row"
    assert cut("words", ten_a_second, Utterance(0, 0.0, 1.0, "no times")) == []


def test_frames_are_equal_spans_and_rows_are_rows() -> None:
    rows = table([float(i) for i in range(6)])
    assert cut("frames", rows, Utterance(0, 0.0, 6.0), rate_hz=0.5) == [0.5, 2.5, 4.5]
    assert cut("frames", rows, Utterance(0, 0.0, 6.0), rate_hz=1.0, most=2) == [1.0, 4.0], "wider spans"
    assert cut("frames", rows, Utterance(0, 2.0, 4.5), rate_hz=1.0) == [2.0, 3.0, 4.0]
    five_a_second = table([0.0, 1.0], [0.0, 0.2])
    assert cut("frames", five_a_second, Utterance(0, 0.05, 0.15), rate_hz=20.0) == [0.0], "the nearest"
    assert cut("rows", rows, Utterance(0, 0.0, 0.0), most=3) == [0.0, 2.0, 5.0], "evenly thinned"
    assert cut("words", rows, said(*((i, i + 1.0) for i in range(6))), most=2) == [0.0, 5.0]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(-9, 9) | st.just(np.nan), min_size=1, max_size=30),
    st.integers(1, 9),
    st.floats(0.2, 20),
    st.floats(0.1, 30),
)
def test_steps_are_few_and_within_the_values(
    values: list[float], most: int, rate_hz: float, end_s: float
) -> None:
    words = said(*((i * end_s / 7, (i + 1) * end_s / 7) for i in range(7)))
    for kind in StepKind:
        rate = {"rate_hz": rate_hz} if kind is StepKind.FRAMES else {}
        found = np.array(cut(kind, table(values), words, most=most, **rate))
        assert len(found) <= most
        for value in found[np.isfinite(found)]:
            assert np.nanmin(values) - 1e-9 <= value <= np.nanmax(values) + 1e-9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"most": 0}, "whole number from 1 to"),
        ({"most": MAX_STEPS + 1}, "whole number from 1 to"),
        ({"most": True}, "whole number from 1 to"),
        ({"most": 2.5}, "whole number from 1 to"),
        ({"kind": StepKind.FRAMES, "rate_hz": float("nan")}, "frames a second, got nan"),
        ({"kind": StepKind.FRAMES, "rate_hz": 1e9}, "frames a second"),
        ({"kind": StepKind.FRAMES, "rate_hz": "5"}, "frames a second"),
        ({"rate_hz": 5.0}, "expected no `rate_hz` of rows"),
    ],
)
def test_impossible_steps_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        Steps(**{"kind": StepKind.ROWS, "columns": ("x",)} | changes)


def test_why_there_is_no_sequence() -> None:
    encoder = Encoder(EncoderSpec("demo", "1", steps=Steps(StepKind.WORDS, ("x",))))

    def reason(given: FeatureTable, utterance: Utterance) -> str:
        reading = read_table(encoder, given, reliability=1.0, quality={}, utterance=utterance)
        assert reading.features is None
        assert reading.status is not Status.OK
        return str(reading.reason)

    assert (
        reason(table([1.0]), Utterance(0, 0.0, 1.0)) == "no words with times, by which the features are cut"
    )
    assert reason(table([np.nan]), said((0.0, 1.0))) == "none of the words has a value"


def test_a_spec_is_read_back() -> None:
    for modality, (name, steps) in COLUMNS.items():
        spec = EncoderSpec(name, extractor(name).version, steps=steps)
        again = EncoderSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
        assert vars(again) == vars(spec)
        assert again.columns == again.statistics == steps.columns
        check_encoder(again, modality)
    unmade = EncoderSpec("mmsa-text", steps=Steps(StepKind.ROWS))
    assert not EncoderSpec.from_dict(unmade.to_dict()).from_recordings


# --- a network


def mean_graph(widths: dict[Modality, int], sequences: set[Modality]) -> bytes:
    """Graph of logits = sum over modalities of present * mean over steps of (features @ weights)."""
    from onnx import TensorProto, helper, numpy_helper

    rng, nodes, parts = np.random.default_rng(0), [], []
    inputs = [helper.make_tensor_value_info("present", TensorProto.FLOAT, ["batch", len(widths)])]
    constants = [
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        numpy_helper.from_array(np.array([2], np.int64), "two"),
        numpy_helper.from_array(np.array(1e-6, np.float32), "least"),
    ]

    def node(kind: str, given: list[str], made: str, **more: Any) -> str:
        nodes.append(helper.make_node(kind, given, [made], **more))
        return made

    for i, (m, width) in enumerate(widths.items()):
        steps = [f"{m}_n"] if m in sequences else []
        inputs.append(helper.make_tensor_value_info(m, TensorProto.FLOAT, ["batch", *steps, width]))
        constants.append(numpy_helper.from_array(rng.normal(size=(width, 3)).astype(np.float32), f"w_{m}"))
        constants.append(numpy_helper.from_array(np.array([i]), f"place_{m}"))
        read = node("MatMul", [m, f"w_{m}"], f"read_{m}")
        if m in sequences:
            inputs.append(helper.make_tensor_value_info(f"{m}_steps", TensorProto.FLOAT, ["batch", *steps]))
            mask = node("Unsqueeze", [f"{m}_steps", "two"], f"mask_{m}")
            total = node(
                "ReduceSum", [node("Mul", [read, mask], f"own_{m}"), "one"], f"sum_{m}", keepdims=0
            )
            count = node("ReduceSum", [f"{m}_steps", "one"], f"count_{m}", keepdims=1)
            read = node("Div", [total, node("Max", [count, "least"], f"some_{m}")], f"mean_{m}")
        here = node("Gather", ["present", f"place_{m}"], f"here_{m}", axis=1)
        parts.append(node("Mul", [read, here], f"part_{m}"))
    node("Sum", parts, "logits")
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])]
    graph = helper.make_graph(nodes, "mean", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


def network(sequences: set[Modality]) -> tuple[Network, bytes]:
    specs = {}
    for m, (name, steps) in COLUMNS.items():
        pooling = () if m in sequences else tuple(f"{column}.mean" for column in steps.columns)
        encoder = EncoderSpec(
            name, extractor(name).version, pooling, steps=steps if m in sequences else None
        )
        ones = np.ones(len(steps.columns))
        specs[m] = ModalitySpec(encoder, Cleaner(encoder.statistics, 0 * ones, 0 * ones, ones, clip=5.0))
    content = mean_graph({m: len(steps.columns) for m, (_, steps) in COLUMNS.items()}, sequences)
    made = Network(
        Graph(lambda: content, name=GRAPH),
        specs,
        VectorScaling(np.full(3, 0.8), np.zeros(3)),
        DataSpec("made-up", "classes", "CC0", (0.2, 0.5, 0.3)),
    )
    return made, content


def bundle(folder: Path, sequences: set[Modality]) -> Path:
    made, content = network(sequences)
    write_bundle(
        folder,
        name="steps",
        experts={},
        fusion=made,
        decision=small_decision(),
        card={},
        metrics={},
        graphs={GRAPH: content},
    )
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("steps") / "b", set(Modality))


def test_a_recording_is_judged_by_sequences_and_decided_again(folder: Path) -> None:
    analysis = Analyzer(folder).analyze(SAMPLE)
    first = analysis.utterances[0]
    assert {e.status for e in first.modalities.values()} == {Status.OK}
    part = (Modality.TEXT, Modality.FACE)
    again = redecide(analysis, load_bundle(folder), modalities=part).utterances
    anew = Analyzer(folder, modalities=part).analyze(SAMPLE).utterances
    for one, other in zip(again, anew, strict=True):
        np.testing.assert_array_equal(one.verdict.probabilities, other.verdict.probabilities)


@pytest.mark.parametrize("sequences", [{Modality.AUDIO}, set(Modality)], ids=["mixed", "all"])
def test_alone_as_in_a_batch_of_longer_ones(sequences: set[Modality]) -> None:
    made, _ = network(sequences)
    rng = np.random.default_rng(0)
    features: dict[Modality, Any] = {}
    for m, (_, steps) in COLUMNS.items():
        shape = (2, 9, len(steps.columns)) if m in sequences else (2, len(steps.columns))
        features[m] = (rng.normal(size=shape), made.modalities[m].encoder.statistics)
        if m in sequences:
            features[m][0][0, 1:] = np.nan  # of one step, beside one of nine
    together = made.posterior(features)
    alone = {m: (x[:1, :1] if m in sequences else x[:1], columns) for m, (x, columns) in features.items()}
    np.testing.assert_allclose(made.posterior(alone)[0], together[0], atol=1e-6)
    one = made.joint({m: x[0] for m, (x, _) in alone.items()})
    np.testing.assert_allclose(one.probabilities["text+audio+face"], together[0], atol=1e-6)
    absent = {m: block for m, block in features.items() if m is not Modality.AUDIO}
    without = made.joint({m: x[1] for m, (x, _) in absent.items()}).probabilities["text+face"]
    np.testing.assert_allclose(made.posterior(absent)[1], without, atol=1e-6)


def test_a_vector_is_no_sequence() -> None:
    made, _ = network({Modality.AUDIO})
    block = (np.zeros((2, 3)), made.modalities[Modality.AUDIO].encoder.statistics)
    with pytest.raises(FeatureError, match="3 axes"):
        made.posterior({Modality.AUDIO: block})


def test_a_stranger_s_bundle_is_tried_with_its_longest_sequence(folder: Path) -> None:
    assert examine(folder)["name"] == "steps"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"most": 10**9}, "most"),
        ({"kind": "frames", "rate_hz": 1e9}, "frames a second"),
        ({"kind": "sentences"}, "sentences"),
        ({"columns": ["F9"]}, "F9|columns|features"),
        ({"columns": [1]}, "short words"),
        ({"most": None}, "whole number"),
    ],
)
def test_steps_of_strangers_are_refused(
    folder: Path, tmp_path: Path, steps: dict[str, Any], message: str
) -> None:
    import shutil

    shutil.copytree(folder, tmp_path / "b")
    manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    manifest["fusion"]["modalities"]["audio"]["steps"].update(steps)
    (tmp_path / "b" / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match=message):
        load_bundle(tmp_path / "b")
