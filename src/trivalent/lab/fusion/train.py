"""`trivalent train` of a fusion recipe: all seeds at once, choices on validation, one score on test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.decision import Answers, DecisionKind
from trivalent.bundle.graphs import Graph
from trivalent.bundle.loading import Bundle, load_network
from trivalent.bundle.network import ATTENTION, STEPS, DataSpec, ModalitySpec, Network, group_digest
from trivalent.core.types import FloatArray, IntArray, LabelMap, map_scores
from trivalent.lab.bundles import write_bundle
from trivalent.lab.decide.answering import Answering, AnsweringConfig, Calibration, choose_answering
from trivalent.lab.decide.conformal_split import split_validation
from trivalent.lab.fusion.recipe import FusionRecipe
from trivalent.lab.fusion.results import CURVES, check_drawing, write_results
from trivalent.lab.fusion.seed_training import Trained, train_system
from trivalent.lab.fusion.target import TargetKind
from trivalent.lab.fusion.voting import Voted, train_vote
from trivalent.lab.graphs.fusion import export_fusion
from trivalent.lab.measure.evaluation import TITLES, figures, limits, report
from trivalent.lab.measure.said import PREDICTIONS, Said, write_said
from trivalent.lab.measure.score_report import SCORE_LIMITS, SCORE_TITLES, report_scores, score_figures
from trivalent.lab.measure.statistics import seed_interval
from trivalent.lab.networks import NETWORKS
from trivalent.lab.problems.classification import Problem
from trivalent.lab.problems.encoders import encoder_of
from trivalent.lab.problems.parts import Part, Truth

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
    scores : bool
        Whether it has scores, too.
    """

    trained: Trained | Voted
    problem: Problem
    apart: Part | None
    each: tuple[Answering, ...]
    ensemble: Answering
    scores: bool = False


