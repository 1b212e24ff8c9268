"""Smaller experts: size, latency, macro-F1 and calibration of each, and a Pareto plot.

Usage: python benchmarks/compression.py [--root DIR] [--work DIR]; writes results/compression.*

Students that are not yet in the work folder are trained first;
`trivalent compress default --recipe recipes/fast.yaml -o runs/fast` leaves those of the bundle `fast`
there. The test parts are read once, at the end; nothing is chosen by these figures.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from compression_figure import SEEDS, draw
from experts import constant, macro_f1, normalized
from results_file import FOLDER, REPOSITORY, Result, Value
from trivalent import Analyzer
from trivalent.bundle.fusion import softmax
from trivalent.bundle.loading import INSTALLED, Expert, load_bundle
from trivalent.core.types import FloatArray, Modality
from trivalent.features.text import MAX_TOKENS
from trivalent.lab.benchmarks.bench import interval
from trivalent.lab.compress.judging import (
    SENTENCE,
    judge_logits,
    judge_text,
    text_latency_ms,
    voice_latency_ms,
)
from trivalent.lab.compress.reading import read_weights
from trivalent.lab.compress.recipe import load_compression
from trivalent.lab.compress.sessions import median_latency_ms, median_ms
from trivalent.lab.compress.text import TextConfig, TextParts, distill_text, prune_text
from trivalent.lab.compress.transfer import graph_answers
from trivalent.lab.compress.voice import distill_voice, read_members
from trivalent.lab.datasets.ravdess import TEST_ACTORS
from trivalent.lab.datasets.root import data_root
from trivalent.lab.datasets.text import TextData, load_corpus
from trivalent.lab.datasets.voice_takes import load_takes
from trivalent.lab.experts.sources import load_tabular
from trivalent.lab.graphs.experts import export_frames, export_text, quantize
from trivalent.lab.measure import metrics

CORPORA = ("sst5", "meld", "tweeteval", "mosei")  # MOSI has no test transcripts
RECIPE = REPOSITORY / "recipes" / "fast.yaml"
WHOLE = (
    "text.student={family: encoder, layers: [0, 1, 2, 3, 4, 5], width: 384, embedding: 384, "
    "heads: 12, feedforward: 1536}"
)
PRUNED = ("text.technique=prune", WHOLE)
TWO_LAYERS = (
    "text.student={family: encoder, layers: [0, 1], width: 384, embedding: 128, heads: 4, feedforward: 384}"
)
FRESH = (
    "text.student={family: encoder, layers: [0, 1], width: 128, embedding: 128, heads: 4, feedforward: 512}"
)
ONE = "text.seeds=[0]"
GENTLE = ("text.training.learning_rate=3e-4", "text.training.epochs=2")  # what validation preferred
# What `--set` changes of recipes/fast.yaml.
POINTS: dict[str, tuple[str, ...]] = {
    "default, full precision": (*PRUNED, "text.int8=false"),
    "default, 16,000 tokens": (*PRUNED, "text.student.vocabulary=16000"),
    "default, 9 of 12 heads": (*PRUNED, "text.student.heads=9"),
    "default, 6 of 12 heads": (*PRUNED, "text.student.heads=6"),
    "default, 3/4 of the rows": (*PRUNED, "text.student.feedforward=1152"),
    "default, 5 of 6 layers": (*PRUNED, "text.student.layers=[0, 1, 2, 3, 4]"),
    "two layers of default, not taught": (TWO_LAYERS, "text.technique=prune"),
    "two layers of default, taught": (TWO_LAYERS, ONE, *GENTLE),
    "two fresh layers, taught": (FRESH, ONE),
    "fast, full precision": ("text.int8=false",),
    "fast, one convolution": ("text.student.layers=[0]", ONE),
    "fast, 16,000 tokens": ("text.student.vocabulary=16000", ONE),
}
Figures = dict[str, Value]


def figures(answers: Mapping[str, FloatArray], test: Mapping[str, TextData]) -> Figures:
    """Macro-F1 with its bootstrap interval and ECE of each corpus, and the means over them."""
    out: Figures = {}
    for name, data in test.items():
        p, groups = answers[name], np.array(data.groups)
        low, high = metrics.bootstrap_interval(
            macro_f1, data.labels, probabilities=p, groups=groups, rounds=300
        )
        out[f"{name}_macro_f1"] = Value(macro_f1(data.labels, p), low, high)
        out[f"{name}_ece"] = Value(metrics.expected_calibration_error(data.labels, p))
    for kind in ("macro_f1", "ece"):
        out[f"mean_{kind}"] = Value(float(np.mean([out[f"{name}_{kind}"].mean for name in test])))
    return out


def over_seeds(rows: Sequence[Figures]) -> Figures:
    """Mean over seeds with the 95 % interval of Student's t."""
    return {key: interval([row[key].mean for row in rows], limits=(0, np.inf)) for key in rows[0]}


