"""Recipes: small YAML files that name everything a training run depends on."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from trivalent.core.errors import MissingExtraError, RecipeError

T = TypeVar("T")
_MAX_BYTES = 2**18
_MAX_VALUES = 20_000


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe.

    `kind` chooses the trainer (text, voice, face, bundle); `task` and `training` are its
    configuration, checked by the trainer's own dataclasses. `runs` of a text recipe are changes
    of `training`, and of `task` under that key, one fine-tuning each; its `teachers` are asked first.
    `card` is what a user of a voice or face expert should know (data, licence, limits) where that is
    more than what holds for its data set.
    """

    kind: str
    name: str
    seeds: tuple[int, ...] = (0,)
    runs: tuple[dict[str, Any], ...] = ()
    teachers: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)


def read_recipe(path: Path | None, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a recipe as the mapping that it is and apply `key=value` overrides (`training.epochs=1`).

    Without a path the overrides are all that there is.

    Raises
    ------
    RecipeError
        The file cannot be read, is not a mapping, or an override is none.
    """
    data = {} if path is None else _parse(_text(path), str(path))
    if not isinstance(data, dict):
        raise RecipeError("recipe.mapping_file", path=path, type=type(data).__name__)
    for override in overrides:
        _override(data, override)
    return data


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise RecipeError("recipe.large", max_bytes=_MAX_BYTES >> 10, path=path)
        return raw.decode("utf-8")
    except (OSError, ValueError) as error:
        raise RecipeError("recipe.unreadable", path=path, error=error) from error


def _parse(text: str, where: str) -> Any:
    """Parse YAML: dates that do not exist, numbers without end and the like are no recipe, either."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("pyyaml", "train") from error
    try:
        data = yaml.safe_load(text)
    except Exception as error:  # besides YAMLError whatever int(), datetime() and deep nesting raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise RecipeError("recipe.yaml", where=where, reason=reason) from error
    count, todo = 0, [data]
    while todo:
        value = todo.pop()
        count += 1
        if count > _MAX_VALUES:  # names of parts (&x, *x) let a few lines stand for billions
            raise RecipeError("recipe.many_values", max_values=_MAX_VALUES, where=where)
        todo += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return data


def load_recipe(path: Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read the recipe of an expert or of the default bundle; see `read_recipe`.

    Raises
    ------
    RecipeError
        The file cannot be read, is not a mapping, or has an unknown key.
    """
    return build(Recipe, read_recipe(path, overrides=overrides), where=str(path))


def build(kind: type[T], data: Mapping[str, Any], *, where: str) -> T:
    """Make a config dataclass from a mapping; an unknown key raises and names the nearest one.

    >>> from trivalent.lab.recipes import Recipe, build
    >>> build(Recipe, {"kind": "text", "nmae": "x"}, where="demo")
    Traceback (most recent call last):
    ...
    trivalent.core.errors.RecipeError: expected a key of Recipe in demo, got 'nmae'; did you mean 'name'?
    """
    assert is_dataclass(kind)  # noqa: S101 - programming error, not input
    known = [f.name for f in fields(kind)]
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            raise RecipeError("recipe.key", kind=kind.__name__, where=where, key=key, hint=hint)
    hints = get_type_hints(kind)
    values = {key: _fitted(key, value, hints[key], where=where) for key, value in data.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise RecipeError("recipe.keys", kind=kind.__name__, where=where, error=error) from error


def _fitted(key: str, value: Any, hint: Any, *, where: str) -> Any:
    """Bring a value of YAML to the type of its field, or say that it does not fit."""
    if str(hint).startswith("tuple") and isinstance(value, list):
        return tuple(value)
    if hint is float and not isinstance(value, bool):
        try:  # YAML reads 6e-5, which has no dot, as text
            return float(value)
        except (TypeError, ValueError):
            pass
    if get_origin(hint) in (dict, Mapping) and not isinstance(value, Mapping):
        raise RecipeError("recipe.mapping", key=key, where=where, value=value)
    number = isinstance(value, int) and not isinstance(value, bool)
    fits = {int: number, float: False, bool: isinstance(value, bool), str: isinstance(value, str)}
    if not fits.get(hint, True):
        expected = {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}[hint]
        raise RecipeError("recipe.value", expected=expected, key=key, where=where, value=value)
    return value


def _override(data: dict[str, Any], text: str) -> None:
    path, separator, value = text.partition("=")
    if not separator or not path:
        raise RecipeError("recipe.set", text=text)
    *parents, last = path.split(".")
    target = data
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise RecipeError("recipe.set_parent", parent=parent, text=text)
    target[last] = _parse(value, f"--set {text}")
