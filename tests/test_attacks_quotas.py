"""One account that takes all there is: places in the queue, room for recordings, requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from inspect import signature
from pathlib import Path

import pytest

from attack_log import Attack
from store_samples import a_file, a_home
from trivalent.core import errors
from trivalent.core.settings import Auth, Settings
from trivalent.store import Role, Store, User, open_store

PASSWORD = "correct horse battery"
pytestmark = pytest.mark.usefixtures("quick_hashes")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    settings = Settings(home=a_home(tmp_path / "home"), auth=Auth.LOCAL, queue_limit=40)
    with closing(open_store(settings)) as opened:
        yield opened


@pytest.fixture
def greedy(store: Store) -> User:
    return store.accounts.external_user("issuer", "1", "Greedy")


@pytest.fixture
def other(store: Store) -> User:
    return store.accounts.external_user("issuer", "2", "Other")


def submit(store: Store, user: User, folder: Path, *, batch: str | None = None, size: int = 1) -> bool:
    """Submit as the app and the service do; tells whether it was taken."""
    file = a_file(folder, b"x" * size)
    # a former version was told the limit by each of its callers
    limit = {"limit": 40} if "limit" in signature(store.jobs.submit).parameters else {}
    try:
        store.jobs.submit(user, "x.mp4", file, batch=batch, **limit)
    except errors.QueueFullError:
        file.unlink()
        return False
    return True


@pytest.mark.finding(13)
@pytest.mark.parametrize("paused", [False, True])
def test_one_account_that_fills_the_queue(
    paused: bool, attack: Attack, store: Store, greedy: User, other: User, tmp_path: Path
) -> None:
    """Also by pausing its jobs, which the count once passed over, and by resuming them."""
    batch = store.jobs.create_batch(greedy, "b")
    taken = 0
    for _ in range(60):
        taken += submit(store, greedy, tmp_path, batch=batch)
        if paused:
            store.jobs.pause_batch(greedy, batch)
    attack.attempt(f"take {taken} of 40 places", withstood=taken <= 20)
    others = sum(submit(store, other, tmp_path) for _ in range(10))
    attack.attempt(f"leave {others} places of 10 to others", withstood=others == 10)
    store.jobs.resume_batch(greedy, batch)
    more = sum(submit(store, greedy, tmp_path) for _ in range(5))
    attack.attempt("gain places by resuming", withstood=more == 0)
    total = sum(store.jobs.counts()[state] for state in ("queued", "running", "paused"))
    attack.attempt(f"go beyond the whole with {total} jobs", withstood=total <= 40)


@pytest.mark.finding(13)
def test_many_requests_at_once(attack: Attack, store: Store, greedy: User, tmp_path: Path) -> None:
    taken: list[bool] = []

    def flood() -> None:
        taken.extend(submit(store, greedy, tmp_path) for _ in range(8))

    threads = [threading.Thread(target=flood) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    attack.attempt(f"race past the quota: {sum(taken)} taken", withstood=sum(taken) <= 20)


@pytest.mark.finding(13)
def test_one_account_that_fills_the_disk(attack: Attack, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", auth=Auth.LOCAL)
    if not hasattr(settings, "user_waiting_mb"):  # a former version
        attack.attempt("queue any number of bytes", withstood=False)
        return
    with closing(open_store(replace(settings, user_waiting_mb=1))) as store:
        greedy, other = (store.accounts.external_user("issuer", str(i), "x") for i in range(2))
        attack.attempt(
            "a large one alone is fine", withstood=submit(store, other, tmp_path, size=1_500_000)
        )
        taken = sum(submit(store, greedy, tmp_path, size=300_000) for _ in range(10))
        attack.attempt(f"queue {taken * 0.3:.1f} MB of 1", withstood=taken == 3)
        attack.attempt("keep a small one out", withstood=submit(store, greedy, tmp_path, size=50_000))
        waiting = sum(p.stat().st_size for p in (tmp_path / "home" / "spool").iterdir())
        attack.attempt("leave refused files behind", withstood=waiting == 1_500_000 + 950_000)


@pytest.mark.finding(13)
def test_the_refusal_says_whose_limit_it_is(
    attack: Attack, store: Store, greedy: User, other: User, tmp_path: Path
) -> None:
    own = getattr(errors, "QuotaError", ())
    for user, expected in ((greedy, True), (other, False), (store.accounts.local_user(), False)):
        refused = None
        for _ in range(25):
            file = a_file(tmp_path)
            try:
                store.jobs.submit(user, "x", file)
            except errors.QueueFullError as error:
                refused = error
                break
        attack.attempt(
            f"take {refused} for the wrong limit",
            withstood=refused is not None and isinstance(refused, own) is expected,
        )
        said = str(refused)
        attack.attempt("not be told what to do", withstood="wait" in said or "try later" in said)
    if own:
        rooms = [str(store.jobs.room(user)) for user in (greedy, other)] + [str(store.jobs.room())]
        attack.attempt(f"look like room: {rooms}", withstood=set(rooms) == {"full"})
        job = store.jobs.list(other).jobs[0]
        store.jobs.cancel(other, job.id)
        rooms = [str(store.jobs.room(user)) for user in (greedy, other)] + [str(store.jobs.room())]
        attack.attempt(f"tell own from all: {rooms}", withstood=rooms == ["own full", "free", "free"])


@pytest.mark.finding(13)
def test_keys_with_a_rate_of_the_users_own_choice(attack: Attack, store: Store) -> None:
    accounts = store.accounts
    chief = accounts.create("chief", PASSWORD, role=Role.ADMINISTRATOR)
    ada = accounts.create("ada", PASSWORD)
    as_ada = store.by(ada, "192.0.2.1").accounts if hasattr(store, "by") else accounts
    as_chief = store.by(chief, "192.0.2.1").accounts if hasattr(store, "by") else accounts

    def given(who: object, rate: int) -> bool:
        try:
            who.create_key(ada, "script", per_minute=rate)  # type: ignore[attr-defined]
        except errors.UsageError:
            return False
        return True

    for rate in (0, -1, 601, 100_000, 1_000_000, 10**9):
        attack.attempt(f"a key with {rate} a minute", withstood=not given(as_ada, rate))
    attack.attempt("refuse what is allowed", withstood=given(as_ada, 600))
    attack.attempt("refuse an administrator", withstood=given(as_chief, 100_000))
    accounts.create("second", PASSWORD, role=Role.ADMINISTRATOR)
    accounts.set_role(chief.id, Role.USER)
    attack.attempt("give as a former administrator", withstood=not given(as_chief, 100_000))
