"""A search is judged on validation alone, goes on where it was, and ends in a recipe to train."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")
for package in ("yaml", "matplotlib", "optuna"):
    pytest.importorskip(package, reason="needs the extra tune")

from conftest import REPOSITORY  # noqa: E402
from test_fusion_recipe import made_up  # noqa: E402
from trivalent.cli.main import main  # noqa: E402
from trivalent.core.errors import (  # noqa: E402
    DataError,
    LeakageError,
    MissingExtraError,
    RecipeError,
    UsageError,
)
from trivalent.core.messages import VARIABLE  # noqa: E402
from trivalent.lab.fusion import tuning  # noqa: E402
from trivalent.lab.fusion.recipe import FusionRecipe, parse_fusion  # noqa: E402
from trivalent.lab.fusion.tuning import judged, tune, without_test  # noqa: E402
from trivalent.lab.fusion.tuning_journal import JOURNAL, Trial, held  # noqa: E402
from trivalent.lab.fusion.tuning_space import (  # noqa: E402
    Choices,
    Range,
    default_space,
    split_space,
    with_values,
)
from trivalent.lab.measure.metrics import macro_f1  # noqa: E402
from trivalent.lab.problems.classification import Problem, make_problem  # noqa: E402
from trivalent.lab.problems.parts import Part  # noqa: E402
from trivalent.lab.recipes import read_recipe  # noqa: E402
from trivalent.lab.train import train  # noqa: E402

TEXT = """
kind: fusion
name: demo
data: mosei-922
seeds: [0, 1]
network: concatenation
training: {epochs: 2, learning_rate: 0.01}
tune:
  training.learning_rate: {low: 1e-3, high: 1e-1, log: true}
  loss: [cross_entropy, focal]
  network_options.hidden: {low: 4, high: 16}
