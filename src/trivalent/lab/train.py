"""`trivalent train`: what each kind of recipe leads to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trivalent.errors import RecipeError
from trivalent.lab.assemble import assemble_bundle
from trivalent.lab.datasets.root import data_root
from trivalent.lab.expert import TrainedExpert
from trivalent.lab.recipes import load_recipe
from trivalent.lab.tabular_expert import train_tabular
from trivalent.lab.text_expert import train_text


def train(
    recipe_path: Path, *, out: Path, overrides: Sequence[str] = (), root: Path | None = None
) -> list[str]:
    """Train or assemble what a recipe describes; returns lines that tell what came out."""
    recipe = load_recipe(recipe_path, overrides=overrides)
    kinds: dict[str, Callable[[], list[str]]] = {
        "text": lambda: _told(train_text(recipe, root=data_root(root), out=out)),
        "voice": lambda: _told(train_tabular(recipe, modality="audio", root=data_root(root), out=out)),
        "face": lambda: _told(train_tabular(recipe, modality="face", root=data_root(root), out=out)),
        "bundle": lambda: assemble_bundle(recipe, root=data_root(root), out=out),
    }
    if recipe.kind not in kinds:
        raise RecipeError(f"expected kind among {', '.join(kinds)} in {recipe_path}, got {recipe.kind!r}")
    return kinds[recipe.kind]()


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
