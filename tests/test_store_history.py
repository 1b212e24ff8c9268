"""What the history keeps, finds, and lets go."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import SessionTransaction

import analyses
from store_samples import a_file, files_in
from trivalent.core.analysis import Analysis, Model, Source, Track
from trivalent.core.errors import NotFoundError, StoreError, UsageError
from trivalent.core.settings import Settings
from trivalent.store import Deleted, History, Order, Query, Record, Store, User
from trivalent.store.folders import Folders

pytest_plugins = ["store_fixtures"]
DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
many = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def said(text: str, **changes: object) -> Analysis:
    """An analysis of a text."""
    one = replace(analyses.text().utterances[0], text=text)
    return replace(analyses.text(), utterances=(one,), **changes)


def add(history: History, analysis: Analysis, **options: object) -> Record:
    return history.add(analysis, **options)  # type: ignore[arg-type]


def same(a: Analysis, b: Analysis) -> bool:
    return (a.to_dict(), a.extras_to_dict()) == (b.to_dict(), b.extras_to_dict())


@pytest.mark.parametrize("name", analyses.ALL)
def test_an_analysis_comes_back_as_it_was(name: str, history: History, tmp_path: Path) -> None:
    analysis = analyses.ALL[name]()
    track = Track("F0", "Hz", np.array([0.0, 0.01]), np.array([np.nan, 120.0]))
    analysis = replace(analysis, tracks=(track,))
    kept = history.add(analysis, media=a_file(tmp_path))
    assert same(history.analysis(kept.id), analysis)
    bare = history.add(analysis)
    assert same(history.analysis(bare.id), replace(analysis, keyframes=())), "faces go with the media only"
    assert history.get(bare.id) == bare


def test_a_record_tells_what_it_was(history: History) -> None:
    before = datetime.now(UTC)
    record = history.add(analyses.video(), tags=["film", " two  words ", "film", ""], origin="api")
    assert record == Record(
        id=record.id,
        created=record.created,
        name="film-review.mp4",
        kind="video",
        label="positive",
        confidence=0.71,
        abstained=False,
        mixed_by=None,
        probabilities={"negative": 0.11, "neutral": 0.18, "positive": 0.71},
        model_name="default",
        model_version="1.0",
        model_sha256=analyses.MODEL.sha256,
        duration_s=31.2,
        utterances=8,
        tags=("film", "two words"),
        origin="api",
        batch=None,
        has_media=False,
    )
    assert before <= record.created <= datetime.now(UTC)
    assert history.search(Query()).records == (record,)


def test_numbers_that_are_none_are_refused(history: History) -> None:
    bad = replace(analyses.text().overall, confidence=float("nan"))
    with pytest.raises(StoreError, match="finite"):
        history.add(replace(analyses.text(), overall=bad))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"name": "  "}, "a name of the analysis with 1 to 255"),
        ({"name": "x" * 256}, "got 256"),
        ({"tags": ["x" * 65]}, "tags of at most 64"),
        ({"tags": [str(i) for i in range(51)]}, "at most 50 tags, got 51"),
        ({"origin": "elsewhere"}, "app, api, batch"),
    ],
)
def test_names_and_tags_have_limits(options: dict[str, object], match: str, history: History) -> None:
    with pytest.raises(UsageError, match=match):
        add(history, analyses.text(), **options)
    assert history.search(Query()).total == 0


def test_a_source_without_a_sound_name_gets_one(history: History) -> None:
    def named(name: str) -> str:
        return history.add(replace(analyses.text(), source=Source(name, "text", None))).name

    assert named(" \n ") == "text"
    assert named("a" * 300) == "a" * 255
    assert named("a\x00\udcff\x1b[1m\r\nb") == "a\ufffd[1m b"
    assert named("../../etc/passwd") == "../../etc/passwd", "it is only shown"


# Search


def found(history: History, **query: object) -> set[str]:
    return {record.name for record in history.search(Query(**query)).records}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", {"One", "Two", "100%", "été"}),
        ("STRASSE", {"One"}),
        ("straße", {"One"}),
        ("one", {"One"}),
        ("straße one", {"One"}),
        ("straße two", set()),
        ("%", {"100%"}),
        ("_", {"Two"}),
        ("/", {"Two"}),
        ("\\", {"100%"}),
        ("'; DROP TABLE users", set()),
        ("ÉTÉ", {"été"}),
        ("e\u0301te\u0301", {"été"}),
        ("电影", {"été"}),
        ("\x00 \udcff", set()),
    ],
)
def test_search_for_words(text: str, names: set[str], history: History) -> None:
    history.add(said("In welcher Straße?"), name="One")
    history.add(said("snake_case and/or"), name="Two")
    history.add(said("a back\\slash"), name="100%")
    history.add(said("这部电影很好。"), name="été")
    assert found(history, text=text) == names


def test_search_by_what_a_record_says(store: Store, owner: User, history: History) -> None:
    batch = store.jobs.create_batch(owner, "Monday")
    other = replace(analyses.audio(), model=Model("other", "2", "00"))
    history.add(analyses.video(), now=START, tags=["a"])
    history.add(other, now=START + DAY, tags=["a", "b"], origin="batch", batch=batch)
    history.add(analyses.abstained(), now=START + 2 * DAY, origin="api")
    names = {"film-review.mp4", "phone-call.wav", "mumble.mp4"}
    assert found(history) == names
    assert found(history, labels=("positive",)) == {"film-review.mp4"}
    assert found(history, labels=("negative", "neutral")) == names - {"film-review.mp4"}
    assert found(history, since=START + DAY) == names - {"film-review.mp4"}
    assert found(history, until=START + DAY) == {"film-review.mp4"}
    assert found(history, model="other") == {"phone-call.wav"}
    assert found(history, tag="a") == {"film-review.mp4", "phone-call.wav"}
    assert found(history, tag="A") == set()
    assert found(history, kind="audio") == {"phone-call.wav"}
    assert found(history, origin="api") == {"mumble.mp4"}
    assert found(history, batch=batch) == {"phone-call.wav"}
    assert found(history, abstained=True) == {"mumble.mp4"}
    assert found(history, abstained=False, tag="b", text="brilliant") == {"phone-call.wav"}
    assert history.tags() == {"a": 2, "b": 1}
    assert history.models() == ["default", "other"]
    assert [(b.id, b.name, b.analyses) for b in history.batches()] == [(batch, "Monday", 1)]


@pytest.mark.parametrize(
    ("query", "match"),
    [
        (Query(labels=("happy",)), "negative, neutral, positive, got happy"),
        (Query(limit=0), "from 1 to 500, got 0"),
        (Query(limit=501), "got 501"),
        (Query(text="x" * 1001), "1000 characters"),
        (Query(since=datetime(2026, 1, 1)), "with its zone"),
        (Query(until=datetime.fromisoformat("0001-01-01T00:00:00+14:00")), "zone"),
        (Query(cursor=""), "cursor"),
        (Query(cursor="!"), "cursor"),
        (Query(cursor="W10"), "cursor"),
        (Query(cursor="bnVsbA"), "cursor"),
        (Query(cursor="\udcff"), "cursor"),
    ],
)
def test_queries_that_make_no_sense(query: Query, match: str, history: History) -> None:
    with pytest.raises(UsageError, match=match):
        history.search(query)


def test_a_cursor_belongs_to_an_order(history: History) -> None:
    for _ in range(2):
        history.add(analyses.text())
    cursor = history.search(Query(limit=1)).next_cursor
    with pytest.raises(UsageError, match="order 'name'"):
        history.search(Query(limit=1, order=Order.NAME, cursor=cursor))


SORTED = {
    Order.NEWEST: lambda r: (-r.created.timestamp(), -int(r.id, 16)),
    Order.OLDEST: lambda r: (r.created, r.id),
    Order.NAME: lambda r: (r.name.casefold(), r.id),
    Order.CONFIDENCE: lambda r: (-r.confidence, -int(r.id, 16)),
}
ROWS = st.lists(
    st.tuples(st.sampled_from("aBéZ中_"), st.integers(0, 3), st.sampled_from([0.4, 1 / 3, 0.71, 1.0])),
    max_size=12,
)


@many
@given(rows=ROWS, limit=st.integers(1, 5), order=st.sampled_from(list(Order)))
def test_pages_show_each_record_once_and_in_order(
    rows: list[tuple[str, int, float]], limit: int, order: Order, store: Store
) -> None:
    user = store.accounts.external_user("pages", str(id(rows)), "x")
    history = store.history(user)
    history.delete_everything()
    for name, day, confidence in rows:
        overall = replace(analyses.text().overall, confidence=confidence)
        history.add(replace(analyses.text(), overall=overall), name=name, now=START + day * DAY)
    query, seen = Query(order=order, limit=limit), []
    while True:
        page = history.search(query)
        assert page.total == len(rows)
        seen += page.records
        if page.next_cursor is None:
            break
        assert len(page.records) == limit
        query = replace(query, cursor=page.next_cursor)
    assert len(seen) == len(rows)
    assert seen == sorted(seen, key=SORTED[order])


def test_pages_do_not_shift_when_others_come_and_go(history: History) -> None:
    records = [history.add(analyses.text(), now=START + i * DAY, name=f"n{i}") for i in range(6)]
    first = history.search(Query(limit=2))
    assert [r.name for r in first.records] == ["n5", "n4"]
    history.add(analyses.text(), now=START + 9 * DAY, name="later")
    history.delete([records[4].id, records[3].id])
    second = history.search(Query(limit=2, cursor=first.next_cursor))
    assert [r.name for r in second.records] == ["n2", "n1"]


# Changes


def test_rename(history: History) -> None:
    record = history.add(said("spoken words"), name="Old")
    renamed = history.rename(record.id, "  New\nname ")
    assert renamed == replace(record, name="New name") == history.get(record.id)
    assert found(history, text="new spoken") == {"New name"}
    assert found(history, text="old") == set()
    assert history.analysis(record.id).source.name == "text", "the source keeps its name"
    with pytest.raises(UsageError):
        history.rename(record.id, "\t")


def test_tags_are_replaced(history: History) -> None:
    record = history.add(analyses.text(), tags=["a", "b"])
    assert history.set_tags(record.id, ["c", "b"]).tags == ("b", "c")
    assert history.tags() == {"b": 1, "c": 1}
    assert history.set_tags(record.id, []) == replace(record, tags=())
    with pytest.raises(UsageError):
        history.set_tags(record.id, ["x" * 65])


@pytest.mark.parametrize(
    "bad", ["", "x", "0" * 32, "0" * 33, "A" * 32, "\x00", "\udcff", "' OR 1=1 --", "../x"]
)
def test_ids_of_nothing(bad: str, history: History, tmp_path: Path) -> None:
    history.add(analyses.text())
    for ask in (history.get, history.analysis, history.media, history.delete_batch):
        with pytest.raises(NotFoundError, match="of yours"):
            ask(bad)
    with pytest.raises(NotFoundError):
        history.rename(bad, "x")
    with pytest.raises(NotFoundError):
        history.set_tags(bad, [])
    with pytest.raises(NotFoundError):
        history.add(analyses.text(), batch=bad)
    with pytest.raises(NotFoundError):
        history.export([bad], tmp_path / "x.zip")
    assert history.delete([bad]) == 0
    assert history.search(Query(batch=bad)).total == 0
    assert history.search(Query()).total == 1
    assert not list(tmp_path.glob("*.zip"))


# Media


def test_media_are_copied_under_a_name_of_ours(
    history: History, owner: User, store_settings: Settings, tmp_path: Path
) -> None:
    video = replace(analyses.video(), source=Source("../../../evil name.MP4", "video", 1.0))
    upload = a_file(tmp_path)
    record = history.add(video, media=upload)
    path = history.media(record.id)
    assert path == store_settings.home / "media" / owner.id / f"{record.id}.mp4"
    assert path.read_bytes() == upload.read_bytes()
    assert record.has_media
    assert path.parent.stat().st_mode & 0o077 == 0
    odd = history.add(replace(video, source=Source("x.exe", "video", 1.0)), media=upload)
    assert history.media(odd.id) == path.with_name(f"{odd.id}.bin")
    assert history.media(history.add(analyses.text()).id) is None


def test_media_go_with_their_record(history: History, store_settings: Settings, tmp_path: Path) -> None:
    records = [history.add(analyses.video(), media=a_file(tmp_path)) for _ in range(3)]
    assert len(files_in(store_settings)) == 3
    assert history.delete([records[0].id, records[0].id, records[1].id]) == 2
    assert len(files_in(store_settings)) == 1
    path = history.media(records[2].id)
    assert path is not None
    path.unlink()
    assert history.media(records[2].id) is None, "somebody deleted the file"
    assert history.delete([records[2].id]) == 1


def test_media_that_cannot_be_copied_leave_nothing(
    history: History, store_settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=r"expected to read and write .*absent"):
        history.add(analyses.video(), media=tmp_path / "absent")
    with pytest.raises(NotFoundError):
        history.add(analyses.video(), media=a_file(tmp_path), batch="0" * 32)
    assert history.search(Query()).total == 0
    assert files_in(store_settings) == set()


def test_a_commit_that_fails_takes_the_file_back(
    history: History, store_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: set[str] = set()

    def fail(*_: object, **__: object) -> None:
        before.update(files_in(store_settings))
        raise RuntimeError("the server went away")

    monkeypatch.setattr(SessionTransaction, "commit", fail)
    with pytest.raises(RuntimeError):
        history.add(analyses.video(), media=a_file(tmp_path))
    monkeypatch.undo()
    assert len(before) == 1
    assert files_in(store_settings) == set()
    assert history.search(Query()).total == 0


def test_sweep_removes_what_an_interruption_left(
    history: History, store: Store, owner: User, store_settings: Settings, tmp_path: Path
) -> None:
    record = history.add(analyses.video(), media=a_file(tmp_path))
    job = store.jobs.submit(owner, "x.mp4", a_file(tmp_path))
    upload = store.upload_path()
    upload.write_bytes(b"it comes in")
    kept = files_in(store_settings)
    folders = Folders(store_settings.home)
    orphans = [
        folders.spool("0" * 32),
        folders.media(owner.id, "0" * 32, ".mp4"),
        folders.media("f" * 32, "0" * 32, ".bin"),
        folders.media(owner.id, record.id, ".wav"),
    ]
    for path in orphans:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"orphan")
    assert store.sweep() == len(orphans)
    assert files_in(store_settings) == kept
    assert store.jobs.get(owner, job.id) == job


def test_an_upload_that_was_never_submitted_goes_after_a_day(
    store: Store, store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.upload_path().write_bytes(b"x")
    assert store.sweep() == 0
    monkeypatch.setattr("trivalent.store.folders.PARTIAL_AGE_S", -1)
    assert store.sweep() == 1
    assert files_in(store_settings) == set()


# Letting go


def test_delete_everything(
    store: Store, owner: User, history: History, store_settings: Settings, tmp_path: Path
) -> None:
    batch = store.jobs.create_batch(owner, "b")
    for _ in range(2):
        history.add(analyses.video(), media=a_file(tmp_path), tags=["t"], batch=batch)
    history.add(analyses.text())
    store.jobs.submit(owner, "x.mp4", a_file(tmp_path), batch=batch)
    token = store.accounts.open_session(owner)
    overwritten = store_settings.database is None
    gone = Deleted(analyses=3, jobs=1, media=2, uploads=1, overwritten=overwritten)
    assert history.delete_everything() == gone
    assert (history.search(Query()).total, history.tags(), history.batches()) == (0, {}, [])
    assert files_in(store_settings) == set()
    assert store.accounts.session_user(token) == owner
    assert history.delete_everything() == Deleted(overwritten=overwritten)


def test_delete_a_batch(
    store: Store, owner: User, history: History, store_settings: Settings, tmp_path: Path
) -> None:
    first, second = (store.jobs.create_batch(owner, name) for name in ("1", "2"))
    history.add(analyses.video(), media=a_file(tmp_path), batch=first)
    kept = history.add(analyses.text(), batch=second)
    store.jobs.submit(owner, "x.mp4", a_file(tmp_path), batch=first)
    gone = Deleted(analyses=1, jobs=1, media=1, uploads=1, overwritten=store_settings.database is None)
    assert history.delete_batch(first) == gone
    assert [b.id for b in history.batches()] == [second]
    assert history.search(Query()).records == (kept,)
    assert files_in(store_settings) == set()


def test_retention(
    store: Store, owner: User, other: User, history: History, store_settings: Settings, tmp_path: Path
) -> None:
    now = START + 100 * DAY
    for user in (owner, other):
        for age in (2, 8, 40):
            store.history(user).add(
                analyses.video(), now=now - age * DAY, media=a_file(tmp_path), name=f"{age}"
            )
    assert store.apply_retention(None, now=now) == 0, "nobody asked for it"
    store.accounts.set_preferences(owner.id, keep_media=None, retention_days=7)
    assert store.apply_retention(30, now=now) == 3
    assert found(history) == {"2"}
    assert found(store.history(other)) == {"2", "8"}
    assert len(files_in(store_settings)) == 3
    store.accounts.set_preferences(owner.id, keep_media=None, retention_days=300)
    assert store.apply_retention(1, now=now) == 3, "one's own choice cannot go beyond the program's"
    assert files_in(store_settings) == set()
    with pytest.raises(UsageError):
        store.apply_retention(0)


def test_retention_takes_jobs_that_are_over_and_empty_batches(
    store: Store, owner: User, store_settings: Settings, tmp_path: Path
) -> None:
    store.jobs.create_batch(owner, "empty")
    used = store.jobs.create_batch(owner, "used")
    jobs = [store.jobs.submit(owner, "x.mp4", a_file(tmp_path), batch=used) for _ in range(2)]
    store.jobs.cancel(owner, jobs[0].id)
    store.apply_retention(1, now=datetime.now(UTC) + 2 * DAY)
    assert [job.id for job in store.jobs.list(owner).jobs] == [jobs[1].id], "it still waits"
    assert [b.id for b in store.jobs.batches(owner)] == [used]


# Export


def test_export(history: History, tmp_path: Path) -> None:
    one = history.add(analyses.video(), media=a_file(tmp_path, b"pictures"), tags=["a"])
    two = history.add(analyses.hostile())
    target = tmp_path / "mine.zip"
    assert history.export([one.id, two.id, one.id], target) == target
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {
            f"analyses/{one.id}.json",
            f"analyses/{two.id}.json",
            f"media/{one.id}.mp4",
            "analyses.csv",
            "records.json",
        }
        assert archive.read(f"media/{one.id}.mp4") == b"pictures"
        assert json.loads(archive.read(f"analyses/{one.id}.json")) == analyses.video().to_dict()
        rows = list(csv.DictReader(io.StringIO(archive.read("analyses.csv").decode())))
        assert len(rows) == 16
        records = json.loads(archive.read("records.json"))
        assert [(r["id"], r["tags"], r["created"]) for r in records] == [
            (one.id, ["a"], one.created.isoformat()),
            (two.id, [], two.created.isoformat()),
        ]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".trivalent")] == []


def test_export_that_fails_leaves_nothing(history: History, tmp_path: Path) -> None:
    record = history.add(analyses.text())
    with pytest.raises(StoreError, match="expected a place to write"):
        history.export([record.id], tmp_path / "absent" / "x.zip")
    target = tmp_path / "x.zip"
    target.write_bytes(b"the one before")
    with pytest.raises(NotFoundError):
        history.export([record.id, "0" * 32], target)
    assert target.read_bytes() == b"the one before"


def test_thousands_at_once(history: History) -> None:
    """More ids than a statement takes."""
    record = history.add(analyses.text())
    ids = [f"{i:032x}" for i in range(40_000)]
    assert history.delete([*ids, record.id]) == 1
