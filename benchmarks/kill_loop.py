"""SIGKILL at any moment of a batch, a training, the service and the app; of PostgreSQL and Ray's workers.

Usage: python benchmarks/kill_loop.py [--rounds 200]; writes results/kill-loop.*

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
import subprocess
import tempfile
import time
from pathlib import Path

from kill_app import app
from kill_service import on_postgresql, on_sqlite
from killing import descendants, program, rounds_of, start, text
from results_file import REPOSITORY, Result

FILES, RAY_FILES = 1500, 400
TEXT_ONLY = ("--modalities", "text", "--threads", "1")


def batch(result: Result, rounds: int, rng: random.Random, folder: Path) -> None:
    """Check that documents of finished files stay as they are, and that every file gets one."""
    source, out = folder / "in", folder / "out"
    source.mkdir()
    for i in range(FILES):
        (source / f"{i:04}.txt").write_text(text(i, sentences=60))
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
    at_work = rounds_of(command, rounds, longest_s=14.0, rng=rng)
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


def ray_workers(result: Result, rounds: int, rng: random.Random, folder: Path) -> None:
    """Kill one of Ray's two workers again and again, in the middle of its work; the batch goes on."""
    source, out = folder / "in", folder / "out"
    source.mkdir()
    for i in range(RAY_FILES):
        (source / f"{i:04}.txt").write_text(text(i, sentences=60))
    process = start(
        program("batch", str(source), "-o", str(out), *TEXT_ONLY, "--workers", "2", "--engine", "ray")
    )
    at_work = killed = 0
    while killed < rounds and process.poll() is None:
        time.sleep(rng.uniform(0.5, 4.0))
        workers = [pid for pid, line in descendants(process.pid).items() if line.startswith("ray::analyze")]
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(workers), signal.SIGKILL)
                killed += 1
                at_work += process.poll() is None
    status = process.wait(900)
    rows = [json.loads(line) for line in (out / "files.jsonl").read_text().splitlines()]
    names = [row["file"] for row in rows]
    result.add(
        "batch by Ray, a worker killed",
        rounds=killed,
        killed_at_work=at_work,
        items=RAY_FILES,
        lost=RAY_FILES - len(set(names)),
        doubled=len(names) - len(set(names)),
        exit_status=status,
    )


# Loops and their parts of the rounds.
LOOPS = {batch: 0.25, on_sqlite: 0.2, on_postgresql: 0.2, app: 0.15, training: 0.1, ray_workers: 0.1}


def main() -> None:
    """Run all loops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    result = Result("kill-loop", "texts as files; the 922 CMU-MOSEI videos for the training")
    for loop, share in LOOPS.items():
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
