"""The loop of kill_loop.py over the app, with jobs of its store at work and a page open."""

from __future__ import annotations

import random
import time
from contextlib import closing
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from killing import free_port, kill, program, rounds_of, start, text
from results_file import Result
from trivalent.core.settings import Settings
from trivalent.store import JobState, Query, Store, open_store

JOBS = 60
LONGEST_S = 11.0


def app(result: Result, rounds: int, rng: random.Random, folder: Path) -> None:
    """Check that every job in the app's store gives one analysis."""
    settings, port = Settings(home=folder / "home"), free_port()
    with closing(open_store(settings)) as store:
        _submit(store, folder)
    command = program("app", "--home", str(settings.home), "--port", str(port), "--no-browser")
    command += ["--threads", "1"]

    def visit(seconds: float) -> None:
        _visit(port, time.monotonic() + seconds)

    at_work = rounds_of(command, rounds, longest_s=LONGEST_S, rng=rng, visit=visit)
    process = start(command)
    with closing(open_store(settings)) as store:
        until = time.monotonic() + 600
        while _left(store) and time.monotonic() < until:
            visit(2.0)
        names = _names(store)
    kill(process)
    result.add(
        "app, a page open",
        rounds=rounds,
        killed_at_work=at_work,
        items=JOBS,
        lost=len({f"{i}.txt" for i in range(JOBS)} - set(names)),
        doubled=len(names) - len(set(names)),
        exit_status=0,
    )


def _submit(store: Store, folder: Path) -> None:
    owner = store.accounts.local_user()
    for i in range(JOBS):
        file = folder / f"{i}.txt"
        file.write_text(text(i, sentences=200), encoding="utf-8")
        store.jobs.submit(owner, file.name, file)


def _visit(port: int, until: float) -> None:
    """Open the first page as soon as the app listens, and stay on it."""
    message = BackMsg()
    message.rerun_script.query_string = ""
    origin = f"http://127.0.0.1:{port}"
    while time.monotonic() < until:
        try:
            with connect(
                f"ws{origin[4:]}/_stcore/stream", origin=origin, subprotocols=["streamlit"]
            ) as page:
                page.send(message.SerializeToString())
                while (left := until - time.monotonic()) > 0:
                    page.recv(timeout=left)
        except TimeoutError:
            return
        except (OSError, ConnectionClosed):
            time.sleep(0.1)


def _left(store: Store) -> int:
    counts = store.jobs.counts()
    return counts[JobState.QUEUED] + counts[JobState.RUNNING]


def _names(store: Store) -> list[str]:
    page = store.history(store.accounts.local_user()).search(Query(limit=500))
    return [record.name for record in page.records]
