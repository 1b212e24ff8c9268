"""What requests may hold and what answers look like."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from trivalent.analyzer import MAX_TEXT_CHARACTERS, STAGES
from trivalent.core.errors import UsageError
from trivalent.core.options import AUDIO_TRACKS, FACE_RATES_HZ, check_prior
from trivalent.core.outside import clean_line
from trivalent.core.types import LABELS, Modality
from trivalent.service.documents import AnalysisDocument, Kind, Label, MixedBy, Probabilities
from trivalent.speech.weights import SIZES
from trivalent.store import JobState, Role
from trivalent.store.mapping import NAME_LIMIT, TAG_LIMIT, TAGS_LIMIT

ID_EXAMPLE = "5f0c8a51d0f44d0c9b7f0d9f6a3e1c22"
# something visible, and no control character: what is shown must not act
_SHOWN = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=NAME_LIMIT, pattern=_SHOWN),
    AfterValidator(clean_line),
]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=TAG_LIMIT, pattern=_SHOWN)]
Tags = Annotated[list[Tag], Field(max_length=TAGS_LIMIT)]


def _possible(shares: list[float]) -> list[float]:
    try:
        check_prior(shares)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return shares


Share = Annotated[float, Field(gt=0, lt=1)]
Prior = Annotated[
    list[Share], Field(min_length=len(LABELS), max_length=len(LABELS)), AfterValidator(_possible)
]


class Strict(BaseModel):
    """Base of what is sent to us: an unknown field is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")


class TextOptions(Strict):
    """How a text is analysed."""

    model: str | None = Field(
        default=None, description="bundle of /v1/models; the server's default if absent"
    )
    prior: Prior | None = Field(
        default=None,
        description=f"expected shares of {', '.join(LABELS)}, which sum to 1; the model's if absent",
        examples=[[0.3, 0.4, 0.3]],
    )


class TextRequest(Strict):
    """A text to analyse."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"text": "I love how this turned out.", "name": "review 17", "tags": ["reviews"]}]
        },
    )

    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)
    name: Name = "text"
    tags: Tags = []
    options: TextOptions = TextOptions()


class MediaOptions(TextOptions):
    """How a recording is analysed."""

    modalities: list[Modality] | None = Field(
        default=None, min_length=1, max_length=3, description="all that the model has if absent"
    )
    whisper: Literal[SIZES] | None = Field(  # type: ignore[valid-type]
        default=None, description="speech recogniser, of those that the server has"
    )
    face_rate_hz: float | None = Field(
        default=None,
        ge=FACE_RATES_HZ.low,
        le=FACE_RATES_HZ.high,
        description="pictures looked at per second",
    )
    audio_track: int | None = Field(
        default=None,
        ge=AUDIO_TRACKS.low,
        le=AUDIO_TRACKS.high,
        description="sound track, from 1 on; by default one in which people speak",
    )
    transcript: str | None = Field(
        default=None, max_length=1_000_000, description=".srt, .vtt or plain text instead of recognition"
    )


class FormFields(Strict):
    """The short fields beside a file."""

    name: Name | None = None
    tags: Tags = []
    keep_media: bool | None = None


class Change(Strict):
    """What to change about an analysis; a field that is absent stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "first take", "tags": ["keep"]}]}
    )

    name: Name | None = None
    tags: Tags | None = None


class AnalysisOut(BaseModel):
    """An analysis with the name and tags that its owner gave it."""

    id: str = Field(examples=[ID_EXAMPLE])
    created: datetime
    name: str
    tags: list[str]
    analysis: AnalysisDocument


class RecordOut(BaseModel):
    """An analysis as the list shows it: everything but the evidence."""

    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    id: str = Field(examples=[ID_EXAMPLE])
    created: datetime
    name: str
    kind: Kind
    label: Label
    confidence: float
    abstained: bool
    mixed_by: MixedBy | None
    probabilities: Probabilities
    model_name: str
    model_version: str
    model_sha256: str
    duration_s: float | None
    utterances: int
    tags: list[str]
    origin: str = Field(description="app, api or batch")
    batch: str | None
    has_media: bool


class RecordPage(BaseModel):
    """A page of analyses; `total` counts all pages, `next_cursor` is null on the last."""

    items: list[RecordOut]
    total: int
    next_cursor: str | None


class JobOut(BaseModel):
    """A recording that waits for its analysis, or had it."""

    id: str = Field(examples=[ID_EXAMPLE])
    name: str
    state: JobState
    stage: str = Field(
        description=f"{', '.join(STAGES[:-1])} or {STAGES[-1]} while it runs", examples=["voice"]
    )
    progress: float = Field(description="of the stage, 0 to 1")
    position: int | None = Field(description="place in the queue, 1 is next; null unless queued")
    created: datetime
    started: datetime | None
    finished: datetime | None
    attempts: int
    error: str | None = Field(description="why it failed")
    batch: str | None
    analysis_id: str | None
    analysis: str | None = Field(description="where the analysis is, when done")


class JobPage(BaseModel):
    """A page of jobs, newest first; `next_cursor` is null on the last."""

    items: list[JobOut]
    total: int
    next_cursor: str | None


class ModelRow(BaseModel):
    """A model bundle that a request may name."""

    name: str = Field(examples=["default"])
    version: str
    sha256: str
    modalities: list[Modality]
    default: bool = Field(description="used when a request names none")
    problem: str | None = Field(default=None, description="why it cannot be used, if it cannot")


class ModelCard(ModelRow):
    """A bundle with its card: data, licence, metrics, limits."""

    card: dict[str, object]


class ModelList(BaseModel):
    """The bundles of this server."""

    items: list[ModelRow]


class Me(BaseModel):
    """The account in whose name a request is made."""

    name: str
    role: Role


class DeletedOut(BaseModel):
    """How much was deleted, and where it was."""

    model_config = ConfigDict(from_attributes=True)

    analyses: int
    jobs: int
    media: int = Field(description="recordings that were kept")
    uploads: int = Field(description="recordings that waited for their analysis")
    temporary: int = Field(description="files that processes which have ended had left")
    overwritten: bool = Field(description="whether the words are overwritten in the database already")


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether new work is taken, and if not, why: `full` goes away by waiting, `not ready` does not."""

    status: Literal["ready", "full", "not ready"]
    database: bool
    workers: bool
    storage: bool = Field(description="there is room on the disk, and it can be written")
    queue: bool = Field(description="a recording could be taken now")


class FieldError(BaseModel):
    """A part of a request that breaks the schema."""

    location: str = Field(examples=["body.text"])
    message: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str = Field(description="explained at this address", examples=["/docs#problem-not-found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["expected the id of an analysis of yours, found none"])
    instance: str = Field(
        description="the same as in the server's log",
        examples=["urn:uuid:0e5ef8a0-2f4a-4f7c-8f65-5b5ac1cbb2a7"],
    )
    errors: list[FieldError] | None = None
