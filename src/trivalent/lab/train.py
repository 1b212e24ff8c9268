"""`trivalent train`: what each kind of recipe leads to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trivalent.core.errors import RecipeError
from trivalent.lab.datasets.root import data_root
from trivalent.lab.experts.assemble import assemble_bundle
from trivalent.lab.experts.frames import train_frames
from trivalent.lab.experts.own_expert import KIND as OWN_EXPERT
from trivalent.lab.experts.own_expert import train_own_expert
from trivalent.lab.experts.own_pool import KIND as OWN_POOL
from trivalent.lab.experts.own_pool import train_own_pool
from trivalent.lab.experts.pooled import train_tabular
from trivalent.lab.experts.text import train_text
from trivalent.lab.experts.trained import TrainedExpert
from trivalent.lab.fusion.recipe import KIND, parse_fusion
from trivalent.lab.fusion.train import train_fusion
from trivalent.lab.fusion.tuning_space import SPACE
from trivalent.lab.recipes import Recipe, build, read_recipe


def train(
    recipe_path: Path, *, out: Path, overrides: Sequence[str] = (), root: Path | None = None
) -> list[str]:
    """Train or assemble what a recipe describes; returns lines that tell what came out."""
    content = read_recipe(recipe_path, overrides=overrides)
    if content.get("kind") == KIND:
        content.pop(SPACE, None)  # what a search may change; here the recipe is taken as it stands
        return train_fusion(parse_fusion(content, where=str(recipe_path)), root=root, out=out)
    if content.get("kind") == OWN_EXPERT:
        return train_own_expert(content, where=str(recipe_path), out=out)
    if content.get("kind") == OWN_POOL:
        return train_own_pool(content, where=str(recipe_path), out=out)
    recipe = build(Recipe, content, where=str(recipe_path))
    kinds: dict[str, Callable[[], list[str]]] = {
        "text": lambda: _told(train_text(recipe, root=data_root(root), out=out)),
        "voice": lambda: _told(_voice(recipe)(recipe, modality="audio", root=data_root(root), out=out)),
        "face": lambda: _told(train_tabular(recipe, modality="face", root=data_root(root), out=out)),
        "bundle": lambda: assemble_bundle(recipe, root=data_root(root), out=out),
    }
    if recipe.kind not in kinds:
        known = ", ".join([*kinds, KIND, OWN_EXPERT, OWN_POOL])
        raise RecipeError("recipe.kind", known=known, recipe_path=recipe_path, kind=recipe.kind)
    return kinds[recipe.kind]()


def _voice(recipe: Recipe) -> Callable[..., TrainedExpert]:
    """Tell a recipe over frames from one over pooled statistics."""
    inputs = recipe.task.get("inputs", "pooled")
    trainers = {"frames": train_frames, "pooled": train_tabular}
    if inputs not in trainers:
        raise RecipeError("recipe.inputs", trainers=list(trainers), inputs=inputs)
    return trainers[inputs]


def _told(expert: TrainedExpert) -> list[str]:
    lines = [f"{expert.graph}: temperature {expert.spec.temperature:.3f}"]
    for part, scores in expert.metrics.items():
        lines += [f"  {part} {line}" for line in _flat(scores)]
    return lines


def _flat(scores: dict[str, Any]) -> list[str]:
    nested = {k: v for k, v in scores.items() if isinstance(v, dict)}
    if not nested:
        return [", ".join(f"{k} {v:.3f}" for k, v in scores.items())]
    return [f"{k}: {line}" for k, v in nested.items() for line in _flat(v)]
