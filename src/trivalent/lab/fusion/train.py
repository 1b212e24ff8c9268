"""`trivalent train` of a fusion recipe: all seeds at once, choices on validation, one score on test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.decision import Answers, DecisionKind
from trivalent.bundle.graphs import Graph
from trivalent.bundle.loading import Bundle, load_network
from trivalent.bundle.network import DataSpec, ModalitySpec, Network, group_digest
from trivalent.core.types import FloatArray, IntArray
from trivalent.lab.bundles import write_bundle
from trivalent.lab.decide.answering import Answering, AnsweringConfig, Calibration, choose_answering
from trivalent.lab.decide.conformal_split import split_validation
from trivalent.lab.fusion.recipe import FusionRecipe
from trivalent.lab.fusion.results import check_drawing, write_results
from trivalent.lab.fusion.seed_training import Trained, train_system
from trivalent.lab.fusion.voting import Voted, train_vote
from trivalent.lab.graphs.fusion import export_fusion
from trivalent.lab.measure.evaluation import TITLES, figures, limits, report
from trivalent.lab.measure.statistics import seed_interval
from trivalent.lab.problems.classification import Problem
from trivalent.lab.problems.encoders import encoder_of
from trivalent.lab.problems.parts import Part

log = logging.getLogger(__name__)
ROUNDS = 1000  # of the bootstrap
MIN_VALIDATION = 20  # samples; on fewer a calibration, a decision rule or votes are fitted to chance
GRAPH = "network.onnx"


@dataclass(frozen=True, eq=False)
class Selected:
    """A trained system and what was chosen on its validation part.

    Attributes
    ----------
    trained : Trained or Voted
    problem : Problem
        Its validation part lacks the groups of `apart`.
    apart : Part, optional
        Validation groups that only the prediction sets saw.
    each : tuple of Answering
        Of every seed alone.
    ensemble : Answering
        Of the mean of their logits.
    """

    trained: Trained | Voted
    problem: Problem
    apart: Part | None
    each: tuple[Answering, ...]
    ensemble: Answering


def train_fusion(
    recipe: FusionRecipe, *, out: Path, root: Path | None = None, rounds: int = ROUNDS
) -> list[str]:
    """Train, choose, score and write the result folder; returns lines that tell what came out.

    Parameters
    ----------
    recipe : FusionRecipe
    out : Path
        Gets bundle/, metrics.json, curves.json, curves.png, confusion.png and card.md.
    root : Path, optional
        Data root, else $TRIVALENT_DATA.
    rounds : int
        Of the bootstrap over groups.

    Raises
    ------
    TrivalentError
        The recipe, the data or the place is at fault.
    """
    check_drawing()  # before the work, not after it
    selected = select(recipe, recipe.problem(root))
    metrics = score(recipe, selected, rounds=rounds)
    bundle = _bundle(recipe, selected, metrics, folder=out / "bundle")
    write_results(bundle, history=_history(selected.trained), out=out)
    return _told(bundle, out)


def select(recipe: FusionRecipe, problem: Problem) -> Selected:
    """Train on the training part and choose everything else on the validation part.

    The test part is not touched.
    """
    val, apart = split_validation(problem.parts.val, recipe.conformal_split)
    problem = replace(problem, parts=replace(problem.parts, val=val))
    trained = _trained(recipe, problem)
    logits = trained.logits(problem.parts.val)
    aside = None if apart is None else trained.logits(apart)
    rare = int(problem.counts().argmin())
    config = _supported(recipe.answering, len(val), problem.name)

    def choose(own: FloatArray, other: FloatArray | None) -> Answering:
        pair = None if apart is None or other is None else (other, apart)
        return choose_answering(own, problem.parts.val, config=config, rare=rare, apart=pair)

    each = [choose(own, None if aside is None else aside[k]) for k, own in enumerate(logits)]
    ensemble = choose(logits.mean(0), None if aside is None else aside.mean(0))
    return Selected(trained, problem, apart, tuple(each), ensemble)


def _supported(config: AnsweringConfig, count: int, name: str) -> AnsweringConfig:
    """Leave out what so few validation samples cannot tell, and say so."""
    plain = replace(config, calibration=Calibration.NONE, decision=DecisionKind.ARGMAX)
    if count >= MIN_VALIDATION or plain == config:
        return config
    log.warning(
        "%s: %d validation samples, fewer than %d: no calibration, decision rule or weights of "
        "votes were fitted",
        name,
        count,
        MIN_VALIDATION,
    )
    return plain


def _trained(recipe: FusionRecipe, problem: Problem) -> Trained | Voted:
    systems = recipe.systems()
    if len(systems) == 1:
        return train_system(systems[0], problem, recipe.seeds)
    few = len(problem.parts.val) < MIN_VALIDATION  # all votes alike, then
    weights = recipe.vote or ((1.0,) * len(systems) if few else None)
    return train_vote(systems, problem, recipe.seeds, weights=weights)


def score(recipe: FusionRecipe, selected: Selected, *, rounds: int = ROUNDS) -> dict[str, Any]:
    """Judge the finished system on validation and, once, on test.

    Returns
    -------
    dict
        A JSON object: data, protocol, seeds, samples left out by reason, and for each part the figures by
        seed, their means with 95 % intervals over seeds, and the report on the mean of the seeds (see
        `evaluation.report`).
    """
    parts, problem = selected.problem.parts, selected.problem
    entry = recipe.entry()
    return {
        "data": entry.name,
        "protocol": entry.protocol(recipe.protocol or None).name,
        "synthetic": problem.synthetic,
        "system": recipe.name,
        "seeds": list(recipe.seeds),
        "left_out": dict(problem.dropped),
        "chosen_on": "validation",
        "validation": _score_part(recipe, selected, parts.val, rounds=rounds),
        "test": _score_part(recipe, selected, parts.test, rounds=rounds),
    }


def _score_part(recipe: FusionRecipe, selected: Selected, part: Part, *, rounds: int) -> dict[str, Any]:
    """Score every seed and the mean of the seeds, each once; the guard counts."""
    logits = selected.trained.logits(part)
    counts = selected.problem.counts()
    seeds = []
    for own, answering, seed in zip(logits, selected.each, recipe.seeds, strict=True):
        answers = answering.answer(own)
        found = part.score(recipe.name, answers.decisions, seed=seed, by=_figures(answers))
        seeds.append({"seed": seed} | found)
    answers = selected.ensemble.answer(logits.mean(0))
    whole = part.score(
        f"{recipe.name}, mean of the logits of {len(recipe.seeds)} seeds",
        answers.decisions,
        seed=recipe.seeds[0],
        by=lambda labels, _: report(
            labels,
            answers,
            groups=part.groups.tolist(),
            prior=counts / counts.sum(),
            coverage=recipe.coverage,
            rounds=rounds,
        ),
    )
    return {"seeds": seeds, "mean": _means(seeds), "ensemble": whole}


def _figures(answers: Answers) -> Callable[[IntArray, NDArray[Any]], Mapping[str, Any]]:
    return lambda labels, decisions: figures(labels, decisions, probabilities=answers.probabilities)


def _means(seeds: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Mean over seeds with Student's interval, cut at the limits of the figure.

    No interval for one seed, for seeds that are all alike, nor where it would go from one limit to
    the other.
    """
    means: dict[str, dict[str, float | None]] = {}
    for name in TITLES:
        values = [figures[name] for figures in seeds]
        if len(values) == 1:
            means[name] = {"mean": values[0], "low": None, "high": None}
        else:
            interval = seed_interval(values, limits=limits(name))
            bounds = (interval.low, interval.high)
            says_nothing = interval.deviation == 0 or bounds == limits(name)
            low, high = (None, None) if says_nothing else bounds
            means[name] = {"mean": interval.mean, "low": low, "high": high}
    return means


