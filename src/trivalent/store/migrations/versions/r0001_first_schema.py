"""The database's identity, accounts with API keys, analyses with their tags, jobs."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID, WORD, TIME = sa.String(32), sa.String(16), sa.DateTime(timezone=True)
FOLDED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _owner() -> sa.Column[str]:
    reference = sa.ForeignKey("users.id", ondelete="CASCADE")
    return sa.Column("owner_id", ID, reference, nullable=False)


def _analysis() -> sa.Column[str]:
    reference = sa.ForeignKey("analyses.id", ondelete="CASCADE")
    return sa.Column("analysis_id", ID, reference, primary_key=True)


def upgrade() -> None:
    """Create the tables."""
    identity = op.create_table("identity", sa.Column("id", ID, primary_key=True))
    op.bulk_insert(identity, [{"id": secrets.token_hex(16)}])
    op.create_table(
        "users",
        sa.Column("id", ID, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("name_key", sa.Text, unique=True),
        sa.Column("role", WORD, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("keep_media", sa.Boolean),
        sa.Column("retention_days", sa.Integer),
        sa.Column("password_hash", sa.Text),
        sa.Column("issuer", sa.Text),
        sa.Column("subject", sa.Text),
        sa.UniqueConstraint("issuer", "subject"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", ID, primary_key=True),
        _owner(),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("prefix", sa.String(8), nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("per_minute", sa.Integer, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("last_used", TIME),
        sa.Column("revoked", TIME),
    )
    op.create_index(None, "api_keys", ["owner_id"])
    _create_analyses()
    _create_jobs()


def _create_analyses() -> None:
    op.create_table(
        "analyses",
        sa.Column("id", ID, primary_key=True),
        _owner(),
        sa.Column("created", TIME, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("name_key", FOLDED, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("label", WORD, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("abstained", sa.Boolean, nullable=False),
        sa.Column("probabilities", sa.JSON, nullable=False),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("model_sha256", sa.Text, nullable=False),
        sa.Column("duration_s", sa.Double),
        sa.Column("utterances", sa.Integer, nullable=False),
        sa.Column("origin", WORD, nullable=False),
        sa.Column("media_suffix", WORD),
    )
    op.create_index(
        "ix_analyses_listed",
        "analyses",
        ["owner_id", "created", "id", "label", "kind", "origin", "abstained", "model_name"],
    )
    op.create_index(None, "analyses", ["owner_id", "name_key", "id"])
    op.create_index(None, "analyses", ["owner_id", "confidence", "id"])
    op.create_table(
        "texts",
        _analysis(),
        _owner(),
        sa.Column("words", sa.Text, nullable=False),
    )
    op.create_table(
        "documents",
        _analysis(),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("extras", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "tags",
        _analysis(),
        sa.Column("tag", FOLDED, primary_key=True),
        _owner(),
    )
    op.create_index(None, "tags", ["owner_id", "tag", "analysis_id"])


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", ID, primary_key=True),
        _owner(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("started", TIME),
        sa.Column("finished", TIME),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("analysis_id", ID, sa.ForeignKey("analyses.id", ondelete="CASCADE")),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("keep_media", sa.Boolean, nullable=False),
        sa.Column("origin", WORD, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("lease_token", ID),
        sa.Column("lease_until", TIME),
    )
    op.create_index(None, "jobs", ["owner_id", "created", "id"])
    op.create_index(None, "jobs", ["owner_id", "started"])
    op.create_index(None, "jobs", ["state", "created"])
    op.create_index(None, "jobs", ["analysis_id"])
