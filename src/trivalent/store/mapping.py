"""Rows to entities and back: the one place that knows both."""

from __future__ import annotations

import json
import re
import secrets
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from trivalent.core.analysis import DOCUMENT, Analysis
from trivalent.core.columns import Columns
from trivalent.core.errors import StoreError, UsageError
from trivalent.core.messages import Message
from trivalent.core.outside import clean_line
from trivalent.store.entities import ApiKey, Job, JobState, Record, Role, User
from trivalent.store.schema import AnalysisRow, DocumentRow, JobRow, KeyRow, TagRow, TextRow, UserRow

NAME_LIMIT = 255  # characters
TAG_LIMIT = 64
TAGS_LIMIT = 50  # tags of one analysis
#: What the history lists and searches of an analysis, beside its document: columns of the database, and
#: fields of `Record`.
KEPT = Columns(
    DOCUMENT,
    {
        "kind": "source.kind",
        "label": "overall.label",
        "confidence": "overall.confidence",
        "abstained": "overall.abstained",
        "mixed_by": "overall.mixed_by",
        "probabilities": "overall.probabilities",
        "model_name": "model.name",
        "model_version": "model.version",
        "model_sha256": "model.sha256",
        "duration_s": "source.duration_s",
        "utterances": "utterances",
    },
)
# lone surrogates (of undecodable file names) and NUL, which no database takes
_UNSTORABLE = re.compile("[\ud800-\udfff\x00]")


def new_id() -> str:
    """Make an id that cannot be guessed: 128 random bits, 32 hexadecimal digits."""
    return secrets.token_hex(16)


def utc_now(now: datetime | None = None) -> datetime:
    """`now`, which tests give, else the clock."""
    return now or datetime.now(UTC)


def storable(text: str) -> str:
    """Replace what no database takes by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def failure(reason: str) -> dict[str, Any]:
    """Columns of a job that tell why it failed; a message keeps its code."""
    message = _storable(reason.to_dict()) if isinstance(reason, Message) else None
    return {"error": storable(reason), "error_message": message}


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _storable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return storable(value) if isinstance(value, str) else value


def folded(text: str) -> str:
    """Text as it is searched and sorted.

    >>> folded("Straße ÉTÉ ｆｕｌｌ")
    'strasse été full'
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", storable(text)).casefold())


def one_line(text: str) -> str:
    """Text for a label, cleaned as every name that comes from outside."""
    return clean_line(text)


def clean_name(text: str, *, what: str) -> str:
    """Strip a name that a user gave to something; it stays on one line.

    Raises
    ------
    UsageError
        Nothing visible is left, or more than 255 characters.
    """
    name = one_line(text)
    if not name or len(name) > NAME_LIMIT:
        raise UsageError("history.name", what=what, name_limit=NAME_LIMIT, count=len(name))
    return name


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Strip tags, drop the empty ones and repetitions, sort.

    Raises
    ------
    UsageError
        One has more than 64 characters, or there are more than 50.
    """
    cleaned = {one_line(tag) for tag in tags} - {""}
    if long := [tag for tag in cleaned if len(tag) > TAG_LIMIT]:
        raise UsageError("history.tag_length", tag_limit=TAG_LIMIT, count=len(long[0]))
    if len(cleaned) > TAGS_LIMIT:
        raise UsageError("history.tag_count", tags_limit=TAGS_LIMIT, count=len(cleaned))
    return sorted(cleaned)


def user(row: UserRow) -> User:
    """Read an account."""
    return User(
        row.id,
        row.name,
        Role(row.role),
        row.created,
        row.active,
        row.keep_media,
        row.retention_days,
        row.password_hash is not None,
    )


def api_key(row: KeyRow) -> ApiKey:
    """Read a key."""
    return ApiKey(row.id, row.label, row.prefix, row.per_minute, row.created, row.last_used, row.revoked)


def record(row: AnalysisRow) -> Record:
    """Read an analysis as the history lists it."""
    return Record(
        id=row.id,
        created=row.created,
        name=row.name,
        **{name: getattr(row, name) for name in KEPT.places},
        tags=tuple(tag.tag for tag in row.tags),
        origin=row.origin,
        batch=row.batch_id,
        has_media=row.media_suffix is not None,
    )


def job(row: JobRow) -> Job:
    """Read a job."""
    return Job(
        id=row.id,
        owner_id=row.owner_id,
        batch=row.batch_id,
        name=row.name,
        state=JobState(row.state),
        stage=row.stage,
        progress=row.progress,
        created=row.created,
        started=row.started,
        finished=row.finished,
        attempts=row.attempts,
        error=row.error if row.error_message is None else Message.from_dict(row.error_message),
        analysis_id=row.analysis_id,
        options=dict(row.options),
        keep_media=row.keep_media,
        origin=row.origin,
        tags=tuple(row.tags),
    )


def analysis(document: DocumentRow) -> Analysis:
    """Read an analysis in full."""
    return Analysis.from_dict(_unpacked(document.body), _unpacked(document.extras))


def analysis_row(
    analysis: Analysis,
    *,
    owner_id: str,
    record_id: str,
    created: datetime,
    name: str | None,
    tags: Iterable[str],
    origin: str,
    batch: str | None,
    media_suffix: str | None,
) -> AnalysisRow:
    """Write an analysis; without media its key frames stay out, which are pictures of a face.

    Raises
    ------
    StoreError
        A number in it is NaN or infinite.
    UsageError
        A name or tag is not allowed.
    """
    if media_suffix is None:
        analysis = replace(analysis, keyframes=())
    document, source = analysis.to_dict(), analysis.source
    title = one_line(source.name)[:NAME_LIMIT].strip() or source.kind
    title = title if name is None else clean_name(name, what="analysis")
    said = "\n".join(u.text for u in analysis.utterances)
    return AnalysisRow(
        id=record_id,
        owner_id=owner_id,
        created=created,
        name=title,
        name_key=folded(title),
        **{k: storable(v) if isinstance(v, str) else v for k, v in KEPT.row(document).items()},
        origin=origin,
        media_suffix=media_suffix,
        batch_id=batch,
        tags=[TagRow(owner_id=owner_id, tag=tag) for tag in clean_tags(tags)],
        text=TextRow(owner_id=owner_id, words="\n".join([folded(title), folded(said)])),
        document=DocumentRow(body=_packed(document), extras=_packed(analysis.extras_to_dict())),
    )


def _packed(document: dict[str, Any]) -> bytes:
    """Compress JSON: the evidence of an analysis repeats itself, and nothing searches in it."""
    try:
        # in ASCII, so that lone surrogates and NULs of file names survive as escapes
        text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise StoreError("history.finite", error=error) from error
    return zlib.compress(text.encode("ascii"))


def _unpacked(data: bytes) -> Any:
    return json.loads(zlib.decompress(data))
