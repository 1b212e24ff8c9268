"""A linear layer on an installed expert that starts as nothing and is drawn back to nothing.

Dozens of recordings cannot train an expert, but they can move one. Of an utterance the expert gives
log-probabilities l, shape (3,), and an encoding e (say, a sentence vector); adapted logits are

    z = s * l + W (e - centre) / size + b

with the encodings of the table at mean length 1. The maximum a posteriori is taken under Gaussian priors:
deviation `strength` for W and b, half of it for ln s. So 0 is the installed expert itself, and a strength
says by how many logits an utterance may be moved as a matter of course.

A label is that of a recording, whose answer is the mean of its utterances by length, as in an analysis: the
likelihood is that of this mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from trivalent.bundle.fusion import softmax
from trivalent.core.types import FloatArray, IntArray
from trivalent.lab.measure.metrics import negative_log_likelihood

STRENGTHS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
_TEMPERATURES = (0.25, 4.0)  # limits: the slope has done most of it


@dataclass(frozen=True, eq=False)
class Heard:
    """What an expert made of the utterances of labelled recordings.

    Attributes
    ----------
    log_p : array, shape (n, 3)
        Log-probabilities of the utterances.
    encodings : array, shape (n, width)
    owners : int array, shape (n,)
        Recording of each utterance, 0 to m - 1.
    shares : array, shape (n,)
        Of the utterances in their recordings; they sum to 1 in each.
    labels : int array, shape (m,)
    """

    log_p: FloatArray
    encodings: FloatArray
    owners: IntArray
    shares: FloatArray
    labels: IntArray

    def part(self, recordings: IntArray) -> Heard:
        """Take some recordings, ascending."""
        rows = np.isin(self.owners, recordings)
        place = np.searchsorted(recordings, self.owners[rows])
        return Heard(
            self.log_p[rows], self.encodings[rows], place, self.shares[rows], self.labels[recordings]
        )

    def answers(self, logits: FloatArray) -> FloatArray:
        """Return what logits of the utterances, shape (n, 3), say of the recordings, shape (m, 3)."""
        answers = np.zeros((len(self.labels), logits.shape[1]))
        np.add.at(answers, self.owners, self.shares[:, None] * softmax(logits))
        return answers

    def loss(self, logits: FloatArray) -> float:
        """Mean log-loss of the recordings."""
        return negative_log_likelihood(self.labels, self.answers(logits))


@dataclass(frozen=True, eq=False)
class Adapter:
    """The layer, for encodings as they come.

    Attributes
    ----------
    slope : float
    weights : array, shape (3, width)
    bias : array, shape (3,)
    """

    slope: float
    weights: FloatArray
    bias: FloatArray

    def logits(self, heard: Heard) -> FloatArray:
        """Adapt, shape (n, 3)."""
        return self.slope * heard.log_p + heard.encodings @ self.weights.T + self.bias


def fit_adapter(heard: Heard, strength: float) -> Adapter:
    """Find the most probable layer given recordings.

    Parameters
    ----------
    heard : Heard
    strength : float
        0 or more; see above.
    """
    classes, width = heard.log_p.shape[1], heard.encodings.shape[1]
    if strength == 0:
        return Adapter(1.0, np.zeros((classes, width)), np.zeros(classes))
    centre = heard.encodings.mean(0)
    size = float(np.sqrt(((heard.encodings - centre) ** 2).sum(1).mean())) or 1.0
    x = np.column_stack([(heard.encodings - centre) / size, np.ones(len(heard.encodings))])
    truth = np.eye(classes)[heard.labels[heard.owners]]

    def cost(parameters: FloatArray) -> tuple[float, FloatArray]:
        slope, layer = np.exp(parameters[0]), parameters[1:].reshape(classes, -1)
        p = softmax(slope * heard.log_p + x @ layer.T)
        told = heard.shares * (p * truth).sum(1)  # of its recording's answer by each utterance
        answers = np.maximum(np.bincount(heard.owners, told), 1e-300)
        excess = (told / answers[heard.owners])[:, None] * (p - truth)
        prior = np.concatenate([[4 * parameters[0]], parameters[1:]]) / strength**2
        gradient = np.concatenate([[slope * (excess * heard.log_p).sum()], (excess.T @ x).ravel()])
        return float(-np.log(answers).sum() + (prior * parameters).sum() / 2), gradient + prior

    found = minimize(cost, np.zeros(1 + classes * (width + 1)), jac=True, method="L-BFGS-B").x
    layer = found[1:].reshape(classes, -1)
    weights = layer[:, :-1] / size
    return Adapter(float(np.exp(found[0])), weights, layer[:, -1] - weights @ centre)


def held_out(heard: Heard, folds: IntArray, strength: float) -> FloatArray:
    """Logits of all utterances by layers that their fold had no part in, shape (n, 3)."""
    logits = np.empty_like(heard.log_p)
    for fold in np.unique(folds):
        adapter = fit_adapter(heard.part(np.flatnonzero(folds != fold)), strength)
        held = folds[heard.owners] == fold
        logits[held] = adapter.logits(heard)[held]
    return logits


def choose_strength(heard: Heard, folds: IntArray, strengths: Sequence[float] = STRENGTHS) -> float:
    """Find the strength with the lowest log-loss out of fold; of equals the least.

    Parameters
    ----------
    heard : Heard
    folds : int array, shape (m,)
        Of the recordings.
    strengths : sequence of float
        Ascending.
    """
    return min(strengths, key=lambda strength: round(heard.loss(held_out(heard, folds, strength)), 9))


def cross_validate(
    heard: Heard, folds: IntArray, strengths: Sequence[float] = STRENGTHS
) -> tuple[FloatArray, list[float]]:
    """Judge each fold by a layer for which it chose nothing, its strength included.

    Returns
    -------
    logits : array, shape (n, 3)
    strengths : list of float
        Chosen without each fold.
    """
    logits, chosen = np.empty_like(heard.log_p), []
    for fold in np.unique(folds):
        others = np.flatnonzero(folds != fold)
        rest = heard.part(others)
        chosen.append(choose_strength(rest, folds[others], strengths))
        held = folds[heard.owners] == fold
        logits[held] = fit_adapter(rest, chosen[-1]).logits(heard)[held]
    return logits, chosen


def temperature_of(heard: Heard, logits: FloatArray) -> float:
    """Find the temperature of the utterances with the lowest log-loss of the recordings."""
    low, high = np.log(_TEMPERATURES)
    found = minimize_scalar(lambda t: heard.loss(logits / np.exp(t)), bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


__all__ = [
    "STRENGTHS",
    "Adapter",
    "Heard",
    "choose_strength",
    "cross_validate",
    "fit_adapter",
    "held_out",
    "temperature_of",
]
