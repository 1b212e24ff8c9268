"""Against class imbalance: losses, resampling and decisions, on problems imbalanced each its own way.

Every loss and sampler trains once; three decisions are then made from its probabilities: the most
probable class, a threshold of the smallest class, and a ratio for each class. Both are searched on
validation for each seed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from trivalent.core.errors import DataError
from trivalent.core.types import FloatArray, IntArray, Sentiment
from trivalent.lab.benchmarks import choice_figures as figures
from trivalent.lab.benchmarks.bench import Bench, Claim, Predictions, judge, score_constants
from trivalent.lab.benchmarks.corpora import with_minilm
from trivalent.lab.benchmarks.selection import Candidate, choose, compare, rank_correlation
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.decide.thresholds import ratio_rule, search_ratios, search_threshold, threshold_rule
from trivalent.lab.fit.training import TrainingConfig
from trivalent.lab.fusion.seed_training import PAPER_TRAINING, System
from trivalent.lab.measure.metrics import macro_f1
from trivalent.lab.measure.result_files import Result
from trivalent.lab.problems.classification import Problem, make_problem
from trivalent.lab.problems.parts import Part

log = logging.getLogger(__name__)
EPOCHS = 15
_LARGE, _LARGE_BATCH, _LARGE_EPOCHS = 5000, 256, 6  # from so many training samples on
Rule = Callable[[FloatArray], IntArray]

MOSI = "MOSI"
PLAIN = "cross-entropy / none"
CHOICES: Mapping[str, System] = {
    PLAIN: System(),
    "square-root weights / none": System(loss_options={"weights": "sqrt"}),
    "linear weights / none": System(loss_options={"weights": "linear"}),
    "square weights / none": System(loss_options={"weights": "square"}),
    "effective number / none": System(loss_options={"weights": "effective"}),
    "focal / none": System(loss="focal"),
    "macro-F1 / none": System(loss="macro_f1"),
    "focal + macro-F1 / none": System(loss="focal_macro_f1"),
    "logit-adjusted / none": System(loss="logit_adjusted"),
    "LDAM / none": System(loss="ldam"),
    "label smoothing / none": System(loss="label_smoothing"),
    "cross-entropy / weighted sampler": System(resampling="weighted_sampler"),
    "cross-entropy / over-sampling": System(resampling="random_over"),
    "cross-entropy / under-sampling": System(resampling="random_under"),
    "cross-entropy / SMOTE": System(resampling="smote"),
    "cross-entropy / ADASYN": System(resampling="adasyn"),
    "cross-entropy / borderline SMOTE": System(resampling="borderline_smote"),
    "cross-entropy / mixup": System(mixup=0.2),
}


class Decision(StrEnum):
    """How probabilities become a class."""

    ARGMAX = "argmax"
    THRESHOLD = "threshold"  # of the smallest class
    RATIO = "ratio"  # argmax p / tau, a tau for each class


@dataclass(frozen=True, eq=False)
class Imbalanced:
    """A problem with the name that its rows begin with.

    Attributes
    ----------
    name : str
    problem : Problem
    epochs : float
        At most so many.
    """

    name: str
    problem: Problem
    epochs: float = EPOCHS

    @property
    def minority(self) -> Sentiment:
        """The smallest class of the training part."""
        return Sentiment(int(self.problem.counts().argmin()))

    @property
    def training(self) -> TrainingConfig:
        """As the paper trains, but shorter; fewer epochs of larger batches where there are many samples."""
        large = len(self.problem.parts.train) >= _LARGE
        if not large:
            return replace(PAPER_TRAINING, epochs=self.epochs)
        return replace(PAPER_TRAINING, epochs=min(self.epochs, _LARGE_EPOCHS), batch_size=_LARGE_BATCH)

    def system(self, choice: str) -> System:
        """Return the network of this problem with one of `CHOICES`."""
        network = "single" if len(self.problem.widths) == 1 else "concatenation"
        return replace(CHOICES[choice], network=network, training=self.training)

    def row(self, choice: str, decision: Decision) -> str:
        """Name the row of a choice and a decision."""
        return f"{self.name}: {choice} / {decision}"


@dataclass(eq=False)
class Imbalance:
    """All rows of all problems, and the bench that trains.

    Attributes
    ----------
    bench : Bench
    problems : sequence of Imbalanced
    candidates : dict of str to list of Candidate
        By problem.
    """

    bench: Bench
    problems: Sequence[Imbalanced]
    candidates: dict[str, list[Candidate]] = field(default_factory=dict)


def choose_rule(
    decision: Decision, probabilities: FloatArray, part: Part, *, of: Sentiment
) -> tuple[Rule, str]:
    """Search a decision rule on a part that may select.

    Parameters
    ----------
    decision : Decision
    probabilities : array, shape (n, 3)
        Of that part.
    part : Part
        Validation.
    of : Sentiment
        The class that gets a threshold.

    Returns
    -------
    rule : callable
        Probabilities (n, 3) to codes (n,).
    note : str
        What was found.

    Raises
    ------
    LeakageError
        The part is the test part.
    """
    return _search(decision, probabilities, part.labels_to_select(), of)


def cross_fitted(decision: Decision, probabilities: FloatArray, part: Part, *, of: Sentiment) -> float:
    """Macro-F1 on validation of a rule that is searched on one half of the groups, applied to the other.

    A rule that is judged on the samples that it was tuned on would always win against argmax.

    Raises
    ------
    LeakageError
        The part is the test part.
    DataError
        All samples are of one group.
    """
    labels, names = part.labels_to_select(), np.unique(part.groups)
    first = np.random.default_rng(0).permutation(names)[: len(names) // 2]
    half = np.isin(part.groups, first)
    codes = np.empty(len(labels), np.int64)
    for held in (half, ~half):
        rule, _ = _search(decision, probabilities[~held], labels[~held], of)
        codes[held] = rule(probabilities[held])
    return macro_f1(labels, codes)


def _search(
    decision: Decision, probabilities: FloatArray, labels: IntArray, of: Sentiment
) -> tuple[Rule, str]:
    if decision is Decision.THRESHOLD:
        threshold = search_threshold(probabilities, labels, of=of).thresholds[0]
        return lambda p: threshold_rule(p, threshold, of=of), f"{threshold:.2f}"
    if decision is Decision.RATIO:
        tau = search_ratios(probabilities, labels).thresholds
        return lambda p: ratio_rule(p, tau), " : ".join(f"{t:.2f}" for t in tau)
    return lambda p: p.argmax(1), ""


def run_imbalance(problems: Sequence[Imbalanced], *, seeds: Sequence[int]) -> tuple[Result, Imbalance]:
    """Train every choice, decide, score, and judge what validation would have chosen.

    Parameters
    ----------
    problems : sequence of Imbalanced
    seeds : sequence of int
    """
    table = Imbalance(Bench(tuple(seeds)), problems)
    names = ", ".join(p.name for p in problems)
    result = Result(
        "imbalance", f"{names}; rows are problem: loss / sampling / decision", seeds=list(seeds)
    )
    best: dict[str, Any] = {}
    claims: list[dict[str, Any]] = []
    for case in problems:
        constants = score_constants(
            table.bench, case.problem, prefix=f"{case.name}: ", minority=case.minority
        )
        for name in constants:
            table.bench.add(result, name)
        for choice in CHOICES:
            _score_choice(table, result, case, choice)
        best[case.name], told = _judge(table, case)
        claims += told
    result.caveats = _caveats(problems)
    result.extra = {
        "best_on_validation": best,
        "claims": claims,
        "confusions": {name: m.tolist() for name, m in table.bench.confusions.items()},
    }
    return result, table


def _score_choice(table: Imbalance, result: Result, case: Imbalanced, choice: str) -> None:
    """Train one choice and add its rows."""
    parts, of = case.problem.parts, case.minority
    trained = table.bench.train(case.system(choice), case.problem)
    on_val, on_test = trained.probabilities(parts.val), trained.probabilities(parts.test)
    for decision in Decision:
        rules = [choose_rule(decision, p, parts.val, of=of) for p in on_val]
        codes = np.array([rule(p) for (rule, _), p in zip(rules, on_test, strict=True)])
        name = case.row(choice, decision)
        # The probabilities, and so the calibration error, are those of the argmax row.
        predictions = Predictions(codes, on_test if decision is Decision.ARGMAX else None)
        table.bench.score(name, predictions, parts.test, minority=of)
        validation = np.array([cross_fitted(decision, p, parts.val, of=of) for p in on_val])
        table.candidates.setdefault(case.name, []).append(Candidate(name, validation))
        rule_notes = "; ".join(dict.fromkeys(note for _, note in rules if note))
        notes = {"macro-F1 on validation": f"{validation.mean():.3f}", "chosen on validation": rule_notes}
        table.bench.add(result, name, notes=notes)


def _judge(table: Imbalance, case: Imbalanced) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Test what validation chose, and three remedies named beforehand, against plain cross-entropy."""
    candidates = table.candidates[case.name]
    plain = next(c for c in candidates if c.row == case.row(PLAIN, Decision.ARGMAX))
    best = choose(candidates)
    text = f"{case.name}: what validation chose beats plain cross-entropy"
    tested = compare(table.bench, best, plain, text=text)
    summary = {
        "chosen": best.row,
        "macro_f1_on_validation": float(best.validation.mean()),
        "against_plain": tested,
        "rank_correlation_of_validation_and_test": rank_correlation(table.bench, candidates),
    }
    remedies = {
        "a ratio rule on top of plain cross-entropy raises macro-F1": case.row(PLAIN, Decision.RATIO),
        "square-root weights raise macro-F1": case.row("square-root weights / none", Decision.ARGMAX),
        "SMOTE raises macro-F1": case.row("cross-entropy / SMOTE", Decision.ARGMAX),
    }
    told = [
        judge(Claim(f"{case.name}: {text}", row, plain.row), table.bench.spreads)
        for text, row in remedies.items()
    ]
    return summary, [tested, *told]


