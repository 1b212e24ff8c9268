"""The result of an analysis: a plain tree of dataclasses that every face renders.

It is defined here, once: its JSON (`schema: "trivalent.analysis/1"`) with what a reader refuses, the
description of that JSON in the service and in docs/analysis.md, and the columns of tables derive from
the annotations below (`core.schema`). A field that is added gets `Added`, so that older documents are read.

Key frames are pictures and tracks are long, so both stay out of the JSON, in a second document, which also
has the codes of warnings and reasons:
`Analysis.from_dict(a.to_dict(), a.extras_to_dict())` is `a`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

from trivalent.core.columns import Columns
from trivalent.core.errors import MissingExtraError
from trivalent.core.messages import Message
from trivalent.core.schema import (
    DERIVED,
    SPREAD,
    Added,
    Curve,
    Labelled,
    Number,
    Object,
    Suffixed,
    Text,
    json_schema,
)
from trivalent.core.types import LABELS, SCALE, FloatArray, Modality, Sentiment, Status

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "trivalent.analysis/1"
KINDS = ("video", "audio", "text")  # of sources
MIXED_BY = ("parts", "tie")  # why a whole is called mixed
STAGES = ("decode", "speech", *map(str, Modality), "fusion")  # of an analysis, as they are timed

_SPENT = Number(minimum=0, unit="s")
Seconds = Annotated[float, Number(unit="s")]
Share = Annotated[float, Number(minimum=0, maximum=1)]
# of shape (3,) and float64, in the order of LABELS
Probabilities = Annotated[
    FloatArray,
    Labelled(
        "Probabilities",
        "Three probabilities that sum to 1.",
        labels=LABELS,
        inner=Number(minimum=0, maximum=1),
    ),
]
Thresholds = Annotated[
    FloatArray,
    Labelled(
        "Thresholds",
        "One threshold a class: the label is the class with the greatest probability over its threshold.",
        labels=LABELS,
        inner=Number(minimum=0, maximum=1),
    ),
]
Effect = Annotated[
    FloatArray,
    Labelled(
        "Effect", "Three differences that sum to 0.", labels=LABELS, inner=Number(minimum=-1, maximum=1)
    ),
]
Shares = Annotated[
    FloatArray,
    Labelled(
        "Shares",
        "Shares of the time by the labels of its utterances; what they lack to 1 is unsure.",
        labels=LABELS,
        inner=Number(minimum=0, maximum=1),
    ),
]


@dataclass(frozen=True)
class Source:
    """What was analysed."""

    name: Annotated[str, "as it is shown"]
    kind: Annotated[str, Text(*KINDS)]
    duration_s: Annotated[Seconds | None, "length of a recording"]


@dataclass(frozen=True)
class Model:
    """The bundle that spoke."""

    name: str
    version: str
    sha256: Annotated[str, "of the whole bundle"]


@dataclass(frozen=True, eq=False)
class Terms:
    """What the verdicts rest on besides the evidence; another choice of it decides the same anew."""

    prior: Annotated[Probabilities, "expected shares of the classes"]
    thresholds: Annotated[Thresholds | None, "null where the model decides by a rule of its own"]
    min_confidence: Annotated[Share, "below it a verdict is unsure"]


@dataclass(frozen=True)
class Score:
    """Sentiment on the scale of the annotators of MOSI and MOSEI."""

    value: Annotated[float, Number(minimum=-SCALE, maximum=SCALE), "-3 very negative, 3 very positive"]
    seven: Annotated[
        int,
        Number(minimum=-SCALE, maximum=SCALE, whole=True),
        "its class of seven: the nearest whole number",
    ]

    @classmethod
    def of(cls, value: float) -> Score:
        """Round, ties to even.

        >>> Score.of(-1.6).seven, Score.of(2.5).seven
        (-2, 2)
        """
        return cls(value, round(value))


@dataclass(frozen=True, eq=False)
class Verdict:
    """A label with its probability; `abstained` tells that it should not be relied on."""

    label: Annotated[str, Text(*LABELS)]
    confidence: Annotated[Share, "probability of the label"]
    abstained: Annotated[bool, "the confidence is below the one that was asked for"] = field(
        default=False, kw_only=True
    )
    probabilities: Probabilities
    valence: Annotated[
        float,
        Number(minimum=-1, maximum=1),
        DERIVED,
        "probability of positive minus that of negative",
    ] = field(init=False)
    prediction_set: Annotated[
        tuple[str, ...] | None,
        Added(None, left_out=True),
        "labels that are not excluded, of a model with calibrated prediction sets",
    ] = field(default=None, kw_only=True)
    score: Annotated[
        Score | None,
        Added(None, left_out=True),
        "of a network that was trained on scores; of the whole the mean of the utterances",
    ] = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        p = self.probabilities
        object.__setattr__(self, "valence", float(p[Sentiment.POSITIVE] - p[Sentiment.NEGATIVE]))


@dataclass(frozen=True, eq=False)
class Overall(Verdict):
    """The verdict of the whole, and whether its label can stand for all of it."""

    shares: Annotated[
        Shares | None,
        Added(None),
        "of the time, by the labels of the utterances; null in documents written before it was kept",
    ] = field(default=None, kw_only=True)
    mixed: Annotated[bool, DERIVED, "the label does not stand for the whole, which `mixed_by` explains"] = (
        field(init=False)
    )
    mixed_by: Annotated[
        Annotated[str, Text(*MIXED_BY)] | None,
        Added(None),
        "parts: some of the time is negative and some positive; tie: the two most probable labels are "
        "nearly as probable",
    ] = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "mixed", self.mixed_by is not None)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one modality said about one utterance."""

    status: Status
    reason: Annotated[str | None, "why there is no opinion"]
    probabilities: Annotated[
        Probabilities | None, "what the modality says alone, of equally frequent classes"
    ]
    weight: Annotated[
        Share,
        "share of the evidence that was added up, of a network of all that was changed; 0 when not used",
    ]
    effect: Annotated[Effect | None, "what it changed: fused probabilities minus those without it"] = None
    reliability: Annotated[
        Share | None,
        Added(None),
        "how much there was to judge; null in documents written before it was kept, which cannot be "
        "decided again",
    ] = field(default=1.0, kw_only=True)
    quality: Annotated[dict[str, float], "measured facts about the input, such as voiced_s or words"] = (
        field(default_factory=dict)
    )


