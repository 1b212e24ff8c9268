"""The loops of kill_loop.py over the service, on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from kill_postgres import cluster
from killing import free_port, kill, program, rounds_of, start, text
from results_file import Result

JOBS = 120
LONGEST_S = 7.0


def on_sqlite(result: Result, rounds: int, rng: random.Random, folder: Path) -> None:
    """Check that every accepted job gives one analysis."""
    _service(result, "service, one worker", rounds, rng, folder, database=(), visit=time.sleep)


def on_postgresql(result: Result, rounds: int, rng: random.Random, folder: Path) -> None:
    """Check the same on PostgreSQL, which is killed too, in one round of four."""
    with cluster() as database:

        def visit(seconds: float) -> None:
            time.sleep(seconds)
            if rng.random() < 0.25:
                database.kill()
                database.start()
                time.sleep(rng.uniform(0, 2))

        name = f"service on {database.version}, killed too"
        _service(result, name, rounds, rng, folder, database=("--database", database.url), visit=visit)


def _service(
    result: Result,
    name: str,
    rounds: int,
    rng: random.Random,
    folder: Path,
    *,
    database: tuple[str, ...],
    visit: Callable[[float], None],
) -> None:
    home, port = folder / "home", free_port()
    command = program("serve", "--home", str(home), "--port", str(port), "--workers", "1", "--threads", "1")
    command += ["--queue-limit", str(JOBS + 1), *database]
    process = start(command)
    url = f"http://127.0.0.1:{port}"
    wait_ready(url)
    accepted = [submit(url, i) for i in range(JOBS)]
    kill(process)
    at_work = rounds_of(command, rounds, longest_s=LONGEST_S, rng=rng, visit=visit)
    process = start(command)
    wait_ready(url)
    names = finished(url, len(accepted))
    kill(process)
    result.add(
        name,
        rounds=rounds,
        killed_at_work=at_work,
        items=len(accepted),
        lost=len(set(range(JOBS)) - {int(n.split(".")[0]) for n in names}),
        doubled=len(names) - len(set(names)),
        exit_status=0,
    )


def wait_ready(url: str) -> None:
    """Wait until the service answers."""
    for _ in range(600):
        try:
            if httpx.get(f"{url}/healthz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit("the service did not start within a minute")


def submit(url: str, i: int) -> str:
    """Upload a text as a file, which is a job."""
    files = {"file": (f"{i}.txt", text(i, sentences=200).encode())}
    answer = httpx.post(f"{url}/v1/analyses", files=files, timeout=60)
    answer.raise_for_status()
    return str(answer.json()["id"])


def finished(url: str, jobs: int) -> list[str]:
    """Wait until no job is left, then name every analysis."""
    until = time.monotonic() + 900
    while time.monotonic() < until:
        states = [j["state"] for j in pages(f"{url}/v1/jobs")]
        if len(states) == jobs and not {"queued", "running"} & set(states):
            break
        time.sleep(1)
    return [str(a["name"]) for a in pages(f"{url}/v1/analyses")]


def pages(url: str) -> list[dict[str, object]]:
    """Fetch all items of a paged list."""
    found: list[dict[str, object]] = []
    cursor: dict[str, str] = {}
    while True:
        page = httpx.get(url, params={"limit": "100", **cursor}, timeout=60).raise_for_status().json()
        found += page["items"]
        if not page.get("next_cursor"):
            return found
        cursor = {"cursor": page["next_cursor"]}
