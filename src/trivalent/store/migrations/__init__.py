"""Alembic's scripts: `versions/` leads from an empty database to the present schema."""
