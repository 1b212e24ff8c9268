"""Workers on stored jobs: every job ends once, whatever stops them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the extra app is not installed")

from media_samples import write_media
from store_samples import a_home
from trivalent.core.assets import DATA
from trivalent.core.settings import Settings
from trivalent.store import JobState, Query, Store, User, open_store
from trivalent.work.runner import JobRunner

WORDS = {"modalities": ["text"]}
PATIENCE_S = 120.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=a_home(tmp_path / "home"), threads=1)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = open_store(settings)
    yield store
    store.close()


@pytest.fixture
def runner(store: Store, settings: Settings) -> Iterator[JobRunner]:
    runner = JobRunner(store, settings)
    yield runner
    runner.stop()


def submit(store: Store, name: str, content: bytes, **more: object) -> str:
    path = store.upload_path()
    path.write_bytes(content)
    more.setdefault("options", WORDS)
    return store.jobs.submit(store.accounts.local_user(), name, path, **more).id


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def state(store: Store, job: str) -> JobState:
    return store.jobs.get(store.accounts.local_user(), job).state


def over(store: Store, *jobs: str) -> Callable[[], bool]:
    return lambda: all(state(store, job) not in (JobState.QUEUED, JobState.RUNNING) for job in jobs)


def test_jobs_become_analyses(store, runner):
    good = submit(store, "../a day.txt", b"I love how this turned out.", tags=("first",))
    bad = submit(store, "talk.mp4", b"not a video at all")
    runner.start()
    runner.wake()
    wait(over(store, good, bad))
    history = store.history(store.accounts.local_user())
    [record] = history.search(Query()).records
    assert (record.name, record.label, record.tags) == ("../a day.txt", "positive", ("first",))
    assert history.analysis(record.id).utterances[0].text == "I love how this turned out."
    failed = store.jobs.get(store.accounts.local_user(), bad)
    assert failed.state is JobState.FAILED
    assert failed.error.startswith("expected sound or video, got a text file")
    assert runner.alive


def test_models_are_named_and_never_paths(store, runner, tmp_path):
    wrong = submit(store, "a.txt", b"Fine.", options={**WORDS, "model": str(tmp_path)})
    added = submit(store, "b.txt", b"Fine.", options={**WORDS, "model": "mine"})
    shutil.copytree(DATA / "bundles" / "default", tmp_path / "home" / "bundles" / "mine")
    runner.start()
    wait(over(store, wrong, added))
    assert (state(store, wrong), state(store, added)) == (JobState.FAILED, JobState.DONE)


def test_a_damaged_file_is_called_by_its_name(store, runner):
    job = submit(store, "talk.mp4", b"\x00\x00\x00\x18ftypmp42 and no more")
    runner.start()
    wait(over(store, job))
    error = store.jobs.get(store.accounts.local_user(), job).error
    assert "talk.mp4" in error
    assert job not in error


def test_media_only_where_wanted(store, runner, tmp_path):
    talk = write_media(tmp_path / "talk.mp4", seconds=1.0).read_bytes()
    options = {"modalities": ["audio"]}
    kept = submit(store, "a.mp4", talk, options=options, keep_media=True)
    dropped = submit(store, "b.mp4", talk, options=options)
    runner.start()
    wait(over(store, kept, dropped))
    history = store.history(store.accounts.local_user())
    assert history.media(kept).read_bytes() == talk
    assert history.media(dropped) is None


def test_cancel_stops_the_work(store, runner, tmp_path):
    talk = write_media(tmp_path / "talk.mp4", seconds=20.0).read_bytes()
    job = submit(store, "long.mp4", talk, options={})
    runner.start()
    wait(lambda: state(store, job) is JobState.RUNNING)
    store.jobs.cancel(store.accounts.local_user(), job)
    follower = submit(store, "a.txt", b"Fine.")
    wait(over(store, job, follower))
    assert (state(store, job), state(store, follower)) == (JobState.CANCELLED, JobState.DONE)


def test_stopping_gives_the_job_back(store, settings, tmp_path):
    talk = write_media(tmp_path / "talk.mp4", seconds=20.0).read_bytes()
    job = submit(store, "long.mp4", talk, options={})
    first = JobRunner(store, settings)
    first.start()
    wait(lambda: state(store, job) is JobState.RUNNING)
    first.stop()
    assert not first.alive
    given_back = store.jobs.get(store.accounts.local_user(), job)
    assert (given_back.state, given_back.attempts) == (JobState.QUEUED, 0)


def test_a_transcript_goes_with_its_job(store, runner, tmp_path):
    talk = write_media(tmp_path / "talk.mp4", seconds=2.0).read_bytes()
    words = "1\n00:00:00,200 --> 00:00:01,500\nDreadful.\n"
    job = submit(store, "talk.mp4", talk, options={**WORDS, "transcript": words})
    runner.start()
    wait(over(store, job))
    user: User = store.accounts.local_user()
    assert store.history(user).analysis(job).utterances[0].text == "Dreadful."


def test_key_frames_are_handed_over_but_not_stored(store, settings):
    from trivalent.web.session_keyframes import RecentFrames

    frames = RecentFrames()
    runner = JobRunner(store, settings, finished=frames.add)
    clip = (DATA / "samples" / "sample.mp4").read_bytes()
    options = {"modalities": ["face"], "face_rate_hz": 1.0}
    dropped = submit(store, "a.mp4", clip, options=options)
    kept = submit(store, "b.mp4", clip, options=options, keep_media=True)
    runner.start()
    wait(over(store, dropped, kept))
    runner.stop()
    history = store.history(store.accounts.local_user())
    assert not history.analysis(dropped).keyframes
    assert history.analysis(kept).keyframes
    assert len(frames.of(dropped)) == len(history.analysis(kept).keyframes)
    assert frames.of(kept) == ()
