"""Recipes of kind `adapt`: one expert of a bundle, adapted to your own table of recordings."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax

from trivalent.bundle.decision import Answers, Decision, DecisionRule
from trivalent.bundle.fusion import Pool
from trivalent.bundle.fusion import heard as opinion_of
from trivalent.bundle.loading import Bundle, load_pool, open_bundle
from trivalent.bundle.network import group_digest
from trivalent.bundle.spec import ExpertSpec
from trivalent.core.errors import DataError, RecipeError, UsageError
from trivalent.core.files import write_text_atomic
from trivalent.core.types import LABELS, FloatArray, IntArray, Modality
from trivalent.lab.bundles import write_bundle
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.own import TRAIN_ALONE, OwnOptions
from trivalent.lab.datasets.own_features import OwnFeatures
from trivalent.lab.datasets.own_training import check_classes, usable_modalities
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.datasets.splits import stratified_folds
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
from trivalent.lab.graphs.adapted import adapt_graph
from trivalent.lab.measure import metrics as measures
from trivalent.lab.measure.evaluation import report
from trivalent.lab.measure.statistics import paired_bootstrap
from trivalent.lab.named_choices import check_known
from trivalent.lab.problems.parts import Part, Role
from trivalent.lab.recipes import build

log = logging.getLogger(__name__)
KIND = "adapt"
MIN_RECORDINGS = 20  # with fewer no temperature is fitted, as of networks
_FEATURES = ("recognize", "whisper", "workers")
_SOME = 3  # folds
ADAPTED, PRIOR_ALONE = "adapted", "installed, expecting the classes of the table"


@dataclass(frozen=True)
class AdaptRecipe:
    """A parsed recipe.

    Attributes
    ----------
    kind : str
        adapt.
    name : str
    modality : str
        Whose expert.
    data : str
        Your own .csv.
    bundle : str
        Installed name or path: the bundle whose expert is adapted, and whose others are kept.
    label_map : mapping
        What your labels mean.
    protocol : str
        How scores become classes; the first if empty.
    features : mapping
        `recognize`, `whisper` and `workers` as in `OwnFeatures`.
    folds : int
        Of cross-validation by speaker.
    strengths : tuple of float
        From which one is chosen by cross-validation: by how many logits an utterance may be moved.
    rounds : int
        Of the bootstrap.
    """

    name: str
    modality: str
    data: str
    kind: str = KIND
    bundle: str = "default"
    label_map: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = ""
    features: Mapping[str, Any] = field(default_factory=dict)
    folds: int = 5
    strengths: tuple[float, ...] = STRENGTHS
    rounds: int = 1000

    def __post_init__(self) -> None:
        check_known("modality", self.modality, Modality)
        for key in self.features:
            check_known("key of features", key, _FEATURES)
        if not self.data.lower().endswith(".csv"):
            raise RecipeError("recipe.own_table", name=self.name, data=self.data)
        if self.folds < _SOME:
            raise RecipeError("recipe.own_folds", least=_SOME, name=self.name, folds=self.folds)
        numbers = all(isinstance(s, int | float) and 0 <= s < np.inf for s in self.strengths)
        if not numbers or not self.strengths or list(self.strengths) != sorted(self.strengths):
            raise RecipeError("recipe.own_strengths", name=self.name, strengths=list(self.strengths))

    def own_features(self) -> OwnFeatures:
        """Return how words are found."""
        return build(OwnFeatures, self.features, where=f"features of {self.name}")


@dataclass(frozen=True, eq=False)
class Adapted:
    """What came of the recordings that are not of the test part.

    Attributes
    ----------
    adapter : Adapter
        Of all of them.
    temperature : float
        Of the answers out of fold.
    calibrated : bool
        Whether there were enough recordings for one.
    strength : float
    strengths : list of float
        Chosen without each fold.
    shares : array, shape (3,)
        Of the classes; one recording of each is added, so that none is impossible.
    logits : array, shape (n, 3)
        Out of fold, calibrated.
    """

    adapter: Adapter
    temperature: float
    calibrated: bool
    strength: float
    strengths: list[float]
    shares: FloatArray
    logits: FloatArray


def train_adapted(content: Mapping[str, Any], *, where: str, out: Path) -> list[str]:
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
    recipe = build(AdaptRecipe, content, where=where)
    modality = Modality(recipe.modality)
    bundle = load_pool(recipe.bundle, threads=1)
    if modality not in bundle.experts:
        raise UsageError("decision.modalities_lacking", name=bundle.name, lacking=modality)
    data = _read(recipe, modality)
    heard, recordings = hear(bundle.experts[modality], data, modality)
    known = recordings.split != "test"
    mine = heard.part(np.flatnonzero(known))
    adapted = adapt(mine, recordings.take(known), recipe)
    spec = _spec(bundle.experts[modality].spec, adapted)
    answers = _answers(bundle, modality, spec, mine, adapted.logits, adapted.shares)
    metrics = {
        "data": data.name,
        "protocol": data.protocol,
        "modality": recipe.modality,
        "bundle": bundle.name,
        "left_out": dict(data.dropped),
        "shares": adapted.shares.tolist(),
        "strength": adapted.strength,
        "strength_without_each_fold": adapted.strengths,
        "temperature": adapted.temperature,
        "out_of_fold": _judged(recipe, Role.TRAIN, recordings.take(known), answers, adapted.shares),
        "gain": _gains(recipe, recordings.take(known), answers),
    }
    if not known.all():
        asked = heard.part(np.flatnonzero(~known))
        logits = adapted.adapter.logits(asked) / adapted.temperature
        told = _answers(bundle, modality, spec, asked, logits, adapted.shares)
        metrics["test"] = _judged(recipe, Role.TEST, recordings.take(~known), told, adapted.shares)
    _write(recipe, bundle, adapted, spec, metrics, answers[ADAPTED], recordings.take(known), out=out)
    return _lines(recipe, bundle, metrics, out)


def _read(recipe: AdaptRecipe, modality: Modality) -> Dataset:
    """Read the utterances of the table; all to be cross-validated, but those that it names test."""
    features = recipe.own_features()
    options = OwnOptions(
        fractions=TRAIN_ALONE,
        label_map=recipe.label_map,
        plan=plan_for(recipe.bundle, modality, features),
        workers=features.workers,
        folds=_SOME,
        check=check_classes,
    )
    data = find_dataset(recipe.data, own=options).read(Path(), recipe.protocol or None)
    for label in check_classes(data):
        log.warning("%s: no training sample is %s: the expert will hardly say so", data.name, label)
    usable_modalities(data, [modality])
    return data


def adapt(heard: Heard, recordings: Dataset, recipe: AdaptRecipe) -> Adapted:
    """Choose, fit and judge by cross-validation over groups.

    Raises
    ------
    DataError
        Fewer than three groups, or one class.
    """
    groups = len(np.unique(recordings.groups))
    if groups < _SOME:
        raise DataError("own.few_groups", name=recordings.name, least=_SOME, count=groups)
    if len(np.unique(heard.labels)) < 2:
        label = LABELS[heard.labels[0]]
        raise DataError("own.one_class", name=recordings.name, label=label, count=len(heard.labels))
    folds = stratified_folds(recordings.groups, recordings.labels, count=min(recipe.folds, groups))
    logits, chosen = cross_validate(heard, folds, recipe.strengths)
    calibrated = len(heard.labels) >= MIN_RECORDINGS
    temperature = temperature_of(heard, logits) if calibrated else 1.0
    if not calibrated:
        log.warning(
            "%s: %d recordings, fewer than %d: no temperature was fitted, and the figures are coarse",
            recordings.name,
            len(heard.labels),
            MIN_RECORDINGS,
        )
    strength = choose_strength(heard, folds, recipe.strengths)
    adapter, counts = fit_adapter(heard, strength), np.bincount(heard.labels, minlength=len(LABELS)) + 1
    shares = counts / counts.sum()
    return Adapted(adapter, temperature, calibrated, strength, chosen, shares, logits / temperature)


def _spec(before: ExpertSpec, adapted: Adapted) -> ExpertSpec:
    """Say how the adapted expert is read: what was calibrated on these people holds for them as it is."""
    temperature = adapted.temperature * (1.0 if adapted.strength else before.temperature)
    strength = 1.0 if adapted.calibrated else before.strength
    return replace(before, temperature=temperature, prior=adapted.shares, strength=strength)


def _answers(
    bundle: Bundle[Pool],
    modality: Modality,
    spec: ExpertSpec,
    heard: Heard,
    logits: FloatArray,
    shares: FloatArray,
) -> dict[str, FloatArray]:
    """Return what analyses with this modality alone would say of recordings, shape (m, 3) each.

    That is the adapted expert, the one before, and that one expecting the classes of the table.
    """

    def said(one: ExpertSpec, log_p: FloatArray, pool: Pool) -> FloatArray:
        told = opinion_of(np.exp(log_p), prior=one.prior, strength=one.strength)
        return heard.mean(pool.posterior({modality: told}))

    before, expecting = bundle.experts[modality].spec, bundle.fusion.expecting(shares)
    return {
        ADAPTED: said(spec, log_softmax(logits, axis=1), expecting),
        "installed": said(before, heard.log_p, bundle.fusion),
        PRIOR_ALONE: said(before, heard.log_p, expecting),
    }


def _judged(
    recipe: AdaptRecipe, role: Role, data: Dataset, answers: Mapping[str, FloatArray], prior: FloatArray
) -> dict[str, Any]:
    part = Part(role, {}, data.groups, data.labels)

    def score(name: str, given: Answers) -> dict[str, Any]:
        return part.score(
            name,
            given.decisions,
            seed=0,
            by=lambda labels, _: report(
                labels,
                given,
                groups=data.groups.tolist(),
                prior=prior,
                coverage=1.0,
                rounds=recipe.rounds,
            ),
        )

    plain = Decision(DecisionRule())  # the most probable class
    return {name: score(name, plain.answer(p)) for name, p in answers.items()}


def _gains(recipe: AdaptRecipe, known: Dataset, answers: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Compare adapted with installed that expects the same classes, resampling groups; more is better."""

    def macro_f1(labels: IntArray, p: FloatArray) -> float:
        return measures.macro_f1(labels, p.argmax(1))

    def log_score(labels: IntArray, p: FloatArray) -> float:
        return -measures.negative_log_likelihood(labels, p)

    gains = {}
    for name, function in (("macro_f1", macro_f1), ("log_score", log_score)):
        found = paired_bootstrap(
            function,
            known.labels,
            first=answers[ADAPTED],
            second=answers[PRIOR_ALONE],
            groups=known.groups.tolist(),
            rounds=recipe.rounds,
        )
        gains[name] = {"difference": found.difference, "low": found.low, "high": found.high}
    return gains


