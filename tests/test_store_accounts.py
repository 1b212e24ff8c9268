"""Accounts: who gets in, who is kept out, and who can never be taken away."""

from __future__ import annotations

import threading
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

import analyses
from store_samples import a_file, files_in
from trivalent.core.errors import (
    AuthenticationError,
    LockedError,
    NotFoundError,
    PermissionDeniedError,
    StoreError,
    UsageError,
)
from trivalent.core.settings import Settings
from trivalent.store import Accounts, Query, Role, Store, User, passwords
from trivalent.store.database import Database

pytest_plugins = ["store_fixtures"]
pytestmark = pytest.mark.usefixtures("quick_hashes")  # the real ones are tested once
PASSWORD = "correct horse battery"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def accounts(store: Store) -> Accounts:
    return store.accounts


@pytest.fixture
def anna(accounts: Accounts) -> User:
    return accounts.create("Anna", PASSWORD, role=Role.ADMINISTRATOR)


def everything_stored(settings: Settings) -> str:
    """All text in the database."""
    with closing(Database(settings.database_url)) as database, database.engine.connect() as connection:
        tables = ("users", "sessions", "api_keys", "login_failures")
        return str([connection.execute(text(f"SELECT * FROM {t}")).all() for t in tables])


# Passwords


def test_passwords_are_argon2id_with_the_recommended_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher())
    hashed = passwords.hash_password(PASSWORD)
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert hashed != passwords.hash_password(PASSWORD), "salted"


def test_signing_in(accounts: Accounts, anna: User, store_settings: Settings) -> None:
    assert accounts.verify("Anna", PASSWORD) == anna
    assert accounts.verify("  ANNA ", PASSWORD) == anna
    assert anna.has_password
    assert PASSWORD not in everything_stored(store_settings)


def test_all_failures_look_alike(accounts: Accounts, anna: User) -> None:
    ben = accounts.create("Ben", PASSWORD)
    accounts.set_active(ben.id, False)
    accounts.external_user("issuer", "1", "Carl")
    messages = set()
    for name, password in [
        ("Anna", "wrong password"),
        ("Anna", ""),
        ("Anna", "x" * 5000),
        ("Anna", "\udcff\x00"),
        ("nobody", PASSWORD),
        ("Ben", PASSWORD),
        ("Carl", PASSWORD),
        ("local", PASSWORD),
        ("", ""),
        ("\x00", PASSWORD),
        ("\udcff", PASSWORD),
    ]:
        with pytest.raises(AuthenticationError) as caught:
            accounts.verify(name, password)
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert accounts.verify("Anna", PASSWORD) == anna


