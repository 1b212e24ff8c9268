"""The result of an analysis: a plain tree of dataclasses that every face renders.

The JSON form is `schema: "trivalent.analysis/1"`. Key frames are pictures and tracks are long, so
both stay out of it, in a second document: `Analysis.from_dict(a.to_dict(), a.extras_to_dict())` is `a`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from trivalent.core.errors import MissingExtraError
from trivalent.core.types import FloatArray, Modality, Status, probabilities_array, probabilities_dict

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "trivalent.analysis/1"


@dataclass(frozen=True)
class Source:
    """What was analysed; `kind` is video, audio or text."""

    name: str
    kind: str
    duration_s: float | None


@dataclass(frozen=True)
class Model:
    """The bundle that spoke."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Verdict:
    """A label with its probabilities (float64, shape (3,), summing to 1).

    `confidence` is the probability of `label`; `abstained` tells that it lies below the
    confidence that the user asked for, so that `label` should not be relied on.
    """

    label: str
    confidence: float
    probabilities: FloatArray
    abstained: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Render as in the schema."""
        return {
            "label": self.label,
            "confidence": self.confidence,
            "abstained": self.abstained,
            "probabilities": probabilities_dict(self.probabilities),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Verdict:
        """Invert `to_dict`."""
        return cls(
            data["label"],
            data["confidence"],
            probabilities_array(data["probabilities"]),
            data["abstained"],
        )


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one modality said about one utterance.

    Attributes
    ----------
    probabilities : array, shape (3,), or None
        Calibrated opinion of the modality's expert alone.
    weight : float
        Share of the fused log-odds, 0 when the modality was not used.
    effect : array, shape (3,), or None
        Fused probabilities minus those without this modality: what it changed.
    quality : dict
        Measured facts about the input, such as `voiced_s`, `frames_with_face`, `words`.
    reliability : float or None
        How much there was to judge, in [0, 1]: the quality of the opinion that was fused; 0 without
        an opinion. None in documents written before it was kept: they cannot be decided again.
    """

    status: Status
    reason: str | None
    probabilities: FloatArray | None
    weight: float
    effect: FloatArray | None = None
    quality: dict[str, float] = field(default_factory=dict)
    reliability: float | None = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Render as in the schema."""

        def named(p: FloatArray | None) -> dict[str, float] | None:
            return None if p is None else probabilities_dict(p)

        return {
            "status": str(self.status),
            "reason": self.reason,
            "probabilities": named(self.probabilities),
            "weight": self.weight,
            "effect": named(self.effect),
            "reliability": self.reliability,
            "quality": self.quality,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evidence:
        """Invert `to_dict`."""

        def array(p: Mapping[str, float] | None) -> FloatArray | None:
            return None if p is None else probabilities_array(p)

        return cls(
            Status(data["status"]),
            data["reason"],
            array(data["probabilities"]),
            data["weight"],
            array(data["effect"]),
            dict(data["quality"]),
            data.get("reliability"),
        )


@dataclass(frozen=True, eq=False)
class UtteranceResult:
    """One utterance with its fused verdict and the evidence behind it.

    `conflict` is the weighted Jensen-Shannon divergence between the experts in [0, 1];
    `mixed` tells that it is strong enough to be called mixed signals.
    """

    index: int
    start_s: float
    end_s: float
    text: str
    verdict: Verdict
    modalities: dict[Modality, Evidence]
    conflict: float = 0.0
    mixed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Render as in the schema."""
        return {
            "index": self.index,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "text": self.text,
            **self.verdict.to_dict(),
            "conflict": self.conflict,
            "mixed": self.mixed,
            "modalities": {str(m): e.to_dict() for m, e in self.modalities.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> UtteranceResult:
        """Invert `to_dict`."""
        return cls(
            data["index"],
            data["start_s"],
            data["end_s"],
            data["text"],
            Verdict.from_dict(data),
            {Modality(m): Evidence.from_dict(e) for m, e in data["modalities"].items()},
            data["conflict"],
            data["mixed"],
        )


@dataclass(frozen=True, eq=False)
class KeyFrame:
    """A picture of the face that shaped an utterance: JPEG bytes and its strongest movements."""

    time_s: float
    utterance: int
    jpeg: bytes
    expressions: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Render with the picture in base64."""
        return vars(self) | {
            "jpeg": base64.b64encode(self.jpeg).decode(),
            "expressions": {**self.expressions},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KeyFrame:
        """Invert `to_dict`."""
        jpeg = base64.b64decode(data["jpeg"], validate=True)
        return cls(data["time_s"], data["utterance"], jpeg, dict(data["expressions"]))


@dataclass(frozen=True, eq=False)
class Track:
    """A curve over the recording: `F0` in Hz or `energy` in dB.

    Attributes
    ----------
    times_s, values : array of float64, shape (n,)
        Evenly spaced times; NaN where there is no value: unvoiced, or not analysed.
    """

    name: str
    unit: str
    times_s: FloatArray
    values: FloatArray

    def to_dict(self) -> dict[str, Any]:
        """Render with null for NaN."""
        values = [None if np.isnan(x) else x for x in self.values.tolist()]
        return {"name": self.name, "unit": self.unit, "times_s": self.times_s.tolist(), "values": values}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Track:
        """Invert `to_dict`."""
        return cls(
            data["name"], data["unit"], np.array(data["times_s"], float), np.array(data["values"], float)
        )


@dataclass(frozen=True)
class Timing:
    """Wall-clock seconds by stage; `realtime_factor` is total over the recording's length."""

    decode_s: float = 0.0
    speech_s: float = 0.0
    text_s: float = 0.0
    audio_s: float = 0.0
    face_s: float = 0.0
    fusion_s: float = 0.0
    total_s: float = 0.0
    realtime_factor: float | None = None


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything known about one source after one run."""

    source: Source
    model: Model
    overall: Verdict
    utterances: tuple[UtteranceResult, ...]
    warnings: tuple[str, ...] = ()
    timing: Timing = Timing()
    keyframes: tuple[KeyFrame, ...] = ()
    tracks: tuple[Track, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Render as schema `trivalent.analysis/1`: plain dicts, lists, strings and floats."""
        return {
            "schema": SCHEMA,
            "source": vars(self.source).copy(),
            "model": vars(self.model).copy(),
            "overall": self.overall.to_dict(),
            "utterances": [u.to_dict() for u in self.utterances],
            "warnings": list(self.warnings),
            "timing": vars(self.timing).copy(),
        }

    def extras_to_dict(self) -> dict[str, Any]:
        """Render what `to_dict` leaves out: key frames and tracks."""
        return {
            "keyframes": [k.to_dict() for k in self.keyframes],
            "tracks": [t.to_dict() for t in self.tracks],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], extras: Mapping[str, Any] | None = None) -> Analysis:
        """Invert `to_dict`, and `extras_to_dict` where there are extras."""
        extras = extras or {}
        return cls(
            Source(**data["source"]),
            Model(**data["model"]),
            Verdict.from_dict(data["overall"]),
            tuple(UtteranceResult.from_dict(u) for u in data["utterances"]),
            tuple(data["warnings"]),
            Timing(**data["timing"]),
            tuple(KeyFrame.from_dict(k) for k in extras.get("keyframes", ())),
            tuple(Track.from_dict(t) for t in extras.get("tracks", ())),
        )

    def rows(self) -> list[dict[str, Any]]:
        """Flatten to one dict per utterance: the columns of the CSV and of `to_frame`."""
        return [_row(self.source.name, u) for u in self.utterances]

    def to_frame(self) -> pd.DataFrame:
        """Tabulate the utterances, one row each.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError("pandas", "table") from error

        return pd.DataFrame(self.rows())


def _row(source: str, u: UtteranceResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source": source,
        "utterance": u.index,
        "start_s": u.start_s,
        "end_s": u.end_s,
        "text": u.text,
        "label": u.verdict.label,
        "confidence": u.verdict.confidence,
        "abstained": u.verdict.abstained,
        "mixed": u.mixed,
        **probabilities_dict(u.verdict.probabilities),
    }
    for modality, evidence in u.modalities.items():
        row[f"{modality}_status"] = str(evidence.status)
        row[f"{modality}_reason"] = evidence.reason
        row[f"{modality}_weight"] = evidence.weight
        named = None if evidence.probabilities is None else probabilities_dict(evidence.probabilities)
        for label in probabilities_dict(u.verdict.probabilities):
            row[f"{modality}_{label}"] = None if named is None else named[label]
    return row
