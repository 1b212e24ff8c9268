"""Recipes of kind fusion: slips are named, choices are made on validation, results lie in one folder."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")
for package in ("yaml", "onnxscript", "matplotlib"):
    pytest.importorskip(package, reason="needs the extra train")

from conftest import REPOSITORY  # noqa: E402
from trivalent.bundle.loading import load_network  # noqa: E402
from trivalent.cli.main import main  # noqa: E402
from trivalent.core.errors import DataError, LeakageError, MissingExtraError, RecipeError, UsageError  # noqa: E402
from trivalent.core.types import Modality  # noqa: E402
from trivalent.lab.datasets.dataset import Dataset, Features  # noqa: E402
from trivalent.lab.datasets.entry import Entry  # noqa: E402
from trivalent.lab.decide.answering import choose_answering  # noqa: E402
from trivalent.lab.fit.members import Members  # noqa: E402
from trivalent.lab.fit.training import TrainingConfig  # noqa: E402
from trivalent.lab.fusion import seed_training  # noqa: E402
from trivalent.lab.fusion.recipe import FusionRecipe, parse_fusion  # noqa: E402
from trivalent.lab.fusion.task import FusionTask  # noqa: E402
from trivalent.lab.fusion.train import _means, score, select, train_fusion  # noqa: E402
from trivalent.lab.measure.evaluation import TITLES  # noqa: E402
from trivalent.lab.problems.classification import Problem, make_problem  # noqa: E402
from trivalent.lab.recipes import read_recipe  # noqa: E402
from trivalent.lab.train import train  # noqa: E402

ATTENTION = REPOSITORY / "recipes" / "attention-sqrt.yaml"
FAST = ("seeds=[0,1]", "training.epochs=2")


def made_up(*, synthetic: bool = False, n: int = 240) -> Dataset:
    """Draw two modalities with classes one can tell apart, some samples without the second."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, n, p=[0.2, 0.5, 0.3])
    face = rng.normal(size=(n, 4)) + labels[:, None]
    face[::7] = np.nan
    blocks = {
        Modality.TEXT: Features("bert", tuple("abc"), (rng.normal(size=(n, 3)) + labels[:, None])),
        Modality.FACE: Features("openface2", tuple("defg"), face),
    }
    groups = np.array([f"v{i // 4}" for i in range(n)])
    split = np.repeat(["train", "val", "test"], [n // 2, n // 4, n // 4])
    return Dataset(
        "made-up",
        "all",
        np.array([f"s{i}" for i in range(n)]),
        groups,
        split,
        labels,
        np.full(n, np.nan),
        np.full(n, np.nan),
        {m: replace(f, values=f.values.astype(np.float32)) for m, f in blocks.items()},
        synthetic=synthetic,
    )


def recipe(**changes) -> FusionRecipe:
    content = {"name": "demo", "data": "mosei-922", "seeds": [0, 1], "training": {"epochs": 2}} | changes
    return parse_fusion(content, where="demo")


@pytest.fixture
def problem() -> Problem:
    return make_problem(made_up())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"lss": "focal"}, "expected a key of FusionRecipe in demo, got 'lss'; did you mean 'loss'"),
        ({"loss": "focla"}, "expected a known loss, got 'focla'; did you mean 'focal'"),
        ({"network": "atention"}, "did you mean 'attention'"),
        ({"resampling": "smotte"}, "did you mean 'smote'"),
        (
            {"resampling": "mixup", "resampling_options": {"k_neighbors": 3}},
            "an option of mixup, got 'k_neighbors'; it has: alpha",
        ),
        ({"resampling_options": [1]}, "expected a mapping for resampling_options in demo"),
        ({"decision": "ration"}, "did you mean 'ratio'"),
        ({"calibration": "temprature"}, "did you mean 'temperature'"),
        ({"modalities": ["text", "fase"]}, "did you mean 'face'"),
        ({"network_options": {"hiden": 3}}, "did you mean 'hidden'"),
        ({"loss_options": {"weigths": "sqrt"}}, "did you mean 'weights'"),
        ({"training": {"epoch": 3}}, "expected a key of TrainingConfig in training of demo.*'epochs'"),
        ({"training": {"epochs": "many"}}, "expected a number for epochs in training of demo, got 'many'"),
        ({"cleaning": {"scalling": "l2"}}, "did you mean 'scaling'"),
        ({"seeds": []}, "expected different seeds"),
        ({"seeds": [1, 1]}, "expected different seeds"),
        ({"seeds": [-1]}, "expected different seeds"),
        ({"answered": 0.0}, r"expected answered in \(0, 1\], got 0"),
        ({"coverage": 1.0}, r"expected coverage in \(0, 0.999\]"),
        ({"conformal_split": "alwys"}, "did you mean 'always'"),
        ({"allow_synthetic": "yes"}, "expected true or false for allow_synthetic"),
        ({"data": "my.csv", "features": {"face": "openpose"}}, "openpose"),
        ({"data": "my.csv", "features": {"audio": "mean"}}, "did you mean 'means'"),
        ({"label_map": {0: "negative"}}, r"label_map only with your own \.csv as data"),
        (
            {"data": "my.csv", "features": {"txt": "glove"}},
            "features of demo, got 'txt'; did you mean 'text'",
        ),
        ({"data": "my.csv", "features": {"recognize": "no"}}, "true or false for recognize"),
    ],
)
def test_slips_are_named_before_data_are_read(content: dict, message: str) -> None:
    with pytest.raises((RecipeError, UsageError), match=message):
        recipe(**content)