def test_unknown_names_cost_a_hash_as_well(
    accounts: Accounts, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash_: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
            asked.append(str(hash_).rpartition("$")[0].rpartition("$")[0])
            return bool(super().verify(hash_, password))

    monkeypatch.setattr(passwords, "_hasher", Counting(time_cost=1, memory_cost=8, parallelism=1))
    for name in ("Anna", "nobody"):
        with pytest.raises(AuthenticationError):
            accounts.verify(name, "wrong password")
    assert len(asked) == 2
    assert asked[0] == asked[1], "with the same parameters"


def test_composed_and_decomposed_letters_are_the_same(accounts: Accounts) -> None:
    zoe = accounts.create("Zoe\u0308", "pa\u0308sswo\u0308rter")
    assert zoe.name == "Zo\u00eb"
    assert accounts.verify("ZO\u00cb", "p\u00e4ssw\u00f6rter") == zoe


def test_weak_hashes_are_renewed(
    accounts: Accounts, anna: User, store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "t=1,p=1" in everything_stored(store_settings)
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    assert accounts.verify("Anna", PASSWORD) == anna
    assert "t=2,p=1" in everything_stored(store_settings)
    assert accounts.verify("Anna", PASSWORD) == anna


@pytest.mark.parametrize("password", ["", "123456789", "x" * 1001])
def test_passwords_have_a_length(password: str, accounts: Accounts, anna: User) -> None:
    with pytest.raises(UsageError, match=f"10 to 1000 characters, got {len(password)}"):
        accounts.create("Ben", password)
    with pytest.raises(UsageError):
        accounts.set_password(anna.id, password)


@pytest.mark.parametrize(
    "name", ["", "  ", "x" * 65, "a\nb", "a\u200bb", "\u202eabc", "a\x00", "\udcff", "\ue000"]
)
def test_names_are_visible(name: str, accounts: Accounts) -> None:
    with pytest.raises(UsageError, match="1 to 64 visible characters"):
        accounts.create(name, PASSWORD)


@pytest.mark.parametrize("name", ["x" * 64, "李雷", "Anna-Maria O'Neill", "ßeta"])
def test_names_of_people(name: str, accounts: Accounts) -> None:
    assert accounts.create(f" {name} ", PASSWORD).name == name


@pytest.mark.parametrize("name", ["anna", "ANNA", " Anna ", "Ａnna"])
def test_a_name_is_taken_once(name: str, accounts: Accounts, anna: User) -> None:
    with pytest.raises(StoreError, match="which is taken"):
        accounts.create(name, PASSWORD)


def test_another_password_signs_out(accounts: Accounts, anna: User) -> None:
    token = accounts.open_session(anna)
    accounts.set_password(anna.id, "another password")
    assert accounts.session_user(token) is None
    with pytest.raises(AuthenticationError):
        accounts.verify("Anna", PASSWORD)
    assert accounts.verify("Anna", "another password") == anna


# Lock-out


def fail(accounts: Accounts, now: datetime, *, name: str = "Anna") -> AuthenticationError:
    with pytest.raises(AuthenticationError) as caught:
        accounts.verify(name, "wrong password", now=now)
    return caught.value


@pytest.mark.parametrize("name", ["Anna", "nobody"])
def test_five_failures_lock_for_longer_and_longer(name: str, accounts: Accounts, anna: User) -> None:
    now = NOW
    for _ in range(5):
        assert not isinstance(fail(accounts, now, name=name), LockedError)
    for minutes in (5, 10, 20, 40, 60, 60):
        error = fail(accounts, now + minutes * MINUTE / 2, name=name.upper())
        assert isinstance(error, LockedError)
        assert error.retry_after_s == pytest.approx(minutes * 30)
        now += minutes * MINUTE
        assert not isinstance(fail(accounts, now, name=name), LockedError), "the lock is over"


def test_the_right_password_does_not_open_a_lock(accounts: Accounts, anna: User) -> None:
    for _ in range(5):
        fail(accounts, NOW)
    with pytest.raises(LockedError, match="try again in 5 minutes"):
        accounts.verify("Anna", PASSWORD, now=NOW)
    assert accounts.verify("Anna", PASSWORD, now=NOW + 5 * MINUTE) == anna
    for _ in range(4):
        fail(accounts, NOW + 6 * MINUTE)
    assert accounts.verify("Anna", PASSWORD, now=NOW + 6 * MINUTE) == anna, "success forgets the failures"
    for _ in range(4):
        assert not isinstance(fail(accounts, NOW + 7 * MINUTE), LockedError)


def test_failures_are_forgotten_after_a_day(
    accounts: Accounts, anna: User, store_settings: Settings
) -> None:
    for _ in range(4):
        fail(accounts, NOW)
    fail(accounts, NOW + timedelta(days=1, seconds=1), name="other")
    for _ in range(4):
        assert not isinstance(fail(accounts, NOW + timedelta(days=1, seconds=1)), LockedError)


def test_guessing_in_parallel_gains_nothing(accounts: Accounts, anna: User) -> None:
    errors: list[AuthenticationError] = []

    def guess() -> None:
        try:
            accounts.verify("Anna", "wrong password", now=NOW)
        except AuthenticationError as error:
            errors.append(error)

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 12
    assert sum(not isinstance(error, LockedError) for error in errors) == 5, "passwords that were checked"


# Roles


def test_the_last_active_administrator_stays(accounts: Accounts, anna: User) -> None:
    def refused() -> None:
        for change in (
            lambda: accounts.set_role(anna.id, Role.USER),
            lambda: accounts.set_active(anna.id, False),
            lambda: accounts.delete(anna.id),
        ):
            with pytest.raises(PermissionDeniedError, match="another active administrator"):
                change()
        assert accounts.get(anna.id) == anna

    accounts.local_user()  # an administrator, but nobody who can sign in
    accounts.create("Carl", PASSWORD)
    refused()
    ben = accounts.create("Ben", PASSWORD, role=Role.ADMINISTRATOR)
    accounts.set_active(ben.id, False)
    refused()
    assert accounts.set_active(ben.id, True) == ben
    assert accounts.set_role(anna.id, Role.USER).role is Role.USER
    accounts.delete(anna.id)
    assert [user.name for user in accounts.users()] == ["Ben", "Carl"]


def test_two_administrators_cannot_remove_each_other_at_once(accounts: Accounts, anna: User) -> None:
    for _ in range(5):
        ben = accounts.create("Ben", PASSWORD, role=Role.ADMINISTRATOR)
        both = threading.Barrier(2)

        def demote(user: User, both: threading.Barrier = both) -> None:
            both.wait()
            with suppress(PermissionDeniedError):
                accounts.set_role(user.id, Role.USER)

        threads = [threading.Thread(target=demote, args=(user,)) for user in (anna, ben)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(user.role is Role.ADMINISTRATOR for user in accounts.users()) == 1
        accounts.set_role(anna.id, Role.ADMINISTRATOR)
        accounts.delete(ben.id)


def test_a_deactivated_account_is_out_everywhere(accounts: Accounts, anna: User, store: Store) -> None:
    ben = accounts.create("Ben", PASSWORD)
    token, (_, secret) = accounts.open_session(ben), accounts.create_key(ben, "k")
    store.history(ben).add(analyses.text())
    out = accounts.set_active(ben.id, False)
    assert out == replace(ben, active=False)
    assert accounts.session_user(token) is None
    with pytest.raises(AuthenticationError):
        accounts.verify_key(secret)
    assert accounts.set_active(ben.id, True) == ben
    assert accounts.session_user(token) is None, "sessions do not come back"
    assert accounts.verify_key(secret)[0] == ben
    assert store.history(ben).search(Query()).total == 1


def test_preferences(accounts: Accounts, anna: User) -> None:
    chosen = accounts.set_preferences(anna.id, keep_media=True, retention_days=30)
    assert chosen == replace(anna, keep_media=True, retention_days=30) == accounts.get(anna.id)
    assert accounts.set_preferences(anna.id, keep_media=None, retention_days=None) == anna
    for days in (0, -1, 36_501, 10**30):
        with pytest.raises(UsageError, match="1 to 36500 days"):
            accounts.set_preferences(anna.id, keep_media=None, retention_days=days)


def test_delete_an_account_with_all_its_data(
    accounts: Accounts, anna: User, store: Store, store_settings: Settings, tmp_path: Path
) -> None:
    ben = accounts.create("Ben", PASSWORD)
    accounts.open_session(ben)
    accounts.create_key(ben, "k")
    batch = store.jobs.create_batch(ben, "b")
    store.history(ben).add(analyses.video(), media=a_file(tmp_path), tags=["t"], batch=batch)
    store.jobs.submit(ben, "x.mp4", a_file(tmp_path), batch=batch)
    accounts.delete(ben.id)
    assert files_in(store_settings) == set()
    assert not (store_settings.home / "media" / ben.id).exists()
    with (
        closing(Database(store_settings.database_url)) as database,
        database.engine.connect() as connection,
    ):
        for table in ("sessions", "api_keys", "batches", "analyses", "texts", "documents", "tags", "jobs"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table
    with pytest.raises(NotFoundError):
        accounts.get(ben.id)
    assert accounts.create("Ben", PASSWORD).id != ben.id


@pytest.mark.parametrize("bad", ["", "0" * 32, "\x00", "\udcff"])
def test_accounts_of_nobody(bad: str, accounts: Accounts) -> None:
    for ask in (
        lambda: accounts.get(bad),
        lambda: accounts.delete(bad),
        lambda: accounts.set_password(bad, PASSWORD),
        lambda: accounts.set_role(bad, Role.USER),
        lambda: accounts.set_active(bad, True),
        lambda: accounts.set_preferences(bad, keep_media=None, retention_days=None),
    ):
        with pytest.raises(NotFoundError, match="id of an account"):
            ask()


# People without a password of ours


def test_the_local_user(accounts: Accounts) -> None:
    user = accounts.local_user()
    assert accounts.local_user() == user
    assert (user.role, user.has_password) == (Role.ADMINISTRATOR, False)
    assert accounts.users() == [], "nobody who signs in"
    with pytest.raises(PermissionDeniedError):
        accounts.set_password(user.id, PASSWORD)
    accounts.delete(user.id)
    assert accounts.local_user().id != user.id


def test_the_local_user_is_made_once(accounts: Accounts) -> None:
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(accounts.local_user().id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_users_of_an_identity_provider(accounts: Accounts, anna: User) -> None:
    one = accounts.external_user("https://id", "1", "Anna")
    two = accounts.external_user("https://id", "2", "Anna")
    elsewhere = accounts.external_user("https://other", "1", "Anna")
    assert len({anna.id, one.id, two.id, elsewhere.id}) == 4
    assert accounts.external_user("https://id", "1", " Anna\nB ") == replace(one, name="Anna B")
    assert accounts.verify("Anna", PASSWORD) == anna
    assert accounts.external_user("local", "local", "mallory").id != accounts.local_user().id
    accounts.set_active(one.id, False)
    with pytest.raises(AuthenticationError):
        accounts.external_user("https://id", "1", "Anna")


# Sessions and keys


def test_sessions(accounts: Accounts, anna: User, store_settings: Settings) -> None:
    token, other = (accounts.open_session(anna, days=1, now=NOW) for _ in range(2))
    assert len(token) >= 43, "256 bits"
    assert token not in everything_stored(store_settings)
    assert accounts.session_user(token, now=NOW + timedelta(hours=23)) == anna
    assert accounts.session_user(token, now=NOW + timedelta(hours=24)) is None
    accounts.close_session(token)
    accounts.close_session("nothing")
    assert accounts.session_user(token, now=NOW) is None
    assert accounts.session_user(other, now=NOW) == anna
    for bad in ("", "x", "\x00", "\udcff", token.upper()):
        assert accounts.session_user(bad, now=NOW) is None


def test_expired_sessions_are_deleted(accounts: Accounts, anna: User, store_settings: Settings) -> None:
    accounts.open_session(anna, days=1, now=NOW)
    accounts.open_session(anna, days=1, now=NOW + timedelta(days=2))
    with (
        closing(Database(store_settings.database_url)) as database,
        database.engine.connect() as connection,
    ):
        assert connection.scalar(text("SELECT count(*) FROM sessions")) == 1


def test_keys(accounts: Accounts, anna: User, store_settings: Settings) -> None:
    key, secret = accounts.create_key(anna, " my\nscript ", per_minute=5)
    assert secret.startswith("tv_")
    assert len(secret) >= 3 + 43
    assert (key.label, key.prefix, key.per_minute) == ("my script", secret[:8], 5)
    assert (key.last_used, key.revoked) == (None, None)
    assert secret[8:] not in everything_stored(store_settings)
    assert accounts.verify_key(secret) == (anna, key)
    revoked = accounts.revoke_key(anna, key.id)
    assert revoked.revoked is not None
    assert accounts.revoke_key(anna, key.id) == revoked, "the first time counts"
    assert list(accounts.keys(anna)) == [revoked]
    for bad in (secret, "", "tv_", "\x00", secret[:-1]):
        with pytest.raises(AuthenticationError):
            accounts.verify_key(bad)


def test_the_last_use_of_a_key_is_noted_once_a_minute(accounts: Accounts, anna: User) -> None:
    _, secret = accounts.create_key(anna, "k")

    def noted(after: timedelta) -> datetime | None:
        accounts.verify_key(secret, now=NOW + after)
        return accounts.keys(anna)[0].last_used

    assert noted(timedelta()) == NOW
    assert noted(timedelta(seconds=59)) == NOW
    assert noted(timedelta(seconds=60)) == NOW + MINUTE


@pytest.mark.parametrize(("label", "rate"), [("", 1), ("x" * 256, 1), ("k", 0), ("k", -1), ("k", 10**30)])
def test_keys_have_limits(label: str, rate: int, accounts: Accounts, anna: User) -> None:
    with pytest.raises(UsageError):
        accounts.create_key(anna, label, per_minute=rate)


def test_keys_of_others_cannot_be_revoked(accounts: Accounts, anna: User) -> None:
    ben = accounts.create("Ben", PASSWORD)
    key, secret = accounts.create_key(ben, "k")
    with pytest.raises(NotFoundError, match="an API key of yours"):
        accounts.revoke_key(anna, key.id)
    assert accounts.verify_key(secret)[0] == ben
