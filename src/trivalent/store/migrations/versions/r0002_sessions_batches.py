"""Signed-in browsers, locked names, and batches of jobs and analyses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ID, TIME = sa.String(32), sa.DateTime(timezone=True)


def _owner() -> sa.Column[str]:
    reference = sa.ForeignKey("users.id", ondelete="CASCADE")
    return sa.Column("owner_id", ID, reference, nullable=False)


def upgrade() -> None:
    """Create three tables, and put analyses and jobs that exist in no batch."""
    op.create_table(
        "login_failures",
        sa.Column("name_sha256", sa.String(64), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last", TIME, nullable=False),
        sa.Column("locked_until", TIME),
    )
    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.String(64), primary_key=True),
        _owner(),
        sa.Column("created", TIME, nullable=False),
        sa.Column("expires", TIME, nullable=False),
    )
    op.create_index(None, "sessions", ["owner_id"])
    op.create_index(None, "sessions", ["expires"])
    op.create_table(
        "batches",
        sa.Column("id", ID, primary_key=True),
        _owner(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created", TIME, nullable=False),
    )
    op.create_index(None, "batches", ["owner_id", "created"])
    for table, columns in (("analyses", ["created", "id"]), ("jobs", ["state"])):
        with op.batch_alter_table(table) as alter:
            alter.add_column(sa.Column("batch_id", ID))
            alter.create_foreign_key(None, "batches", ["batch_id"], ["id"], ondelete="SET NULL")
        op.create_index(None, table, ["batch_id", *columns])
