"""Rows and claims of the paper behind this project, and the systems that they are about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from trivalent.core.types import Modality
from trivalent.lab.benchmarks.bench import Claim, Predictions
from trivalent.lab.benchmarks.cross_validation import SystemPool
from trivalent.lab.fusion.seed_training import PAPER_TRAINING, System

if TYPE_CHECKING:
    from trivalent.lab.benchmarks.paper_table import PaperTable

CONCATENATION = System(network="concatenation")
S3 = System()
S4 = replace(S3, loss_options={"weights": "sqrt"})
S5 = replace(S3, network="transformer")
VOTE_WEIGHTS = tuple(np.round(np.arange(0.5, 2.51, 0.1), 1).tolist())  # the paper's grid, .5 to 2.5


@dataclass(frozen=True)
class PaperRow:
    """A row: the paper's figures (accuracy / macro-F1 / negative recall) and how we get ours."""

    name: str
    paper: str
    run: Callable[[PaperTable], Predictions]
    seven: bool = False


def _weights(rule: str) -> System:
    return replace(S3, loss_options={"weights": rule})


SINGLE = System(network="single")
ROWS: tuple[PaperRow, ...] = (
    PaperRow("7-class concatenation, raw", ".496", lambda t: t.of(CONCATENATION, t.seven_raw), seven=True),
    PaperRow("7-class concatenation, cleaned", ".531", lambda t: t.of(CONCATENATION, t.seven), seven=True),
    PaperRow(
        "7-class concatenation, focal",
        ".515",
        lambda t: t.of(replace(CONCATENATION, loss="focal"), t.seven),
        seven=True,
    ),
    PaperRow("3-class concatenation", ".575", lambda t: t.of(CONCATENATION)),
    PaperRow("3-class concatenation, focal", ".558", lambda t: t.of(replace(CONCATENATION, loss="focal"))),
    PaperRow("S3 attention", ".592 / .413 / 0", lambda t: t.of(S3)),
    PaperRow("S4 attention, square-root weights", ".568 / .493 / .260", lambda t: t.of(S4)),
    PaperRow("S4 attention, linear weights", ".581 / - / .247", lambda t: t.of(_weights("linear"))),
    PaperRow("S4 attention, square weights", ".559 / - / .403", lambda t: t.of(_weights("square"))),
    PaperRow("S5 transformer", ".567", lambda t: t.of(S5)),
    PaperRow("S7 soft vote S4 + S3", ".592", lambda t: t.vote((S4, S3), (1, 1))),
    PaperRow("S7 weighted vote 1.5 : 1", ".595 / .507", lambda t: t.vote((S4, S3), (1.5, 1))),
    PaperRow("S7 three models 1 : 1 : 1", ".580", lambda t: t.vote((S4, S3, S5), (1, 1, 1))),
    PaperRow("S7 three models 2 : 1 : 1", ".583", lambda t: t.vote((S4, S3, S5), (2, 1, 1))),
    PaperRow("S7 three models 3 : 1 : 1", ".581", lambda t: t.vote((S4, S3, S5), (3, 1, 1))),
    PaperRow("S7 hard vote of three", "-", lambda t: t.hard_vote((S4, S3, S5))),
    PaperRow("S10-2 threshold of negative", ".587 / .434 / .10", lambda t: t.threshold(S3)),
    PaperRow(
        "S10-3 focal + macro-F1 loss",
        ".561 / .487 / .253",
        lambda t: t.of(replace(S3, loss="focal_macro_f1", loss_options={"weights": "sqrt"})),
    ),
    PaperRow("S10-3 macro-F1 loss", ".544 / .473 / .239", lambda t: t.of(replace(S3, loss="macro_f1"))),
    PaperRow("S10-4 searched vote S4, S3", ".568 / .491 / .258", lambda t: t.searched_vote((S4, S3))),
    PaperRow("text alone", ".542", lambda t: t.of(SINGLE, t.single[Modality.TEXT])),
    PaperRow("audio alone", ".487", lambda t: t.of(SINGLE, t.single[Modality.AUDIO])),
    PaperRow("face alone", ".513", lambda t: t.of(SINGLE, t.single[Modality.FACE])),
)
# Without a choice of the epoch: these are compared by cross-validation, see `cross_validation`.
_FIXED = replace(PAPER_TRAINING, schedule="cosine", optimizer="adamw", validations_per_epoch=0)
_ATTENTION = replace(S4, training=replace(_FIXED, epochs=15, batch_size=64))
_LINEAR = System(
    network="linear",
    loss_options={"weights": "sqrt"},
    training=replace(
        _FIXED,
        optimizer="adam",
        epochs=200,
        batch_size=4096,
        learning_rate=1e-2,
        weight_decay=1.7,
        warmup=0.0,
    ),
)
_ALL, _TEXT = tuple(Modality), (Modality.TEXT,)
CANDIDATES: dict[str, SystemPool] = {
    "attention, square-root weights, 15 epochs": SystemPool(((_ATTENTION, _ALL),)),
    "linear, strong L2, all modalities": SystemPool(((_LINEAR, _ALL),)),
    "linear, strong L2, text": SystemPool(((_LINEAR, _TEXT),)),
    "linear on text + attention": SystemPool(((_LINEAR, _TEXT), (_ATTENTION, _ALL))),
}
OURS = "ours, chosen by cross-validation"
CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Cleaning raises seven-class accuracy (.496 to .531)",
        "7-class concatenation, cleaned",
        "7-class concatenation, raw",
        "accuracy",
    ),
    Claim(
        "Focal loss lowers seven-class accuracy (.531 to .515)",
        "7-class concatenation, cleaned",
        "7-class concatenation, focal",
        "accuracy",
    ),
    Claim(
        "Focal loss lowers three-class accuracy (.575 to .558)",
        "3-class concatenation",
        "3-class concatenation, focal",
        "accuracy",
    ),
    Claim(
        "Attention is more accurate than concatenation (.592, .575)",
        "S3 attention",
        "3-class concatenation",
        "accuracy",
    ),
    Claim(
        "Square-root weights raise macro-F1 (.413 to .493)",
        "S4 attention, square-root weights",
        "S3 attention",
    ),
    Claim(
        "Square-root weights find the negative class (recall 0 to .260)",
        "S4 attention, square-root weights",
        "S3 attention",
        "negative_recall",
    ),
    Claim(
        "Weights cost accuracy (.592 to .568)",
        "S3 attention",
        "S4 attention, square-root weights",
        "accuracy",
    ),
    Claim(
        "Square weights find more negatives than square-root weights (.403, .260)",
        "S4 attention, square weights",
        "S4 attention, square-root weights",
        "negative_recall",
    ),
    Claim(
        "The transformer is less accurate than S3 (.567, .592)",
        "S3 attention",
        "S5 transformer",
        "accuracy",
    ),
    Claim(
        "The weighted vote has the best macro-F1 (.507), above S4 (.493)",
        "S7 weighted vote 1.5 : 1",
        "S4 attention, square-root weights",
    ),
    Claim(
        "The weighted vote is more accurate than S3 (.595, .592)",
        "S7 weighted vote 1.5 : 1",
        "S3 attention",
        "accuracy",
    ),
    Claim(
        "A tuned threshold of negative raises macro-F1 of S3 (.413 to .434)",
        "S10-2 threshold of negative",
        "S3 attention",
    ),
    Claim(
        "A macro-F1 loss raises macro-F1 over plain cross-entropy (.473, .413)",
        "S10-3 macro-F1 loss",
        "S3 attention",
    ),
    Claim("Text is the best single modality (.542, face .513)", "text alone", "face alone", "accuracy"),
    Claim("Audio is the weakest (.487, face .513)", "face alone", "audio alone", "accuracy"),
    Claim("Three modalities beat text alone (.592, .542)", "S3 attention", "text alone", "accuracy"),
    Claim(
        "Ours: the system chosen by cross-validation has a higher macro-F1 than S3", OURS, "S3 attention"
    ),
)
