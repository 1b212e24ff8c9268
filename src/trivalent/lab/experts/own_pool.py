"""Recipes of kind `own-pool`: what the experts of a bundle count beside each other, by your own recordings.

The recordings are analysed as a user does. How far each expert is believed and what it weighs beside the
others is fitted as `trivalent.lab.fusion.pool_fit` does, with the installed values as the centre of the
prior: dozens of recordings move them a little, hundreds more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from trivalent.analyzer import Analyzer
from trivalent.bundle.fusion import Pool
from trivalent.bundle.loading import Bundle, load_pool, open_bundle
from trivalent.core.errors import RecipeError
from trivalent.core.files import write_text_atomic
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import FloatArray
from trivalent.lab.bundles import write_bundle
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.experts.own_recipe import (
    ADAPTED,
    EXPECTING,
    INSTALLED,
    OwnRecipe,
    judged,
    lines,
    outcome,
    seen,
    shares_of,
)
from trivalent.lab.fusion.pool_fit import SPREAD, FittedPool, Recordings, fit_pool, left_out
from trivalent.lab.measure import metrics as measures
from trivalent.lab.measure.evaluate_recordings import analyse_table
from trivalent.lab.problems.parts import Role
from trivalent.lab.recipes import build

KIND = "own-pool"


@dataclass(frozen=True, kw_only=True)
class PoolRecipe(OwnRecipe):
    """A parsed recipe.

    Attributes
    ----------
    spread : float
        Deviation of the prior, of logarithms: how far the table may move what is installed.
    """

    readable: ClassVar[tuple[str, ...]] = ("whisper",)

    spread: float = SPREAD

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.spread < np.inf:
            raise RecipeError("recipe.own_spread", name=self.name, spread=self.spread)


def train_own_pool(content: dict[str, Any], *, where: str, out: Path) -> list[str]:
    """Fit the pool and write `out`/bundle and `out`/metrics.json; returns lines that tell what came out.

    Parameters
    ----------
    content : dict
        The recipe.
    where : str
        Its file, for messages.
    out : Path

    Raises
    ------
    TrivalentError
        The recipe, the table or the place is at fault.
    """
    recipe = build(PoolRecipe, content, where=where)
    bundle = load_pool(recipe.bundle, threads=1)
    data = recipe.read()
    recipe.deal(data.take(data.split != "test"))  # before the work
    whisper = recipe.features.get("whisper", AnalyzerOptions.whisper)
    analyzer = Analyzer(recipe.bundle, whisper=whisper, threads=1)
    table = recipe.options().table(Path(recipe.data))
    data, analyses = analyse_table(analyzer, data, table)
    known = data.split != "test"
    groups = np.full(len(data), "", dtype="<U20")
    groups[known] = recipe.deal(data.take(known)).astype(str)
    everything = Recordings.of(analyses, data.labels, groups=groups.tolist())
    shares = shares_of(data.labels[known])
    everything = replace(everything, prior=shares)
    heard = everything.take(known)
    fitted = _fit(recipe, bundle, heard)
    answers = _answers(bundle, heard, left_out(heard, lambda rest: _fit(recipe, bundle, rest).answers))
    metrics = outcome(recipe, bundle.name, data.take(known), answers, shares) | {
        "strengths": {str(m): by for m, by in fitted.strengths.items()},
        "fusion": fitted.pool.to_dict(),
    }
    if not known.all():
        asked = everything.take(~known)
        later = _answers(bundle, asked, fitted.answers(asked))
        metrics["test"] = judged(recipe, Role.TEST, data.take(~known), later, shares)
    _write(recipe, bundle, fitted, metrics, answers[ADAPTED], data.take(known), out=out)
    counts = ", ".join(f"{m} {b.polar:g} and {b.neutral:g}" for m, b in fitted.pool.beside.items())
    told = f"{out}: {bundle.name} with its pool adapted to {data.name}; polar and neutral: {counts}"
    return [told, *lines(metrics)]


def _fit(recipe: PoolRecipe, bundle: Bundle[Pool], heard: Recordings) -> FittedPool:
    """Fit around what is installed, expecting the classes of the table; strengths are factors."""
    start = FittedPool(bundle.fusion.expecting(heard.prior))
    return fit_pool(heard, start=start, spread=recipe.spread)


def _answers(bundle: Bundle[Pool], heard: Recordings, adapted: FloatArray) -> dict[str, FloatArray]:
    """Return what analyses say of the recordings, shape (n, 3) each."""
    return {
        ADAPTED: adapted,
        INSTALLED: replace(heard, prior=bundle.fusion.prior).answers(bundle.fusion),
        EXPECTING: heard.answers(bundle.fusion),
    }


def _write(
    recipe: PoolRecipe,
    bundle: Bundle[Pool],
    fitted: FittedPool,
    metrics: dict[str, Any],
    answers: FloatArray,
    known: Dataset,
    *,
    out: Path,
) -> None:
    files = open_bundle(recipe.bundle)
    specs = {m: expert.spec for m, expert in bundle.experts.items()}
    adapted = {m: replace(s, strength=s.strength * fitted.strengths.get(m, 1.0)) for m, s in specs.items()}
    figures = measures.summarize(known.labels, answers)
    told = f"{known.name} macro-F1 {figures['macro_f1']:.3f}, ECE {figures['ece']:.3f} (out of fold)"
    summary = f"{bundle.name} {bundle.version}, its pool adapted to {known.name}."
    write_bundle(
        out / "bundle",
        name=recipe.name,
        experts=adapted,
        fusion=fitted.pool,
        decision=bundle.decision,
        card={
            **bundle.card,
            "summary": f"{summary} {bundle.card.get('summary', '')}",
            "fusion": {f"fitted on {len(known)} recordings": told},
        },
        metrics=bundle.metrics | {"fusion": {"out_of_fold": {known.name: figures}, "seen": seen(known)}},
        graphs={spec.model: files.read(spec.model) for spec in specs.values()},
    )
    write_text_atomic(out / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False) + "\n")


__all__ = ["KIND", "PoolRecipe", "train_own_pool"]