def graphs_of(config: TextConfig, parts: TextParts, *, teacher: bytes, work: Path) -> list[bytes]:
    """Prune, or train what is not in the work folder: a graph for each seed, the best one first."""
    where = "text.onnx of default"
    if config.technique == "prune":
        networks = [prune_text(teacher, config, parts, where=where)]
    else:
        found = distill_text(teacher, config, parts, out=work, where=where)
        found.sort(key=lambda student: -student.scores["score"])
        networks = [student.network for student in found]
    graphs = []
    for network in networks:
        with tempfile.TemporaryDirectory() as folder:
            export_text(network, Path(folder) / "text.onnx", int8=config.int8, tokens=MAX_TOKENS)
            graphs.append((Path(folder) / "text.onnx").read_bytes())
    return graphs


def words(result: Result, *, root: Path, work: Path) -> None:
    """Score all text experts on the test parts of four corpora."""
    recipe = load_compression(RECIPE).text_config()
    parts = TextParts.load(recipe.corpora, root=root)
    teacher = (INSTALLED / "default" / "text.onnx").read_bytes()
    graphs = {
        "default": [teacher],
        "fast": [(INSTALLED / "fast" / "text.onnx").read_bytes()],
        SEEDS: graphs_of(recipe, parts, teacher=teacher, work=work),
    }
    for name, overrides in POINTS.items():
        config = load_compression(RECIPE, overrides=overrides).text_config()
        graphs[name] = graphs_of(config, parts, teacher=teacher, work=work)[:1]
    test = {name: load_corpus(name, "test", root=root) for name in CORPORA}
    learnt = {name: "mosi" if name == "mosei" else name for name in CORPORA}  # MOSEI has no training part
    shares = {name: load_corpus(own, "train", root=root).labels for name, own in learnt.items()}
    rows = {"constant": figures({n: constant(shares[n], len(d)) for n, d in test.items()}, test)}
    for name, own in graphs.items():
        found = [text_row(graph, parts, test) for graph in own]
        rows[name] = found[0] if len(found) == 1 else over_seeds(found)
    for name, row in rows.items():
        result.add(f"words: {name}", **row)


def text_row(graph: bytes, parts: TextParts, test: Mapping[str, TextData]) -> Figures:
    """Measure one graph, calibrated on spoken validation data."""
    judged = judge_text(graph, parts.val)
    answers = {
        name: softmax(graph_answers(graph, data.texts).logits.astype(float) / judged.temperature)
        for name, data in test.items()
    }
    return {
        "size_mb": Value(len(graph) / 1e6),
        "latency_ms": Value(text_latency_ms(graph)),
        "validation_score": Value(judged.scores["score"]),
        **figures(answers, test),
    }


def voice(result: Result, *, root: Path) -> None:
    """Score the voices on RAVDESS actors 17-20."""
    experts = {name: load_bundle(name, threads=1).experts[Modality.AUDIO] for name in ("default", "fast")}
    spec = experts["default"].spec
    takes = load_takes(spec.channels, root=root, actors=TEST_ACTORS)
    graphs = {name: (INSTALLED / name / e.spec.model).read_bytes() for name, e in experts.items()}
    members = read_members(read_weights(graphs["default"], where="default"), where="default")
    with tempfile.TemporaryDirectory() as folder:
        export_frames(members[:1], Path(folder) / "audio.onnx", channels=len(spec.channels))
        graphs["first member of default"] = (Path(folder) / "audio.onnx").read_bytes()
    groups = takes.actors.astype(str)
    for name, graph in graphs.items():
        expert = Expert(experts.get(name, experts["default"]).spec, lambda own=graph: own, threads=1)
        clean = [expert.normalize_frames(own[0])[None] for own in takes.copies]
        p = expert.calibrate(np.concatenate([expert.run_frames(own) for own in clean]))
        low, high = metrics.bootstrap_interval(
            macro_f1, takes.labels, probabilities=p, groups=groups, rounds=300
        )
        result.add(
            f"voice: {name}",
            size_mb=len(graph) / 1e6,
            latency_ms=voice_latency_ms(graph, channels=len(spec.channels)),
            ravdess_macro_f1=Value(macro_f1(takes.labels, p), low, high),
            ravdess_ece=metrics.expected_calibration_error(takes.labels, p),
        )
    result.add(
        "voice: constant", ravdess_macro_f1=macro_f1(takes.labels, np.eye(3)[np.zeros(len(takes), int)])
    )


