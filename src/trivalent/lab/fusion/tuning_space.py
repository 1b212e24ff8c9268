"""What a search may change: options of a fusion recipe, each with its choices or its range."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from trivalent.core.errors import RecipeError
from trivalent.lab.fit.losses import loss_options
from trivalent.lab.fusion.recipe import FusionRecipe, parse_fusion
from trivalent.lab.named_choices import check_known
from trivalent.lab.networks.registry import network_options
from trivalent.lab.recipes import build

SPACE = "tune"  # the key of a recipe
# What is judged, on what and how often, and what changes no decision.
_FIXED = (
    *("kind", "name", "data", "protocol", "seeds", "allow_synthetic", "features", "label_map"),
    *("answered", "coverage", "conformal_split"),
)


@dataclass(frozen=True)
class Choices:
    """Values of any kind, one of which is taken."""

    values: tuple[Any, ...]

    def ends(self) -> tuple[Any, ...]:
        """Values that must fit the recipe: all of them."""
        return self.values

    def to_plain(self) -> Any:
        """Render as in a recipe."""
        return list(self.values)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; `log` takes them evenly by ratio, `whole` only whole ones."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def ends(self) -> tuple[Any, ...]:
        """Values that must fit the recipe: the least and the greatest."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def to_plain(self) -> Any:
        """Render as in a recipe."""
        return asdict(self)


Space = dict[str, Choices | Range]


def split_space(content: Mapping[str, Any], *, where: str) -> tuple[dict[str, Any], Space]:
    """Take the search space out of the mapping of a recipe, and check both.

    Parameters
    ----------
    content : mapping
        As `read_recipe` returns it; under `tune` dotted keys (`training.learning_rate`, `members.0.loss`)
        with a list of values, or low and high with `log` and `whole`. Without `tune` the space is
        `default_space`.
    where : str
        Names the recipe in messages.

    Returns
    -------
    dict
        The recipe without `tune`.
    Space
        By dotted key.

    Raises
    ------
    RecipeError, UsageError
        The recipe is at fault, an option is none that can be searched, or one of its values does not fit.

    Examples
    --------
    >>> content = {"name": "demo", "data": "mosei", "tune": {"network_options.width": [32, 64]}}
    >>> split_space(content, where="demo")
    ({'name': 'demo', 'data': 'mosei'}, {'network_options.width': Choices(values=(32, 64))})
    """
    content = dict(content)
    given = content.pop(SPACE, None)
    recipe = parse_fusion(content, where=where)
    if given is None:
        return content, default_space(recipe)
    if not isinstance(given, Mapping) or not given:
        raise RecipeError("tune.space", where=where, given=repr(given))
    space = {str(key): _option(str(key), value, where=where) for key, value in given.items()}
    for key, option in space.items():
        for value in option.ends():
            parse_fusion(with_values(content, {key: value}), where=f"{where}, {SPACE}.{key}")
    return content, space


def _option(key: str, given: Any, *, where: str) -> Choices | Range:
    first = key.split(".")[0]
    check_known("key of a recipe that can be searched", first, _searchable())
    if isinstance(given, Mapping):
        whole = all(type(given.get(end)) is int for end in ("low", "high"))
        option = build(Range, {"whole": whole} | dict(given), where=f"{where}, {SPACE}.{key}")
        finite = math.isfinite(option.low) and math.isfinite(option.high)
        if not (finite and option.low < option.high) or (option.log and option.low <= 0):
            raise RecipeError("tune.range", key=key, where=where, low=option.low, high=option.high)
        return option
    values = given if isinstance(given, list) else []
    try:
        different = {json.dumps(value) for value in values}
    except (TypeError, ValueError):  # a date, or a list that holds itself
        different = set()
    if len(different) < max(2, len(values)):
        raise RecipeError("tune.option", key=key, where=where, given=repr(given))
    return Choices(tuple(values))


def _searchable() -> list[str]:
    return [f.name for f in fields(FusionRecipe) if f.name not in _FIXED]


def default_space(recipe: FusionRecipe) -> Space:
    """Return what is searched where a recipe does not say: the training, dropout, class weights, width.

    >>> recipe = parse_fusion({"name": "demo", "data": "mosei", "network": "linear"}, where="demo")
    >>> list(default_space(recipe))[2:]
    ['modality_dropout', 'loss_options.weights', 'network_options.dropout']
    """
    space: Space = {
        "training.learning_rate": Range(1e-4, 1e-2, log=True),
        "training.weight_decay": Range(1e-6, 1e-2, log=True),
    }
    if recipe.network != "single" and len(recipe.modalities) != 1:
        space["modality_dropout"] = Range(0.0, 0.5)
    if "weights" in loss_options(recipe.loss):
        space["loss_options.weights"] = Choices(("none", "sqrt", "linear"))
    options = {} if any("network" in m for m in recipe.members) else network_options(recipe.network)
    if "dropout" in options:
        space["network_options.dropout"] = Range(0.0, 0.6)
    if "width" in options:
        width = int(recipe.network_options.get("width", options["width"]))
        space["network_options.width"] = Choices((width // 2, width, 2 * width))
    own = [set(member) for member in recipe.members]
    return {key: o for key, o in space.items() if not own or not all(key.split(".")[0] in m for m in own)}


def with_values(content: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Put values at dotted keys of a recipe; a number counts the members of a list.

    Raises
    ------
    RecipeError
        A key leads through something that holds no keys.

    Examples
    --------
    >>> with_values({"members": [{"loss": "focal"}, {}]}, {"members.1.loss": "ldam", "training.epochs": 3})
    {'members': [{'loss': 'focal'}, {'loss': 'ldam'}], 'training': {'epochs': 3}}
    """
    made = copy.deepcopy(dict(content))
    for key, value in values.items():
        *parents, last = key.split(".")
        target: Any = made
        for parent in parents:
            target = _inner(target, parent, key)
        if not isinstance(target, dict):
            raise RecipeError("tune.key", key=key)
        target[last] = copy.deepcopy(value)
    return made


def _inner(target: Any, name: str, key: str) -> Any:
    if isinstance(target, list) and name.isdecimal() and int(name) < len(target):
        return target[int(name)]
    if not isinstance(target, dict):
        raise RecipeError("tune.key", key=key)
    return target.setdefault(name, {})


__all__ = ["SPACE", "Choices", "Range", "Space", "default_space", "split_space", "with_values"]
