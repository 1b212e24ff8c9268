"""Measure CPU time and memory of the COVAREP columns on one core, from 10 s to an hour.

Usage: OMP_NUM_THREADS=1 python benchmarks/covarep_speed.py [--root ../shared/data] [--longest 3600]

Real speech (RAVDESS takes one after the other) is measured in fresh processes; writes
results/covarep-speed.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from results_file import REPOSITORY, Result

LENGTHS_S = (10, 60, 600, 3600)
FAST = "default bundle"


def speech(root: Path, seconds: int) -> np.ndarray:
    """Concatenate takes to the wanted length at 16 kHz, float32."""
    from trivalent.media.recording import open_recording

    files = sorted((root / "ravdess" / "speech").glob("*.flac"))
    if not files:
        sys.exit(f"expected RAVDESS takes in {root}, found none; give --root")
    parts: list[np.ndarray] = []
    have = 0
    while have < seconds * 16_000:
        audio = open_recording(files[len(parts) % len(files)]).audio
        assert audio is not None
        parts.append(audio.read())
        have += parts[-1].size
    return np.concatenate(parts)[: seconds * 16_000]


def measure(root: Path, seconds: int, columns: list[str] | None) -> dict[str, float]:
    """Run once in this process: CPU seconds and peak memory beyond what was there before."""
    from trivalent.features.covarep import covarep

    samples = speech(root, seconds)
    covarep(samples[:32_000], 16_000, columns=columns)  # tables that are made once per process
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    covarep(samples, 16_000, columns=columns)
    spent = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "cpu_s_per_s": spent / seconds,
        "cpu_s": spent,
        "peak_mib": peak / 1024,
        "added_mib": (peak - before) / 1024,
    }


def in_fresh_process(root: Path, seconds: int, columns: str) -> dict[str, float]:
    """Measure with one thread and a clean high-water mark of memory."""
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, __file__, "--root", str(root), "--one", str(seconds), "--columns", columns]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **one})
    return json.loads(run.stdout)


def main() -> None:
    """Measure all lengths, or one of them as a child process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--longest", type=int, default=LENGTHS_S[-1])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--columns", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        chosen = arguments.columns.split(",") if arguments.columns else None
        print(json.dumps(measure(arguments.root, arguments.one, chosen)))
        return
    from trivalent.bundle.loading import load_bundle
    from trivalent.core.types import Modality

    fast = ",".join(load_bundle("default").experts[Modality.AUDIO].spec.columns)
    result = Result("covarep-speed", "RAVDESS takes one after the other, 16 kHz")
    for name, columns in (("all 74 columns", ""), (FAST, fast)):
        for seconds in (s for s in LENGTHS_S if s <= arguments.longest):
            figures = in_fresh_process(arguments.root, seconds, columns)
            result.add(f"{name}, {seconds} s", **figures)
            print(name, seconds, figures, flush=True)
    result.caveats = [
        "One thread. CPU seconds per second of audio; peak memory is that of the whole process, "
        "the recording itself included.",
        f"{FAST}: what its voice expert uses: {fast.replace(',', ', ')}.",
    ]
    result.write()


if __name__ == "__main__":
    main()
