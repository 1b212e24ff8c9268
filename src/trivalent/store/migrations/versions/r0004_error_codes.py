"""Why a job failed, as a code with values, so that it is told in the language of the page."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add a column; jobs that failed before keep their sentence."""
    with op.batch_alter_table("jobs") as alter:
        alter.add_column(sa.Column("error_message", sa.JSON))
