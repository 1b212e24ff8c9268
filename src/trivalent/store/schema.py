"""The tables. A change here needs a migration beside it, which a test demands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

Id = String(32)
Word = String(16)  # of a closed set: a state, a kind, a label
#: Sorted by code point in both databases, so that pages have the same order everywhere.
Folded = Text().with_variant(Text(collation="C"), "postgresql")


LISTED = ("owner_id", "created", "id", "label", "kind", "origin", "abstained", "model_name")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime; SQLite keeps no zone, so that all are turned to UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn to UTC; a naive time would be ambiguous and is a fault of ours."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected an aware datetime, got the naive {value}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give SQLite's naive times their zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Root of the tables."""

    metadata = MetaData(naming_convention=NAMING)


class Owned:
    """A row that belongs to one account and goes with it."""

    @declared_attr
    @classmethod
    def owner_id(cls) -> Mapped[str]:
        """Whose it is."""
        return mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"))


class IdentityRow(Base):
    """One row, written when the tables are made: which database this is, wherever it is moved."""

    __tablename__ = "identity"

    id: Mapped[str] = mapped_column(Id, primary_key=True)


class UserRow(Base):
    """An account; `name_key` is unique among those that sign in with a password."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("name_key"), UniqueConstraint("issuer", "subject"))

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    name_key: Mapped[str | None] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Word)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    active: Mapped[bool]
    keep_media: Mapped[bool | None]
    retention_days: Mapped[int | None]
    password_hash: Mapped[str | None] = mapped_column(Text)
    issuer: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)


class FailureRow(Base):
    """Failed attempts to sign in with a name, whether or not an account has it, or from an address."""

    __tablename__ = "login_failures"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    last: Mapped[datetime] = mapped_column(UtcDateTime)
    locked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SessionRow(Owned, Base):
    """A browser that is signed in."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "owner_id"), Index(None, "expires"))

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    expires: Mapped[datetime] = mapped_column(UtcDateTime)


class KeyRow(Owned, Base):
    """A key of the service."""

    __tablename__ = "api_keys"
    __table_args__ = (UniqueConstraint("secret_sha256"), Index(None, "owner_id"))

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    label: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(String(8))
    secret_sha256: Mapped[str] = mapped_column(String(64))
    per_minute: Mapped[int]
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked: Mapped[datetime | None] = mapped_column(UtcDateTime)


class BatchRow(Owned, Base):
    """A named group of jobs and of the analyses that came of them."""

    __tablename__ = "batches"
    __table_args__ = (Index(None, "owner_id", "created"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditRow(Base):
    """Who did what, when and from where; refers to nobody, so that it outlasts whom it names."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "at"), Index(None, "actor_id", "id"), Index(None, "subject_id", "at"))

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    action: Mapped[str] = mapped_column(String(32))
    actor_id: Mapped[str | None] = mapped_column(Id)
    actor_name: Mapped[str] = mapped_column(Text)
    subject_id: Mapped[str | None] = mapped_column(Id)
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    address: Mapped[str] = mapped_column(Text)
    origin: Mapped[str] = mapped_column(Word)


class AnalysisRow(Owned, Base):
    """What the history lists: narrow, so that counting many is quick."""

    __tablename__ = "analyses"
    __table_args__ = (
        # holds whatever is filtered by, so that analyses are counted without being read
        Index("ix_analyses_listed", *LISTED),
        Index(None, "owner_id", "name_key", "id"),
        Index(None, "owner_id", "confidence", "id"),
        Index(None, "batch_id", "created", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    name: Mapped[str] = mapped_column(Text)
    name_key: Mapped[str] = mapped_column(Folded)
    kind: Mapped[str] = mapped_column(Word)
    label: Mapped[str] = mapped_column(Word)
    confidence: Mapped[float] = mapped_column(Double)
    abstained: Mapped[bool]
    mixed_by: Mapped[str | None] = mapped_column(Word)
    probabilities: Mapped[dict[str, float]] = mapped_column(JSON)
    model_name: Mapped[str] = mapped_column(Text)
    model_version: Mapped[str] = mapped_column(Text)
    model_sha256: Mapped[str] = mapped_column(Text)
    duration_s: Mapped[float | None] = mapped_column(Double)
    utterances: Mapped[int]
    origin: Mapped[str] = mapped_column(Word)
    media_suffix: Mapped[str | None] = mapped_column(Word)
    batch_id: Mapped[str | None] = mapped_column(Id, ForeignKey("batches.id", ondelete="SET NULL"))

    tags: Mapped[list[TagRow]] = relationship(order_by="TagRow.tag", passive_deletes=True)
    text: Mapped[TextRow] = relationship(passive_deletes=True)
    document: Mapped[DocumentRow] = relationship(passive_deletes=True)


class TextRow(Owned, Base):
    """What is searched, case-folded: the name on the first line, then what was said.

    It has no index: a search reads it from end to end, which is several times faster in order.
    """

    __tablename__ = "texts"

    analysis_id: Mapped[str] = mapped_column(
        Id, ForeignKey("analyses.id", ondelete="CASCADE"), primary_key=True
    )
    words: Mapped[str] = mapped_column(Text)


class DocumentRow(Base):
    """The analysis in full, with voice tracks and, where media are kept, key frames: packed JSON."""

    __tablename__ = "documents"

    analysis_id: Mapped[str] = mapped_column(
        Id, ForeignKey("analyses.id", ondelete="CASCADE"), primary_key=True
    )
    body: Mapped[bytes] = mapped_column(LargeBinary)
    extras: Mapped[bytes] = mapped_column(LargeBinary)


class TagRow(Owned, Base):
    """A tag of an analysis."""

    __tablename__ = "tags"
    __table_args__ = (Index(None, "owner_id", "tag", "analysis_id"),)

    analysis_id: Mapped[str] = mapped_column(
        Id, ForeignKey("analyses.id", ondelete="CASCADE"), primary_key=True
    )
    tag: Mapped[str] = mapped_column(Folded, primary_key=True)


class JobRow(Owned, Base):
    """A recording that waits, runs or is over. A job that is deleted takes nothing else along."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "owner_id", "created", "id"),
        Index(None, "owner_id", "started"),
        Index(None, "state", "created"),
        Index(None, "batch_id", "state"),
        Index(None, "analysis_id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)  # bytes of the file that waits
    state: Mapped[str] = mapped_column(Word)
    stage: Mapped[str] = mapped_column(Text)
    progress: Mapped[float] = mapped_column(Double)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    started: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int]
    error: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # the error by its code
    # an analysis that is deleted takes its job along, which holds the file's name and transcript
    analysis_id: Mapped[str | None] = mapped_column(Id, ForeignKey("analyses.id", ondelete="CASCADE"))
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    tags: Mapped[list[str]] = mapped_column(JSON)
    keep_media: Mapped[bool]
    origin: Mapped[str] = mapped_column(Word)
    worker: Mapped[str | None] = mapped_column(Text)
    lease_token: Mapped[str | None] = mapped_column(Id)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    batch_id: Mapped[str | None] = mapped_column(Id, ForeignKey("batches.id", ondelete="SET NULL"))