def _caveats(problems: Sequence[Imbalanced]) -> list[str]:
    told = []
    for case in problems:
        parts = case.problem.parts
        shares = [
            np.bincount(y, minlength=3) for y in (parts.train.labels_to_fit(), parts.val.labels_to_select())
        ]
        train, val = ("/".join(map(str, counts.tolist())) for counts in shares)
        groups = len(np.unique(parts.test.groups))
        told.append(
            f"{case.name}: negative/neutral/positive {train} in train, {val} in val; {len(parts.test)} "
            f"test samples of {groups} groups (videos, dialogues, actors). "
            f"Minority: {case.minority.label}. "
            f"Network `{case.system(PLAIN).network}` on {', '.join(case.problem.widths)}, "
            f"{case.training.epochs:g} epochs at most of batches of {case.training.batch_size}."
        )
    return [
        *told,
        "Trained as the paper does (Adam, rate halved on a plateau), but shorter; the epoch is chosen by "
        "argmax macro-F1 on validation, thresholds and ratios by macro-F1 on validation for each seed. "
        "Test was scored once per row and seed. Options of losses and samplers are their defaults, not "
        "tuned.",
        "`macro-F1 on validation` is cross-fitted: rules searched on half of the groups, judged on the "
        "other; the best row of each problem is chosen by it. Epochs were chosen by argmax on the same "
        "samples, which favours argmax in that choice. "
        "Intervals and claims are over seeds and over test groups; each claim is tested by itself, without "
        "a correction for their number.",
        "Mixup here is that of batches (Beta 0.2), not of classes. ECE is about probabilities and given "
        "once, in the argmax row; weights and resampling shift them on purpose.",
        *(_ABOUT_MOSI if any(case.name == MOSI for case in problems) else ()),
    ]


