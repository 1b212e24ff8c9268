"""The rows of the benchmark `fusion` about one data set: what is trained, removed, scored and judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.types import Modality, Sentiment
from trivalent.lab.benchmarks.bench import (
    Bench,
    Claim,
    Figures,
    Predictions,
    judge,
    score_constants,
)
from trivalent.lab.benchmarks.selection import Candidate, choose, compare
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.fusion.seed_training import PAPER_TRAINING, System, Trained
from trivalent.lab.measure.metrics import macro_f1
from trivalent.lab.measure.result_files import Result, Value
from trivalent.lab.measure.verdicts import Spread
from trivalent.lab.problems.classification import Problem, make_problem
from trivalent.lab.problems.parts import Part

EPOCHS = 15
RATES = (0.0, 0.25, 0.5, 0.75)
DROPOUT = 0.3
SINGLE, MEAN = "single", "mean of networks"
NETWORKS = (
    "linear",
    "concatenation",
    "late",
    "attention",
    "gated",
    "transformer",
    "tfn",
    "lmf",
    "misa",
    "mult",
)
DISSECTED = ("attention", "concatenation")  # those trained on subsets, too
TRAININGS: Mapping[str, float] = {"plain": 0.0, "modality dropout": DROPOUT}


def missing(rate: float) -> str:
    """Name a test condition.

    >>> missing(0.0), missing(0.25)
    ('complete', '25 % missing')
    """
    return f"{100 * rate:.0f} % missing" if rate else "complete"


def subset_name(modalities: Sequence[Modality]) -> str:
    """Join names of modalities.

    >>> subset_name((Modality.TEXT, Modality.FACE))
    'text + face'
    """
    return " + ".join(modalities)


def removed_at_random(count: int, rate: float, *, seed: int) -> dict[Modality, NDArray[np.bool_]]:
    """Choose what to remove: each value with probability `rate`, also the last one of a sample.

    What is removed at a rate is also removed at every higher one, and does not depend on which
    modalities a network has.

    Parameters
    ----------
    count : int
        Samples.
    rate : float
    seed : int

    Returns
    -------
    dict of Modality to bool array, shape (count,)

    Examples
    --------
    >>> few, many = (removed_at_random(8, rate, seed=0)[Modality.TEXT] for rate in (0.25, 0.5))
    >>> bool((many >= few).all())
    True
    """
    drawn = np.random.default_rng(seed).random((count, len(Modality)))
    return {m: drawn[:, i] < rate for i, m in enumerate(Modality)}


@dataclass(eq=False)
class FusionStudy:
    """Rows of one data set.

    Attributes
    ----------
    name : str
        What its rows begin with.
    data : Dataset
    bench : Bench
    result : Result
        Where rows go.
    epochs : float
        At most so many.
    networks : sequence of str
    problem : Problem
        Of all modalities; the other ones share its test part's samples.
    candidates : dict of str to list of Candidate
        By test condition.
    """

    name: str
    data: Dataset
    bench: Bench
    result: Result
    epochs: float = EPOCHS
    networks: Sequence[str] = NETWORKS
    candidates: dict[str, list[Candidate]] = field(default_factory=dict)
    problem: Problem = field(init=False)

    def __post_init__(self) -> None:
        self.problem = make_problem(self.data)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """All of the data set."""
        return tuple(self.problem.widths)

    @property
    def minority(self) -> Sentiment:
        """The smallest class of the training part."""
        return Sentiment(int(self.problem.counts().argmin()))

    def subsets(self) -> list[tuple[Modality, ...]]:
        """Proper subsets of the modalities, single ones first."""
        return [s for n in range(1, len(self.modalities)) for s in combinations(self.modalities, n)]

    def row(self, network: str, training: str, tested: str) -> str:
        """Name a row."""
        return f"{self.name}: {network} / {training} / {tested}"

    def macro(self, network: str, training: str, tested: str) -> NDArray[np.float64]:
        """Return test macro-F1 of a row, shape (seeds,)."""
        return self.bench.figures[self.row(network, training, tested)]["macro_f1"]

    def value(self, network: str, training: str, tested: str) -> Value:
        """Return test macro-F1 of a row with its interval."""
        return self.bench.value(self.row(network, training, tested), "macro_f1")

    def train(self, network: str, problem: Problem, *, dropout: float = 0.0) -> Trained:
        """Train as the paper does, but shorter."""
        training = replace(PAPER_TRAINING, epochs=self.epochs)
        return self.bench.train(System(network, modality_dropout=dropout, training=training), problem)

    def run(self) -> None:
        """Train everything and score every row."""
        prefix = f"{self.name}: "
        for name in score_constants(self.bench, self.problem, prefix=prefix, minority=self.minority):
            self.bench.add(self.result, name)
        for modalities in self.subsets():
            problem = make_problem(self.data, modalities=modalities)
            if len(modalities) == 1:
                self.score_rates(
                    f"{SINGLE} on {modalities[0]}", "plain", self.train(SINGLE, problem), problem
                )
            for network in DISSECTED:
                # Concatenation of one modality is `single`.
                if (len(modalities) > 1 or network != "concatenation") and network in self.networks:
                    trained = self.train(network, problem)
                    name = f"{network} on {subset_name(modalities)}"
                    self.add(
                        self.row(name, "plain", missing(0)),
                        trained.probabilities(problem.parts.test),
                        problem,
                    )
        for training, dropout in TRAININGS.items():
            for network in self.networks:
                trained = self.train(network, self.problem, dropout=dropout)
                self.score_rates(network, training, trained, self.problem)
                if network in DISSECTED:
                    self.score_subsets(network, training, trained)
            self.add_means(training)

    def score_rates(self, network: str, training: str, trained: Trained, problem: Problem) -> None:
        """Score with values removed, and note the same on validation, for the choice."""
        labels = problem.parts.val.labels_to_select()
        for rate in RATES:
            on_val = trained.probabilities_of_each(self._parts(problem.parts.val, rate, part=1))
            on_test = trained.probabilities_of_each(self._parts(problem.parts.test, rate, part=0))
            validation = np.array([macro_f1(labels, p.argmax(1)) for p in on_val])
            row = self.row(network, training, missing(rate))
            self.add(row, on_test, problem, note=f"{validation.mean():.3f}")
            candidate = Candidate(row, validation)
            self.candidates.setdefault(missing(rate), []).append(candidate)

    def score_subsets(self, network: str, training: str, trained: Trained) -> None:
        """Score with whole modalities away, which the network was trained with."""
        for subset in self.subsets():
            absent = [m for m in self.modalities if m not in subset]
            on_test = trained.probabilities(self.problem.parts.test, absent=absent)
            self.add(self.row(network, training, f"{subset_name(subset)} only"), on_test, self.problem)

    def add(
        self, row: str, probabilities: NDArray[np.float64], problem: Problem, *, note: str = ""
    ) -> None:
        """Score a row and put it into the table."""
        predictions = Predictions.from_probabilities(probabilities)
        self.bench.score(row, predictions, problem.parts.test, minority=self.minority)
        self.bench.add(self.result, row, notes={"macro-F1 on validation": note} if note else None)

    def add_means(self, training: str) -> None:
        """Average the figures of all networks, seed by seed."""
        for rate in RATES:
            figures = [self.bench.figures[self.row(n, training, missing(rate))] for n in self.networks]
            mean: Figures = {key: np.mean([f[key] for f in figures], axis=0) for key in figures[0]}
            spreads = [self.bench.spreads[self.row(n, training, missing(rate))] for n in self.networks]
            row = self.row(MEAN, training, missing(rate))
            self.bench.figures[row] = mean
            self.bench.spreads[row] = {k: Spread.mean([s[k] for s in spreads]) for k in spreads[0]}
            self.bench.add(self.result, row)

    def _parts(self, whole: Part, rate: float, *, part: int) -> list[Part]:
        draws = [removed_at_random(len(whole), rate, seed=2 * seed + part) for seed in self.bench.seeds]
        return [whole.hiding(own) for own in draws]

    def judge(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Test what validation chose against the best single modality, and what was asked beforehand."""
        best: dict[str, Any] = {}
        for tested, candidates in self.candidates.items():
            joined = choose([c for c in candidates if f"{SINGLE} on" not in c.row])
            alone = choose([c for c in candidates if f"{SINGLE} on" in c.row])
            text = f"{self.name}, {tested}: fusion beats one modality, both chosen on validation"
            best[tested] = {
                "chosen": joined.row,
                "macro_f1_on_validation": float(joined.validation.mean()),
                "against_best_single": compare(self.bench, joined, alone, text=text),
            }
        told = [b["against_best_single"] for b in best.values()]
        return best, told + [judge(c, self.bench.spreads) for c in self._claims()]

    def _claims(self) -> list[Claim]:
        whole, half = missing(0), missing(0.5)
        plain, dropped = TRAININGS

        def named(text: str, better: tuple[str, str, str], worse: tuple[str, str, str]) -> Claim:
            return Claim(f"{self.name}: {text}", self.row(*better), self.row(*worse))

        claims = [
            named(
                "modality dropout helps where half of the values are missing, mean of networks",
                (MEAN, dropped, half),
                (MEAN, plain, half),
            ),
            named(
                "modality dropout costs macro-F1 where nothing is missing, mean of networks",
                (MEAN, plain, whole),
                (MEAN, dropped, whole),
            ),
        ]
        rest = [n for n in self.networks if n != "linear"] if "linear" in self.networks else []
        claims += [
            named(f"{n} beats linear fusion", (n, plain, whole), ("linear", plain, whole)) for n in rest
        ]
        return claims