@dataclass(frozen=True, eq=False)
class UtteranceResult:
    """One utterance with its verdict and the evidence behind it."""

    index: Annotated[int, Number(minimum=0, whole=True), "place among the utterances, from 0"]
    start_s: Annotated[Seconds, "beginning, from that of the recording (0 in a text)"]
    end_s: Annotated[Seconds, "end, likewise"]
    text: Annotated[str, "what was said, or written"]
    verdict: Annotated[Verdict, SPREAD]
    conflict: Annotated[
        float,
        Number(minimum=0),
        "valence of the most positive modality or, if less, that of the most negative one without its sign",
    ] = field(default=0.0, kw_only=True)
    mixed: Annotated[bool, "so much conflict that these are mixed signals"] = field(
        default=False, kw_only=True
    )
    joint: Annotated[
        dict[str, Probabilities],
        Added({}, left_out=True),
        "of a network: its answers to several modalities together, by their names joined with +",
    ] = field(default_factory=dict, kw_only=True)
    joint_scores: Annotated[
        dict[str, Annotated[float, Number(minimum=-SCALE, maximum=SCALE)]],
        Added({}, left_out=True),
        "of a network with scores: those for one modality and for several, named like `joint`",
    ] = field(default_factory=dict, kw_only=True)
    attention: Annotated[
        dict[Modality, tuple[Share, ...]],
        Added({}, left_out=True),
        "of an attention network: the share of each modality in what each head read",
    ] = field(default_factory=dict, kw_only=True)
    language: Annotated[
        str | None,
        Added(None),
        "language of the words by ISO 639-1, und if it cannot be told; null where no word tells",
    ] = field(default=None, kw_only=True)
    modalities: dict[Modality, Evidence]


@dataclass(frozen=True, eq=False)
class KeyFrame:
    """A picture of the face that shaped an utterance."""

    time_s: Annotated[Seconds, "from the beginning of the recording"]
    utterance: Annotated[int, "its index"]
    jpeg: bytes
    expressions: Annotated[dict[str, float], "the strongest movements of the face"]


@dataclass(frozen=True, eq=False)
class Track:
    """A curve over the recording, at evenly spaced times."""

    name: Annotated[str, "F0 or energy"]
    unit: Annotated[str, "Hz or dB"]
    times_s: Annotated[FloatArray, Curve()]
    values: Annotated[FloatArray, Curve(), "null where there is none: unvoiced, or not analysed"]


