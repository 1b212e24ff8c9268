"""The verdict on people who talk: the fused answer, each expert, constants, and other ways to fuse.

Usage: OMP_NUM_THREADS=1 python benchmarks/talking.py [--root DIR] [--model NAME|PATH]

The clips of data/talking are analysed as a user does, words as recognised. Whatever is fitted is fitted
without the source that it answers; the candidates are there to choose by log-loss, and no clip is a blind
test. Writes results/talking.*
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.neural_network import MLPClassifier

from results_file import Result, Value
from trivalent.bundle.fusion import Beside, Opinion, Pool, disagreement, floored_log, softmax
from trivalent.bundle.loading import load_pool
from trivalent.core.types import LABELS, FloatArray, IntArray, Modality, Sentiment
from trivalent.lab.datasets.root import data_root
from trivalent.lab.datasets.talking import read_talking
from trivalent.lab.fusion.bundle_pool import hear, read_monologues
from trivalent.lab.fusion.pool_fit import START, FittedPool, Recordings, fit_pool, left_out
from trivalent.lab.measure.metrics import (
    bootstrap_interval,
    class_scores,
    expected_calibration_error,
    macro_f1,
    negative_log_likelihood,
)

BINS = 10
Answerer = Callable[[Recordings], FloatArray]
EQUAL = FittedPool(
    Pool({m: Beside(b.polar, b.polar) for m, b in START.pool.beside.items()}), START.strengths
)
METRICS: Mapping[str, Callable[[IntArray, FloatArray], float]] = {
    "macro_f1": lambda y, p: macro_f1(y, p.argmax(1)),
    "accuracy": lambda y, p: float((p.argmax(1) == y).mean()),
    "log_loss": negative_log_likelihood,
    "ece": lambda y, p: expected_calibration_error(y, p, bins=BINS),
}


def evidence(recordings: Recordings) -> FloatArray:
    """Poles, neutral and reliability of every modality of each utterance, shape (utterances, 9)."""
    columns = []
    for m in Modality:
        opinion = recordings.opinions[m]
        negative, neutral, positive = floored_log(opinion.probabilities).T
        columns += [positive - negative, neutral - (positive + negative) / 2, opinion.reliability]
    return np.stack(columns, axis=1)


def linear(others: Recordings) -> Answerer:
    """Fit a log-linear rule without constraints: a factor for each piece of evidence, and a bias."""
    start = np.array(
        [f for m in Modality for f in (START.pool.beside[m].polar, START.pool.beside[m].neutral)]
    )

    def answers(recordings: Recordings, x: FloatArray) -> FloatArray:
        poles, neutral = evidence(recordings)[:, 0::3], evidence(recordings)[:, 1::3]
        d, n = poles @ x[0:6:2], neutral @ x[1:6:2] + x[6]
        return recordings.mean(softmax(np.stack([-d / 2, n, d / 2], axis=1)))

    def loss(x: FloatArray) -> float:
        held = np.square(x - np.append(start, 0.0)).sum() / (2 * 0.25**2)
        return negative_log_likelihood(others.labels, answers(others, x)) * len(others) + float(held)

    found = minimize(loss, np.append(start, 0.0), method="Powell").x
    return lambda recordings: answers(recordings, found)


def network(others: Recordings) -> Answerer:
    """Train small networks over the evidence of all modalities of an utterance: the mean of three."""
    x, y = evidence(others), others.labels[others.owner]
    members = [
        MLPClassifier((8,), alpha=3.0, max_iter=3000, random_state=seed).fit(x / x.std(0).clip(1e-6), y)
        for seed in range(3)
    ]
    scale = x.std(0).clip(1e-6)

    def answers(recordings: Recordings) -> FloatArray:
        said = np.zeros((len(recordings.owner), len(LABELS)))
        for member in members:
            said[:, member.classes_] += member.predict_proba(evidence(recordings) / scale) / len(members)
        return recordings.mean(said)

    return answers


def average(_: Recordings) -> Answerer:
    """Average what the modalities say, by their reliabilities."""

    def answers(recordings: Recordings) -> FloatArray:
        total = sum(
            o.probabilities * np.asarray(o.reliability)[:, None] for o in recordings.opinions.values()
        )
        heard = sum(np.asarray(o.reliability) for o in recordings.opinions.values())
        silent = np.where(heard > 0, 0.0, 1.0)[:, None]
        return recordings.mean((total + silent / 3) / (heard[:, None] + silent))

    return answers


def frequencies(others: Recordings) -> Answerer:
    """Answer the shares of the classes in the other sources."""
    shares = np.bincount(others.labels, minlength=len(LABELS)) / len(others)
    return lambda recordings: np.tile(shares, (len(recordings), 1))


Systems = Mapping[str, Callable[[Recordings], Answerer]]


def systems(monologues: Recordings) -> Systems:
    """Return what the result is about."""

    def fitted(others: Recordings) -> FittedPool:
        return fit_pool(others, monologues=monologues)

    def alone(*modalities: Modality) -> Callable[[Recordings], Answerer]:
        return lambda others: lambda own: fitted(others).answers(own.only(modalities))

    def expecting(others: Recordings) -> Answerer:
        shares, pool = frequencies(others)(others)[0], fitted(others)
        return lambda own: pool.answers(replace(own, prior=shares))

    return {
        "class frequencies of the other source": frequencies,
        "words": alone(Modality.TEXT),
        "voice": alone(Modality.AUDIO),
        "face": alone(Modality.FACE),
        "voice and face": alone(Modality.AUDIO, Modality.FACE),
        "fused": lambda others: fitted(others).answers,
        "fused, expecting the classes of the other source (--prior)": expecting,
    }


def candidates(monologues: Recordings) -> Systems:
    """Return other rules, and the same rule fitted otherwise."""
    return {
        "equal classes": lambda _: lambda own: np.full((len(own), 3), 1 / 3),
        "as shipped": lambda others: fit_pool(others, monologues=monologues).answers,
        "without the monologues": lambda others: fit_pool(others).answers,
        "spread .5": lambda others: fit_pool(others, monologues=monologues, spread=0.5).answers,
        "spread 1": lambda others: fit_pool(others, monologues=monologues, spread=1.0).answers,
        "not fitted: the start": lambda _: START.answers,
        "start where neutral counts like a pole": lambda others: (
            fit_pool(others, monologues=monologues, start=EQUAL).answers
        ),
        "plain sum of the evidence": lambda _: FittedPool(Pool()).answers,
        "mean of the opinions": average,
        "log-linear without constraints": linear,
        "network over the evidence": network,
    }


def add(result: Result, name: str, labels: IntArray, answers: FloatArray) -> None:
    """Score answers, with intervals over clips."""
    found: dict[str, Value | float] = {"n": float(len(labels))}
    for metric, function in METRICS.items():
        low, high = bootstrap_interval(
            function, labels, probabilities=answers, groups=np.arange(len(labels)).astype(str)
        )
        found[metric] = Value(function(labels, answers), low, high)
    recalls = class_scores(labels, answers.argmax(1))["recall"]
    result.add(name, **found, **{f"recall_{s.label}": float(recalls[s]) for s in Sentiment})


def add_mixed(result: Result, recordings: Recordings, fitted: FittedPool, limit: float) -> None:
    """Tell how often utterances with and without the mark of mixed signals are judged rightly."""
    heard = recordings.of_strength(fitted.strengths)
    right = fitted.pool.posterior(heard.opinions).argmax(1) == recordings.labels[recordings.owner]
    conflict = np.array(
        [
            disagreement([Opinion(o.probabilities[i], 1.0) for o in heard.opinions.values()])
            for i in range(len(recordings.owner))
        ]
    )
    for name, rows in (("with", conflict >= limit), ("without", conflict < limit)):
        values: NDArray[np.bool_] = right[rows]
        draws = np.random.default_rng(0).integers(len(values), size=(1000, len(values)))
        low, high = np.percentile(values[draws].mean(1), [2.5, 97.5])
        accuracy = Value(float(values.mean()), float(low), float(high))
        result.add(f"utterances {name} the mark of mixed signals", n=float(rows.sum()), accuracy=accuracy)


def add_parts(result: Result, recordings: Recordings, chosen: Systems) -> None:
    """Score systems that are fitted without the source that they answer: all clips, and each source."""
    for name, fit in chosen.items():
        answers = left_out(recordings, fit)
        for part in ("all", *np.unique(recordings.groups).tolist()):
            rows = np.array([part in ("all", g) for g in recordings.groups.tolist()])
            add(result, f"{part}: {name}", recordings.labels[rows], answers[rows])


def add_monologues(result: Result, monologues: Recordings, fitted: FittedPool) -> None:
    """Tell what the rule costs where words carry the sentiment; it was fitted on these, too."""
    labels, words = monologues.labels, monologues.only([Modality.TEXT])
    add(result, "MOSEI videos: class frequencies", labels, np.tile(monologues.prior, (len(labels), 1)))
    add(result, "MOSEI videos: words", labels, words.answers(fitted.pool))
    add(result, "MOSEI videos: fused", labels, monologues.answers(fitted.pool))


def main() -> None:
    """Analyse, fit, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=None)
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    root, bundle = data_root(arguments.root), load_pool(arguments.model)
    heard, monologues = hear(arguments.model, read_talking(root)), read_monologues(root)
    recordings = heard.of_strength({m: 1 / e.spec.strength for m, e in bundle.experts.items()})
    counts = ", ".join(f"{(recordings.groups == g).sum()} of {g}" for g in np.unique(recordings.groups))
    told = f"{len(recordings)} talking clips ({counts})"
    shipped = FittedPool(bundle.fusion, {m: e.spec.strength for m, e in bundle.experts.items()})
    result, others = Result("talking", told), Result("talking-candidates", told, seeds=[0, 1, 2])
    add_parts(result, recordings, systems(monologues))
    add(result, "all: as shipped, fitted on these clips", recordings.labels, shipped.answers(recordings))
    add_mixed(result, recordings, shipped, bundle.fusion.mixed_above)
    add_monologues(result, monologues, shipped)
    add_parts(others, recordings, candidates(monologues))
    for own in (result, others):
        own.extra["bundle"] = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
        own.caveats += [
            "Words are those of the recogniser (tiny.en); Chinese ones are not scored. Figures are of "
            f"answers to whole clips, ECE in {BINS} bins: that of perfect calibration on "
            f"{len(recordings)} clips would be about .1 by chance.",
            "Fitted figures of a source are of a fit without it; classes are expected equally often unless "
            "told.",
            "The form of the rule and its start were settled after looks at such tables: these clips are "
            "development data. Others of the same kind are kept elsewhere and were not looked at.",
            "MOSEI videos: MOSEI's features averaged over whole videos, simple discriminants out of fold: "
            "not our experts. In all they counted as much as the clips in fitting the exponents.",
        ]
        own.write()


if __name__ == "__main__":
    main()
