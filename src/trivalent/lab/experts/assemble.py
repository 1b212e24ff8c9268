"""Trained experts, and the pool of what they say, to one bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trivalent.bundle.decision import Decision, ratio
from trivalent.bundle.fusion import MIXED_ABOVE
from trivalent.bundle.loading import installed_bundles
from trivalent.core.types import Modality
from trivalent.lab.bundles import write_bundle
from trivalent.lab.experts.trained import FILE, TrainedExpert
from trivalent.lab.fusion.bundle_pool import (
    PooledExperts,
    card_of_pool,
    pool_experts,
    told_metrics,
    told_pool,
)
from trivalent.lab.recipes import Recipe, build


@dataclass(frozen=True)
class BundleConfig:
    """Folders of the trained experts, or bundles that have them, and the rules that are not fitted.

    `prior` are the expected shares of the classes.
    """

    experts: dict[str, str]
    version: str = "1"
    mixed_above: float = MIXED_ABOVE
    prior: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    thresholds: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    min_confidence: float = 0.0
    summary: str = ""


def assemble_bundle(recipe: Recipe, *, root: Path, out: Path) -> list[str]:
    """Write bundle.json and the graphs; returns lines that tell what each modality counts."""
    config = build(BundleConfig, recipe.task, where=recipe.name)
    experts = {Modality(m): _expert(where, m) for m, where in config.experts.items()}
    graphs = {e.spec.model: e.graph.read_bytes() for e in experts.values()}
    pooled = pool_experts({m: e.spec for m, e in experts.items()}, graphs, root=root)
    pool = replace(pooled.fitted.pool, mixed_above=config.mixed_above, prior=np.array(config.prior))
    write_bundle(
        out,
        name=recipe.name,
        version=config.version,
        experts=pooled.experts,
        fusion=pool,
        decision=Decision(ratio(config.thresholds), config.min_confidence),
        card=_card(config, experts, pooled),
        metrics={**{str(m): e.metrics for m, e in experts.items()}, "fusion": pooled.metrics()},
        graphs=graphs,
    )
    return [f"{out}: {line}" for line in told_pool(pooled)]


def _expert(where: str, modality: str) -> TrainedExpert:
    """Load from a folder, or from the installed bundle of that name."""
    if (Path(where) / FILE).is_file() or where not in installed_bundles():
        return TrainedExpert.load(Path(where))
    return TrainedExpert.from_installed(where, modality)


def _card(
    config: BundleConfig, experts: dict[Modality, TrainedExpert], pooled: PooledExperts
) -> dict[str, Any]:
    """Tell what a reader needs to know, at most two levels deep; all figures are in `metrics`."""
    return {
        "summary": config.summary,
        "licence": {str(m): e.card["licence"] for m, e in experts.items()},
        "data": {str(m): e.card["data"] for m, e in experts.items()},
        "validation": {
            **{str(m): "; ".join(told_metrics(e.metrics)) for m, e in experts.items()},
            "fusion": "; ".join(told_metrics(pooled.metrics())),
        },
        "limits": {str(m): e.card["limits"] for m, e in experts.items()},
        "fusion": card_of_pool(pooled, config.prior),
    }