"""


@pytest.fixture
def problem(monkeypatch: pytest.MonkeyPatch) -> Problem:
    """Let every recipe find the made-up data."""
    monkeypatch.setattr(FusionRecipe, "problem", lambda *_: make_problem(made_up()))
    return make_problem(made_up())


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(TEXT)
    return path


def trials(folder: Path) -> list[dict[str, Any]]:
    """Read what was tried, without the time that it took."""
    content = json.loads((folder / JOURNAL).read_text())
    return [{k: v for k, v in trial.items() if k != "seconds"} for trial in content["trials"]]


# --- the space


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ([], r"expected a mapping of options for tune in demo, got \[\]"),
        ({}, "expected a mapping of options for tune in demo"),
        (
            {"los": ["focal", "ldam"]},
            "key of a recipe that can be searched, got 'los'; did you mean 'loss'",
        ),
        ({"data": ["mosei", "mosi"]}, "key of a recipe that can be searched, got 'data'"),
        ({"seeds": [[0], [1]]}, "key of a recipe that can be searched, got 'seeds'"),
        ({"loss": ["focal"]}, r"two different values or more.* for tune.loss in demo, got \['focal'\]"),
        ({"loss": ["focal", "focal"]}, "two different values or more"),
        ({"loss": "focal"}, "two different values or more, or low and high"),
        ({"loss": ["focal", "focla"]}, "expected a known loss, got 'focla'; did you mean 'focal'"),
        ({"mixup": {"low": 0.5, "high": 0.1}}, "low below high for tune.mixup in demo.* got 0.5 and 0.1"),
        ({"mixup": {"low": 0, "high": 0.5, "log": True}}, "above 0 with log"),
        ({"mixup": {"low": 0, "high": float("inf")}}, "low below high"),
        ({"mixup": {"low": 0}}, "expected all keys of Range in demo, tune.mixup"),
        ({"mixup": {"low": 0, "hihg": 1}}, "did you mean 'high'"),
        ({"loss.x": ["a", "b"]}, "got 'loss.x' under tune, which leads through a plain value"),
        ({"network_options.widht": [32, 64]}, "option of the network attention, got 'widht'"),
        ({"training.epochs": ["few", "many"]}, "expected a number for epochs"),
        ({"members.0.loss": ["focal", "ldam"]}, "expected a known key of a member, got '0'"),
    ],
)
def test_slips_of_the_space_are_named_before_data_are_read(space: Any, message: str) -> None:
    content = {"name": "demo", "data": "mosei-922", "loss": "focal", "tune": space}
    with pytest.raises((RecipeError, UsageError), match=message):
        split_space(content, where="demo")


def test_the_space_of_a_recipe() -> None:
    rates = {"low": "1e-4", "high": 1, "log": True}
    given = {"training.learning_rate": rates, "training.batch_size": {"low": 8, "high": 64}}
    content, space = split_space({"name": "demo", "data": "mosei-922", "tune": given}, where="demo")
    assert content == {"name": "demo", "data": "mosei-922"}
    assert space == {
        "training.learning_rate": Range(1e-4, 1.0, log=True),
        "training.batch_size": Range(8.0, 64.0, whole=True),
    }
    assert space["training.batch_size"].ends() == (8, 64)


def test_a_recipe_without_a_space_has_one() -> None:
    for path in sorted((REPOSITORY / "recipes").glob("*.yaml")):
        content = read_recipe(path)
        if content["kind"] != "fusion":
            continue
        content.pop("tune", None)
        space = default_space(parse_fusion(content, where=path.name))
        assert "training.learning_rate" in space
        for key, option in space.items():
            for value in option.ends():
                parse_fusion(with_values(content, {key: value}), where=path.name)


def test_members_of_a_vote_can_be_searched() -> None:
    content = read_recipe(REPOSITORY / "recipes" / "vote.yaml")
    content["tune"] = {"members.1.modality_dropout": {"low": 0.0, "high": 0.5}, "vote": [[], [1, 2]]}
    content, space = split_space(content, where="demo")
    assert space["vote"] == Choices(([], [1, 2]))
    made = with_values(content, {"members.1.modality_dropout": 0.5, "vote": [1, 2]})
    assert parse_fusion(made, where="demo").systems()[1].modality_dropout == 0.5
    assert content["members"][1]["modality_dropout"] == 0.3


# --- the search


def test_a_search_leaves_tables_a_picture_and_a_recipe(
    problem: Problem, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "search"
    told: list[str] = []
    lines = tune(recipe, out=out, trials=5, tell=told.append)
    assert {p.name for p in out.iterdir()} == {
        JOURNAL,
        "trials.csv",
        "trials.md",
        "trials.png",
        "best.yaml",
    }
    assert [line.split(":")[0] for line in told] == [f"trial {i} of 0 to 4" for i in range(5)]
    assert told[-1].endswith("about 0:00:00 left")
    found = trials(out)
    assert found[0]["values"] == {}
    for trial in found[1:]:
        assert 1e-3 <= trial["values"]["training.learning_rate"] <= 1e-1
        assert trial["values"]["loss"] in ("cross_entropy", "focal")
        assert trial["values"]["network_options.hidden"] in range(4, 17)
    best = max(found, key=lambda trial: sum(trial["scores"]))
    assert f"trial {best['number']} of 5 is best on validation" in lines[0]
    with (out / "trials.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["macro_f1"]) for row in rows] == [
        pytest.approx(np.mean(trial["scores"]), abs=1e-6) for trial in found
    ]
    assert (out / "trials.png").read_bytes().startswith(b"\x89PNG")
    ranked = [line.split("|") for line in (out / "trials.md").read_text().splitlines() if line[:3] != "| t"]
    numbers = [int(cells[1]) for cells in ranked if len(cells) > 2 and cells[1].strip().isdigit()]
    assert numbers[0] == best["number"]
    assert sorted(numbers) == list(range(5))
    content = read_recipe(out / "best.yaml")
    assert "tune" not in content
    for key, value in best["values"].items():
        *parents, last = key.split(".")
        assert (content[parents[0]] if parents else content)[last] == value
    assert "demo on mosei-922" in train(out / "best.yaml", out=tmp_path / "run")[0]
    assert "demo on mosei-922" in train(recipe, out=tmp_path / "as-it-stands")[0]


def test_a_stopped_search_goes_on_as_if_it_had_not_been(
    problem: Problem, recipe: Path, tmp_path: Path
) -> None:
    tune(recipe, out=tmp_path / "whole", trials=4, seed=3)

    def stop(message: str) -> None:
        if message.startswith("trial 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(recipe, out=tmp_path / "stopped", trials=4, seed=3, tell=stop)
    assert len(trials(tmp_path / "stopped")) == 3
    told: list[str] = []
    tune(recipe, out=tmp_path / "stopped", trials=4, seed=3, tell=told.append)
    assert told[0].endswith("goes on after 3 trials")
    assert len(told) == 2
    assert trials(tmp_path / "stopped") == trials(tmp_path / "whole")
    one, two = ((tmp_path / folder / "best.yaml").read_text() for folder in ("stopped", "whole"))
    assert one == two


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"seed": 1}, "seed"),
        ({"folds": 2}, "folds"),
        ({"overrides": ["training.epochs=3"]}, "recipe"),
        ({"overrides": ["tune.loss=[focal, ldam]"]}, "space"),
    ],
)
def test_another_search_is_refused_in_the_same_folder(
    problem: Problem, recipe: Path, tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    tune(recipe, out=tmp_path / "search", trials=1)
    before = (tmp_path / "search" / JOURNAL).read_bytes()
    with pytest.raises(UsageError, match=f"got another {what}; name another folder with -o"):
        tune(recipe, out=tmp_path / "search", trials=2, **change)
    assert (tmp_path / "search" / JOURNAL).read_bytes() == before


def test_other_data_are_refused_in_the_same_folder(
    problem: Problem, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(recipe, out=tmp_path / "search", trials=1)
    other = make_problem(made_up(n=320))
    monkeypatch.setattr(FusionRecipe, "problem", lambda *_: other)
    with pytest.raises(UsageError, match="got another data"):
        tune(recipe, out=tmp_path / "search", trials=2)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "trivalent.search/1", "about": {}, "trials": [1]}']
)
def test_a_damaged_journal_is_named(problem: Problem, recipe: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / JOURNAL).write_text(text)
    with pytest.raises(DataError, match=r"expected the trials of a search in .*trials.json"):
        tune(recipe, out=tmp_path, trials=1)
    assert (tmp_path / JOURNAL).read_text() == text


def test_one_process_searches_in_a_folder(problem: Problem, recipe: Path, tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(UsageError, match="where another process does"):
        tune(recipe, out=tmp_path, trials=1)


def test_what_cannot_be_trained_is_a_failed_trial(problem: Problem, recipe: Path, tmp_path: Path) -> None:
    told: list[str] = []
    space = "tune={network_options.width: [30, 42]}"  # neither can be divided by the heads
    lines = tune(recipe, out=tmp_path, trials=3, overrides=["network=attention", space], tell=told.append)
    assert "trial 1 of 0 to 2 failed: expected heads that divide the width" in told[1]
    assert lines[0].startswith(f"{tmp_path}: trial 0 of 3 is best")
    assert lines[1] == "2 trials could not be trained; their reasons stand in trials.md"
    assert "| 2 | failed | expected heads that divide" in (tmp_path / "trials.md").read_text()
    assert "network_options" not in read_recipe(tmp_path / "best.yaml")


def test_a_recipe_that_cannot_be_trained_ends_the_search(
    problem: Problem, recipe: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="training diverged"):
        tune(recipe, out=tmp_path, trials=3, overrides=["training.learning_rate=1e30"])
    assert not (tmp_path / JOURNAL).exists()


def test_too_few_groups_are_named(recipe: Path) -> None:
    data = made_up()
    few = replace(data, groups=np.where(data.split == "train", "v0", data.groups))
    parsed = parse_fusion(split_space(read_recipe(recipe), where="demo")[0], where="demo")
    with pytest.raises(DataError, match="at least 5 training videos or speakers in made-up, all, got 1"):
        judged(parsed, make_problem(few))


# --- validation alone


class Sealed(Part):
    """A test part that says so whenever somebody looks at its samples."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("_labels", "score"):
            raise AssertionError(f"{name} of the test part")
        return super().__getattribute__(name)