def _write(
    recipe: AdaptRecipe,
    bundle: Bundle[Pool],
    adapted: Adapted,
    spec: ExpertSpec,
    metrics: Mapping[str, Any],
    answers: FloatArray,
    known: Dataset,
    *,
    out: Path,
) -> None:
    modality, files, layer = Modality(recipe.modality), open_bundle(recipe.bundle), adapted.adapter
    before = bundle.experts[modality].spec
    graphs = {e.spec.model: files.read(e.spec.model) for e in bundle.experts.values()}
    if adapted.strength:
        graphs[spec.model] = adapt_graph(
            graphs[spec.model],
            spec.takes,
            slope=layer.slope / before.temperature,
            weights=layer.weights,
            bias=layer.bias,
        )
    figures = measures.summarize(known.labels, answers)
    seen = sorted({group_digest(group) for group in known.groups.tolist()})
    write_bundle(
        out / "bundle",
        name=recipe.name,
        experts={m: spec if m is modality else e.spec for m, e in bundle.experts.items()},
        fusion=bundle.fusion.expecting(adapted.shares),
        decision=bundle.decision,
        card=_card(bundle, modality, recordings=known, figures=figures),
        metrics=bundle.metrics | {modality: {"out_of_fold": {known.name: figures}, "seen": seen}},
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


def _lines(recipe: AdaptRecipe, bundle: Bundle[Pool], metrics: Mapping[str, Any], out: Path) -> list[str]:
    lines = [f"{out}: {bundle.name} with its {recipe.modality} expert adapted to {metrics['data']}"]
    for part in ("out_of_fold", "test"):
        for who, found in metrics.get(part, {}).items():
            told = ", ".join(
                f"{title} {value['value']:.3f}"
                + ("" if value["low"] is None else f" [{value['low']:.3f}, {value['high']:.3f}]")
                for title, value in (
                    ("macro-F1", found["figures"]["macro_f1"]),
                    ("log-loss", found["figures"]["nll"]),
                )
            )
            lines.append(f"  {part.replace('_', ' ')}, {who}: {told}; {found['n']} recordings")
    best = max(own["macro_f1"] for own in metrics["out_of_fold"]["adapted"]["baselines"].values())
    lines.append(f"  best constant: macro-F1 {best:.3f}; strength {metrics['strength']:g}")
    if metrics["gain"]["log_score"]["low"] <= 0:
        log.warning(
            "%s: out of fold the adapted %s expert is not surely better than that of %s: more recordings "
            "would tell",
            metrics["data"],
            recipe.modality,
            bundle.name,
        )
    return lines


__all__ = ["KIND", "MIN_RECORDINGS", "AdaptRecipe", "Adapted", "adapt", "train_adapted"]
