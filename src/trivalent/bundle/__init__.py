"""Model bundles: their files, experts, fusion and decision; the trial and the shelf of added ones."""

from __future__ import annotations

from typing import Any

#: What `trivalent.bundle` was in version 0.1.
_FORMER = (
    "FORMAT", "INSTALLED", "MIN_STEPS", "Bundle", "Expert", "ExpertSpec", "Inputs", "installed_bundles",
    "load_bundle", "open_bundle",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _FORMER:
        raise AttributeError(f"module 'trivalent.bundle' has no attribute {name!r}")
    from trivalent.core.moved import warned

    return getattr(warned("trivalent.bundle", "trivalent.bundle.loading"), name)
