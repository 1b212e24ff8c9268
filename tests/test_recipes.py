"""Recipes: what is in the file is what is run, and a slip of the pen is named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from conftest import REPOSITORY
from trivalent.core.errors import RecipeError

yaml = pytest.importorskip("yaml", reason="needs the extra train")

from trivalent.lab.recipes import Recipe, build, load_recipe, read_recipe  # noqa: E402

TEXT = """
kind: text
name: demo
seeds: [0, 1]
task: {corpora: {meld: 1.0}, smoothing: 0.1}
training:
  epochs: 2
  learning_rate: 6.0e-5
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "demo.yaml"
    target.write_text(TEXT, encoding="utf-8")
    return target


def test_reads(path: Path) -> None:
    assert load_recipe(path) == Recipe(
        kind="text",
        name="demo",
        seeds=(0, 1),
        task={"corpora": {"meld": 1.0}, "smoothing": 0.1},
        training={"epochs": 2, "learning_rate": 6e-5},
    )


def test_overrides(path: Path) -> None:
    recipe = load_recipe(
        path,
        overrides=[
            "training.epochs=1",
            "task.corpora.sst5=0.5",
            "seeds=[3]",
            "name=other",
            "training.new=a=b",
        ],
    )
    assert recipe.training == {"epochs": 1, "learning_rate": 6e-5, "new": "a=b"}
    assert recipe.task["corpora"] == {"meld": 1.0, "sst5": 0.5}
    assert recipe.seeds == (3,)
    assert recipe.name == "other"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "expected --set key=value, got 'training.epochs'"),
        ("=1", "expected --set key=value"),
        ("name.first=1", "expected 'name' of --set name.first=1 to hold keys"),
        ("nmae=x", "got 'nmae'; did you mean 'name'"),
    ],
)
def test_bad_overrides(path: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(path, overrides=[override])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind: [text", "expected a readable YAML recipe"),
        ("- kind", "expected a mapping of keys in .*, got list"),
        ("", "got NoneType"),
        ("kind: text\nname: x\ntasks: {}", "got 'tasks'; did you mean 'task'"),
        ("kind: text\nname: x\nzzz: 1", "got 'zzz'; known keys: kind, name, seeds, .*task"),
        ("kind: text", "expected all keys of Recipe .*'name'"),
        ("kind: !!python/object/apply:os.getcwd []\nname: x", "expected a readable YAML recipe"),
    ],
)
def test_bad_files(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    for path in (tmp_path / "absent.yaml", tmp_path, tmp_path / "latin.yaml"):
        with pytest.raises(RecipeError, match="expected a readable YAML recipe"):
            load_recipe(path)


@dataclass(frozen=True)
class Config:
    rate: float
    names: tuple[str, ...] = ()
    epochs: int = 3


def test_build_fits_types() -> None:
    config = build(Config, {"rate": 1, "names": ["a", "b"]}, where="demo")
    assert config == Config(1.0, ("a", "b"))
    assert type(config.rate) is float
    with pytest.raises(RecipeError, match="expected all keys of Config in demo"):
        build(Config, {}, where="demo")
    # YAML reads 6e-5 without a dot as text.
    assert build(Config, {"rate": "6e-5"}, where="demo").rate == 6e-5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"rate": "fast"}, "expected a number for rate in demo, got 'fast'"),
        ({"rate": True}, "expected a number for rate"),
        ({"rate": 1, "epochs": 2.5}, "expected a whole number for epochs"),
        ({"rate": 1, "epochs": "3"}, "expected a whole number for epochs"),
    ],
)
def test_build_refuses_other_types(content: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build(Config, content, where="demo")


def test_shipped_recipes_are_complete() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra train")
    assert torch
    from trivalent.lab.compress.recipe import parse_compression
    from trivalent.lab.experts.assemble import BundleConfig
    from trivalent.lab.experts.frames_task import FramesTaskConfig
    from trivalent.lab.experts.own_expert import ExpertRecipe
    from trivalent.lab.experts.own_pool import PoolRecipe
    from trivalent.lab.experts.pooled_task import TabularTaskConfig
    from trivalent.lab.experts.text_task import TextTaskConfig
    from trivalent.lab.fit.training import TrainingConfig
    from trivalent.lab.fusion.recipe import parse_fusion
    from trivalent.lab.fusion.tuning_space import split_space

    own = {"own-expert": ExpertRecipe, "own-pool": PoolRecipe}
    tasks = {
        "text": TextTaskConfig,
        "face": TabularTaskConfig,
        "voice": TabularTaskConfig,
        "bundle": BundleConfig,
    }
    recipes = sorted((REPOSITORY / "recipes").glob("*.yaml"))
    assert recipes
    for path in recipes:
        content = read_recipe(path)
        if content["kind"] == "fusion":
            content, space = split_space(content, where=path.name)
            parse_fusion(content, where=path.name)
            assert space
            continue
        if content["kind"] in own:
            build(own[content["kind"]], content, where=path.name).own_features()
            continue
        if content["kind"] == "compression":
            parse_compression(content, where=path.name)
            continue
        recipe = load_recipe(path)
        framed = recipe.task.get("inputs") == "frames"
        build(FramesTaskConfig if framed else tasks[recipe.kind], recipe.task, where=path.name)
        config = build(TrainingConfig, recipe.training, where=path.name)
        assert recipe.seeds
        kinds = get_type_hints(TrainingConfig)
        assert all(type(value) is kinds[key] for key, value in vars(config).items()), path.name
