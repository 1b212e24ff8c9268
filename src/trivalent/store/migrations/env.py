"""Run by Alembic with a connection that is inside a transaction."""

from __future__ import annotations

from alembic import context

from trivalent.store.schema import Base


def run() -> None:
    """Migrate through the connection that `trivalent.store.migration` opened."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "env_py":  # Alembic's name for it; an import by anybody else migrates nothing
    run()