_ABOUT_MOSI = (
    "MOSI: the networks behind its words and face saw the labels of train and val, so that validation "
    "flatters and thresholds are chosen on optimistic probabilities; its neutral class is 4 to 6 % and "
    "means a score of exactly zero.",
)


def draw(table: Imbalance, out: Path) -> list[Path]:
    """Draw test macro-F1 of every choice, and how well validation foretold it."""
    macro = {
        decision.value: np.array(
            [
                [table.bench.figures[p.row(choice, decision)]["macro_f1"].mean() for p in table.problems]
                for choice in CHOICES
            ]
        )
        for decision in Decision
    }
    problems = [p.name for p in table.problems]
    foretold = {
        p.name: [
            (
                float(c.validation.mean()),
                float(table.bench.figures[c.row]["macro_f1"].mean()),
                c.row.rpartition(" / ")[2],
            )
            for c in table.candidates[p.name]
        ]
        for p in table.problems
    }
    return [
        figures.gain_maps(macro, rows=list(CHOICES), columns=problems, path=out / "imbalance-macro-f1.png"),
        figures.foretold(foretold, out / "imbalance-validation.png"),
    ]


_DATA = {  # name in the table: data set, protocol
    "MOSEI-922": ("mosei-922", "sdk-subset"),
    "RAVDESS": ("ravdess", "actors"),
    "MELD text": ("meld", "utterance"),
    MOSI: ("mosi-utterances", "cmf"),
}


def benchmark(root: Path, seeds: Sequence[int], out: Path, synthetic: bool) -> Result:
    """Read what data sets there are, run, draw."""
    del synthetic  # none of these is
    problems, absent = [], []
    for name, (data_set, protocol) in _DATA.items():
        try:
            data = find_dataset(data_set).read(root, protocol)
        except DataError as error:
            log.warning("%s is left out: %s", name, error)
            absent.append(name)
            continue
        problems.append(Imbalanced(name, make_problem(data if data.features else with_minilm(data))))
    if not problems:
        raise DataError("benchmark.none_of", data=list(_DATA), root=root)
    result, table = run_imbalance(problems, seeds=seeds)
    if absent:
        result.caveats.append(f"Not there, or damaged, and so left out: {', '.join(absent)}.")
    draw(table, out)
    return result
