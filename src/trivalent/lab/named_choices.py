"""Choices by name: what registries of losses and resamplers have in common."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from trivalent.core.errors import UsageError

REQUIRED = inspect.Parameter.empty


def check_known(what: str, name: str, choices: Iterable[str]) -> None:
    """Raise `UsageError` with the nearest choice unless `name` is one of `choices`.

    >>> check_known("loss", "focall", ["focal", "ldam"])
    Traceback (most recent call last):
    ...
    trivalent.core.errors.UsageError: expected a known loss, got 'focall'; did you mean 'focal'?
    """
    known = [str(choice) for choice in choices]  # members of enums as the names they are
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from: {', '.join(known) or 'none'}"
        raise UsageError("recipe.choice_unknown", what=what, name=name, hint=hint)


def keyword_options(function: Callable[..., Any]) -> dict[str, Any]:
    """Keyword-only parameters of a function with their defaults, `REQUIRED` where there is none.

    >>> def f(x, *, a, b=2): ...
    >>> keyword_options(f)["b"], keyword_options(f)["a"] is REQUIRED
    (2, True)
    """
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
