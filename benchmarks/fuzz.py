"""Hostile files: spoiled recordings in child processes, and readers under a coverage-guided fuzzer.

Usage: OMP_NUM_THREADS=1 python benchmarks/fuzz.py [--cases N] [--seed S] [--format NAME] [--whole N]
       [--readers LIST] [-o FOLDER]; writes results/fuzz.*. Readers need `pip install atheris`.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from fuzz_media import HANDMADE, Decoder, Tally, Whole, cases, try_all
from results_file import FOLDER, Result
from trivalent.core.errors import DataError, UsageError
from trivalent.lab.datasets.root import data_root
from trivalent.work.isolated import Limits

CASES, WHOLE = 2400, 100
DECODING = Limits(time_s=60.0, memory_bytes=2 * 2**30)
ANALYSIS = Limits(time_s=120.0, memory_bytes=3 * 2**30)
READERS = ("transcript", "openface", "recipe", "pickle", "csd", "bundle", "fusion-bundle", "bundle-zip")
RUNS = {"transcript": 500_000, "openface": 200_000, "recipe": 20_000, "pickle": 200_000}
SHORTEST = 100_000
LONGEST_S = 900  # of one reader
RESTARTS = 5  # after a crash, so that one does not end the search for others
SHARED_MEMORY = Path("/dev/shm")
_STATUS = re.compile(rb"#(\d+)\t(\w+)\s+cov: (\d+) .*?corp: (\d+)/")


def fuzz_media(result: Result, arguments: argparse.Namespace, log: list[dict[str, Any]]) -> None:
    """Decode recordings, and analyse some in full."""

    def note(line: str) -> None:
        log.append(json.loads(line))
        print(line[:600], flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = {"seed": arguments.seed, "root": _root(arguments.root), "only": arguments.format}
        tallies = try_all(
            cases(folder, count=arguments.cases, **chosen), Decoder(DECODING), folder, log=note
        )
        for format, tally in tallies.items():
            result.add(f"decode: {format}", notes={}, **tally.metrics())
        result.add("decode: all", notes={}, **sum(tallies.values(), Tally()).metrics())
        if arguments.whole:
            step = max(1, arguments.cases // arguments.whole)
            some = islice(cases(folder, count=arguments.cases, **chosen), 0, None, step)
            tallies = try_all(some, Whole(ANALYSIS), folder, log=note)
            result.add("whole analysis", notes={}, **sum(tallies.values(), Tally()).metrics())


def _root(given: Path | None) -> Path | None:
    try:
        return data_root(given)
    except DataError:
        return None


def fuzz_reader(name: str, folder: Path, *, runs: int, seed: int) -> dict[str, float]:
    """Fuzz one reader; after a crash it starts again behind it, with the corpus that it has."""
    figures = {"runs": 0.0, "crash": 0.0, "hang": 0.0, "memory": 0.0}
    for attempt in range(RESTARTS):
        done = subprocess.run(
            [
                *(sys.executable, str(Path(__file__).with_name("fuzz_readers.py")), name, str(folder)),
                *(f"-runs={runs - int(figures['runs'])}", f"-seed={seed + attempt + 1}"),
                *("-timeout=120", "-rss_limit_mb=2048", f"-max_total_time={LONGEST_S}"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        steps = _STATUS.findall(done.stderr)
        if not steps:
            raise UsageError(f"expected a run of {name}, got: {done.stderr.decode()[-300:]}")
        figures.setdefault("edges_of_seeds", float(steps[0][2]))
        figures |= {"edges": float(steps[-1][2]), "corpus": float(steps[-1][3])}
        executed = re.findall(rb"stat::number_of_executed_units: (\d+)", done.stderr)
        figures["runs"] += float((executed or [steps[-1][0]])[0])
        if done.returncode == 0:
            break
        ended = [
            kind for kind in ("timeout", "out-of-memory") if f"libFuzzer: {kind}".encode() in done.stderr
        ]
        figures[{"timeout": "hang", "out-of-memory": "memory"}.get(*ended) if ended else "crash"] += 1
    return figures


def fuzz_readers(result: Result, names: list[str], *, seed: int, share: float) -> list[dict[str, str]]:
    """Fuzz readers one after the other; returns what was found."""
    found: list[dict[str, str]] = []
    for name in names:
        room = str(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None  # a disk would be most of the time
        with tempfile.TemporaryDirectory(dir=room) as folder:
            runs = max(1, round(RUNS.get(name, SHORTEST) * share))
            figures = fuzz_reader(name, Path(folder), runs=runs, seed=seed)
            path = Path(folder) / "findings.jsonl"
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            found += [{"reader": name} | json.loads(line) for line in lines]
            for artifact in sorted(Path(folder).glob("*-*")):  # crash-, timeout-, oom- and a hash
                kind = artifact.name.partition("-")[0]
                found.append({"reader": name, "kind": kind, "input": artifact.read_bytes().hex()})
        result.add(f"reader: {name}", notes={}, **figures, exception=float(len(lines)))
        print(name, figures, len(lines), flush=True)
    return found


def main() -> None:
    """Fuzz and write down how it ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=CASES, help=f"recordings to decode ({CASES})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", help=f"one clip, such as mp4, or {HANDMADE}")
    parser.add_argument("--whole", type=int, default=WHOLE, help=f"of them to analyse in full ({WHOLE})")
    parser.add_argument("--readers", default=",".join(READERS), help="empty for none")
    parser.add_argument("--share", type=float, default=1.0, help="of the runs of each reader")
    parser.add_argument("--root", type=Path, default=None, help="data root; its clips are optional")
    parser.add_argument("-o", type=Path, default=FOLDER, help="folder for fuzz.json and fuzz.md")
    arguments = parser.parse_args()
    names = [name for name in arguments.readers.split(",") if name]
    if unknown := set(names) - set(READERS):
        parser.error(f"expected readers among {', '.join(READERS)}, got {', '.join(unknown)}")
    result = Result(
        "fuzz", "clips of two seconds, the sample, files made for tests", seeds=[arguments.seed]
    )
    log: list[dict[str, Any]] = []
    if arguments.cases:
        fuzz_media(result, arguments, log)
    found = fuzz_readers(result, names, seed=arguments.seed, share=arguments.share)
    own_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result.add("the parent", peak_mb=own_mb)
    result.extra = {"worth_a_look": log, "findings": found}
    result.caveats += [
        "result and error are the good ends; error is one clear line. crash, hang and memory ended the "
        "child, not the program: the analyzer in a child process reports each as a LimitError.",
        f"Limits: {DECODING.time_s:.0f} s and {DECODING.memory_bytes >> 20} MB for decoding (sound, and "
        f"pictures at 5 Hz), {ANALYSIS.time_s:.0f} s and {ANALYSIS.memory_bytes >> 20} MB for an analysis. "
        "Seconds are of the wall clock on a machine that had other work.",
        "Readers run under atheris 3 (libFuzzer). Edges are those of our Python code and of pyyaml and "
        "zipfile; the C code of HDF5, csv, json and NumPy is not seen by the fuzzer.",
        "exception counts kinds of exceptions that are no error of ours (with the place of origin), "
        "messages beyond one line of 2,000 characters, and inputs of a few kB that took over 2 s.",
    ]
    result.write(arguments.o)


if __name__ == "__main__":
    main()
