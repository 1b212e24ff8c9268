"""Model bundles: their files, experts, fusion and decision; the trial and the shelf of added ones."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # what `trivalent.bundle` was in version 0.1
    from trivalent.core.moved import warned

    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(warned("trivalent.bundle", "trivalent.bundle.loading"), name)
