"""Does sentiment learnt on one text corpus hold on another? All test, those with a training part train.

Texts are frozen MiniLM sentence embeddings, so that all rows differ in the training texts alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import Sentiment
from trivalent.lab.benchmarks import figures
from trivalent.lab.benchmarks.bench import Bench, Claim, Predictions, judge, score_constants
from trivalent.lab.benchmarks.corpora import (
    classifier,
    join,
    read_corpora,
    repeated_texts,
    with_minilm,
)
from trivalent.lab.datasets.dataset import SPLITS, Dataset
from trivalent.lab.measure.result_files import Result
from trivalent.lab.problems.classification import Problem, make_problem

POOLED, OTHERS = "all of them", "all but the tested one"
CHANCE = "at random by training shares"
ARROW = " -> "
EPOCHS = 10  # half those of small training sets: most here are large


@dataclass(eq=False)
class Transfer:
    """Corpora with features, their own problems, and the bench that trains.

    Attributes
    ----------
    bench : Bench
    corpora : mapping of str to Dataset
        With features of the text; those with a training part come first.
    epochs : float
    taught : tuple of str
        Corpora with a training part; the others only measure.
    own : dict of str to Problem
        Of each corpus; its test part is the one that all rows are scored on. One that only measures has
        the training parts of all others.
    """

    bench: Bench
    corpora: Mapping[str, Dataset]
    epochs: float = EPOCHS
    taught: tuple[str, ...] = field(init=False)
    own: dict[str, Problem] = field(init=False)

    def __post_init__(self) -> None:
        self.taught = tuple(n for n, data in self.corpora.items() if (data.split == "train").any())
        self.corpora = {name: self.corpora[name] for name in [*self.taught, *self.corpora]}
        self.own = {
            name: make_problem(self._joined([name] if name in self.taught else self.taught, [name]))
            for name in self.corpora
        }

    def _joined(self, train: Sequence[str], test: Sequence[str]) -> Dataset:
        return join(self.corpora, train=train, test=test, name="+".join(train))

    def score(self, row: str, *, train: Sequence[str], test: Sequence[str]) -> int:
        """Train on some corpora, score on others; returns the number of training samples."""
        problem = make_problem(self._joined(train, list(self.corpora)))
        count = len(problem.parts.train)
        trained = self.bench.train(classifier(count, epochs=self.epochs), problem)
        probabilities = trained.probabilities(problem.parts.test)
        ends = np.cumsum([len(own.parts.test) for own in self.own.values()])[:-1]
        for name, found in zip(self.own, np.split(probabilities, ends, axis=1), strict=True):
            if name in test:
                predictions = Predictions.from_probabilities(found)
                self.bench.score(f"{row}{ARROW}{name}", predictions, self.own[name].parts.test)
        return count

    def values(self, row: str) -> dict[str, NDArray[np.float64]]:
        """Macro-F1 of a row by tested corpus, one value for each seed."""
        found = {name: self.bench.figures[f"{row}{ARROW}{name}"] for name in self.own}
        return {name: metrics["macro_f1"] for name, metrics in found.items()}

    def matrix(self, rows: Sequence[str]) -> NDArray[np.float64]:
        """Macro-F1, mean of seeds, shape (rows, corpora)."""
        return np.array([[v.mean() for v in self.values(row).values()] for row in rows])


def run_transfer(
    corpora: Mapping[str, Dataset], *, seeds: Sequence[int], epochs: float = EPOCHS
) -> tuple[Result, Transfer]:
    """Train on each corpus, on all, and on all but the tested one; score on each.

    Parameters
    ----------
    corpora : mapping of str to Dataset
        With text features of the same kind; two or more with a training part.
    seeds : sequence of int
    epochs : float

    Raises
    ------
    DataError
        Fewer than two corpora train, or a video is trained on here and tested on there.
    """
    table = Transfer(Bench(tuple(seeds)), corpora, epochs)
    names = list(table.own)
    if len(table.taught) < 2:
        raise DataError("benchmark.two_corpora", corpora=", ".join(table.taught) or "none")
    counts = {name: str(table.score(name, train=[name], test=names)) for name in table.taught}
    counts[POOLED] = str(table.score(POOLED, train=table.taught, test=names))
    for name in names:
        table.score(OTHERS, train=[n for n in table.taught if n != name], test=[name])
        score_constants(table.bench, table.own[name], suffix=f"{ARROW}{name}")
    counts[OTHERS] = "the rest"
    result = Result("transfer", f"{', '.join(names)}; macro-F1 by tested corpus", seeds=list(seeds))
    rows = [*table.taught, POOLED, OTHERS, *(f"always {s.label}" for s in Sentiment), CHANCE]
    for row in rows:
        notes = {"training texts": counts[row]} if row in counts else {}
        found = {name: table.bench.value(f"{row}{ARROW}{name}", "macro_f1") for name in table.own}
        result.add(row, notes=notes, **found)
    result.caveats = _caveats(table)
    result.extra = {
        "claims": [judge(claim, table.bench.spreads) for claim in _claims(table)],
        "by_seed": {row: {n: v.round(4).tolist() for n, v in table.values(row).items()} for row in rows},
        "confusions": {name: m.tolist() for name, m in table.bench.confusions.items()},
    }
    return result, table


def _claims(table: Transfer) -> list[Claim]:
    claims = []
    for name in table.own:
        own, pooled, others, chance = (f"{row}{ARROW}{name}" for row in (name, POOLED, OTHERS, CHANCE))
        if name in table.taught:
            claims += [
                Claim(f"{name}: its own training texts beat all other corpora together", own, others),
                Claim(f"{name}: all corpora together beat its own training texts", pooled, own),
            ]
        claims.append(Claim(f"{name}: without any text of its own it beats chance", others, chance))
    return claims


def _caveats(table: Transfer) -> list[str]:
    def sizes(data: Dataset) -> str:
        return "/".join(str(int((data.split == split).sum())) for split in SPLITS)

    told = ", ".join(f"{name} {sizes(data)}" for name, data in table.corpora.items())
    repeats = ", ".join(f"{name} {repeated_texts(data)}" for name, data in table.corpora.items())
    return [
        f"Samples (train/val/test): {told}. Intervals are over seeds and over test "
        "texts (by dialogue or video where there are any).",
        f"One classifier, not tuned: network `single`, square-root class weights, {table.epochs:g} epochs "
        "at most; the epoch is chosen by macro-F1 on the val part of what is trained on (the tested corpus "
        "gives no labels), scaling comes from its train part. Test: one score per training set and seed.",
        "`all of them` joins the train parts unweighted: large corpora dominate; no test part is in it. "
        "Each claim is tested by itself, without a correction for their number.",
        f"Test texts that occur word for word in train of the same corpus: {repeats}. They flatter the "
        "diagonal.",
        "Corpora differ in what a label means: a reader's judgement of a sentence (sst5) or tweet, a "
        "viewer's of a scene (meld: words, voice and face), the sign of a score (mosi, mosei, ch-sims-v2: "
        "neutral is exactly zero, and rare in mosi). A low figure may be due to labels, not to language.",
        "mosei are the segments with transcripts, all of its official test fold: they measure and teach "
        "nothing; their chance row has the training shares of all others. ch-sims-v2 is Chinese, "
        "translated by machine. Columns differ in difficulty: compare within a column.",
    ]


def draw(table: Transfer, out: Path) -> list[Path]:
    """Draw the matrix as a heat map."""
    rows = [*table.taught, POOLED, OTHERS, CHANCE]
    path = figures.heat_map(
        table.matrix(rows),
        rows=rows,
        columns=list(table.own),
        path=out / "transfer-matrix.png",
        framed=len(table.taught),
    )
    return [path]


def benchmark(root: Path, seeds: Sequence[int], out: Path, synthetic: bool) -> Result:
    """Read what corpora there are, run, draw."""
    del synthetic  # texts are always real
    corpora, absent = read_corpora(root)
    result, table = run_transfer({n: with_minilm(data) for n, data in corpora.items()}, seeds=seeds)
    if absent:
        result.caveats.append(f"Not there, or damaged, and so left out: {', '.join(absent)}.")
    draw(table, out)
    return result