def test_training_defaults_are_those_of_the_paper() -> None:
    config = recipe(training={"learning_rate": "1e-4"}).training_config()
    assert (config.learning_rate, config.optimizer, config.schedule) == (1e-4, "adam", "plateau")


def test_options_of_the_resampler_reach_the_system() -> None:
    overrides = ["resampling=modality_noise", "resampling_options={scale: 0.2}"]
    parsed = parse_fusion(read_recipe(ATTENTION, overrides=overrides), where="demo")
    assert parsed.system().resampling_options == {"scale": 0.2}


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "recipes").glob("*.yaml")), ids=lambda path: path.stem
)
def test_recipes_take_the_protocol_of_their_data(path: Path) -> None:
    """A name of one data set would be wrong for another that a user puts in its place."""
    assert "protocol" not in read_recipe(path)


def test_data_and_protocol_are_checked() -> None:
    with pytest.raises(UsageError, match="expected a data set among"):
        recipe(data="mosie").problem(Path())
    with pytest.raises(UsageError, match="expected a protocol of mosei-922"):
        recipe(protocol="sdk").problem(Path())


def test_synthetic_data_are_refused_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = made_up(synthetic=True)
    monkeypatch.setattr(Entry, "read", lambda *_, **__: data)
    with pytest.raises(DataError, match=r"real features in made-up.*--set allow_synthetic=true"):
        recipe().problem(REPOSITORY)
    assert recipe(allow_synthetic=True).problem(REPOSITORY).synthetic


def test_the_test_part_is_not_touched_by_selection(problem: Problem) -> None:
    """Other test labels and features change nothing that is chosen; a choice on them is refused."""
    chosen = recipe(decision="ratio", answered=0.8)
    first = select(chosen, problem)
    test = problem.parts.test
    rng = np.random.default_rng(5)
    scrambled = replace(
        test,
        features={m: rng.permutation(x) for m, x in test.features.items()},
        _labels=rng.permutation(test._labels),
    )
    second = select(chosen, replace(problem, parts=replace(problem.parts, test=scrambled)))
    for one, two in zip((first.ensemble, *first.each), (second.ensemble, *second.each), strict=True):
        assert one.calibration.to_dict() == two.calibration.to_dict()
        assert one.decision.to_dict() == two.decision.to_dict()
    with pytest.raises(LeakageError, match="for selection, got the test part"):
        choose_answering(first.trained.logits(test).mean(0), test, config=chosen.answering)


