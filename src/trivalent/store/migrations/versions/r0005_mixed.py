"""Why one label does not stand for a whole recording."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add a column; what was analysed before is not called mixed."""
    with op.batch_alter_table("analyses") as alter:
        alter.add_column(sa.Column("mixed_by", sa.String(16)))
