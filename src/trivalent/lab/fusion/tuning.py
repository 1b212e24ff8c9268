"""`trivalent tune`: a search over options of a fusion recipe, judged on validation data alone.

A trial's epoch, votes, calibration and decision are chosen on a fifth of the training videos or speakers;
the validation part only judges it. The score is therefore out of sample for each trial, and as cheap as
a training run. Where the validation part is small, folds of training and validation samples take its place
in turn. The best of many is still chosen by its score, which is too good then. No sample of the test part
is left in what a search works on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trivalent.core.errors import DataError, MissingExtraError, RecipeError, TrivalentError, UsageError
from trivalent.core.messages import Message
from trivalent.core.types import FloatArray, IntArray
from trivalent.lab.benchmarks.cross_validation import joined
from trivalent.lab.datasets.splits import stratified_folds
from trivalent.lab.fusion.recipe import KIND, FusionRecipe, parse_fusion
from trivalent.lab.fusion.results import check_drawing
from trivalent.lab.fusion.train import select
from trivalent.lab.fusion.tuning_journal import Journal, Trial, held
from trivalent.lab.fusion.tuning_results import write_picture, write_tables
from trivalent.lab.fusion.tuning_space import Choices, Space, split_space, with_values
from trivalent.lab.measure.metrics import macro_f1
from trivalent.lab.problems.classification import Problem
from trivalent.lab.problems.parts import Part, Parts, Role
from trivalent.lab.recipes import read_recipe

TRIALS = 30
FOLDS = 5  # of the training groups, one of which chooses epochs and decisions
_SEED_STEP = 1_000_003  # between the seeds of searches, so that no two share a trial's


def tune(
    recipe_path: Path,
    *,
    out: Path,
    overrides: Sequence[str] = (),
    trials: int = TRIALS,
    root: Path | None = None,
    seed: int = 0,
    folds: int = 0,
    tell: Callable[[Message], None] = lambda _: None,
) -> list[Message]:
    """Search, and write the best recipe; what a killed search found is kept and continued.

    Parameters
    ----------
    recipe_path : Path
        Of kind fusion, with or without `tune` (see `tuning_space.split_space`).
    out : Path
        Gets trials.json, trials.csv, trials.md, trials.png and best.yaml.
    overrides : sequence of str
        `key=value`, as of `trivalent train`.
    trials : int
        In all, those of a search that is continued included. The first is the recipe as it stands.
    root : Path, optional
        Data root, else $TRIVALENT_DATA.
    seed : int
        Of the search; each trial depends on it and on the trials before it alone.
    folds : int
        Of cross-validation on training and validation samples, by group; 0 judges on the validation part.
    tell : callable
        Hears of every trial.

    Returns
    -------
    list of Message
        What came out.

    Raises
    ------
    TrivalentError
        The recipe, the data or the place is at fault, or the recipe as it stands cannot be trained.
    """
    if trials < 1 or seed < 0 or folds < 0 or folds == 1:
        raise UsageError("tune.counts", trials=trials, seed=seed, folds=folds)
    check_drawing()  # before the work, not after it
    _optuna()
    content = read_recipe(recipe_path, overrides=overrides)
    if content.get("kind") != KIND:
        raise RecipeError("tune.kind", recipe_path=recipe_path, kind=content.get("kind"))
    content, space = split_space(content, where=str(recipe_path))
    judge = Judge(content, root, folds=folds)
    about = {
        "recipe": content,
        "space": {key: option.to_plain() for key, option in space.items()},
        "seed": seed,
        "folds": folds,
        "data": digest(judge.problem(judge.recipe({}))),
    }
    out.mkdir(parents=True, exist_ok=True)
    with held(out), _one_thread():
        journal = Journal.open(out, about)
        _search(journal, space, judge, trials=trials, seed=seed, tell=tell)
        write_picture(journal, space)
    return _told(journal)


def _search(
    journal: Journal,
    space: Space,
    judge: Judge,
    *,
    trials: int,
    seed: int,
    tell: Callable[[Message], None],
) -> None:
    if journal.trials:
        tell(Message("tune.continued", count=len(journal.trials), folder=journal.folder))
    for number in range(len(journal.trials), trials):
        values = suggest(space, journal.trials, seed=seed) if number else {}
        journal.add(judge.trial(number, values))
        write_tables(journal, space)
        tell(_progress(journal, trials))
    write_tables(journal, space)


def suggest(space: Space, trials: Sequence[Trial], *, seed: int) -> dict[str, Any]:
    """Say what to try next, by the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).

    Parameters
    ----------
    space : Space
    trials : sequence of Trial
        So far; what failed counts as the worst, so that the search leaves that region.
    seed : int
        The suggestion depends on it and on the trials alone.
    """
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {key: _distribution(option) for key, option in space.items()}
    sampler = optuna.samplers.TPESampler(seed=(seed * _SEED_STEP + len(trials)) % 2**32)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in trials:
        if trial.values:
            known = {key: _label(space[key], value) for key, value in trial.values.items()}
            study.add_trial(
                optuna.create_trial(params=known, distributions=distributions, value=trial.score or 0.0)
            )
    drawn = study.ask(distributions).params
    return {key: json.loads(v) if isinstance(space[key], Choices) else v for key, v in drawn.items()}


def _distribution(option: Any) -> Any:
    kinds = _optuna().distributions
    if isinstance(option, Choices):
        return kinds.CategoricalDistribution([_label(option, value) for value in option.values])
    kind = kinds.IntDistribution if option.whole else kinds.FloatDistribution
    return kind(*option.ends(), log=option.log)


def _label(option: Any, value: Any) -> Any:
    """Write a choice as the text that Optuna knows it by: it takes neither lists nor mappings."""
    return json.dumps(value) if isinstance(option, Choices) else value


class Judge:
    """Trains and judges recipes that differ in some values.

    Parameters
    ----------
    content : mapping
        The recipe as it stands.
    root : Path, optional
        Data root, else $TRIVALENT_DATA.
    folds : int
        See `judged`.
    """

    def __init__(self, content: Mapping[str, Any], root: Path | None, *, folds: int = 0) -> None:
        self.content, self.root, self.folds = content, root, folds
        self._problems: dict[str, Problem] = {}

    def recipe(self, values: Mapping[str, Any]) -> FusionRecipe:
        """Return the recipe with other values."""
        return parse_fusion(with_values(self.content, values), where="the trial")

    def problem(self, recipe: FusionRecipe) -> Problem:
        """Return its data without the test part; read once for each choice of modalities and cleaning."""
        key = json.dumps([recipe.modalities, dict(recipe.cleaning)], default=str, sort_keys=True)
        if key not in self._problems:
            self._problems[key] = without_test(recipe.problem(self.root))
        return self._problems[key]

    def trial(self, number: int, values: dict[str, Any]) -> Trial:
        """Judge a recipe; one that cannot be trained is a failed trial, but for the recipe as it stands."""
        started, reason = time.monotonic(), ""
        scores: tuple[float, ...] = ()
        try:
            recipe = self.recipe(values)
            scores = tuple(map(float, judged(recipe, self.problem(recipe), folds=self.folds)))
        except TrivalentError as error:
            if not number:
                raise
            reason = str(error)
        return Trial(number, values, scores, round(time.monotonic() - started, 2), reason)


def without_test(problem: Problem) -> Problem:
    """Leave the test part empty: what a search never has it cannot use."""
    parts = problem.parts
    features = {m: x[:0] for m, x in parts.train.features.items()}
    empty = Part(Role.TEST, features, parts.train.groups[:0], np.zeros(0, np.int64))
    return replace(problem, parts=Parts(parts.train, parts.val, empty))


def judged(recipe: FusionRecipe, problem: Problem, *, folds: int = 0) -> FloatArray:
    """Judge a recipe out of sample.

    Parameters
    ----------
    recipe : FusionRecipe
    problem : Problem
    folds : int
        0 judges on the validation part; else all samples outside the test part are judged, each by a run
        without its fold.

    Returns
    -------
    array, shape (seeds,)
        Macro-F1.

    Raises
    ------
    DataError
        There are too few groups, or the training diverged.
    """
    if not folds:
        found = decided(recipe, problem)
        labels = problem.parts.val.labels_to_select()
        return np.array([macro_f1(labels, own) for own in found])
    everything = joined(problem)
    labels = everything.labels_to_fit()
    held_out = stratified_folds(everything.groups, labels, count=folds)
    found = np.zeros((len(recipe.seeds), len(labels)), np.int64)
    for fold in range(folds):
        out = held_out == fold
        inner = everything.take(~out), everything.take(out, Role.VAL)
        found[:, out] = decided(recipe, replace(problem, parts=Parts(*inner, problem.parts.test)))
    return np.array([macro_f1(labels, own) for own in found])


def decided(recipe: FusionRecipe, problem: Problem) -> IntArray:
    """Train on four fifths of the training groups, choose on the fifth, decide on the validation part.

    Returns
    -------
    int array, shape (seeds, n)
        Decisions; the labels of the validation part were not asked for.
    """
    train, val = problem.parts.train, problem.parts.val
    if len(np.unique(train.groups)) < FOLDS:
        raise DataError("tune.groups", folds=FOLDS, count=len(np.unique(train.groups)), name=problem.name)
    apart = stratified_folds(train.groups, train.labels_to_fit(), count=FOLDS) == 0
    parts = Parts(train.take(~apart), train.take(apart, Role.VAL), problem.parts.test)
    selected = select(replace(recipe, conformal_split="never"), replace(problem, parts=parts))
    logits = selected.trained.logits(val)
    if not np.isfinite(logits).all():
        raise DataError("tune.diverged")
    return np.stack([a.answer(own).decisions for a, own in zip(selected.each, logits, strict=True)])


def digest(problem: Problem) -> str:
    """Hash the training and validation samples of a problem: features, groups and labels."""
    found = hashlib.sha256(problem.name.encode())
    for part in (problem.parts.train, problem.parts.val):
        found.update("\n".join(part.groups.tolist()).encode("utf-8", "surrogatepass"))
        found.update(part.labels_to_select().tobytes())
        for modality, values in part.features.items():
            found.update(str(modality).encode() + np.ascontiguousarray(values).tobytes())
    return found.hexdigest()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small networks gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _progress(journal: Journal, trials: int) -> Message:
    last, best = journal.trials[-1], journal.best()
    mean_s = sum(trial.seconds for trial in journal.trials) / len(journal.trials)
    minutes, seconds = divmod(round(mean_s * (trials - len(journal.trials))), 60)
    values: dict[str, Any] = {
        "number": last.number,
        "last": trials - 1,
        "best": best.score,
        "which": best.number,
        "left": f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}",
    }
    if last.score is None:
        return Message("tune.trial_failed", reason=last.reason, **values)
    return Message("tune.trial", score=last.score, **values)


def _told(journal: Journal) -> list[Message]:
    best, stands, folds = journal.best(), journal.trials[0].score, journal.about["folds"]
    judged_on = Message("tune.on_folds", folds=folds) if folds else Message("tune.on_validation")
    lines = [
        Message(
            "tune.best",
            folder=journal.folder,
            which=best.number,
            count=len(journal.trials),
            judged_on=judged_on,
            score=best.score,
            stands=stands,
        )
    ]
    failed = sum(trial.score is None for trial in journal.trials)
    lines += [Message("tune.failed", count=failed)] if failed else []
    lines += [Message("tune.optimistic"), Message("tune.next", path=journal.folder / "best.yaml")]
    return lines


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "tune") from error
    return optuna


__all__ = ["TRIALS", "Judge", "decided", "digest", "judged", "suggest", "tune", "without_test"]