def test_the_test_part_is_scored_once(problem: Problem) -> None:
    selected = select(recipe(), problem)
    metrics, said = score(recipe(), selected, rounds=20)
    with pytest.raises(LeakageError, match="one score of 'demo', seed 0, on test"):
        score(recipe(), selected, rounds=20)
    for part, n in (("validation", 60), ("test", 60)):
        found = metrics[part]
        assert [own["seed"] for own in found["seeds"]] == [0, 1]
        f1 = [own["macro_f1"] for own in found["seeds"]]
        mean = found["mean"]["macro_f1"]
        assert mean["mean"] == pytest.approx(np.mean(f1))
        assert mean["low"] <= mean["mean"] <= mean["high"]
        whole = found["ensemble"]
        assert whole["n"] == n
        assert np.sum(whole["confusion"]) == n
        assert whole["figures"]["accuracy"]["value"] == pytest.approx(np.trace(whole["confusion"]) / n)
        own = next(rows for rows in said if rows.part == part)
        assert np.mean(own.labels == own.decisions) == whole["figures"]["accuracy"]["value"]
        assert whole["baselines"].keys() == {"always negative", "always neutral", "always positive"}


def test_intervals_over_seeds_stay_within_what_a_figure_can_be() -> None:
    """Student's t of two seeds reaches 12.7 deviations to each side."""
    seeds = [
        dict.fromkeys(TITLES, 0.30) | {"accuracy": 0.5},
        dict.fromkeys(TITLES, 0.36) | {"accuracy": 1.0},
    ]
    means = _means([{k: v for k, v in own.items() if k != "nll"} | {"nll": 0.4} for own in seeds])
    assert means["macro_f1"]["low"] == 0.0
    assert means["macro_f1"]["high"] == pytest.approx(0.33 + 12.706 * 0.03, abs=1e-3)
    assert (means["accuracy"]["low"], means["accuracy"]["high"]) == (None, None)  # from 0 to 1
    assert means["mcc"]["low"] == pytest.approx(0.33 - 12.706 * 0.03, abs=1e-3)
    assert (means["nll"]["low"], means["nll"]["high"]) == (None, None)  # seeds that are all alike


def test_few_validation_samples_fit_nothing(caplog: pytest.LogCaptureFixture) -> None:
    small = make_problem(made_up(n=48))
    with caplog.at_level(logging.WARNING):
        selected = select(recipe(decision="ratio", calibration="vector"), small)
    assert "12 validation samples, fewer than 20: no calibration, decision rule" in caplog.text
    assert selected.ensemble.calibration.scale.tolist() == [1, 1, 1]
    assert str(selected.ensemble.decision.rule.kind) == "argmax"
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        select(recipe(calibration="none"), small)
    assert "validation samples" not in caplog.text


class ReachedError(Exception):
    """The training began."""


