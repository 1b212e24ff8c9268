"""SIGKILL at any moment of a batch, a training and the service.

Usage: python benchmarks/kill_loop.py [--rounds 60]; writes results/kill-loop.*

Each round starts the program, waits a random time and kills it with its children. At the end one
start is left alone. Nothing may be lost, done twice, or differ from a run that was never killed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from results_file import REPOSITORY, Result

FILES, JOBS = 1500, 120
TEXT_ONLY = ("--modalities", "text", "--threads", "1")
SERVICE_SHARE, BATCH_SHARE = 0.4, 0.4  # of the rounds; the rest goes to training


def program(*arguments: str) -> list[str]:
    """Name `trivalent` of this interpreter."""
    return [sys.executable, "-m", "trivalent.cli.main", *arguments]


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start in a group of its own, silently."""
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def rounds_of(
    command: Sequence[str], rounds: int, *, longest_s: float, rng: random.Random, check: Callable[[], None]
) -> int:
    """Kill `rounds` starts, each after a random time; tells how many were killed at work."""
    at_work = 0
    for _ in range(rounds):
        process = start(command)
        time.sleep(rng.uniform(0.05, longest_s))
        at_work += process.poll() is None
        kill(process)
        check()
    return at_work


def batch(result: Result, rounds: int, rng: random.Random, folder: Path) -> None:
    """Check that documents of finished files stay as they are, and that every file gets one."""
    source, out = folder / "in", folder / "out"
    source.mkdir()
    for i in range(FILES):
        (source / f"{i:04}.txt").write_text(f"Take {i} was {'good' if i % 3 else 'bad'}. " * 60)
    command = program("batch", str(source), "-o", str(out), *TEXT_ONLY, "--workers", "2")
    known: dict[str, tuple[int, str]] = {}
    changed = 0

    def check() -> None:
        nonlocal changed
        found = documents(out)
        changed += sum(found.get(name) != seen for name, seen in known.items())
        known.update(found)

    at_work = rounds_of(command, rounds, longest_s=6.0, rng=rng, check=check)
    before = len(known)
    status = subprocess.run(command, check=False, capture_output=True).returncode
    check()
    rows = [json.loads(line)["file"] for line in (out / "files.jsonl").read_text().splitlines()]
    result.add(
        "batch, two workers",
        rounds=rounds,
        killed_at_work=at_work,
        items=FILES,
        done_before_the_last_start=before,
        lost=FILES - len(set(rows)),
        doubled=len(rows) - len(set(rows)) + changed,
        exit_status=status,
    )


def documents(out: Path) -> dict[str, tuple[int, str]]:
    """Finished files of a batch: time of writing and hash."""
    return {
        p.name: (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest())
        for p in (out / "work").glob("*/*.json")
    }


def training(result: Result, rounds: int, rng: random.Random, folder: Path) -> None:
    """Compare the graphs of a training that was killed with those of one that was not, byte for byte."""
    recipe = str(REPOSITORY / "recipes" / "concatenation.yaml")
    whole, torn = folder / "whole", folder / "torn"
    subprocess.run(program("train", recipe, "-o", str(whole)), check=True, capture_output=True)
    command = program("train", recipe, "-o", str(torn))
    at_work = rounds_of(command, rounds, longest_s=14.0, rng=rng, check=lambda: None)
    status = subprocess.run(command, check=False, capture_output=True).returncode
    graphs = [sorted((where / "bundle").rglob("*.onnx")) for where in (whole, torn)]
    equal = len(graphs[0]) == len(graphs[1]) and all(
        a.read_bytes() == b.read_bytes() for a, b in zip(*graphs, strict=True)
    )
    result.add(
        "training, five seeds",
        rounds=rounds,
        killed_at_work=at_work,
        items=len(graphs[0]),
        lost=0 if equal else len(graphs[0]),
        doubled=0,
        exit_status=status,
    )


def service(result: Result, rounds: int, rng: random.Random, folder: Path) -> None:
    """Check that every accepted job gives one analysis."""
    home, port = folder / "home", free_port()
    command = program("serve", "--home", str(home), "--port", str(port), "--workers", "1", "--threads", "1")
    command += ["--queue-limit", str(JOBS + 1)]
    process = start(command)
    url = f"http://127.0.0.1:{port}"
    wait_ready(url)
    accepted = [submit(url, i) for i in range(JOBS)]
    kill(process)
    at_work = rounds_of(command, rounds, longest_s=7.0, rng=rng, check=lambda: None)
    process = start(command)
    wait_ready(url)
    names = finished(url, len(accepted))
    kill(process)
    result.add(
        "service, one worker",
        rounds=rounds,
        killed_at_work=at_work,
        items=len(accepted),
        lost=len(set(range(JOBS)) - {int(n.split(".")[0]) for n in names}),
        doubled=len(names) - len(set(names)),
        exit_status=0,
    )


def free_port() -> int:
    """Find a port that nobody uses now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


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
    text = f"Take {i} was {'good' if i % 3 else 'bad'}. " * 200
    answer = httpx.post(f"{url}/v1/analyses", files={"file": (f"{i}.txt", text.encode())}, timeout=60)
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
    return [a["name"] for a in pages(f"{url}/v1/analyses")]


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


def main() -> None:
    """Run the three loops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    result = Result("kill-loop", "texts as files; the 922 CMU-MOSEI videos for the training")
    shares = {batch: BATCH_SHARE, service: SERVICE_SHARE, training: 1 - BATCH_SHARE - SERVICE_SHARE}
    for loop, share in shares.items():
        folder = Path(tempfile.mkdtemp(prefix="kill-loop-"))
        try:
            loop(result, round(share * arguments.rounds), rng, folder)
        finally:
            shutil.rmtree(folder)
    result.caveats.append(
        "The system itself is not stopped: what the kernel has taken is written; a power cut is not tested."
    )
    result.write()


if __name__ == "__main__":
    main()
