"""How good, how large and how fast an expert is, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trivalent.bundle.fusion import softmax
from trivalent.core.types import FloatArray, IntArray
from trivalent.features.text import encode, pad
from trivalent.lab.compress.sessions import median_latency_ms
from trivalent.lab.compress.transfer import graph_answers
from trivalent.lab.datasets.text import TextData
from trivalent.lab.decide.calibration import fit_temperature
from trivalent.lab.experts.text_corpora import spoken_of, validation_scores
from trivalent.lab.measure.metrics import summarize

# As in benchmarks/speed.py: 23 tokens.
SENTENCE = "I was not sure about it at first, but I really like how this turned out in the end."
VOICE_STEPS = 150  # of 20 ms: three seconds


@dataclass(frozen=True, eq=False)
class Judged:
    """An expert on its validation data.

    Attributes
    ----------
    temperature : float
        Fitted on these data.
    probabilities : array, shape (n, 3)
        Calibrated, of the items that calibrate (spoken language).
    labels : int array, shape (n,)
    parts : dict of str to dict
        Metrics by corpus.
    scores : dict of str to float
        Among them `score`, which chooses; empty where nothing is chosen.
    """

    temperature: float
    probabilities: FloatArray
    labels: IntArray
    parts: dict[str, dict[str, float]]
    scores: dict[str, float]

    @property
    def prior(self) -> FloatArray:
        """Mean of the calibrated probabilities."""
        return self.probabilities.mean(0)

    def to_metrics(self) -> dict[str, Any]:
        """Render for bundle.json."""
        return {
            "validation": self.parts,
            "validation_spoken": summarize(self.labels, self.probabilities),
            "scores": self.scores,
        }


def judge_text(graph: bytes, val: Mapping[str, TextData]) -> Judged:
    """Calibrate a text graph on spoken validation data and judge it on all.

    Without a spoken corpus all of them calibrate.
    """
    logits = {name: graph_answers(graph, data.texts).logits for name, data in val.items()}
    labels = {name: data.labels for name, data in val.items()}
    used = spoken_of(val)
    pooled, truth = np.concatenate([logits[n] for n in used]), np.concatenate([labels[n] for n in used])
    temperature = fit_temperature(pooled, truth)
    return Judged(
        temperature,
        softmax(pooled / temperature),
        truth,
        {name: summarize(labels[name], softmax(z / temperature)) for name, z in logits.items()},
        validation_scores(labels, {name: z.argmax(1) for name, z in logits.items()}),
    )


def judge_logits(logits: FloatArray, labels: IntArray, *, name: str) -> Judged:
    """Calibrate out-of-fold logits and judge them."""
    temperature = fit_temperature(logits, labels)
    probabilities = softmax(np.asarray(logits, float) / temperature)
    return Judged(temperature, probabilities, labels, {name: summarize(labels, probabilities)}, {})


def text_latency_ms(graph: bytes) -> float:
    """Milliseconds for a sentence of 23 tokens on one thread, without the tokenizer."""
    ids, mask = pad(encode([SENTENCE]))
    return median_latency_ms(graph, {"ids": ids, "mask": mask})


def voice_latency_ms(graph: bytes, *, channels: int) -> float:
    """Milliseconds for three seconds of frames on one thread, without their extraction."""
    frames = np.random.default_rng(0).normal(size=(1, VOICE_STEPS, channels)).astype(np.float32)
    return median_latency_ms(graph, {"frames": frames})