def train_fusion(
    recipe: FusionRecipe, *, out: Path, root: Path | None = None, rounds: int = ROUNDS
) -> list[str]:
    """Train, choose, score and write the result folder; returns lines that tell what came out.

    Parameters
    ----------
    recipe : FusionRecipe
    out : Path
        Gets bundle/, metrics.json, curves.json, predictions.csv, card.md and pictures: curves, confusion,
        of attention networks attention, of networks with scores scores.
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
    selected = select(recipe, recipe.problem(root), watched=True)
    metrics, said = score(recipe, selected, rounds=rounds)
    bundle = _bundle(recipe, selected, metrics, folder=out / "bundle")
    read = _read(bundle.fusion, selected.problem.parts.val)
    write_said(said, out / PREDICTIONS)
    write_results(bundle, curves=_curves(selected.trained), read=read, out=out)
    return _told(bundle, out)


def select(recipe: FusionRecipe, problem: Problem, *, watched: bool = False) -> Selected:
    """Train on the training part and choose everything else on the validation part.

    The test part is not touched. Figures of the training part by epoch are kept if `watched`.
    """
    _tell_other_classes(recipe, problem)
    _tell_few(recipe, problem)
    val, apart = split_validation(problem.parts.val, recipe.conformal_split)
    problem = replace(problem, parts=replace(problem.parts, val=val))
    trained = _trained(recipe, problem, watched=watched)
    logits = trained.logits(problem.parts.val)
    aside = None if apart is None else trained.logits(apart)
    rare = int(problem.counts().argmin())
    config = _supported(recipe.answering, len(val), problem.name)

    def choose(own: FloatArray, other: FloatArray | None) -> Answering:
        pair = None if apart is None or other is None else (other, apart)
        return choose_answering(own, problem.parts.val, config=config, rare=rare, apart=pair)

    each = [choose(own, None if aside is None else aside[k]) for k, own in enumerate(logits)]
    ensemble = choose(logits.mean(0), None if aside is None else aside.mean(0))
    return Selected(trained, problem, apart, tuple(each), ensemble, recipe.target.scores)


def _tell_other_classes(recipe: FusionRecipe, problem: Problem) -> None:
    """Say how many labels are not what seven classes add up to."""
    train = problem.parts.train
    if recipe.target.target == TargetKind.SEVEN and train.scored:
        other = train.labels_to_fit() != map_scores(train.scores_to_fit(), LabelMap.ROUND)
        if other.any():
            log.warning(
                "%s: %d of %d training labels are not the class of their rounded score, which seven "
                "classes add up to: choose a protocol that rounds",
                problem.name,
                other.sum(),
                len(other),
            )


def _tell_few(recipe: FusionRecipe, problem: Problem) -> None:
    """Say where samples are too few for encoders that are trained with the fusion."""
    enough = max(NETWORKS[system.network].enough for system in recipe.systems())
    least = int(problem.counts().min())
    if least < enough:
        log.warning(
            "%s: %d training samples of the rarest class; with fewer than %d training the encoders, too, "
            "was not surely better: train recipes/attention.yaml beside it, whose encoders are trained",
            problem.name,
            least,
            enough,
        )


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


def _trained(recipe: FusionRecipe, problem: Problem, *, watched: bool) -> Trained | Voted:
    systems = recipe.systems()
    if len(systems) == 1:
        return train_system(systems[0], problem, recipe.seeds, watched=watched)
    few = len(problem.parts.val) < MIN_VALIDATION  # all votes alike, then
    weights = recipe.vote or ((1.0,) * len(systems) if few else None)
    return train_vote(systems, problem, recipe.seeds, weights=weights, watched=watched)


def score(
    recipe: FusionRecipe, selected: Selected, *, rounds: int = ROUNDS
) -> tuple[dict[str, Any], list[Said]]:
    """Judge the finished system on validation and, once, on test.

    Returns
    -------
    metrics : dict
        A JSON object: data, protocol, seeds, samples left out by reason, and for each part the figures by
        seed, their means with 95 % intervals over seeds, and the report on the mean of the seeds (see
        `evaluation.report`); of a network that has scores the same of them, under `scores` (see
        `report_scores`).
    said : list of Said
        Of the mean of the seeds, by part.
    """
    parts, problem = selected.problem.parts, selected.problem
    entry, said = recipe.entry(), []
    content = {
        "data": entry.name,
        "protocol": entry.protocol(recipe.protocol or None).name,
        "synthetic": problem.synthetic,
        "system": recipe.name,
        "seeds": list(recipe.seeds),
        "left_out": dict(problem.dropped),
        "chosen_on": "validation",
    }
    for name, part in (("validation", parts.val), ("test", parts.test)):
        content[name], own = _score_part(recipe, selected, part, rounds=rounds)
        said.append(Said(name, part.groups, *own))
    return content, said


def _score_part(
    recipe: FusionRecipe, selected: Selected, part: Part, *, rounds: int
) -> tuple[dict[str, Any], tuple[IntArray, IntArray, FloatArray]]:
    """Score every seed and the mean of the seeds, each once; the guard counts.

    Returns
    -------
    metrics, (labels, decisions, probabilities) of the mean
    """
    logits = selected.trained.logits(part)
    counts = selected.problem.counts()
    seeds = []
    for own, answering, seed in zip(logits, selected.each, recipe.seeds, strict=True):
        answers = answering.answer(own)
        found = part.score(recipe.name, answers.decisions, seed=seed, by=_figures(answers))
        seeds.append({"seed": seed} | found)
    answers = selected.ensemble.answer(logits.mean(0))
    known: list[IntArray] = []

    def judged(labels: IntArray, _: NDArray[Any]) -> Mapping[str, Any]:
        known.append(labels)
        return report(
            labels,
            answers,
            groups=part.groups.tolist(),
            prior=counts / counts.sum(),
            coverage=recipe.coverage,
            rounds=rounds,
        )

    whole = part.score(
        f"{recipe.name}, mean of the logits of {len(recipe.seeds)} seeds",
        answers.decisions,
        seed=recipe.seeds[0],
        by=judged,
    )
    found = {"seeds": seeds, "mean": _means(seeds), "ensemble": whole}
    if (scores := selected.trained.scores(part)) is not None:
        found["scores"] = _score_scores(recipe, selected, part, scores, rounds=rounds)
    return found, (known[0], answers.decisions, answers.probabilities)


def _score_scores(
    recipe: FusionRecipe, selected: Selected, part: Part, scores: FloatArray, *, rounds: int
) -> dict[str, Any]:
    """Score every seed's scores, shape (seeds, n), and the mean of the seeds', each once."""
    seeds = [
        {"seed": seed} | part.score(recipe.name, own, seed=seed, by=score_figures, of=Truth.SCORES)
        for own, seed in zip(scores, recipe.seeds, strict=True)
    ]
    whole = part.score(
        f"{recipe.name}, mean of {len(recipe.seeds)} seeds",
        scores.mean(0),
        seed=recipe.seeds[0],
        by=lambda truth, found: report_scores(
            truth,
            found,
            groups=part.groups.tolist(),
            constants=_constants(selected),
            rounds=rounds,
        ),
        of=Truth.SCORES,
    )
    means = _means(seeds, names=SCORE_TITLES, limits=lambda name: SCORE_LIMITS.get(name, (0.0, 1.0)))
    return {"seeds": seeds, "mean": means, "ensemble": whole}


def _constants(selected: Selected) -> tuple[float, ...]:
    """Mean and median of the scores of the training part; nothing where none are learned."""
    if not selected.scores:
        return ()
    known = selected.problem.parts.train.scores_to_fit()
    return float(known.mean()), float(np.median(known))


def _figures(answers: Answers) -> Callable[[IntArray, NDArray[Any]], Mapping[str, Any]]:
    return lambda labels, decisions: figures(labels, decisions, probabilities=answers.probabilities)


def _means(
    seeds: Sequence[Mapping[str, Any]],
    *,
    names: Iterable[str] = TITLES,
    limits: Callable[[str], tuple[float, float]] = limits,
) -> dict[str, dict[str, float | None]]:
    """Mean over seeds with Student's interval, cut at the limits of the figure.

    No interval for one seed, for seeds that are all alike, nor where it would go from one limit to
    the other. No mean of what a seed leaves undefined.
    """
    means: dict[str, dict[str, float | None]] = {}
    for name in names:
        values = [figures[name] for figures in seeds]
        if None in values:
            means[name] = {"mean": None, "low": None, "high": None}
        elif len(values) == 1:
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
        _constants(selected),
    )
    encoders = {
        m: encoder_of(name, problem.cleaners[m].columns, problem.sequences.get(m, 0))
        for m, name in problem.extractors.items()
    }
    encoders |= recipe.encoders(problem)
    modalities = {m: ModalitySpec(encoders[m], problem.cleaners[m]) for m in networks[0].modalities}
    content, answering = (
        export_fusion(networks, target=recipe.target, sequences=problem.sequences),
        selected.ensemble,
    )
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


def _curves(trained: Trained | Voted) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Return what was found by epoch, by part and seed."""
    curves: dict[str, dict[str, list[dict[str, float]]]] = {"train": {}, "validation": {}}
    for seed, history in zip(trained.seeds, trained.history, strict=True):
        for part, prefix in (("train", "train_"), ("validation", "")):
            curves[part][str(seed)] = [
                {"epoch": found["epoch"]}
                | {name: found[prefix + name] for name in CURVES if prefix + name in found}
                for found in history
            ]
    return curves


