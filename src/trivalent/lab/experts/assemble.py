"""Three trained experts and the worth of each modality to one bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trivalent.bundle.decision import Decision, ratio
from trivalent.bundle.fusion import Pool
from trivalent.bundle.loading import installed_bundles
from trivalent.core.types import Modality
from trivalent.lab.bundles import write_bundle
from trivalent.lab.experts.trained import FILE, TrainedExpert
from trivalent.lab.fusion.pool_weights import Worth, load_mosei_videos, measure_worth, temper_to
from trivalent.lab.recipes import Recipe, build


@dataclass(frozen=True)
class BundleConfig:
    """Folders of the trained experts, or bundles that have them, and the rules that are not fitted.

    `prior` of use is that of the text expert (spoken validation data) when absent.
    """

    experts: dict[str, str]
    version: str = "1"
    mixed_above: float = 0.15
    thresholds: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    min_confidence: float = 0.0
    summary: str = ""


def assemble_bundle(recipe: Recipe, *, root: Path, out: Path) -> list[str]:
    """Write bundle.json and the graphs; returns lines that tell the weights."""
    config = build(BundleConfig, recipe.task, where=recipe.name)
    experts = {Modality(m): _expert(where, m) for m, where in config.experts.items()}
    worth = measure_worth(load_mosei_videos(root))
    rule = fusion_rule(experts, worth, mixed_above=config.mixed_above)
    write_bundle(
        out,
        name=recipe.name,
        version=config.version,
        experts={m: e.spec for m, e in experts.items()},
        fusion=rule,
        decision=Decision(ratio(config.thresholds), config.min_confidence),
        card=_card(config, experts, worth),
        metrics={**{str(m): e.metrics for m, e in experts.items()}, "fusion": worth.to_dict()},
        graphs={e.spec.model: e.graph.read_bytes() for e in experts.values()},
    )
    weights = ", ".join(f"{m} {w:.3f}" for m, w in rule.weights.items())
    return [f"{out}: weights {weights}; beside words times {rule.beside_words:.3f}; kappa {rule.kappa:g}"]


def _expert(where: str, modality: str) -> TrainedExpert:
    """Load from a folder, or from the installed bundle of that name."""
    if (Path(where) / FILE).is_file() or where not in installed_bundles():
        return TrainedExpert.load(Path(where))
    return TrainedExpert.from_installed(where, modality)


def fusion_rule(experts: dict[Modality, TrainedExpert], worth: Worth, *, mixed_above: float) -> Pool:
    """Weights: 1 for the words, the temper for voice and face (see `fusion_fit`)."""
    weights = {}
    for m, expert in experts.items():
        weights[m] = 1.0
        if m is not Modality.TEXT and expert.weight is not None:
            weights[m] = expert.weight
        elif m is not Modality.TEXT:
            temper = temper_to(
                expert.validation_probabilities(), prior=expert.spec.prior, information=worth.information[m]
            )
            weights[m] = round(temper, 4)
    prior = experts[Modality.TEXT].spec.prior if Modality.TEXT in experts else np.full(3, 1 / 3)
    return Pool(weights, prior, round(worth.share, 4), worth.kappa, mixed_above)


def _card(config: BundleConfig, experts: dict[Modality, TrainedExpert], worth: Worth) -> dict[str, Any]:
    """Tell what a reader needs to know, at most two levels deep; all figures are in `metrics`."""
    low, high = worth.share_interval
    correlation = ", ".join(f"{m} {r:.2f}" for m, r in worth.correlation.items())
    return {
        "summary": config.summary,
        "licence": {str(m): e.card["licence"] for m, e in experts.items()},
        "data": {str(m): e.card["data"] for m, e in experts.items()},
        "validation": {str(m): "; ".join(_told(e.metrics)) for m, e in experts.items()},
        "limits": {str(m): e.card["limits"] for m, e in experts.items()},
        "fusion": {
            "correlation with sentiment on 721 MOSEI videos": correlation,
            "factor of voice and face beside words": f"{worth.share:.2f} [{low:.2f}, {high:.2f}]",
        },
    }


def _told(metrics: dict[str, Any]) -> list[str]:
    """Macro-F1 and ECE of every validation part."""
    parts = metrics.get("validation") or metrics["out_of_fold"]
    return [f"{name} macro-F1 {m['macro_f1']:.3f}, ECE {m['ece']:.3f}" for name, m in parts.items()]
