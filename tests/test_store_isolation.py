"""Two owners: whatever one asks for, the other's rows are neither seen, counted nor changed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import analyses
from store_samples import a_file, files_in
from trivalent.core.errors import NotFoundError, UsageError
from trivalent.core.settings import Settings
from trivalent.store import Job, JobState, Order, Query, Record, Store, User

pytest_plugins = ["store_fixtures"]


@dataclass
class Side:
    """What one owner has."""

    user: User
    records: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)


def filled(store: Store, user: User, folder: Path) -> Side:
    """An owner with some of everything; the words and tags are those of the other one, too."""
    history, side = store.history(user), Side(user)
    side.batches = [store.jobs.create_batch(user, "batch")]
    for analysis in (analyses.video(), analyses.text(), analyses.abstained()):
        batch, media = side.batches[0], a_file(folder)
        side.records.append(history.add(analysis, tags=["a", "b"], batch=batch, media=media).id)
    side.jobs = [
        store.jobs.submit(user, "x.mp4", a_file(folder), batch=side.batches[0]).id for _ in range(2)
    ]
    side.keys = [store.accounts.create_key(user, "key")[0].id]
    for order in Order:
        cursor = history.search(Query(order=order, limit=1)).next_cursor
        assert cursor
        side.cursors.append(cursor)
    cursor = store.jobs.list(user, limit=1).next_cursor
    assert cursor
    side.cursors.append(cursor)
    return side


def everything(store: Store, user: User, config: Settings) -> list[Any]:
    """All that an owner can see."""
    history = store.history(user)
    records = history.search(Query(limit=500)).records
    jobs = store.jobs.list(user).jobs
    files = sorted(f for f in files_in(config) if user.id in f or f.split("/")[-1] in {j.id for j in jobs})
    return [
        records,
        [history.analysis(r.id).to_dict() for r in records],
        history.tags(),
        history.models(),
        history.batches(),
        jobs,
        store.jobs.batches(user),
        store.accounts.keys(user),
        store.accounts.get(user.id),
        files,
    ]


Operation = Callable[[Store, User, Any, Path], object]
#: name: what is asked for, and how
ON_RECORDS: dict[str, Operation] = {
    "get": lambda s, u, i, _: s.history(u).get(i),
    "has": lambda s, u, i, _: s.history(u).has(i),
    "analysis": lambda s, u, i, _: s.history(u).analysis(i),
    "media": lambda s, u, i, _: s.history(u).media(i),
    "rename": lambda s, u, i, _: s.history(u).rename(i, "stolen"),
    "set_tags": lambda s, u, i, _: s.history(u).set_tags(i, ["stolen"]),
    "delete": lambda s, u, i, _: s.history(u).delete([i]),
    "export": lambda s, u, i, f: s.history(u).export([i], f / "x.zip"),
    "job": lambda s, u, i, _: s.jobs.get(u, i),
    "cancel": lambda s, u, i, _: s.jobs.cancel(u, i),
    "delete_job": lambda s, u, i, _: s.jobs.delete(u, [i]),
    "pause": lambda s, u, i, _: s.jobs.pause_batch(u, i),
    "resume": lambda s, u, i, _: s.jobs.resume_batch(u, i),
    "delete_batch": lambda s, u, i, _: s.history(u).delete_batch(i),
    "add_to_batch": lambda s, u, i, _: s.history(u).add(analyses.text(), batch=i),
    "submit_to_batch": lambda s, u, i, f: s.jobs.submit(u, "x", a_file(f), batch=i),
    "revoke_key": lambda s, u, i, _: s.accounts.revoke_key(u, i),
}
many = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(data=st.data())
def test_no_operation_reaches_the_other(
    data: st.DataObject, store: Store, store_settings: Settings
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        number = len(store.accounts.users())
        me, you = (
            filled(store, store.accounts.external_user("i", f"{number}-{side}", side), folder)
            for side in "ab"
        )
        yours = everything(store, you.user, store_settings)
        theirs = [*you.records, *you.jobs, *you.batches, *you.keys, you.user.id]
        for _ in range(data.draw(st.integers(1, 6))):
            operation = data.draw(st.sampled_from(sorted(ON_RECORDS)))
            wanted = data.draw(st.sampled_from(theirs) | st.text(max_size=40))
            try:
                answer = ON_RECORDS[operation](store, me.user, wanted, folder)
            except NotFoundError:
                continue
            assert answer == 0, f"{operation} answered {answer}"
        mine = data.draw(st.sampled_from(["delete_everything", "delete", "cancel", "pause", "account"]))
        if mine == "delete_everything":
            store.history(me.user).delete_everything()
        elif mine == "delete":
            store.history(me.user).delete([*me.records, *you.records])
        elif mine == "cancel":
            for job in me.jobs:
                store.jobs.cancel(me.user, job)
        elif mine == "pause":
            store.jobs.pause_batch(me.user, me.batches[0])
        else:
            store.accounts.delete(me.user.id)
        assert everything(store, you.user, store_settings) == yours
        store.accounts.delete(you.user.id)


def queries(mine: Side, yours: Side) -> st.SearchStrategy[Query]:
    """Any query, with what belongs to the other in every place where something can be passed."""
    anything = st.none() | st.text(max_size=5) | st.sampled_from([*yours.batches, *yours.records])
    return st.builds(
        Query,
        text=st.sampled_from(["", "a", "%", "_", "love", "' OR ''='"]),
        labels=st.sampled_from([(), ("positive",), ("negative", "neutral", "positive")]),
        model=anything | st.just("default"),
        tag=anything | st.just("a"),
        kind=anything | st.just("video"),
        origin=anything | st.just("app"),
        batch=anything | st.sampled_from(mine.batches),
        abstained=st.none() | st.booleans(),
        order=st.sampled_from(list(Order)),
        limit=st.integers(1, 10),
        cursor=st.none() | st.sampled_from([*yours.cursors, *mine.cursors]) | st.text(max_size=20),
    )


def owned(shown: tuple[Record, ...] | tuple[Job, ...], side: Side) -> bool:
    return {x.id for x in shown} <= {*side.records, *side.jobs}


def test_no_query_finds_the_other(store: Store, owner: User, other: User, tmp_path: Path) -> None:
    me, you = filled(store, owner, tmp_path), filled(store, other, tmp_path)

    @settings(many, max_examples=60)
    @given(query=queries(me, you), states=st.sets(st.sampled_from(list(JobState))))
    def check(query: Query, states: set[JobState]) -> None:
        try:
            page = store.history(owner).search(query)
            assert owned(page.records, me)
            assert page.total <= len(me.records)
        except UsageError:
            assert query.cursor is not None
        try:
            jobs = store.jobs.list(owner, states=states, batch=query.batch, cursor=query.cursor)
            assert owned(jobs.jobs, me)
            assert jobs.total <= len(me.jobs)
        except UsageError:
            assert query.cursor is not None

    check()


def test_every_operation_with_an_id_is_tried() -> None:
    """A method that takes an id of somebody's must be in the table above."""
    from trivalent.store import History, Jobs

    public = {name for kind in (History, Jobs) for name in vars(kind) if not name.startswith("_")}
    without_id = {"add", "search", "tags", "models", "batches", "delete_everything", "submit", "list"}
    without_id |= {"create_batch", "counts", "position", "sweep", "room"}
    tried = {"pause_batch": "pause", "resume_batch": "resume"}
    missing = {name for name in public - without_id if tried.get(name, name) not in ON_RECORDS}
    assert missing == set()
