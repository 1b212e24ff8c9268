"""Recipes of kind `own-expert`: one expert of a bundle, adapted to your own table of recordings."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax

from trivalent.bundle.fusion import Pool
from trivalent.bundle.loading import Bundle, load_pool, open_bundle
from trivalent.bundle.spec import ExpertSpec
from trivalent.core.errors import RecipeError, UsageError
from trivalent.core.files import write_text_atomic
from trivalent.core.types import FloatArray, Modality
from trivalent.lab.bundles import write_bundle
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.own_training import usable_modalities
from trivalent.lab.experts.own_adapter import (
    STRENGTHS,
    Adapter,
    Heard,
    choose_strength,
    cross_validate,
    fit_adapter,
    temperature_of,
)
from trivalent.lab.experts.own_readings import hear, plan_for
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
from trivalent.lab.graphs.adapted import adapt_graph
from trivalent.lab.measure import metrics as measures
from trivalent.lab.named_choices import check_known
from trivalent.lab.problems.parts import Role
from trivalent.lab.recipes import build

log = logging.getLogger(__name__)
KIND = "own-expert"
MIN_RECORDINGS = 20  # with fewer no temperature is fitted, as of networks


@dataclass(frozen=True, kw_only=True)
class ExpertRecipe(OwnRecipe):
    """A parsed recipe.

    Attributes
    ----------
    modality : str
        Whose expert.
    strengths : tuple of float
        From which one is chosen by cross-validation: by how many logits an utterance may be moved.
    """

    readable: ClassVar[tuple[str, ...]] = ("recognize", "whisper", "workers")

    modality: str
    strengths: tuple[float, ...] = STRENGTHS

    def __post_init__(self) -> None:
        super().__post_init__()
        check_known("modality", self.modality, Modality)
        numbers = all(isinstance(s, int | float) and 0 <= s < np.inf for s in self.strengths)
        if not numbers or not self.strengths or list(self.strengths) != sorted(self.strengths):
            raise RecipeError("recipe.own_strengths", name=self.name, strengths=list(self.strengths))


@dataclass(frozen=True, eq=False)
class Adapted:
    """What came of the recordings that are not of the test part.

    Attributes
    ----------
    adapter : Adapter
        Of all of them.
    temperature : float
        Of the answers out of fold; 1 for fewer than `MIN_RECORDINGS`.
    strength : float
    strengths : list of float
        Chosen without each fold.
    logits : array, shape (n, 3)
        Out of fold, calibrated.
    """

    adapter: Adapter
    temperature: float
    strength: float
    strengths: list[float]
    logits: FloatArray


def train_own_expert(content: Mapping[str, Any], *, where: str, out: Path) -> list[str]:
    """Adapt an expert and write `out`/bundle and `out`/metrics.json; returns lines that tell what came out.

    Parameters
    ----------
    content : mapping
        The recipe.
    where : str
        Its file, for messages.
    out : Path

    Raises
    ------
    TrivalentError
        The recipe, the table or the place is at fault.
    """
    recipe = build(ExpertRecipe, content, where=where)
    modality = Modality(recipe.modality)
    bundle = load_pool(recipe.bundle, threads=1)
    if modality not in bundle.experts:
        raise UsageError("decision.modalities_lacking", name=bundle.name, lacking=modality)
    data = recipe.read(plan_for(recipe.bundle, modality, recipe.own_features()))
    usable_modalities(data, [modality])
    heard, recordings = hear(bundle.experts[modality], data, modality)
    known = recordings.split != "test"
    shares = shares_of(recordings.labels[known])
    heard = alone(bundle.experts[modality].spec, heard, shares)
    mine = heard.part(np.flatnonzero(known))
    adapted = adapt(mine, recordings.take(known), recipe)
    answers = _answers(bundle, mine, adapted.logits, shares)
    metrics = outcome(recipe, bundle.name, recordings.take(known), answers, shares) | {
        "modality": recipe.modality,
        "strength": adapted.strength,
        "strength_without_each_fold": adapted.strengths,
        "temperature": adapted.temperature,
    }
    if not known.all():
        asked = heard.part(np.flatnonzero(~known))
        logits = adapted.adapter.logits(asked) / adapted.temperature
        later = _answers(bundle, asked, logits, shares)
        metrics["test"] = judged(recipe, Role.TEST, recordings.take(~known), later, shares)
    _write(recipe, bundle, adapted, metrics, answers[ADAPTED], recordings.take(known), out=out)
    told = f"{out}: {bundle.name} with its {modality} expert adapted to {data.name}"
    return [f"{told}; strength {adapted.strength:g}", *lines(metrics)]


def adapt(heard: Heard, recordings: Dataset, recipe: ExpertRecipe) -> Adapted:
    """Choose, fit and judge by cross-validation over groups.

    Raises
    ------
    DataError
        Fewer than three groups, or one class.
    """
    folds = recipe.deal(recordings)
    logits, chosen = cross_validate(heard, folds, recipe.strengths)
    temperature = 1.0
    if len(heard.labels) >= MIN_RECORDINGS:
        temperature = temperature_of(heard, logits)
    else:
        log.warning(
            "%s: %d recordings, fewer than %d: no temperature was fitted, and the figures are coarse",
            recordings.name,
            len(heard.labels),
            MIN_RECORDINGS,
        )
    strength = choose_strength(heard, folds, recipe.strengths)
    adapter = fit_adapter(heard, strength)
    return Adapted(adapter, temperature, strength, chosen, logits / temperature)


def alone(spec: ExpertSpec, heard: Heard, shares: FloatArray) -> Heard:
    """Return what an analysis by this expert alone says where classes are expected as the table has them.

    There the adapting begins: at the answers under other shares, and as far as the expert is believed.
    """
    evidence = spec.strength * (heard.log_p - np.log(spec.prior))
    return replace(heard, log_p=log_softmax(evidence + np.log(shares), axis=1))


def _answers(
    bundle: Bundle[Pool], heard: Heard, logits: FloatArray, shares: FloatArray
) -> dict[str, FloatArray]:
    """Return what analyses with this modality alone say of recordings, shape (m, 3) each."""
    return {
        ADAPTED: heard.answers(logits),
        INSTALLED: heard.answers(heard.log_p - np.log(shares) + np.log(bundle.fusion.prior)),
        EXPECTING: heard.answers(heard.log_p),
    }


def _write(
    recipe: ExpertRecipe,
    bundle: Bundle[Pool],
    adapted: Adapted,
    metrics: Mapping[str, Any],
    answers: FloatArray,
    known: Dataset,
    *,
    out: Path,
) -> None:
    modality, files, layer = Modality(recipe.modality), open_bundle(recipe.bundle), adapted.adapter
    before, shares = bundle.experts[modality].spec, np.array(metrics["shares"])
    graphs = {e.spec.model: files.read(e.spec.model) for e in bundle.experts.values()}
    graphs[before.model] = adapt_graph(
        graphs[before.model],
        before.takes,
        slope=layer.slope * before.strength / before.temperature,
        weights=layer.weights,
        bias=layer.bias + layer.slope * (np.log(shares) - before.strength * np.log(before.prior)),
    )
    spec = replace(before, temperature=adapted.temperature, prior=shares, strength=1.0)
    figures = measures.summarize(known.labels, answers)
    learnt = {"out_of_fold": {known.name: figures}, "seen": seen(known)}
    write_bundle(
        out / "bundle",
        name=recipe.name,
        experts={m: spec if m is modality else e.spec for m, e in bundle.experts.items()},
        fusion=bundle.fusion.expecting(shares),
        decision=bundle.decision,
        card=_card(bundle, modality, recordings=known, figures=figures),
        metrics=bundle.metrics | {modality: learnt},
        graphs=graphs,
    )
    write_text_atomic(out / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False) + "\n")


def _card(
    bundle: Bundle[Pool], modality: Modality, *, recordings: Dataset, figures: Mapping[str, float]
) -> dict[str, Any]:
    name, groups = recordings.name, len(np.unique(recordings.groups))
    told = {
        "data": f"adapted to {name}: {len(recordings)} recordings, {groups} speakers or videos; before: ",
        "limits": f"adapted to the people, places and labels of {name}; ",
    }
    card = dict(bundle.card)
    for key, text in told.items():
        card[key] = {**card.get(key, {}), modality: text + card.get(key, {}).get(modality, "")}
    told_figures = f"{name} macro-F1 {figures['macro_f1']:.3f}, ECE {figures['ece']:.3f}"
    card["validation"] = {**card.get("validation", {}), modality: f"out of fold: {told_figures}"}
    card["summary"] = (
        f"{bundle.name} {bundle.version}, its {modality} expert adapted to {recordings.name}. "
        f"{card.get('summary', '')}"
    )
    return card


__all__ = ["KIND", "MIN_RECORDINGS", "Adapted", "ExpertRecipe", "adapt", "alone", "train_own_expert"]
