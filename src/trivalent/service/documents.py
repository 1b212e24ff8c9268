"""The analysis document, schema `trivalent.analysis/1`, as the OpenAPI description tells it.

Answers are written by `Analysis.to_dict`; these models describe them. A later version may add fields.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trivalent.core.types import LABELS, Modality, Status

Label = Literal["negative", "neutral", "positive"]
assert set(Label.__args__) == set(LABELS)  # type: ignore[attr-defined] # noqa: S101 - spelled for the schema


class Open(BaseModel):
    """Base of the parts: fields of a later version are let through."""

    model_config = ConfigDict(extra="allow")


class Probabilities(Open):
    """Three probabilities that sum to 1."""

    negative: float
    neutral: float
    positive: float


class VerdictOut(Open):
    """A label with its probability; `abstained` tells that it should not be relied on."""

    label: Label
    confidence: float
    abstained: bool
    probabilities: Probabilities


class EvidenceOut(Open):
    """What one modality said about one utterance."""

    status: Status
    reason: str | None
    probabilities: Probabilities | None
    weight: float
    reliability: float | None = Field(default=None, description="how much there was to judge, 0 to 1")
    effect: Probabilities | None = Field(description="fused probabilities minus those without it")
    quality: dict[str, float]


class UtteranceOut(VerdictOut):
    """One utterance with its verdict and the evidence behind it."""

    index: int
    start_s: float
    end_s: float
    text: str
    conflict: float = Field(description="Jensen-Shannon divergence between the experts, 0 to 1")
    mixed: bool
    modalities: dict[Modality, EvidenceOut]


class SourceOut(Open):
    """What was analysed."""

    name: str
    kind: Literal["video", "audio", "text"]
    duration_s: float | None


class ModelOut(Open):
    """The bundle that spoke."""

    name: str
    version: str
    sha256: str


class AnalysisDocument(Open):
    """An analysis in full."""

    schema_: Literal["trivalent.analysis/1"] = Field(alias="schema")
    source: SourceOut
    model: ModelOut
    overall: VerdictOut
    utterances: list[UtteranceOut]
    warnings: list[str]
    timing: dict[str, float | None]


__all__ = ["AnalysisDocument", "Label", "Probabilities"]