@dataclass(frozen=True)
class Timing:
    """Seconds of wall clock; a stage that did not run took none."""

    stages: Annotated[Mapping[str, float], SPREAD, Suffixed(STAGES, suffix="_s", inner=_SPENT)] = field(
        default_factory=dict
    )
    total_s: Annotated[float, _SPENT, "of all stages, and between them"] = 0.0
    realtime_factor: Annotated[float | None, "total over the length of the recording"] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", {**dict.fromkeys(STAGES, 0.0), **self.stages})


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything known about one source after one run."""

    source: Source
    model: Model
    decided_with: Annotated[Terms | None, Added(None), "null in documents written before it was kept"] = (
        field(default=None, kw_only=True)
    )
    overall: Annotated[Overall, "of the whole: the mean of the utterances, weighted by their length"]
    utterances: tuple[UtteranceResult, ...]
    warnings: Annotated[tuple[str, ...], "what to know before relying on it"] = ()
    timing: Timing = field(default_factory=Timing)
    keyframes: Annotated[tuple[KeyFrame, ...], Added(())] = ()
    tracks: Annotated[tuple[Track, ...], Added(())] = ()

    def to_dict(self) -> dict[str, Any]:
        """Render as schema `trivalent.analysis/1`: plain dicts, lists, strings and floats."""
        return DOCUMENT.write(self)

    def extras_to_dict(self) -> dict[str, Any]:
        """Render what `to_dict` leaves out: key frames, tracks, and its messages by their codes."""
        said = {m: m.to_dict() for m in self._sentences() if isinstance(m, Message)}
        return {**EXTRAS.write(self), "messages": list(said.values())}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], extras: Mapping[str, Any] | None = None) -> Analysis:
        """Invert `to_dict`, and `extras_to_dict` where there are extras.

        Raises
        ------
        SchemaError
            A value is absent or of a wrong kind; the message names its place.
        """
        extras = extras or {}
        analysis = cls(**DOCUMENT.values(data), **EXTRAS.values(extras))
        messages = {m["text"]: Message.from_dict(m) for m in extras.get("messages", ())}
        return analysis._with(messages) if messages else analysis

    def _sentences(self) -> Iterator[str]:
        yield from self.warnings
        for utterance in self.utterances:
            yield from (e.reason for e in utterance.modalities.values() if e.reason is not None)

    def _with(self, messages: Mapping[str, Message]) -> Analysis:
        """Have sentences know their codes, so that they can be said in another language."""

        def evidence(e: Evidence) -> Evidence:
            known = None if e.reason is None else messages.get(e.reason)
            return e if known is None else replace(e, reason=known)

        utterances = tuple(
            replace(u, modalities={m: evidence(e) for m, e in u.modalities.items()})
            for u in self.utterances
        )
        warnings = tuple(messages.get(w, w) for w in self.warnings)
        return replace(self, utterances=utterances, warnings=warnings)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Describe what `to_dict` writes in JSON Schema (2020-12)."""
        return json_schema(DOCUMENT)

    def rows(self) -> list[dict[str, Any]]:
        """Flatten to one dict per utterance: the columns of the CSV and of `to_frame`."""
        return rows_of(self.to_dict(), source=self.source.name)

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

        numbers = {name: kind for name, kind in ROW_TYPES.items() if kind != "string"}
        return pd.DataFrame(self.rows(), columns=list(ROW_TYPES)).astype(numbers)


_APART = ("keyframes", "tracks")
DOCUMENT = Object(Analysis, keep=lambda name: name not in _APART, constants={"schema": SCHEMA})
EXTRAS = Object(Analysis, title="Extras", keep=lambda name: name in _APART)

_VERDICT = ("label", "confidence", "abstained", "valence")
_TERMS = {
    **{f"prior_{label}": f"decided_with.prior.{label}" for label in LABELS},
    **{f"threshold_{label}": f"decided_with.thresholds.{label}" for label in LABELS},
    "min_confidence": "decided_with.min_confidence",
}
#: An analysis in one row: what tables of files hold.
SUMMARY = Columns(
    DOCUMENT,
    {
        "kind": "source.kind",
        "duration_s": "source.duration_s",
        **{name: f"overall.{name}" for name in _VERDICT},
        **{label: f"overall.probabilities.{label}" for label in LABELS},
        "mixed": "overall.mixed",
        "mixed_by": "overall.mixed_by",
        **{f"share_{label}": f"overall.shares.{label}" for label in LABELS},
        "utterances": "utterances",
        "warnings": "warnings",
        "model": "model.name",
        "model_version": "model.version",
        "model_sha256": "model.sha256",
        **_TERMS,
    },
)
#: An utterance in one row, without what is told of its whole source.
UTTERANCE = Columns(
    Object(UtteranceResult),
    {
        "utterance": "index",
        **{name: name for name in ("start_s", "end_s", "text", *_VERDICT, "mixed")},
        **{label: f"probabilities.{label}" for label in LABELS},
    }
    | {
        f"{m}_{name}": f"modalities.{m}.{place}"
        for m in Modality
        for name, place in {
            **{name: name for name in ("status", "reason", "weight")},
            **{label: f"probabilities.{label}" for label in LABELS},
        }.items()
    },
)
#: What each row of an utterance repeats of the analysis.
TERMS = Columns(DOCUMENT, _TERMS)
ROW_TYPES = {"source": "string", **UTTERANCE.types, **TERMS.types}


def rows_of(document: Mapping[str, Any], *, source: str) -> list[dict[str, Any]]:
    """Flatten a document to one row per utterance, with the columns of `ROW_TYPES`."""
    terms = TERMS.row(document)
    return [{"source": source, **UTTERANCE.row(u), **terms} for u in document["utterances"]]
