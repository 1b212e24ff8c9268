"""A score from -3 to 3: learned, kept in the bundle, told, decided again and judged."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")
for package in ("yaml", "onnxscript", "matplotlib"):
    pytest.importorskip(package, reason="needs the extra train")

from rich.console import Console  # noqa: E402

from fusion_bundles import GRAPH, linear_graph, save_small, small_network  # noqa: E402
from recording_networks import POOLING, recording_bundle  # noqa: E402
from test_fusion_recipe import made_up, recipe  # noqa: E402
from trivalent.bundle.fusion import joint_key  # noqa: E402
from trivalent.bundle.loading import Bundle, load_bundle, load_network  # noqa: E402
from trivalent.core.analysis import Analysis, Model, Score, Source  # noqa: E402
from trivalent.core.errors import BundleError, DataError, RecipeError, UsageError  # noqa: E402
from trivalent.core.texts import Language  # noqa: E402
from trivalent.core.types import LabelMap, Modality, Status, Utterance, map_scores  # noqa: E402
from trivalent.experts.judge import Judge  # noqa: E402
from trivalent.experts.readings import Reading  # noqa: E402
from trivalent.experts.redecide import redecide  # noqa: E402
from trivalent.lab.datasets.dataset import Dataset  # noqa: E402
from trivalent.lab.datasets.entry import Entry  # noqa: E402
from trivalent.lab.datasets.protocols import Protocol  # noqa: E402
from trivalent.lab.fusion.recipe import FusionRecipe, parse_fusion  # noqa: E402
from trivalent.lab.fusion.target import Target  # noqa: E402
from trivalent.lab.fusion.train import select, train_fusion  # noqa: E402
from trivalent.lab.measure import evaluate as evaluation  # noqa: E402
from trivalent.lab.measure.evaluate import evaluate, render_text  # noqa: E402
from trivalent.lab.problems.classification import Problem, make_problem  # noqa: E402
from trivalent.report.terminal import print_analysis  # noqa: E402
from trivalent.report.wording import Wording  # noqa: E402
from trivalent.report.writers import to_html  # noqa: E402

SUBSETS = [part for size in (1, 2, 3) for part in combinations(Modality, size)]


def scored() -> Dataset:
    """Samples whose features tell the score, and classes by its sign."""
    data = made_up()
    rng = np.random.default_rng(1)
    scores = np.clip(np.round(2 * (rng.normal(size=len(data)) + data.labels - 1)) / 2, -3, 3)
    blocks = {
        m: replace(f, values=(f.values + scores[:, None]).astype(np.float32))
        for m, f in data.features.items()
    }
    return replace(data, scores=scores, labels=map_scores(scores, LabelMap.SIGN), features=blocks)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return make_problem(scored())


# --- what is learned


def test_outputs_of_a_score() -> None:
    target, outputs = Target("score"), torch.tensor([[1.0, 2.0, 0.0, 4.5], [0.0, 0.0, 0.0, -1.0]])
    assert (target.outputs(3), Target().outputs(3), Target("seven").outputs(3)) == (4, 3, 7)
    assert target.logits(outputs).tolist() == outputs[:, :3].tolist()
    assert target.score(outputs).tolist() == [3.0, -1.0]

    def nothing(logits: torch.Tensor, labels: torch.Tensor, weights: Any = None) -> torch.Tensor:
        assert logits.shape == (2, 3)
        return torch.tensor(7.0)

    truth = torch.tensor([1, 0]), torch.tensor([2.0, -1.5])
    # Beyond the scale the error still counts: |4.5 - 2| = 2.5, and 0.5.
    assert Target("score", "mae").loss(nothing)(outputs, *truth).item() == pytest.approx(7 + 1.5)
    # Huber: 2.5 - 1/2 and 0.5^2 / 2; the second sample counts three times.
    weighted = Target("score", weight=2.0).loss(nothing)(outputs, *truth, torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx(7 + 2 * (2.0 + 3 * 0.125) / 4)


def test_seven_classes_add_up_to_three() -> None:
    target = Target("seven")
    outputs = torch.tensor([[0.1, 0.2, 0.05, 0.3, 0.15, 0.1, 0.1]]).log()
    assert target.logits(outputs).exp().tolist()[0] == pytest.approx([0.35, 0.3, 0.35])
    assert target.score(outputs).item() == pytest.approx(-0.3 - 0.4 - 0.05 + 0.15 + 0.2 + 0.3)
    seen = []

    def codes(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.extend(labels.tolist())
        return logits.new_zeros(())

    scores = torch.tensor([-3.0, -0.5, 0.5, 1.5, 2.9])
    target.loss(codes)(outputs.expand(5, 7), torch.zeros(5), scores)
    assert seen == map_scores(scores.numpy(), LabelMap.SEVEN).tolist() == [0, 3, 3, 5, 6]


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        ({"target": "scor"}, UsageError, "did you mean 'score'"),
        ({"error": "rmse"}, UsageError, "error"),
        ({"weight": -1.0}, RecipeError, "a number from 0 on as weight of task, got -1"),
        ({"taget": "score"}, RecipeError, "did you mean 'target'"),
    ],
)
def test_slips(task: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_fusion({"name": "demo", "data": "mosei-922", "task": task}, where="demo")


def test_data_without_scores_and_made_samples_are_refused(problem: Problem) -> None:
    with pytest.raises(DataError, match="of each of the 120 samples of train, got 120 without"):
        select(recipe(task={"target": "score"}), make_problem(made_up()))
    whole = make_problem(scored(), modalities=[Modality.TEXT])
    with pytest.raises(DataError, match="annotated samples alone"):
        select(recipe(task={"target": "seven"}, resampling="smote"), whole)


# --- a run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Any]]:
    """Train once for each target, a vote for scores; returns the folder and the recipe."""
    made: dict[str, tuple[Path, FusionRecipe]] = {}

    def run(target: str) -> tuple[Path, FusionRecipe]:
        if target not in made:
            members = [
                {"network": "linear"},
                {"network": "single", "network_options": {"modality": "text"}},
            ]
            chosen = recipe(
                task={"target": target},
                seeds=[0],
                network="linear",
                members=members if target == "score" else [],
                training={"epochs": 6, "learning_rate": 0.01},
            )
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(FusionRecipe, "problem", lambda *_: make_problem(scored()))
                out = tmp_path_factory.mktemp(target)
                train_fusion(chosen, out=out, rounds=20)
            made[target] = out, chosen
        return made[target]

    return run


@pytest.mark.parametrize("target", ["score", "seven"])
def test_a_run_is_judged_as_its_bundle(
    target: str, runs: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out, _ = runs(target)
    metrics = json.loads((out / "metrics.json").read_text())
    whole = metrics["test"]["scores"]["ensemble"]
    assert np.sum(whole["confusion7"]) == whole["n"] == 60
    assert whole["figures"]["mae"]["low"] <= whole["figures"]["mae"]["value"]
    # What the features tell is learned: better than a constant.
    assert whole["figures"]["mae"]["value"] < min(own["mae"] for own in whole["constants"].values())
    assert whole["figures"]["pearson"]["value"] > 0.5
    assert whole["constants"]["mean score"]["pearson"] is None
    assert {"curves.png", "scores.png"} <= {path.name for path in out.iterdir()}
    curves = json.loads((out / "curves.json").read_text())
    assert all("mae" in step for part in curves.values() for steps in part.values() for step in steps)
    assert "| MAE | " in (out / "card.md").read_text()

    data = replace(scored(), name="mosei-922", protocol="sdk-subset")
    entry = Entry(data.name, "", "", "", (Protocol("sdk-subset", ""),), lambda *_: data)
    monkeypatch.setattr(evaluation, "find_dataset", lambda name, **_: entry)
    table = tmp_path / "said.csv"
    again = evaluate(out, data="mosei-922", root=Path(), rounds=0, predictions=table)
    for name, figure in again["scores"]["figures"].items():
        assert figure["value"] == pytest.approx(whole["figures"][name]["value"], abs=1e-5), name
    for name, own in again["scores"]["constants"].items():
        assert own["mae"] == pytest.approx(whole["constants"][name]["mae"])
    assert "always the median score MAE" in render_text(again)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    gaps = [abs(float(row["score"]) - float(row["predicted_score"])) for row in rows]
    assert np.mean(gaps) == pytest.approx(again["scores"]["figures"]["mae"]["value"], abs=1e-5)

    bare = replace(data, scores=np.full(len(data), np.nan))
    entry = replace(entry, load=lambda *_: bare)
    without = evaluate(out, data="mosei-922", root=Path(), rounds=0)
    assert "scores" not in without
    assert "not every sample has an annotated score" in without["caveats"][-1]


def test_constants_are_of_the_training_part(runs: Callable[[str], Any], problem: Problem) -> None:
    known = problem.parts.train.scores_to_fit()
    data = load_network(runs("seven")[0]).fusion.data
    assert data.constants == pytest.approx((known.mean(), np.median(known)))


# --- what is told


def readings(folder: Path, seed: int) -> tuple[Bundle[Any], dict[Modality, Reading]]:
    rng = np.random.default_rng(seed)
    return load_bundle(folder), {
        m: Reading(Status.OK, features=rng.normal(size=len(names)), reliability=1.0)
        for m, (_, names) in POOLING.items()
    }


def analysed(folder: Path, *, modalities: tuple[Modality, ...] = tuple(Modality)) -> Analysis:
    """Judge drawn features of two utterances, of one and of three seconds."""
    results = []
    for i, (start, end) in enumerate([(0.0, 1.0), (1.0, 4.0)]):
        bundle, read = readings(folder, i)
        judge = Judge.of(bundle, modalities=modalities)
        chosen = {m: r for m, r in read.items() if m in modalities}
        results.append(judge.utterance(Utterance(i, start, end, "so"), chosen))
    overall, notes = judge.overall(results)
    model = Model(bundle.name, bundle.version, bundle.sha256)
    return Analysis(Source("a.mp4", "video", 4.0), model, overall, tuple(results), notes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording_bundle(tmp_path_factory.mktemp("scored") / "b", scale=3.0)


def test_the_result_tells_the_score(folder: Path) -> None:
    analysis = analysed(folder)
    first, second = analysis.utterances
    for utterance in (first, second):
        score = utterance.verdict.score
        assert score is not None
        assert score == Score.of(utterance.joint_scores["text+audio+face"])
        assert set(utterance.joint_scores) == {joint_key(part) for part in SUBSETS}
    assert analysis.overall.score == Score.of(
        (first.verdict.score.value + 3 * second.verdict.score.value) / 4
    )
    document = json.loads(json.dumps(analysis.to_dict()))
    assert document["overall"]["score"].keys() == {"value", "seven"}
    again = Analysis.from_dict(document)
    assert again.to_dict() == document
    console = Console(width=100, file=io.StringIO())
    print_analysis(analysis, console=console)
    printed = console.file.getvalue()
    assert f"score {analysis.overall.score.value:+.2f} on the scale from -3 to 3, class " in printed
    assert f" {first.verdict.score.value:+.1f} " in printed
    none = replace(analysis, overall=replace(analysis.overall, score=Score.of(-0.001)))
    print_analysis(none, console=console)
    assert "score 0.00 on the scale from -3 to 3, class 0 of seven" in console.file.getvalue()
    for language, words in ((Language.ENGLISH, "on the scale from −3 to +3"), (Language.CHINESE, "七级")):
        assert to_html([analysis], say=Wording(language)).count(words) == 3


@pytest.mark.parametrize("part", [(), *SUBSETS], ids=joint_key)
def test_deciding_again_gives_the_same_score(folder: Path, part: tuple[Modality, ...]) -> None:
    again = redecide(analysed(folder), load_bundle(folder), modalities=part)
    anew = analysed(folder, modalities=part)
    both = [[found.overall, *(u.verdict for u in found.utterances)] for found in (again, anew)]
    for first, second in zip(*both, strict=True):
        assert first.score == second.score
        assert (first.score is None) == (part == ())


def test_other_networks_tell_none(tmp_path: Path) -> None:
    document = analysed(recording_bundle(tmp_path / "b")).to_dict()
    assert "score" not in document["overall"]
    assert not {"score", "joint_scores"} & document["utterances"][0].keys()


# --- bundles that say what cannot be


def test_scores_beyond_the_scale_are_refused(tmp_path: Path) -> None:
    bundle = load_network(save_small(tmp_path, graph=linear_graph(scale=50.0)))
    specs = bundle.fusion.modalities.items()
    rows = {m: (np.full((1, len(s.cleaner.columns)), 9.0), s.cleaner.columns) for m, s in specs}
    with pytest.raises(BundleError, match="one score from -3 to 3 for each row"):
        bundle.fusion.scores(rows)


@pytest.mark.parametrize("constants", [[1.0], [0.0, 4.0], [0.0, float("nan")], "ab", 3])
def test_malformed_constants(tmp_path: Path, constants: Any) -> None:
    content = small_network().to_dict()
    content["data"]["constants"] = constants
    with pytest.raises(BundleError, match=r"constants|data"):
        type(small_network()).from_dict(content, graph=small_network().graph, where=GRAPH)
