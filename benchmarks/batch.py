"""Throughput of `trivalent batch`: one and two workers, and Ray on this machine.

Usage: python benchmarks/batch.py [--root DIR] [--videos 16] [--recordings 64]; writes results/batch.*

Videos are copies of the bundled sample; recordings are takes of RAVDESS from the data root. Every
run is a fresh program, so that its time holds the start of the workers and the loading of models.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results_file import Result
from trivalent.core.assets import DATA

SAMPLE = DATA / "samples" / "sample.mp4"
RUNS = (("local", 1), ("local", 2), ("ray", 2))
HOURS = 1000


def measure(result: Result, name: str, folder: Path) -> None:
    """Run every engine over the same files."""
    for engine, workers in RUNS:
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "-m", "trivalent.cli.main", "batch", str(folder), "-o", out]
            command += ["--workers", str(workers), "--engine", engine]
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds = time.perf_counter() - start
            lines = (Path(out) / "files.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        length = sum(row["duration_s"] for row in rows)
        factor = seconds / length
        result.add(
            f"{name}: {engine}, {workers} workers" if workers > 1 else f"{name}: {engine}, 1 worker",
            files=len(rows),
            media_s=length,
            wall_s=seconds,
            files_per_minute=60 * len(rows) / seconds,
            realtime_factor=factor,
            core_hours_per_1000_h=HOURS * factor * (os.cpu_count() or 1),
        )


def main() -> None:
    """Measure videos, then recordings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=os.environ.get("TRIVALENT_DATA"))
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--recordings", type=int, default=64)
    arguments = parser.parse_args()
    result = Result("batch", "copies of the bundled sample; takes of RAVDESS")
    with tempfile.TemporaryDirectory() as folder:
        for i in range(arguments.videos):
            shutil.copy(SAMPLE, Path(folder) / f"{i:03}.mp4")
        measure(result, "video", Path(folder))
    takes = sorted((Path(arguments.root) / "ravdess").rglob("*.flac"))[: arguments.recordings]
    with tempfile.TemporaryDirectory() as folder:
        for take in takes:
            shutil.copy(take, folder)
        measure(result, "sound", Path(folder))
    result.caveats += [
        "Wall-clock time of one run each, with the start of the program, its workers and the models.",
        f"core_hours_per_1000_h: {HOURS} hours of such recordings at the measured factor, times the cores "
        "of this machine. Long recordings are cheaper: the start is paid once.",
    ]
    result.write()


if __name__ == "__main__":
    main()
