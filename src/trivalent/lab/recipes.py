"""Recipes: small YAML files that name everything a training run depends on."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from trivalent.errors import MissingExtraError, RecipeError

T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe.

    `kind` chooses the trainer (text, voice, face, bundle); `task` and `training` are its
    configuration, checked by the trainer's own dataclasses. `runs` of a text recipe are changes
    of `training`, and of `task` under that key, one fine-tuning each.
    """

    kind: str
    name: str
    seeds: tuple[int, ...] = (0,)
    runs: tuple[dict[str, Any], ...] = ()
    task: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


def load_recipe(path: Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `key=value` overrides (`training.epochs=1`).

    Raises
    ------
    RecipeError
        The file cannot be read, is not a mapping, or has an unknown key.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("pyyaml", "train") from error
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"expected a readable YAML recipe, got {path}: {reason}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"expected a mapping of keys in {path}, got {type(data).__name__}")
    for override in overrides:
        _override(data, override, yaml.safe_load)
    return build(Recipe, data, where=str(path))


def build(kind: type[T], data: Mapping[str, Any], *, where: str) -> T:
    """Make a config dataclass from a mapping; an unknown key raises and names the nearest one.

    >>> from trivalent.lab.recipes import Recipe, build
    >>> build(Recipe, {"kind": "text", "nmae": "x"}, where="demo")
    Traceback (most recent call last):
    ...
    trivalent.errors.RecipeError: expected a key of Recipe in demo, got 'nmae'; did you mean 'name'?
    """
    assert is_dataclass(kind)  # noqa: S101 - programming error, not input
    known = [f.name for f in fields(kind)]
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            raise RecipeError(f"expected a key of {kind.__name__} in {where}, got {key!r}; {hint}")
    hints = get_type_hints(kind)
    values = {}
    for key, value in data.items():
        if str(hints[key]).startswith("tuple") and isinstance(value, list):
            value = tuple(value)
        elif hints[key] is float and isinstance(value, int):
            value = float(value)
        values[key] = value
    try:
        return kind(**values)
    except TypeError as error:
        raise RecipeError(f"expected all keys of {kind.__name__} in {where}: {error}") from error


def _override(data: dict[str, Any], text: str, parse: Any) -> None:
    path, separator, value = text.partition("=")
    if not separator or not path:
        raise RecipeError(f"expected --set key=value, got {text!r}")
    *parents, last = path.split(".")
    target = data
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise RecipeError(f"expected {parent!r} of --set {text} to hold keys, got a plain value")
    target[last] = parse(value)
