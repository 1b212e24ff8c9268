"""Several programs on one store, and programs that are killed: nothing is lost, nothing done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

import analyses
from store_samples import a_file, files_in
from trivalent.core.settings import Settings
from trivalent.store import Claim, JobState, Query, Store, open_store

pytest_plugins = ["store_fixtures"]
HERE = Path(__file__).parent


def start(code: str, config: Settings, *arguments: str) -> subprocess.Popen[str]:
    """Run code of this module in a program of its own."""
    command = f"import sys; sys.path.insert(0, {str(HERE)!r}); import test_store_processes as t; t.{code}"
    return subprocess.Popen(
        [sys.executable, "-c", command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TRIVALENT_SETTINGS": config.to_json()},
    )


def work(store: Store, seed: int, finished: list[str]) -> None:
    """Take jobs until all are over; now and then let a lease run out, or give a job back."""
    chance = random.Random(seed)
    while any(store.jobs.counts()[state] for state in (JobState.QUEUED, JobState.RUNNING)):
        claim = store.jobs.claim(f"{os.getpid()}", lease_s=60)
        if claim is None:
            time.sleep(0.02)
            continue
        what = chance.random()
        if what < 0.15 and claim.job.attempts < 3:
            store.jobs.beat(claim, lease_s=0, stage="", progress=0)
            time.sleep(0.05)  # somebody else may have it by now
        elif what < 0.3:
            store.jobs.release(claim)
            continue
        if store.jobs.finish(claim, analyses.text()) is not None:
            finished.append(claim.job.id)


def work_in_threads(store: Store, seed: int) -> list[str]:
    finished: list[str] = []
    threads = [threading.Thread(target=work, args=(store, seed + i, finished)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return finished


def working_program() -> None:
    with closing(open_store(Settings.from_environment())) as store:
        print(*work_in_threads(store, int(sys.argv[1])), sep="\n")


def test_threads_and_programs_share_the_queue(
    store: Store, store_settings: Settings, tmp_path: Path
) -> None:
    users = [store.accounts.external_user("i", f"{n}", f"{n}") for n in range(3)]
    submitted = [
        store.jobs.submit(users[n % 3], f"{n}.mp4", a_file(tmp_path), keep_media=n % 2 == 0)
        for n in range(24)
    ]
    programs = [start("working_program()", store_settings, str(100 * n)) for n in range(2)]
    finished = work_in_threads(store, 1000)
    for program in programs:
        out, errors = program.communicate(timeout=120)
        assert (program.returncode, errors) == (0, "")
        finished += out.split()
    assert Counter(finished) == Counter(job.id for job in submitted), "each once"
    assert store.jobs.counts()[JobState.DONE] == 24
    records = [r for user in users for r in store.history(user).search(Query(limit=500)).records]
    assert sorted(r.id for r in records) == sorted(job.id for job in submitted)
    assert sorted(files_in(store_settings)) == sorted(
        f"media/{job.owner_id}/{job.id}.mp4" for job in submitted if job.keep_media
    )


def writing_program() -> None:
    with closing(open_store(Settings.from_environment())) as store:
        history = store.history(store.accounts.local_user())
        for i in range(25):
            record = history.add(analyses.text(), tags=["t"])
            history.rename(record.id, f"{sys.argv[1]} {i}")
            history.search(Query(text=sys.argv[1]))


def test_programs_write_at_the_same_time(store_settings: Settings) -> None:
    programs = [start("writing_program()", store_settings, name) for name in ("uno", "due", "tre")]
    for program in programs:
        _, errors = program.communicate(timeout=120)
        assert (program.returncode, errors) == (0, "")
    with closing(open_store(store_settings)) as store:
        history = store.history(store.accounts.local_user())
        assert history.tags() == {"t": 75}
        assert history.search(Query(text="due")).total == 25


# Killed


def claiming_program() -> None:
    store = open_store(Settings.from_environment())
    claim = store.jobs.claim("doomed", lease_s=0.5)
    assert claim is not None
    store.jobs.beat(claim, lease_s=0.5, stage="speech", progress=0.3)
    print(claim.job.id, flush=True)
    time.sleep(600)


def wait_for_claim(store: Store) -> Claim:
    """Take the next job as soon as its lease is over."""
    while (claim := store.jobs.claim("next", lease_s=60)) is None:
        time.sleep(0.05)
    return claim


def test_the_job_of_a_killed_program_is_finished_by_another(
    store: Store, store_settings: Settings, tmp_path: Path
) -> None:
    user = store.accounts.local_user()
    job = store.jobs.submit(user, "talk.mp4", a_file(tmp_path, b"sound"), keep_media=True)
    program = start("claiming_program()", store_settings)
    assert program.stdout is not None
    assert program.stdout.readline().strip() == job.id
    program.send_signal(signal.SIGKILL)
    program.communicate()
    assert store.jobs.get(user, job.id).stage == "speech", "in the middle of it"
    claim = wait_for_claim(store)
    assert (claim.job.id, claim.job.attempts) == (job.id, 2)
    assert claim.path.read_bytes() == b"sound"
    assert store.jobs.finish(claim, analyses.video()) is not None
    assert store.history(user).search(Query()).total == 1
    assert files_in(store_settings) == {f"media/{user.id}/{job.id}.mp4"}


def die_at_commit(*, after: bool) -> None:
    """End this program, without any cleaning up, around its next commit."""
    from sqlalchemy.engine import Transaction

    commit = Transaction.commit

    def last(transaction: Transaction) -> None:
        if after:
            commit(transaction)
        os._exit(42)

    Transaction.commit = last  # type: ignore[method-assign]


def doomed(config: Settings, what: str, *, when: str, argument: str) -> None:
    store = open_store(config)
    user = store.accounts.local_user()
    history = store.history(user)
    claim = store.jobs.claim("doomed", lease_s=0.1) if what == "finish" else None
    die_at_commit(after=when == "after")
    if what == "add":
        history.add(analyses.video(), media=Path(argument))
    elif what == "submit":
        store.jobs.submit(user, "x.mp4", Path(argument))
    elif what == "delete":
        history.delete([argument])
    elif what == "cancel":
        store.jobs.cancel(user, argument)
    elif claim is not None:
        store.jobs.finish(claim, analyses.video())


def die(config: Settings, what: str, *, when: str, argument: str = "") -> None:
    """Do something in a copy of this program that ends around the commit."""
    child = os.fork()
    if child == 0:
        try:
            doomed(config, what, when=when, argument=argument)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 42


BOTH = pytest.mark.parametrize("when", ["before", "after"])


@BOTH
@pytest.mark.parametrize("what", ["add", "submit"])
def test_killed_while_something_comes_in(
    what: str, when: str, store: Store, store_settings: Settings, tmp_path: Path
) -> None:
    user = store.accounts.local_user()
    die(store_settings, what, when=when, argument=str(a_file(tmp_path, b"sound")))
    assert len(files_in(store_settings)) == 1
    came = when == "after"
    assert store.sweep() == (not came)
    assert len(files_in(store_settings)) == came
    assert store.history(user).search(Query()).total + store.jobs.list(user).total == came
    if came and what == "submit":
        assert wait_for_claim(store).path.read_bytes() == b"sound"


@BOTH
@pytest.mark.parametrize("what", ["delete", "cancel"])
def test_killed_while_something_goes(
    what: str, when: str, store: Store, store_settings: Settings, tmp_path: Path
) -> None:
    user = store.accounts.local_user()
    if what == "delete":
        id_ = store.history(user).add(analyses.video(), media=a_file(tmp_path)).id
    else:
        id_ = store.jobs.submit(user, "x", a_file(tmp_path)).id
    before = files_in(store_settings)
    die(store_settings, what, when=when, argument=id_)
    assert files_in(store_settings) == before, "a row never lacks its file"
    gone = when == "after"
    assert store.sweep() == gone
    assert len(files_in(store_settings)) == (not gone)
    states: Sequence[JobState] = [job.state for job in store.jobs.list(user).jobs]
    if what == "delete":
        assert store.history(user).search(Query()).total == (not gone)
    else:
        assert states == [JobState.CANCELLED if gone else JobState.QUEUED]


@BOTH
@pytest.mark.parametrize("keep", [True, False])
def test_killed_while_a_job_is_finished(
    when: str, keep: bool, store: Store, store_settings: Settings, tmp_path: Path
) -> None:
    user = store.accounts.local_user()
    job = store.jobs.submit(user, "x.mp4", a_file(tmp_path, b"sound"), keep_media=keep)
    die(store_settings, "finish", when=when)
    media = {f"media/{user.id}/{job.id}.mp4"} if keep else set()
    assert files_in(store_settings) == {f"spool/{job.id}"} | media
    if when == "before":
        assert store.sweep() == keep, "the recording that nothing refers to"
        claim = wait_for_claim(store)
        assert claim.path.read_bytes() == b"sound"
        assert store.jobs.finish(claim, analyses.video()) is not None
    else:
        assert store.jobs.claim("next", lease_s=1) is None
        assert store.sweep() == 1, "the file that waited"
    assert files_in(store_settings) == media
    assert [r.id for r in store.history(user).search(Query()).records] == [job.id]
