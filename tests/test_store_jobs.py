"""The queue: every job is finished once, whoever works and whoever dies."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

import analyses
from store_samples import a_file, files_in
from trivalent.core.errors import NotFoundError, QueueFullError, StoreError, UsageError
from trivalent.core.settings import Settings
from trivalent.store import Beat, Claim, Job, Jobs, JobState, Query, Room, Store, User, open_store
from trivalent.store.claims import ATTEMPTS

pytest_plugins = ["store_fixtures"]
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
S = timedelta(seconds=1)


@pytest.fixture
def jobs(store: Store) -> Jobs:
    return store.jobs


@pytest.fixture
def job(jobs: Jobs, owner: User, tmp_path: Path) -> Job:
    return jobs.submit(owner, "talk.mp4", a_file(tmp_path), now=NOW)


def taken(jobs: Jobs, now: datetime = NOW) -> Claim:
    claim = jobs.claim("worker", lease_s=10, now=now)
    assert claim is not None
    return claim


# Submitting


def test_submit_takes_the_file(jobs: Jobs, owner: User, store_settings: Settings, tmp_path: Path) -> None:
    file = a_file(tmp_path, b"sound")
    options = {"model": "default", "modalities": None, "transcript": "a \x00 \udcff b"}
    batch = jobs.create_batch(owner, "Monday")
    job = jobs.submit(
        owner,
        " ../../My talk.mp4\n",
        file,
        options=options,
        tags=["b", "a"],
        batch=batch,
        origin="api",
        keep_media=True,
        now=NOW,
    )
    assert not file.exists()
    assert files_in(store_settings) == {f"spool/{job.id}"}
    assert job == Job(
        id=job.id,
        owner_id=owner.id,
        batch=batch,
        name="../../My talk.mp4",
        state=JobState.QUEUED,
        stage="",
        progress=0.0,
        created=NOW,
        started=None,
        finished=None,
        attempts=0,
        error=None,
        analysis_id=None,
        options=options,
        keep_media=True,
        origin="api",
        tags=("a", "b"),
    )
    assert jobs.get(owner, job.id) == job
    claim = taken(jobs)
    assert claim.path.read_bytes() == b"sound"
    assert claim.job == replace(job, state=JobState.RUNNING, started=NOW, attempts=1)


def test_an_upload_is_taken_over_where_it_lies(store: Store, owner: User, store_settings: Settings) -> None:
    path = store.upload_path()
    path.write_bytes(b"x")
    inode = path.stat().st_ino
    job = store.jobs.submit(owner, "x", path)
    assert (store_settings.home / "spool" / job.id).stat().st_ino == inode


def test_what_is_not_submitted_stays_where_it_is(
    jobs: Jobs, owner: User, job: Job, store_settings: Settings, tmp_path: Path
) -> None:
    file = a_file(tmp_path)
    before = files_in(store_settings)
    with pytest.raises(NotFoundError, match="a batch of yours"):
        jobs.submit(owner, "x", file, batch="0" * 32)
    for options in ({"name": " "}, {"origin": "x"}, {"tags": ["x" * 65]}):
        with pytest.raises(UsageError):
            jobs.submit(owner, **({"name": "x", "file": file} | options))
    with pytest.raises(StoreError):
        jobs.submit(replace(owner, id="f" * 32), "x", file)
    assert file.exists()
    assert files_in(store_settings) == before
    link = tmp_path / "link"
    link.symlink_to(file)
    for none in (tmp_path / "absent", tmp_path, link):
        with pytest.raises(StoreError, match="expected a file to take over"):
            jobs.submit(owner, "x", none)


def test_the_limit_counts_what_waits_is_paused_and_runs(
    store_settings: Settings, owner: User, other: User, tmp_path: Path
) -> None:
    with closing(open_store(replace(store_settings, queue_limit=3))) as store:
        jobs = store.jobs
        for user in (owner, other):
            jobs.submit(user, "x", a_file(tmp_path), now=NOW)
        claim = taken(jobs)
        batch = jobs.create_batch(owner, "b")
        jobs.submit(owner, "x", a_file(tmp_path), batch=batch)
        jobs.pause_batch(owner, batch)
        assert jobs.room() is jobs.room(owner) is Room.FULL
        file = a_file(tmp_path)
        with pytest.raises(QueueFullError, match="fewer than 3 recordings"):
            jobs.submit(owner, "x", file)
        assert file.exists()
        jobs.finish(claim, analyses.text())
        assert jobs.room(owner) is Room.FREE
        jobs.submit(owner, "x", file)


# From claim to end


def test_a_job_on_its_way(
    jobs: Jobs, job: Job, owner: User, store: Store, store_settings: Settings
) -> None:
    claim = taken(jobs)
    assert jobs.claim("another", lease_s=10, now=NOW) is None
    assert jobs.beat(claim, lease_s=10, stage="speech", progress=0.25, now=NOW + S) is Beat.GOES_ON
    assert (jobs.get(owner, job.id).stage, jobs.get(owner, job.id).progress) == ("speech", 0.25)
    record = jobs.finish(claim, analyses.video(), now=NOW + 2 * S)
    assert record is not None
    assert (record.id, record.name, record.created) == (job.id, "talk.mp4", NOW + 2 * S)
    assert store.history(owner).get(job.id) == record
    done = jobs.get(owner, job.id)
    assert (done.state, done.analysis_id, done.finished) == (JobState.DONE, job.id, NOW + 2 * S)
    assert files_in(store_settings) == set(), "not kept unless the user says so"
    assert store.history(owner).analysis(job.id).keyframes == ()
    for again in (jobs.finish(claim, analyses.video()), jobs.fail(claim, "x"), jobs.release(claim)):
        assert not again
    assert jobs.beat(claim, lease_s=10, stage="", progress=0) is Beat.LOST
    assert jobs.get(owner, job.id) == done
    assert store.history(owner).search(Query()).total == 1


def test_kept_media_move_from_the_spool(
    jobs: Jobs, owner: User, store: Store, store_settings: Settings, tmp_path: Path
) -> None:
    batch = jobs.create_batch(owner, "b")
    job = jobs.submit(
        owner,
        "Talk.MP4",
        a_file(tmp_path, b"sound"),
        keep_media=True,
        tags=["t"],
        batch=batch,
        origin="batch",
    )
    record = jobs.finish(taken(jobs, datetime.now(UTC)), analyses.video())
    assert record is not None
    assert (record.tags, record.batch, record.origin, record.has_media) == (("t",), batch, "batch", True)
    assert files_in(store_settings) == {f"media/{owner.id}/{job.id}.mp4"}
    path = store.history(owner).media(job.id)
    assert path is not None
    assert path.read_bytes() == b"sound"
    assert len(store.history(owner).analysis(job.id).keyframes) == 5


def test_a_batch_that_was_deleted_meanwhile(jobs: Jobs, owner: User, store: Store, tmp_path: Path) -> None:
    batch = jobs.create_batch(owner, "b")
    job = jobs.submit(owner, "x", a_file(tmp_path), batch=batch, now=NOW)
    claim = taken(jobs)
    store.history(owner).delete_batch(batch)
    assert jobs.beat(claim, lease_s=10, stage="", progress=0) is Beat.LOST
    assert jobs.finish(claim, analyses.text()) is None
    with pytest.raises(NotFoundError):
        jobs.get(owner, job.id)


def test_a_job_that_fails(jobs: Jobs, job: Job, owner: User, store_settings: Settings) -> None:
    assert jobs.fail(taken(jobs), "expected \x00 sound, got none", now=NOW)
    failed = jobs.get(owner, job.id)
    assert (failed.state, failed.error, failed.finished) == (
        JobState.FAILED,
        "expected \ufffd sound, got none",
        NOW,
    )
    assert files_in(store_settings) == set()
    assert jobs.claim("w", lease_s=10, now=NOW + 100 * S) is None


def test_a_job_that_is_given_back(jobs: Jobs, job: Job, owner: User) -> None:
    claim = taken(jobs)
    jobs.beat(claim, lease_s=10, stage="face", progress=0.5, now=NOW)
    assert jobs.release(claim)
    assert jobs.get(owner, job.id) == job, "as if it had never been taken"
    assert jobs.beat(claim, lease_s=10, stage="", progress=0, now=NOW) is Beat.LOST
    assert taken(jobs).token != claim.token


def test_a_lease_that_ran_out(jobs: Jobs, job: Job, owner: User, store: Store) -> None:
    first = taken(jobs)
    assert jobs.beat(first, lease_s=10, stage="", progress=0, now=NOW + 9 * S) is Beat.GOES_ON
    assert jobs.claim("w", lease_s=10, now=NOW + 18 * S) is None, "the beat renewed it"
    second = taken(jobs, NOW + 19 * S)
    assert second.job.attempts == 2
    running = jobs.get(owner, job.id)
    assert jobs.finish(first, analyses.video()) is None
    assert not jobs.fail(first, "too late")
    assert not jobs.release(first)
    assert jobs.beat(first, lease_s=99, stage="late", progress=1, now=NOW) is Beat.LOST
    assert jobs.get(owner, job.id) == running
    assert store.history(owner).search(Query()).total == 0
    assert second.path.exists()
    assert jobs.finish(second, analyses.text()) is not None


def test_a_slow_worker_may_finish_while_nobody_else_came(jobs: Jobs, job: Job) -> None:
    claim = taken(jobs)
    assert jobs.beat(claim, lease_s=10, stage="", progress=0, now=NOW + 99 * S) is Beat.GOES_ON
    assert jobs.finish(claim, analyses.text(), now=NOW + 999 * S) is not None


def test_a_clock_that_is_put_back_only_delays(jobs: Jobs, job: Job) -> None:
    taken(jobs)
    early = NOW - timedelta(hours=1)
    assert jobs.claim("w", lease_s=10, now=early) is None
    assert jobs.claim("w", lease_s=10, now=NOW + 10 * S) is not None


def test_a_job_that_kills_its_workers(jobs: Jobs, job: Job, owner: User, store_settings: Settings) -> None:
    now = NOW
    for _ in range(ATTEMPTS):
        claim = taken(jobs, now)
        now += 11 * S
    assert jobs.claim("w", lease_s=10, now=now) is None
    failed = jobs.get(owner, job.id)
    assert (failed.state, failed.attempts) == (JobState.FAILED, ATTEMPTS)
    assert failed.error == f"the process died {ATTEMPTS} times while working on it"
    assert files_in(store_settings) == set()
    assert jobs.finish(claim, analyses.text()) is None


def test_an_analysis_that_cannot_be_stored_leaves_the_job(
    jobs: Jobs, job: Job, owner: User, store_settings: Settings
) -> None:
    claim = taken(jobs)
    bad = replace(analyses.text().overall, confidence=float("inf"))
    with pytest.raises(StoreError, match="finite"):
        jobs.finish(claim, replace(analyses.text(), overall=bad))
    assert jobs.get(owner, job.id).state is JobState.RUNNING
    assert files_in(store_settings) == {f"spool/{job.id}"}
    assert jobs.fail(claim, "the model said NaN")


# Cancelling and pausing


def test_cancel_what_waits(jobs: Jobs, job: Job, owner: User, store_settings: Settings) -> None:
    cancelled = jobs.cancel(owner, job.id)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.finished is not None
    assert files_in(store_settings) == set()
    assert jobs.claim("w", lease_s=10) is None
    assert jobs.cancel(owner, job.id) == cancelled, "once is enough"


def test_cancel_what_runs(
    jobs: Jobs, job: Job, owner: User, store: Store, store_settings: Settings
) -> None:
    claim = taken(jobs)
    jobs.cancel(owner, job.id)
    assert jobs.beat(claim, lease_s=10, stage="", progress=0, now=NOW) is Beat.CANCELLED
    assert jobs.finish(claim, analyses.video()) is None
    assert not jobs.fail(claim, "x")
    assert not jobs.release(claim)
    assert jobs.get(owner, job.id).state is JobState.CANCELLED
    assert store.history(owner).search(Query()).total == 0
    assert files_in(store_settings) == set()


def test_cancelling_what_is_over_changes_nothing(jobs: Jobs, job: Job, owner: User) -> None:
    jobs.finish(taken(jobs), analyses.text())
    done = jobs.get(owner, job.id)
    assert jobs.cancel(owner, job.id) == done


def test_pause_and_resume_a_batch(jobs: Jobs, owner: User, tmp_path: Path) -> None:
    batch, other = (jobs.create_batch(owner, name) for name in ("one", "two"))
    for i in range(3):
        jobs.submit(owner, f"{i}", a_file(tmp_path), batch=batch, now=NOW + i * S)
    claim = taken(jobs)
    assert jobs.pause_batch(owner, batch) == 2, "what runs goes on"
    assert jobs.pause_batch(owner, batch) == 0
    assert jobs.pause_batch(owner, other) == 0
    assert jobs.claim("w", lease_s=10, now=NOW) is None
    jobs.finish(claim, analyses.text())
    (two, one) = jobs.batches(owner)
    assert (one.id, one.counts) == (batch, {JobState.DONE: 1, JobState.PAUSED: 2})
    assert (two.id, two.counts) == (other, {})
    jobs.cancel(owner, jobs.list(owner, states=[JobState.PAUSED]).jobs[0].id)
    assert jobs.resume_batch(owner, batch) == 1
    assert taken(jobs).job.name == "1"


# Turns


def test_accounts_take_turns(jobs: Jobs, owner: User, other: User, store: Store, tmp_path: Path) -> None:
    third = store.accounts.external_user("issuer", "3", "Carl")
    for i in range(4):
        jobs.submit(owner, f"a{i}", a_file(tmp_path), now=NOW + i * S)
    for i in range(2):
        jobs.submit(other, f"b{i}", a_file(tmp_path), now=NOW + (10 + i) * S)
    last = jobs.submit(third, "c0", a_file(tmp_path), now=NOW + 20 * S)
    assert jobs.position(last) == 3
    order = []
    for i in itertools.count():
        claim = jobs.claim("w", lease_s=10, now=NOW + (30 + i) * S)
        if claim is None:
            break
        order.append(claim.job.name)
        jobs.finish(claim, analyses.text(), now=NOW + (30 + i) * S)
    assert order == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]
    assert jobs.position(last) == 0


def test_whoever_has_fewer_running_is_next(jobs: Jobs, owner: User, other: User, tmp_path: Path) -> None:
    for user in (owner, other):
        for _ in range(3):
            jobs.submit(user, "x", a_file(tmp_path), now=NOW)
    owners = [taken(jobs).job.owner_id for _ in range(6)]
    assert [Counter(owners[:n])[owner.id] for n in (2, 4, 6)] == [1, 2, 3]


def test_lists_and_counts(jobs: Jobs, owner: User, other: User, tmp_path: Path) -> None:
    batch = jobs.create_batch(owner, "b")
    made = [
        jobs.submit(owner, f"{i}", a_file(tmp_path), batch=batch if i % 2 else None, now=NOW + i * S)
        for i in range(5)
    ]
    jobs.submit(other, "x", a_file(tmp_path), now=NOW + 9 * S)
    jobs.cancel(owner, made[0].id)
    first = jobs.list(owner, limit=3)
    second = jobs.list(owner, limit=3, cursor=first.next_cursor)
    assert [j.name for j in (*first.jobs, *second.jobs)] == ["4", "3", "2", "1", "0"]
    assert (first.total, second.total, second.next_cursor) == (5, 5, None)
    assert [j.name for j in jobs.list(owner, batch=batch).jobs] == ["3", "1"]
    assert [j.name for j in jobs.list(owner, states={JobState.CANCELLED}).jobs] == ["0"]
    assert jobs.counts() == dict.fromkeys(JobState, 0) | {JobState.QUEUED: 5, JobState.CANCELLED: 1}
    for bad in ("", "x", "\udcff", "bnVsbA"):
        with pytest.raises(UsageError):
            jobs.list(owner, cursor=bad)


def test_deleting_jobs(
    jobs: Jobs, job: Job, owner: User, store: Store, store_settings: Settings, tmp_path: Path
) -> None:
    second = jobs.submit(owner, "x", a_file(tmp_path), now=NOW + S)
    jobs.finish(taken(jobs), analyses.text())
    assert jobs.delete(owner, [job.id, second.id, "nothing"]) == 2
    assert jobs.list(owner).total == 0
    assert files_in(store_settings) == set()
    assert store.history(owner).search(Query()).total == 1, "the analysis stays"


def test_a_deleted_analysis_takes_its_job_along(jobs: Jobs, job: Job, owner: User, store: Store) -> None:
    jobs.finish(taken(jobs), analyses.text())
    store.history(owner).delete([job.id])
    with pytest.raises(NotFoundError):
        jobs.get(owner, job.id)


class Queue(RuleBasedStateMachine):
    """Any order of events against what must hold: each job ends once, and only its holder ends it."""

    claims: Bundle[Claim] = Bundle("claims")
    ids: Bundle[str] = Bundle("ids")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.config = Settings(home=Path(self.folder.name) / "home")
        self.store = open_store(self.config)
        self.jobs = self.store.jobs
        accounts = self.store.accounts
        self.users = [accounts.external_user("i", f"{n}", f"{n}") for n in range(2)]
        self.now = NOW
        self.submitted: dict[str, User] = {}
        self.holders: dict[str, Claim] = {}  # who may finish what
        self.ended: dict[str, JobState] = {}
        self.attempts: Counter[str] = Counter()

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(target=ids, user=st.integers(0, 1), keep=st.booleans())
    def submit(self, user: int, keep: bool) -> str:
        file = a_file(Path(self.folder.name))
        job = self.jobs.submit(self.users[user], "x.mp4", file, keep_media=keep, now=self.now)
        self.submitted[job.id] = self.users[user]
        return job.id

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.now += seconds * S

    @rule(target=claims)
    def claim(self) -> Claim | None:
        claim = self.jobs.claim("w", lease_s=10, now=self.now)
        for id_, owner in self.submitted.items():  # those that died too often
            worn = self.attempts[id_] == ATTEMPTS and id_ not in self.ended
            if worn and self.jobs.get(owner, id_).state is JobState.FAILED:
                self.ended[id_] = JobState.FAILED
                del self.holders[id_]
        if claim is not None:
            assert claim.job.id not in self.ended
            self.attempts[claim.job.id] += 1
            assert claim.job.attempts == self.attempts[claim.job.id] <= ATTEMPTS
            assert claim.path.is_file()
            self.holders[claim.job.id] = claim
        return claim

    def holds(self, claim: Claim) -> bool:
        return self.holders.get(claim.job.id) is claim

    @rule(claim=claims)
    def beat(self, claim: Claim | None) -> None:
        if claim is not None:
            beat = self.jobs.beat(claim, lease_s=10, stage="x", progress=0.5, now=self.now)
            assert (beat is Beat.GOES_ON) == self.holds(claim)

    @rule(claim=consumes(claims), how=st.sampled_from(["finish", "fail", "release", "twice"]))
    def end(self, claim: Claim | None, how: str) -> None:
        if claim is None:
            return
        held = self.holds(claim)
        if how == "release":
            assert self.jobs.release(claim) == held
            self.attempts[claim.job.id] -= held
        elif how == "fail":
            assert self.jobs.fail(claim, "no", now=self.now) == held
        else:
            assert (self.jobs.finish(claim, analyses.text(), now=self.now) is not None) == held
            assert how == "finish" or self.jobs.finish(claim, analyses.text(), now=self.now) is None
        if held:
            del self.holders[claim.job.id]
            if how != "release":
                self.ended[claim.job.id] = JobState.FAILED if how == "fail" else JobState.DONE

    @rule(id_=ids)
    def cancel(self, id_: str) -> None:
        state = self.jobs.cancel(self.submitted[id_], id_).state
        assert state is self.ended.setdefault(id_, JobState.CANCELLED)
        self.holders.pop(id_, None)

    @rule()
    def sweep(self) -> None:
        assert self.store.sweep() == 0

    @invariant()
    def everything_is_where_it_should_be(self) -> None:
        if not hasattr(self, "store"):
            return
        waiting = {f"spool/{id_}" for id_ in self.submitted if id_ not in self.ended}
        found = {f for f in files_in(self.config) if f.startswith("spool")}
        assert found == waiting
        done = {id_ for id_, state in self.ended.items() if state is JobState.DONE}
        records = {
            r.id for user in self.users for r in self.store.history(user).search(Query(limit=500)).records
        }
        assert records == done
        kept = {
            f.split("/")[-1].removesuffix(".mp4") for f in files_in(self.config) if f.startswith("media")
        }
        assert kept <= done


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)


def test_the_store_may_be_opened_twice(store_settings: Settings, tmp_path: Path) -> None:
    """As the app and the service do."""
    with closing(open_store(store_settings)) as app, closing(open_store(store_settings)) as service:
        user = app.accounts.local_user()
        job = app.jobs.submit(user, "x", a_file(tmp_path))
        claim = service.jobs.claim("w", lease_s=10)
        assert claim is not None
        service.jobs.finish(claim, analyses.text())
        assert app.history(user).get(job.id).name == "x"