def _bundle(
    recipe: FusionRecipe, selected: Selected, metrics: dict[str, Any], *, folder: Path
) -> Bundle[Network]:
    networks = selected.trained.networks()
    problem, entry = selected.problem, recipe.entry()
    counts, parts = problem.counts(), problem.parts
    seen = [parts.train, parts.val] + ([] if selected.apart is None else [selected.apart])
    groups = np.unique(np.concatenate([part.groups for part in seen])).tolist()
    data = DataSpec(
        entry.name,
        metrics["protocol"],
        entry.licence,
        tuple((counts / counts.sum()).tolist()),
        tuple(sorted(map(group_digest, groups))),
        problem.synthetic,
    )
    encoders = {m: encoder_of(name, problem.cleaners[m].columns) for m, name in problem.extractors.items()}
    encoders |= recipe.encoders(problem)
    modalities = {m: ModalitySpec(encoders[m], problem.cleaners[m]) for m in networks[0].modalities}
    content, answering = export_fusion(networks), selected.ensemble
    graph = Graph(lambda: content, name=GRAPH)
    write_bundle(
        folder,
        name=recipe.name,
        experts={},
        fusion=Network(graph, modalities, answering.calibration, data, recipe.plan.whisper),
        decision=answering.decision,
        card=_card(recipe, selected),
        metrics=metrics,
        graphs={GRAPH: content},
    )
    return load_network(folder)


def _card(recipe: FusionRecipe, selected: Selected) -> dict[str, Any]:
    entry, parts = recipe.entry(), selected.problem.parts
    exact = selected.apart is not None
    sets = (
        f"calibrated on {len(selected.apart or ())} validation samples that nothing else was chosen on"
        if exact
        else "approximate: calibrated on the validation samples that epoch and calibration were chosen on"
    )
    plain = asdict(recipe) | {"training": asdict(recipe.training_config())}
    return {
        "title": entry.title,
        "licence": f"weights trained on: {entry.licence}",
        "homepage": entry.homepage,
        "samples": {"train": len(parts.train), "validation": len(parts.val), "test": len(parts.test)},
        "sets": sets,
        "limits": "trained on one data set, whose speakers, language and annotators it knows",
        "recipe": {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()},
    }


def _history(trained: Trained | Voted) -> dict[str, list[dict[str, float]]]:
    """Return validation macro-F1 by epoch, for each seed."""
    return {
        str(seed): [
            {"epoch": validation["epoch"], "macro_f1": validation["score"]} for validation in history
        ]
        for seed, history in zip(trained.seeds, trained.history, strict=True)
    }


def _told(bundle: Bundle[Network], out: Path) -> list[str]:
    data = bundle.fusion.data
    lines = [f"{out}: {bundle.name} on {data.name}, {data.protocol}"]
    for part in ("validation", "test"):
        metrics = bundle.metrics[part]
        mean, whole = metrics["mean"]["macro_f1"], metrics["ensemble"]["figures"]["macro_f1"]
        spread = "" if mean["low"] is None else f" [{mean['low']:.3f}, {mean['high']:.3f}]"
        best = max(constant["macro_f1"] for constant in metrics["ensemble"]["baselines"].values())
        count = len(metrics["seeds"])
        seeds = f"{mean['mean']:.3f}{spread} over {count} seeds, {whole['value']:.3f} of their mean"
        told = seeds if count > 1 else f"{whole['value']:.3f}"
        lines.append(f"  {part}: macro-F1 {told}, {best:.3f} of the best constant")
    return lines
