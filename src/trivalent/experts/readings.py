"""What each modality says about each utterance: readings with a status, never silent zeros.

A `Reading` is the bridge between extractors and fusion: either calibrated probabilities
with a quality in [0, 1], or a status and the reason why there are none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trivalent.bundle.fusion import Opinion
from trivalent.bundle.loading import MIN_STEPS, Expert, Inputs
from trivalent.core.messages import Message
from trivalent.core.types import FeatureTable, Status
from trivalent.features.frames import ROWS_PER_STEP, STEP_S


@dataclass(frozen=True, eq=False)
class Reading:
    """One expert's view of one utterance."""

    status: Status
    reason: str | None = None
    opinion: Opinion | None = None
    quality: dict[str, float] = field(default_factory=dict)
    repaired: int = 0

    @classmethod
    def absent(
        cls, reason: str, *, status: Status = Status.MISSING, quality: dict[str, float] | None = None
    ) -> Reading:
        """Say why there is nothing."""
        return cls(status, reason, None, quality or {})


def classify_table(
    expert: Expert, table: FeatureTable, *, reliability: float, quality: dict[str, float]
) -> Reading:
    """Classify the features of one utterance, of which there was enough to be of this reliability."""
    probabilities, missing = expert.from_table(table)
    if probabilities is not None:
        return Reading(
            Status.OK, None, Opinion(probabilities, expert.spec.prior, reliability), quality, missing
        )
    if expert.spec.inputs is Inputs.FRAMES:
        steps, needed = len(table) // ROWS_PER_STEP * STEP_S, MIN_STEPS * STEP_S
        if steps < needed:
            return Reading.absent(
                Message("reason.little_sound", seconds=steps, needed=needed), quality=quality
            )
        reason = Message("reason.silent_rows", count=missing, total=len(table))
    else:
        reason = Message("reason.features_missing", count=missing, total=len(expert.spec.pooling))
    return Reading.absent(reason, status=Status.FAILED, quality=quality)