def _read(network: Network, part: Part) -> dict[str, Any] | None:
    """Return what attention heads read, on average over the samples with all modalities; else None."""
    names = list(network.modalities)
    present = np.stack([part.present[m] for m in names], axis=1)
    rows = present.all(axis=1)
    if ATTENTION not in network.graph.outputs or len(names) < 2 or not rows.any():
        return None
    inputs = {str(m): np.nan_to_num(part.features[m][rows]).astype(np.float32) for m in names}
    stepped = (m for m in names if part.features[m].ndim == 3)
    inputs |= {f"{m}{STEPS}": part.steps[m][rows].astype(np.float32) for m in stepped}
    (shares,) = network.graph.run({"present": present[rows].astype(np.float32)} | inputs, [ATTENTION])
    means = shares.mean(0)  # (heads, modalities)
    heads = {str(m): means[:, i].astype(float).tolist() for i, m in enumerate(names)}
    return {"part": "validation", "samples": int(rows.sum()), "heads": heads}


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
        lines += [f"  {part}: {_told_scores(metrics['scores'])}"] if "scores" in metrics else []
    return lines


def _told_scores(metrics: Mapping[str, Any]) -> str:
    found = {name: own["value"] for name, own in metrics["ensemble"]["figures"].items()}
    constants = metrics["ensemble"]["constants"].values()
    r = "undefined" if found["pearson"] is None else f"{found['pearson']:.3f}"
    return (
        f"scores of {len(metrics['seeds'])} seeds' mean: MAE {found['mae']:.3f}, "
        f"{min(own['mae'] for own in constants):.3f} of the best constant; r {r}; "
        f"Acc-2 {found['accuracy2_non_negative']:.3f}, Acc-7 {found['accuracy7_half_even']:.3f}, "
        f"{max(own['accuracy7_half_even'] for own in constants):.3f} of the best constant"
    )