def test_the_test_part_is_never_touched(
    problem: Problem, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_test(make: Callable[[Part], Part], folds: int) -> list[dict[str, Any]]:
        parts = replace(problem.parts, test=make(problem.parts.test))
        monkeypatch.setattr(FusionRecipe, "problem", lambda *_: replace(problem, parts=parts))
        folder = tmp_path / f"{make.__name__}-{folds}"
        tune(recipe, out=folder, trials=2, folds=folds)
        return trials(folder)

    def sealed(test: Part) -> Part:
        return Sealed(test.role, test.features, test.groups, test._labels)

    def scrambled(test: Part) -> Part:
        rng = np.random.default_rng(0)
        return replace(
            test,
            features={m: x + 1 for m, x in test.features.items()},
            _labels=rng.permutation(test._labels),
        )

    for folds in (0, 3):
        assert with_test(sealed, folds) == with_test(scrambled, folds)
    emptied = without_test(problem)
    assert len(emptied.parts.test) == 0
    with pytest.raises(LeakageError, match="for selection, got the test part"):
        emptied.parts.test.labels_to_select()
    assert not problem.parts.test._scored


def test_validation_labels_choose_nothing_within_a_trial(problem: Problem, recipe: Path) -> None:
    """Epoch, calibration and decision come from training samples: other labels change the score alone."""
    content, _ = split_space(read_recipe(recipe, overrides=["decision=ratio"]), where="demo")
    parsed, seen = parse_fusion(content, where="demo"), []

    def logged(part: Part) -> Part:
        class Watched(Part):
            def labels_to_select(self) -> Any:
                seen.append(self.role)
                return super().labels_to_select()

        return Watched(part.role, part.features, part.groups, part._labels)

    watched = replace(problem, parts=replace(problem.parts, val=logged(problem.parts.val)))
    decisions = tuning.decided(parsed, watched)
    assert decisions.shape == (2, 60)
    assert not seen
    scores = judged(parsed, watched)
    assert len(seen) == 1
    labels = problem.parts.val.labels_to_select()
    assert scores == pytest.approx([macro_f1(labels, own) for own in decisions])


def test_folds_judge_every_sample_outside_test_by_a_run_without_its_group(
    problem: Problem, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = parse_fusion(split_space(read_recipe(recipe), where="demo")[0], where="demo")
    original, judged_groups = tuning.decided, []

    def watched(recipe: FusionRecipe, part: Problem) -> Any:
        assert not set(part.parts.train.groups) & set(part.parts.val.groups)
        judged_groups.extend(part.parts.val.groups)
        return original(recipe, part)

    monkeypatch.setattr(tuning, "decided", watched)
    scores = judged(parsed, problem, folds=3)
    assert scores.shape == (2,)
    assert (scores > 0.3).all()
    parts = problem.parts
    assert sorted(judged_groups) == sorted([*parts.train.groups, *parts.val.groups])


# --- around it


def test_wrong_counts_and_kinds(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--trials of at least 1"):
        tune(recipe, out=tmp_path, trials=0)
    with pytest.raises(UsageError, match="--folds of 0 or at least 2, got 30, 0 and 1"):
        tune(recipe, out=tmp_path, folds=1)
    with pytest.raises(RecipeError, match=r"expected a recipe of kind fusion in .*voice.yaml, got 'voice'"):
        tune(REPOSITORY / "recipes" / "voice.yaml", out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_extra_is_named_before_the_work(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"optuna.*trivalent\[tune\]"):
        tune(recipe, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_mean_over_seeds() -> None:
    assert Trial(1, {}, (0.2, 0.4), 1.0).score == pytest.approx(0.3)
    assert Trial(1, {}, (), 1.0, "why").score is None


def test_command_on_real_data(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "zh")
    source = str(REPOSITORY / "recipes" / "attention-tune.yaml")
    fast = ["--set", "seeds=[0,1]", "--set", "training.epochs=1", "--trials", "2"]
    out = tmp_path / "search"
    assert main(["tune", source, "-o", str(out), "--root", str(real_data), *fast]) == 0
    printed = capsys.readouterr()
    assert "验证集上最佳" in printed.out
    assert "约剩 0:00:00" in printed.err
    assert main(["tune", source, "-o", str(out), "--root", str(real_data), *fast, "--seed", "4"]) == 2
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1
    assert "已有另一个搜索" in printed.err
