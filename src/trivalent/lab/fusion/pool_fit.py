"""Fitting the pool on recordings of people who talk, utterance by utterance.

Two things are fitted together: how much of what an expert says holds for people who talk (`strength`,
an exponent that holds also where it is alone), and what a modality counts beside others (`Beside`).
There are few such recordings, so that every parameter is held by a normal prior on its logarithm around
a start that was chosen before (maximum a posteriori); the more recordings, the less it counts.

A recording has one label and many utterances. Its answer is the mean of theirs by duration, as in an
analysis, and the loss is that of the answer: an utterance that says little costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from trivalent.bundle.fusion import Beside, Opinion, Pool, floored_log, softmax
from trivalent.core.analysis import Analysis
from trivalent.core.types import LABELS, FloatArray, IntArray, Modality
from trivalent.lab.measure.metrics import negative_log_likelihood

SPREAD = (
    0.1  # standard deviation of the prior, of logarithms: larger ones lose log-loss on sources left out
)
ALONE = 0.5  # weight of what a modality answers alone, beside what all answer together
_UNIFORM = 1 / len(LABELS)


@dataclass(frozen=True, eq=False)
class Recordings:
    """Labelled recordings as a pool sees them.

    Attributes
    ----------
    labels : array of int, shape (n,)
    groups : array of str, shape (n,)
        What may not be shared between fitting and judging: a source, a speaker.
    owner : array of int, shape (utterances,)
        Recording of each utterance.
    share : array, shape (utterances,)
        Of the duration of its recording; they sum to 1 for each that has any.
    opinions : dict of Modality to Opinion
        Of all utterances, (utterances, 3) and (utterances,); of reliability 0 where there is none.
    prior : array, shape (3,)
        Shares of the classes that are expected where they are judged.
    """

    labels: IntArray
    groups: NDArray[np.str_]
    owner: IntArray
    share: FloatArray
    opinions: dict[Modality, Opinion]
    prior: FloatArray = field(default_factory=lambda: np.full(len(LABELS), _UNIFORM))

    @classmethod
    def of(cls, analyses: Sequence[Analysis], labels: IntArray, *, groups: Sequence[str]) -> Recordings:
        """Take what the experts of one bundle said in analyses of n recordings."""
        utterances = [(i, u) for i, a in enumerate(analyses) for u in a.utterances]
        owner = np.array([i for i, _ in utterances], np.int64)
        seconds = np.array([max(u.end_s - u.start_s, 1e-3) for _, u in utterances])
        totals = np.bincount(owner, weights=seconds, minlength=len(analyses))
        opinions = {}
        for m in Modality:
            evidence = [u.modalities[m] for _, u in utterances]
            none = np.full(len(LABELS), _UNIFORM)
            said = [none if e.probabilities is None else e.probabilities for e in evidence]
            reliability = [0.0 if e.probabilities is None else e.reliability or 0.0 for e in evidence]
            opinions[m] = Opinion(np.array(said).reshape(-1, len(LABELS)), np.array(reliability))
        return cls(np.asarray(labels), np.array(groups), owner, seconds / totals[owner], opinions)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.bool_]) -> Recordings:
        """Return some of the recordings."""
        kept = rows[self.owner]
        place = np.cumsum(rows) - 1
        return replace(
            self,
            labels=self.labels[rows],
            groups=self.groups[rows],
            owner=place[self.owner[kept]],
            share=self.share[kept],
            opinions={m: _kept(opinion, kept) for m, opinion in self.opinions.items()},
        )

    def only(self, modalities: Collection[Modality]) -> Recordings:
        """Return the same without the other modalities."""
        return replace(self, opinions={m: o for m, o in self.opinions.items() if m in modalities})

    def of_strength(self, strengths: Mapping[Modality, float]) -> Recordings:
        """Return the same with opinions of other strengths, as factors of what they are."""
        opinions = {}
        for m, o in self.opinions.items():
            evidence = strengths.get(m, 1.0) * floored_log(o.probabilities)
            opinions[m] = Opinion(softmax(evidence), o.reliability)
        return replace(self, opinions=opinions)

    def mean(self, utterances: FloatArray) -> FloatArray:
        """Average what was said of utterances, (utterances, 3), over each recording, (n, 3)."""
        total = np.zeros((len(self), len(LABELS)))
        np.add.at(total, self.owner, utterances * self.share[:, None])
        total[np.bincount(self.owner, minlength=len(self)) == 0] = _UNIFORM
        return total

    def answers(self, pool: Pool) -> FloatArray:
        """Return what a pool answers to each recording, shape (n, 3)."""
        said = pool.expecting(self.prior).posterior(self.opinions)
        return self.mean(np.broadcast_to(said, (len(self.owner), len(LABELS))))


def _kept(opinion: Opinion, rows: NDArray[np.bool_]) -> Opinion:
    return Opinion(opinion.probabilities[rows], np.asarray(opinion.reliability)[rows])


@dataclass(frozen=True, eq=False)
class FittedPool:
    """A pool, and the strengths of the experts that it was fitted with."""

    pool: Pool
    strengths: dict[Modality, float] = field(default_factory=dict)

    def answers(self, recordings: Recordings) -> FloatArray:
        """Return the answers to recordings whose opinions are of strength 1, shape (n, 3)."""
        return recordings.of_strength(self.strengths).answers(self.pool)


#: Settled by looks at talking clips, at monologues and at explicit words over a calm face, which allow much
#: more than one choice. A voice that learned to speak for strangers is nearly believed, a face that learned
#: from pictures by half (log-loss of each alone). Beside others the face keeps its say, words, as a
#: recogniser hears them, less than half, and a voice a third, for it takes anger for joy at times. Plain
#: words and calm faces are rather an absence of evidence.
START = FittedPool(
    Pool(
        {
            Modality.TEXT: Beside(0.4, 0.1),
            Modality.AUDIO: Beside(0.3, 0.3),
            Modality.FACE: Beside(1.0, 0.6),
        }
    ),
    {Modality.TEXT: 1.0, Modality.AUDIO: 0.9, Modality.FACE: 0.5},
)


def fit_pool(
    recordings: Recordings,
    *,
    monologues: Recordings | None = None,
    start: FittedPool = START,
    spread: float = SPREAD,
) -> FittedPool:
    """Fit strengths of voice and face and all exponents; the words keep their strength.

    Parameters
    ----------
    recordings : Recordings
        With opinions of strength 1, as `heard` gives them by default.
    monologues : Recordings, optional
        Further recordings of which other experts spoke: they tell what modalities count beside each
        other, not how strong our experts are. In all they count as much as `recordings`.
    start : FittedPool
        Centre of the prior.
    spread : float
        Its standard deviation, of logarithms: small ones hold the parameters at the start.
    """
    build = _parameters(start)

    def loss(x: FloatArray) -> float:
        fitted = build(x)
        heard = recordings.of_strength(fitted.strengths)
        total = negative_log_likelihood(recordings.labels, heard.answers(fitted.pool))
        for m in (Modality.AUDIO, Modality.FACE):
            alone = negative_log_likelihood(recordings.labels, heard.only([m]).answers(fitted.pool))
            total += ALONE * alone
        if monologues is not None:
            total += negative_log_likelihood(monologues.labels, monologues.answers(fitted.pool))
        return total * len(recordings) + float(x @ x) / (2 * spread**2)

    size = 2 + len(Modality) + 1
    found = minimize(loss, np.zeros(size), method="Powell", options={"xtol": 1e-3, "ftol": 1e-6})
    return _rounded(build(found.x))


def _parameters(start: FittedPool) -> Callable[[FloatArray], FittedPool]:
    """Return what makes a pool of log factors: two strengths, three exponents, the ratio of the words."""

    def build(x: FloatArray) -> FittedPool:
        factor = np.exp(np.clip(x, -4, 4)).tolist()
        strengths = dict(start.strengths)
        for m, by in zip((Modality.AUDIO, Modality.FACE), factor[:2], strict=True):
            strengths[m] = start.strengths.get(m, 1.0) * by
        beside = {}
        for m, by in zip(Modality, factor[2:5], strict=True):
            first = start.pool.beside.get(m, Beside())
            polar = min(1.0, first.polar * by)
            ratio = first.neutral / first.polar * (factor[5] if m is Modality.TEXT else 1.0)
            beside[m] = Beside(polar, polar * min(1.0, ratio))
        return FittedPool(replace(start.pool, beside=beside), strengths)

    return build


def _rounded(fitted: FittedPool) -> FittedPool:
    beside = {m: Beside(round(b.polar, 3), round(b.neutral, 3)) for m, b in fitted.pool.beside.items()}
    strengths = {m: round(s, 3) for m, s in fitted.strengths.items()}
    return FittedPool(replace(fitted.pool, beside=beside), strengths)


def left_out(
    recordings: Recordings, fit: Callable[[Recordings], Callable[[Recordings], FloatArray]]
) -> FloatArray:
    """Answer each group by what was fitted without it, shape (n, 3)."""
    answers = np.empty((len(recordings), len(LABELS)))
    for group in np.unique(recordings.groups):
        judged = recordings.groups == group
        answers[judged] = fit(recordings.take(~judged))(recordings.take(judged))
    return answers
