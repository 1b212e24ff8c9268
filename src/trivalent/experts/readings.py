"""What each modality says about each utterance: readings with a status, never silent zeros.

A `Reading` is the bridge between extractors and fusion: either calibrated probabilities
with a quality in [0, 1], or a status and the reason why there are none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trivalent.bundle.fusion import Opinion
from trivalent.bundle.loading import MIN_STEPS, Expert, Inputs
from trivalent.core.messages import Message
from trivalent.core.types import FeatureTable, FloatArray, Status, Utterance
from trivalent.experts.encoder import UNTIMED, Encoder
from trivalent.features.frames import ROWS_PER_STEP, STEP_S
from trivalent.features.levels import Level
from trivalent.features.steps import StepKind

Reader = Expert | Encoder


@dataclass(frozen=True, eq=False)
class Reading:
    """One expert's view of one utterance: its opinion; or the features that a network asks for.

    Features are a vector, or a sequence of shape (steps, columns). `reliability` is theirs: an opinion has
    its own.
    """

    status: Status
    reason: str | None = None
    opinion: Opinion | None = None
    quality: dict[str, float] = field(default_factory=dict)
    repaired: int = 0
    features: FloatArray | None = None
    reliability: float = 0.0

    @classmethod
    def absent(
        cls, reason: str, *, status: Status = Status.MISSING, quality: dict[str, float] | None = None
    ) -> Reading:
        """Say why there is nothing."""
        return cls(status, reason, None, quality or {})


def read_table(
    reader: Reader,
    table: FeatureTable,
    *,
    reliability: float,
    quality: dict[str, float],
    level: Level | None = None,
    utterance: Utterance = UNTIMED,
) -> Reading:
    """Read one utterance, of which there was enough to be of this reliability.

    `level` is that of the voice in the whole recording; the times of the utterance are those of the table.
    """
    if isinstance(reader, Encoder):
        return _encode(
            reader, table, level=level, utterance=utterance, reliability=reliability, quality=quality
        )
    found, missing = reader.from_table(table, level)
    if found is not None:
        return Reading(Status.OK, None, reader.opinion(found, reliability), quality, missing)
    if reader.spec.inputs is Inputs.FRAMES:
        steps, needed = (len(table) - missing) // ROWS_PER_STEP * STEP_S, MIN_STEPS * STEP_S
        return Reading.absent(Message("reason.little_sound", seconds=steps, needed=needed), quality=quality)
    reason = Message("reason.features_missing", count=missing, total=len(reader.spec.pooling))
    return Reading.absent(reason, status=Status.FAILED, quality=quality)


def _encode(
    encoder: Encoder,
    table: FeatureTable,
    *,
    level: Level | None,
    utterance: Utterance,
    reliability: float,
    quality: dict[str, float],
) -> Reading:
    features, missing = encoder.from_table(table, level, utterance)
    if features is not None:
        return Reading(
            Status.OK, quality=quality, repaired=missing, features=features, reliability=reliability
        )
    steps = encoder.spec.steps
    if steps is None:
        reason = Message("reason.features_missing", count=missing, total=len(encoder.spec.pooling))
        return Reading.absent(reason, status=Status.FAILED, quality=quality)
    if steps.kind is StepKind.WORDS and not utterance.words:
        return Reading.absent(Message("reason.no_word_times"), quality=quality)
    return Reading.absent(
        Message("reason.no_steps", kind=steps.kind), status=Status.FAILED, quality=quality
    )
