"""An audit log, the sizes of recordings that wait, and failed attempts by address."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID, WORD, TIME = sa.String(32), sa.String(16), sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create a table; recordings that wait already count as places, but not as bytes."""
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("actor_id", ID),
        sa.Column("actor_name", sa.Text, nullable=False),
        sa.Column("subject_id", ID),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("origin", WORD, nullable=False),
    )
    op.create_index(None, "audit", ["at"])
    op.create_index(None, "audit", ["actor_id", "id"])
    op.create_index(None, "audit", ["subject_id", "at"])
    with op.batch_alter_table("jobs") as alter:
        alter.add_column(sa.Column("size", sa.BigInteger, nullable=False, server_default="0"))
    with op.batch_alter_table("jobs") as alter:
        alter.alter_column("size", server_default=None)
    # attempts of a day, under names alone: an upgrade forgives them
    op.drop_table("login_failures")
    op.create_table(
        "login_failures",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last", TIME, nullable=False),
        sa.Column("locked_until", TIME),
    )
