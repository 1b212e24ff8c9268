"""GloVe against a transformer by training size: the paper found that GloVe wins on small data.

Learning curves of one classifier on either, on nested random subsets of several corpora, and of
logistic regression as a check that the answer is not the classifier's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import IntArray, Modality
from trivalent.lab.benchmarks import figures
from trivalent.lab.benchmarks.bench import Bench, Claim, Predictions, score_constants, told_claim
from trivalent.lab.benchmarks.corpora import (
    EPOCHS,
    classifier,
    nested_order,
    read_corpora,
    read_glove,
    repeated_texts,
    with_glove,
    with_minilm,
)
from trivalent.lab.datasets.dataset import Dataset, Features
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.fit.losses import class_weights
from trivalent.lab.fusion.seed_training import train_system
from trivalent.lab.measure.metrics import macro_f1
from trivalent.lab.measure.result_files import Result, Value
from trivalent.lab.measure.verdicts import Spread
from trivalent.lab.problems.classification import Problem, make_problem

SIZES = (100, 200, 500, 1000, 2000, 5000)
ALL = "all"
GLOVE, MINILM, BERT = "GloVe", "MiniLM", "BERT [CLS]"
NETWORK, LOGISTIC = "network", "logistic regression"
STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # of logistic regression: C, chosen on validation
CORPORA = ("meld", "sst5", "tweeteval")
VIDEOS = "mosei-922"
Curves = dict[str, NDArray[np.float64]]  # size to macro-F1 of each seed


@dataclass(eq=False)
class TextEncoder:
    """Learning curves by corpus, encoder and classifier.

    Attributes
    ----------
    bench : Bench
    sizes : tuple of int
        Besides all of the training part.
    epochs : float
        Of the network, at most.
    curves : dict of (corpus, encoder, classifier) to Curves
    constants : dict of str to dict of str to float array
        By corpus and row: macro-F1 of what needs no model.
    """

    bench: Bench
    sizes: tuple[int, ...] = SIZES
    epochs: float = EPOCHS
    curves: dict[tuple[str, str, str], Curves] = field(default_factory=dict)
    constants: dict[str, Curves] = field(default_factory=dict)

    def learn(self, corpus: str, encoder: str, data: Dataset) -> None:
        """Train on subsets of every size, score once each."""
        problem = make_problem(data, modalities=[Modality.TEXT])
        labels = problem.parts.train.labels_to_fit()
        orders = [nested_order(labels, seed=seed) for seed in self.bench.seeds]
        for head, predict in ((NETWORK, self._network), (LOGISTIC, self._logistic)):
            curve = self.curves[corpus, encoder, head] = {}
            for size in [*(s for s in self.sizes if s < len(labels)), len(labels)]:
                told = ALL if size == len(labels) else str(size)
                predictions = predict(problem, None if told == ALL else [own[:size] for own in orders])
                name = _row(corpus, encoder, head, told)
                curve[told] = self.bench.score(name, predictions, problem.parts.test)["macro_f1"]
        if corpus not in self.constants:
            names = score_constants(self.bench, problem, suffix=f", {corpus}")
            self.constants[corpus] = {name: self.bench.figures[name]["macro_f1"] for name in names}

    def _network(self, problem: Problem, rows: Sequence[IntArray] | None) -> Predictions:
        count = len(problem.parts.train) if rows is None else len(rows[0])
        system = classifier(count, epochs=self.epochs)
        trained = train_system(system, problem, self.bench.seeds, rows=rows)
        return Predictions.from_probabilities(trained.probabilities(problem.parts.test))

    def _logistic(self, problem: Problem, rows: Sequence[IntArray] | None) -> Predictions:
        # All samples are the same ones for every seed: fitted once.
        every = [np.arange(len(problem.parts.train))] if rows is None else rows
        fits = [_logistic_probabilities(problem, drawn) for drawn in every]
        repeat = len(self.bench.seeds) // len(fits)
        return Predictions.from_probabilities(np.stack(fits * repeat))


def _logistic_probabilities(problem: Problem, rows: IntArray) -> NDArray[np.float64]:
    """Fit with class weights as of the network; the strength is chosen on validation."""
    from sklearn.linear_model import LogisticRegression

    parts = problem.parts
    x, y = parts.train.features[Modality.TEXT][rows], parts.train.labels_to_fit()[rows]
    weights = dict(enumerate(class_weights(problem.counts(), "sqrt").tolist()))
    model = LogisticRegression(max_iter=500, tol=1e-3, class_weight=weights, warm_start=True)
    on_val, select = parts.val.features[Modality.TEXT], parts.val.labels_to_select()
    best, probabilities = -1.0, np.empty(0)
    for strength in STRENGTHS:
        model.set_params(C=strength).fit(x, y)
        score = macro_f1(select, model.classes_[model.predict_proba(on_val).argmax(1)])
        if score > best:
            predicted = model.predict_proba(parts.test.features[Modality.TEXT])
            probabilities = np.zeros((len(parts.test), problem.classes))
            probabilities[:, model.classes_] = predicted
            best = score
    return probabilities


def run_text_encoder(
    corpora: Mapping[str, Mapping[str, Dataset]],
    *,
    seeds: Sequence[int],
    sizes: Sequence[int] = SIZES,
    epochs: float = EPOCHS,
) -> tuple[Result, TextEncoder]:
    """Draw learning curves and judge the paper's claim at every size.

    Parameters
    ----------
    corpora : mapping of str to mapping of str to Dataset
        By corpus and encoder (`GLOVE`, `MINILM`, `BERT`), with the text features of that encoder.
    seeds : sequence of int
        Each draws its own subsets, nested and the same for all encoders.
    sizes : sequence of int
    epochs : float

    Raises
    ------
    DataError
        There is no corpus, or one lacks a part or text features.
    """
    if not corpora:
        raise DataError("benchmark.no_corpus")
    table = TextEncoder(Bench(tuple(seeds)), tuple(sizes), epochs)
    for corpus, encoded in corpora.items():
        for encoder, data in encoded.items():
            table.learn(corpus, encoder, data)
    result = Result(
        "text-encoder", f"{', '.join(corpora)}; macro-F1 by number of training texts", seeds=list(seeds)
    )
    for (corpus, encoder, head), curve in table.curves.items():
        metrics = {
            _column(size): table.bench.value(_row(corpus, encoder, head, size), "macro_f1")
            for size in curve
        }
        result.add(f"{corpus}: {encoder}, {head}", notes=None, **metrics)
    for corpus, constants in table.constants.items():
        for name in constants:
            row = f"{corpus}: {name.removesuffix(f', {corpus}')}"
            result.add(row, notes=None, **{ALL: table.bench.value(name, "macro_f1")})
    result.caveats = _caveats(table, corpora)
    result.extra = {"claims": _verdicts(table), "by_seed": _by_seed(table)}
    return result, table


def _column(size: str) -> str:
    return size if size == ALL else f"n={size}"


def _verdicts(table: TextEncoder) -> list[dict[str, Any]]:
    """Judge GloVe against MiniLM at every size: mean of the corpora, then each, then the check."""
    both = list(dict.fromkeys(c for c, encoder, _ in table.curves if encoder == GLOVE))
    both = [corpus for corpus in both if (corpus, MINILM, NETWORK) in table.curves]
    verdicts = []
    for head in (NETWORK, LOGISTIC):
        for size in (*map(str, table.sizes), ALL):
            there = [corpus for corpus in both if size in table.curves[corpus, GLOVE, head]]
            if there:
                where = f"mean of {', '.join(there)}, {_column(size)}, {head}"
                verdicts.append(_verdict(table, where, there, head, size))
    for corpus in both:
        for size in table.curves[corpus, GLOVE, NETWORK]:
            where = f"{corpus}, {_column(size)}, {NETWORK}"
            verdicts.append(_verdict(table, where, [corpus], NETWORK, size))
    return verdicts


def _verdict(
    table: TextEncoder, where: str, corpora: Sequence[str], head: str, size: str
) -> dict[str, Any]:
    glove, minilm = (
        Spread.mean([table.bench.spreads[_row(c, encoder, head, size)]["macro_f1"] for c in corpora])
        for encoder in (GLOVE, MINILM)
    )
    claim = Claim(f"GloVe beats the transformer: {where}", GLOVE, MINILM)
    opposite = str((minilm - glove).estimate().verdict)
    return told_claim(claim, glove, minilm) | {"opposite": opposite}


def _row(corpus: str, encoder: str, head: str, size: str) -> str:
    return f"{corpus}, {encoder}, {head}, {size}"


def _by_seed(table: TextEncoder) -> dict[str, dict[str, list[float]]]:
    return {
        ", ".join(key): {size: values.round(4).tolist() for size, values in curve.items()}
        for key, curve in table.curves.items()
    }


def _caveats(table: TextEncoder, corpora: Mapping[str, Mapping[str, Dataset]]) -> list[str]:
    sizes, repeats = [], []
    sources: dict[str, Features] = {}
    for corpus, encoded in corpora.items():
        data = next(iter(encoded.values()))
        parts = "/".join(str(int((data.split == split).sum())) for split in ("train", "val", "test"))
        sizes.append(f"{corpus} {parts}")
        if data.texts:
            repeats.append(f"{corpus} {repeated_texts(data)}")
        sources |= {name: own.features[Modality.TEXT] for name, own in encoded.items()}
    told = ", ".join(f"{n}: {f.extractor}, {len(f.columns)} columns" for n, f in sources.items())
    return [
        f"Samples (train/val/test): {', '.join(sizes)}. Features: {told}; GloVe is the mean over words.",
        "Subsets are stratified, nested, and differ by seed. Intervals and claims cover the draw of "
        "training texts, the start of the network, and the draw of test texts (by dialogue where there are "
        "any). At `all`, seeds share the training texts, and logistic regression is the same for every "
        "seed.",
        f"Network: `single`, square-root class weights, {table.epochs:g} epochs at most, epoch chosen on "
        "validation; logistic regression: C chosen on validation. The val part is whole at every size, and "
        "larger than the smallest subsets; scaling and class weights come from the whole train part. Test "
        "was scored once per row and seed.",
        "MiniLM-L6 is a distilled BERT that its authors tuned on sentence pairs: better sentence vectors "
        "than BERT's raw [CLS], which the paper may have used. That GloVe loses to MiniLM does not refute "
        "that it beats raw BERT; 100-d GloVe stands for the paper's 300-d. No encoder was fine-tuned.",
        "Each claim is tested by itself, without a correction for their number; `opposite` in the JSON "
        "file is the verdict on the claim that the transformer is better.",
        f"Test texts that occur word for word in train: {', '.join(repeats) or 'none known'}.",
        *(_ABOUT_VIDEOS if VIDEOS in corpora else ()),
    ]


_ABOUT_VIDEOS = (
    f"{VIDEOS} has BERT's [CLS] of whole videos and no GloVe: its transcripts, where there are any, are of "
    "test videos alone, so that nothing else can be trained on its words. Its curve stands alone and "
    "decides nothing.",
)


def draw(table: TextEncoder, corpora: Mapping[str, Mapping[str, Dataset]], out: Path) -> list[Path]:
    """Draw the learning curves, a panel for each corpus."""
    panels: dict[str, dict[str, dict[int, Value]]] = {}
    for (corpus, encoder, head), curve in table.curves.items():
        data = next(iter(corpora[corpus].values()))
        count = int((data.split == "train").sum())
        names = {n: _row(corpus, encoder, head, n) for n in curve}
        line = {
            count if n == ALL else int(n): table.bench.value(name, "macro_f1") for n, name in names.items()
        }
        panels.setdefault(corpus, {})[f"{encoder}, {head}"] = line
    floors = {c: max(float(v.mean()) for v in rows.values()) for c, rows in table.constants.items()}
    return [figures.learning_curves(panels, out / "text-encoder-curves.png", floors=floors)]


def benchmark(root: Path, seeds: Sequence[int], out: Path, synthetic: bool) -> Result:
    """Read what corpora there are, run, draw."""
    del synthetic  # texts are always real
    found, absent = read_corpora(root, CORPORA)
    glove = read_glove(root)
    encoders: dict[str, Callable[[Dataset], Dataset]] = {
        GLOVE: lambda data: with_glove(data, glove),
        MINILM: with_minilm,
    }
    corpora = {c: {name: encode(data) for name, encode in encoders.items()} for c, data in found.items()}
    try:
        corpora[VIDEOS] = {BERT: find_dataset(VIDEOS).read(root, "sdk-subset")}
    except DataError:
        absent = (*absent, VIDEOS)
    result, table = run_text_encoder(corpora, seeds=seeds)
    if absent:
        result.caveats.append(f"Not there, or damaged, and so left out: {', '.join(absent)}.")
    draw(table, corpora, out)
    return result