def voice_seeds(result: Result, *, root: Path, work: Path, seeds: Sequence[int]) -> None:
    """Judge students of several seeds out of fold, on the training actors, beside their teachers."""
    expert = load_bundle("default").experts[Modality.AUDIO]
    graph = (INSTALLED / "default" / expert.spec.model).read_bytes()
    members = read_members(read_weights(graph, where="default"), where="default")
    judged = []
    for seed in seeds:
        config = load_compression(RECIPE, overrides=[f"voice.seed={seed}"]).voice_config()
        found = distill_voice(members, expert.spec, config=config, root=root, out=work)
        judged.append(judge_logits(found.logits, found.labels, name="ravdess").parts["ravdess"])
    before = judge_logits(found.teacher_logits, found.labels, name="ravdess").parts["ravdess"]
    result.add(
        "voice: default, out of fold", ravdess_macro_f1=before["macro_f1"], ravdess_ece=before["ece"]
    )
    result.add(
        "voice: fast, out of fold, mean of the seeds",
        ravdess_macro_f1=interval([m["macro_f1"] for m in judged]),
        ravdess_ece=interval([m["ece"] for m in judged]),
    )


def face(result: Result, *, root: Path) -> None:
    """Score the face expert in full precision, as in both bundles, and in int8."""
    spec = load_bundle("default").experts[Modality.FACE].spec
    data, _, test = load_tabular("faces", pooling=spec.pooling, root=root)
    x = normalized(data, spec)
    full = INSTALLED / "default" / spec.model
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "face.onnx"
        quantize(full, small)
        graphs = {"default and fast": full.read_bytes(), "int8": small.read_bytes()}
    for name, graph in graphs.items():
        expert = Expert(spec, lambda own=graph: own, threads=1)
        p = expert.calibrate(expert.run(x[test]))
        result.add(
            f"face: {name}",
            size_mb=len(graph) / 1e6,
            latency_ms=median_latency_ms(graph, {"features": x[:1]}),
            faces_macro_f1=macro_f1(data.labels[test], p),
            faces_ece=metrics.expected_calibration_error(data.labels[test], p),
        )


def journey(result: Result) -> None:
    """Time a text on its whole way, with tokens and fusion, on one thread."""
    for name in ("default", "fast"):
        analyzer = Analyzer(name, threads=1, modalities=["text"])
        latency_ms = median_ms(lambda own=analyzer: own.analyze_text(SENTENCE))
        result.add(f"analyze_text: {name}", latency_ms=latency_ms)


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", nargs="?", choices=["figure"], help="draw from compression.json again")
    parser.add_argument("--root", type=Path, default=None)
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs" / "fast" / "work")
    arguments = parser.parse_args()
    if arguments.which == "figure":
        draw(FOLDER)
        return
    root = data_root(arguments.root)
    seeds = load_compression(RECIPE).text_config().seeds
    result = Result(
        "compression",
        "SST-5 test, MELD test, TweetEval dev file, MOSEI by hash; RAVDESS actors 17-20; held-out faces",
        seeds=seeds,
    )
    words(result, root=root, work=arguments.work)
    voice(result, root=root)
    voice_seeds(result, root=root, work=arguments.work, seeds=seeds)
    face(result, root=root)
    journey(result)
    result.caveats += [
        "Latency: median of 300 calls on one thread after 50 to warm up: the graph alone with 23 tokens, "
        "three seconds of frames or one face; analyze_text is the whole way of the same sentence.",
        "Intervals of single rows are 95 % bootstrap intervals over dialogues, videos or people; those of "
        "the mean of the seeds are Student's, over seeds.",
        "Every choice, among them the temperature of each row, was made on validation data; "
        "validation_score is what chose.",
        "Full precision of the default expert is read back from its int8 graph.",
        "Rows out of fold are of actors 01-16, by networks that had not heard them: two of eight members "
        "for default.",
        "Speed of a voice or a face is that of its features, not of these graphs.",
    ]
    result.write()
    draw(FOLDER)


if __name__ == "__main__":
    main()