def test_the_device_reaches_the_data(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device without memory: what lay elsewhere would not go together with it."""

    def fit(members: Members, task: FusionTask, *, config: TrainingConfig) -> None:
        assert (task.device, config.device) == ("meta", "meta")
        batch = next(task.batches(members.generators(0)))
        assert task.loss(members.to("meta").train(), batch).device.type == "meta"
        raise ReachedError

    monkeypatch.setattr(seed_training, "fit", fit)
    for changes in ({}, {"loss": "focal", "loss_options": {"weights": "sqrt"}}, {"mixup": 0.4}):
        with pytest.raises(ReachedError):
            select(recipe(training={"device": "meta"}, **changes), problem)


def test_one_seed_has_no_interval(problem: Problem) -> None:
    one = recipe(seeds=[3])
    mean = score(one, select(one, problem), rounds=0)[0]["test"]["mean"]["macro_f1"]
    assert (mean["low"], mean["high"]) == (None, None)


def test_groups_set_apart_for_the_prediction_sets(problem: Problem) -> None:
    chosen = recipe(conformal_split="always")
    selected = select(chosen, problem)
    apart, val = selected.apart, selected.problem.parts.val
    assert apart is not None
    assert len(apart) + len(val) == 60
    assert not set(apart.groups) & set(val.groups)
    assert selected.ensemble.decision.sets.calibrated_on[0] == len(apart)
    whole = select(recipe(), problem)
    assert whole.apart is None
    assert whole.ensemble.decision.sets.calibrated_on[0] == 60


@pytest.mark.parametrize("decision", ["argmax", "threshold", "ratio"])
def test_decisions_and_abstention(problem: Problem, decision: str) -> None:
    chosen = recipe(decision=decision, answered=0.7, calibration="vector")
    selected = select(chosen, problem)
    answers = selected.ensemble.answer(selected.trained.logits(problem.parts.val).mean(0))
    assert answers.answered.mean() == pytest.approx(0.7, abs=0.02)
    assert str(selected.ensemble.decision.rule.kind) == decision


@pytest.fixture
def result(real_data: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    train(ATTENTION, out=out, overrides=FAST, root=real_data)
    return out


def test_result_folder_of_real_data(result: Path) -> None:
    names = {p.relative_to(result).as_posix() for p in result.rglob("*") if p.is_file()}
    assert names == {
        "bundle/bundle.json",
        "bundle/network.onnx",
        "metrics.json",
        "curves.json",
        "curves.png",
        "confusion.png",
        "predictions.csv",
        "attention.json",
        "attention.png",
        "card.md",
    }
    metrics = json.loads((result / "metrics.json").read_text())
    assert (metrics["data"], metrics["protocol"], metrics["seeds"]) == ("mosei-922", "sdk-subset", [0, 1])
    assert metrics["chosen_on"] == "validation"
    assert [metrics[p]["ensemble"]["n"] for p in ("validation", "test")] == [86, 180]
    for own in metrics["test"]["ensemble"]["figures"].values():
        assert own["low"] <= own["high"]
    curves = json.loads((result / "curves.json").read_text())
    for part in ("train", "validation"):
        assert [step["epoch"] for step in curves[part]["1"]] == [1.0, 2.0]
        assert all(step["loss"] > 0 and 0 <= step["macro_f1"] <= 1 for step in curves[part]["0"])
    read = json.loads((result / "attention.json").read_text())
    assert (read["samples"], [len(heads) for heads in read["heads"].values()]) == (86, [4, 4, 4])
    assert np.sum(list(read["heads"].values()), axis=0) == pytest.approx(np.ones(4), abs=1e-5)
    assert all(
        (result / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in ("curves", "confusion")
    )
    card = (result / "card.md").read_text()
    for word in (
        "mosei-922",
        "research use",
        "`covarep`, 40 columns",
        "always neutral",
        '"weights": "sqrt"',
    ):
        assert word in card
    bundle = load_network(result)
    assert bundle.metrics == metrics
    assert bundle.card["samples"] == {"train": 635, "validation": 86, "test": 180}
    assert len(bundle.fusion.data.seen) == 635 + 86


def test_command_with_another_loss_and_network(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [
        *FAST,
        "loss=focal",
        "network=single",
        "network_options={modality: audio}",
        "name=voice-focal",
    ]
    options = [x for change in changes for x in ("--set", change)]
    status = main(["train", str(ATTENTION), "-o", str(tmp_path), "--root", str(real_data), *options])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    assert "voice-focal on mosei-922, sdk-subset" in printed.out
    assert printed.out.count("of the best constant") == 2
    assert list(load_network(tmp_path).fusion.modalities) == [Modality.AUDIO]


def test_the_same_recipe_gives_the_same_bundle(real_data: Path, tmp_path: Path) -> None:
    small = [*FAST, "network=concatenation", "modalities=[audio]", "seeds=[4]", "network_options={}"]
    content = read_recipe(ATTENTION, overrides=small)
    for name in ("a", "b"):
        train_fusion(parse_fusion(content, where="demo"), root=real_data, out=tmp_path / name, rounds=5)
    first, second = ((tmp_path / name / "bundle" / "bundle.json").read_bytes() for name in ("a", "b"))
    assert first == second


def test_matplotlib_is_asked_for_before_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"matplotlib.*trivalent\[train\]"):
        train_fusion(recipe(), out=tmp_path, root=tmp_path)
