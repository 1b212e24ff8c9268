"""Memory over long runs: an hour of video, and twenty thousand texts.

Usage: python benchmarks/memory.py [--minutes 60] [--texts 20000]; writes results/memory.*
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from results_file import Result
from speed import looped_sample
from trivalent import Analyzer

MIB = 2**20
CHUNK = 500
EVERY_S = 0.5


def resident_mib() -> float:
    """Tell the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


@contextmanager
def sampled() -> Iterator[list[tuple[float, float]]]:
    """Collect (second, MiB) twice a second while the work goes on."""
    found: list[tuple[float, float]] = []
    stop, start = threading.Event(), time.perf_counter()

    def look() -> None:
        while not stop.wait(EVERY_S):
            found.append((time.perf_counter() - start, resident_mib()))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield found
    stop.set()
    thread.join()


def video(result: Result, minutes: float) -> None:
    """Analyse one long video; memory by quarter of the run."""
    analyzer = Analyzer(threads=2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mkv"
        looped_sample(path, 30.0)
        analyzer.analyze(path)  # loads the models, so that they do not count as growth
        before = resident_mib()
        looped_sample(path, 60.0 * minutes)
        with sampled() as memory:
            analysis = analyzer.analyze(path)
    total = memory[-1][0]
    quarters = {
        f"peak_mib_quarter_{q + 1}": max(m for t, m in memory if q <= 4 * t / total <= q + 1)
        for q in range(4)
    }
    gc.collect()
    result.add(
        f"video of {minutes:g} minutes",
        before_mib=before,
        **quarters,
        after_mib=resident_mib(),
        utterances=len(analysis.utterances),
        realtime_factor=analysis.timing.realtime_factor,
    )


def texts(result: Result, count: int) -> None:
    """Analyse many texts; memory after the first chunk and at the end."""
    analyzer = Analyzer(threads=2, modalities=["text"])
    marks: dict[int, float] = {}
    start = time.perf_counter()
    for done in range(0, count, CHUNK):
        analyzer.analyze_texts(
            [
                f"Take {i} was {'good' if i % 3 else 'bad'}, and the {i % 97}th of its kind."
                for i in range(done, done + CHUNK)
            ]
        )
        marks[done + CHUNK] = resident_mib()
    seconds = time.perf_counter() - start
    tenth = min(marks, key=lambda n: abs(n - count / 10))
    result.add(
        f"{count} texts",
        after_a_tenth_mib=marks[tenth],
        after_half_mib=marks[min(marks, key=lambda n: abs(n - count / 2))],
        after_mib=marks[max(marks)],
        peak_mib=max(marks.values()),
        texts_per_s=count / seconds,
    )


def main() -> None:
    """Measure texts, then the video."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--texts", type=int, default=20_000)
    arguments = parser.parse_args()
    result = Result("memory", "the bundled sample, looped; generated sentences")
    texts(result, arguments.texts)
    video(result, arguments.minutes)
    result.caveats += [
        "Resident memory of one process, sampled twice a second; models were loaded before the video.",
        "The sound of a recording is kept as 16-bit samples at 16 kHz: 110 MiB an hour, no growth.",
    ]
    result.write()


if __name__ == "__main__":
    main()
