"""Trained experts, and the pool of what they say, to one bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trivalent.bundle.decision import Decision, ratio
from trivalent.bundle.fusion import MIXED_ABOVE, Beside
from trivalent.bundle.loading import installed_bundles
from trivalent.core.types import LABELS, Modality
from trivalent.lab.bundles import write_bundle
from trivalent.lab.experts.trained import FILE, TrainedExpert
from trivalent.lab.fusion.bundle_pool import PooledExperts, pool_experts
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


def told_pool(pooled: PooledExperts) -> list[str]:
    """Say what each modality counts alone and beside others."""
    return [
        f"{m}: strength {spec.strength:g}, beside others {beside.polar:g}, where neutral {beside.neutral:g}"
        for m, spec in pooled.experts.items()
        for beside in [pooled.fitted.pool.beside.get(m, Beside())]
    ]


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


def card_of_pool(pooled: PooledExperts, prior: Sequence[float]) -> dict[str, str]:
    """Tell how the verdict comes about: data, what counts, what is expected."""
    sources = ", ".join(np.unique(pooled.recordings.groups).tolist())
    shares = ", ".join(f"{label} {share:.2f}" for label, share in zip(LABELS, prior, strict=True))
    return {
        "fitted on": f"{len(pooled.recordings)} talking clips ({sources})",
        "what counts": "; ".join(told_pool(pooled)),
        "expected classes (--prior)": shares,
    }


def told_metrics(metrics: dict[str, Any]) -> list[str]:
    """Macro-F1 and ECE of every validation part."""
    parts = metrics.get("validation") or metrics["out_of_fold"]
    return [f"{name} macro-F1 {m['macro_f1']:.3f}, ECE {m['ece']:.3f}" for name, m in parts.items()]
