"""Stores to test with: on SQLite always, on PostgreSQL where a server can be started.

A test module asks for them by `pytest_plugins = ["store_fixtures"]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store_samples import a_home, migrated_postgresql, new_postgresql
from trivalent.core.settings import Settings
from trivalent.store import History, Store, User, open_store

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(params=DATABASES)
def empty_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with an empty database of either kind."""
    url = None if request.param == "sqlite" else new_postgresql()
    return Settings(home=tmp_path / "home", database=url)


@pytest.fixture(params=DATABASES)
def store_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with a migrated database of either kind."""
    home = tmp_path / "home"
    if request.param == "postgresql":
        return Settings(home=home, database=new_postgresql(template=migrated_postgresql()))
    return Settings(home=a_home(home))


@pytest.fixture
def store(store_settings: Settings) -> Iterator[Store]:
    """A store on either database."""
    with closing(open_store(store_settings)) as opened:
        yield opened


@pytest.fixture
def owner(store: Store) -> User:
    """Somebody with an account."""
    return store.accounts.external_user("issuer", "1", "Anna")


@pytest.fixture
def other(store: Store) -> User:
    """Somebody else."""
    return store.accounts.external_user("issuer", "2", "Ben")


@pytest.fixture
def history(store: Store, owner: User) -> History:
    """The owner's analyses."""
    return store.history(owner)
