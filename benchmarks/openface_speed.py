"""Speed and memory of OpenFace's columns in Python.

Usage: python benchmarks/openface_speed.py speed|memory [--root ../shared] [--minutes 60] [--rate 5]

Time: talking film clips, every frame, with and without the model files of reference/openface, one thread
and two. Memory: a clip again and again, as long as asked. Writes results/openface-speed.* or -memory.*
"""

from __future__ import annotations

import argparse
import gc
import itertools
import sys
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np

from memory import resident_mib, sampled
from results_file import REPOSITORY, Result
from trivalent.extract import extract
from trivalent.features.extractor import Material, TimedImage
from trivalent.features.openface.columns import INTENSITIES, OUR_COLUMNS, PRESENCES
from trivalent.features.openface.extractor import OPENFACE, OpenFaceOptions
from trivalent.media.recording import Frame, open_recording

CLIPS = 3
UNITS = (*INTENSITIES, *PRESENCES)


def speed(result: Result, paths: list[Path], models: Path) -> None:
    """Milliseconds a frame, decoding included."""
    for name, columns, options in (
        ("all columns", OUR_COLUMNS, {"openface_models": str(models)}),
        ("35 action units", UNITS, {"openface_models": str(models)}),
        ("all columns, no model files", OUR_COLUMNS, {}),
    ):
        wall, cpu, frames, seconds = 0.0, 0.0, 0, 0.0
        for path in paths:
            extract("openface", path, columns=columns, face_rate_hz=0.5, **options)  # loads what it needs
            start, start_cpu = time.perf_counter(), time.process_time()
            table = extract("openface", path, columns=columns, **options)
            wall, cpu = wall + time.perf_counter() - start, cpu + time.process_time() - start_cpu
            frames, seconds = frames + len(table), seconds + table.times[-1]
        result.add(
            name,
            ms_per_frame=1000 * wall / frames,
            cpu_ms_per_frame=1000 * cpu / frames,
            realtime_factor=wall / seconds,
            frames=frames,
        )


def threads(result: Result, path: Path, models: Path) -> None:
    """Frames that lie in memory, so that nothing but the extractor works; one thread and two."""
    frames = list(open_recording(path).frames(rate_hz=60))
    for count in (1, 2):
        material = Material(pictures=lambda **_: (frame for frame in frames), threads=count)
        options = OpenFaceOptions(openface_models=str(models))
        OPENFACE.extract(material, options, columns=UNITS)
        start = time.perf_counter()
        OPENFACE.extract(material, options, columns=UNITS)
        result.add(
            f"35 action units, decoded before, threads of the graphs: {count}",
            ms_per_frame=1000 * (time.perf_counter() - start) / len(frames),
            frames=len(frames),
        )


def memory(result: Result, path: Path, models: Path, *, minutes: float, rate_hz: float) -> None:
    """Resident memory by quarter of a long recording."""
    frames = list(open_recording(path).frames(rate_hz=rate_hz))

    def pictures(**_: float) -> Generator[TimedImage, None, None]:
        for i, frame in enumerate(itertools.cycle(frames)):
            if i >= minutes * 60 * rate_hz:
                return
            yield Frame(i / rate_hz, frame.image)

    for name, columns in (("35 action units", UNITS), ("all columns", OUR_COLUMNS)):
        gc.collect()
        before = resident_mib()
        with sampled() as seen:
            table = OPENFACE.extract(
                Material(pictures=pictures), OpenFaceOptions(openface_models=str(models)), columns=columns
            )
        total = seen[-1][0]
        quarters = {
            f"peak_mib_quarter_{q + 1}": max(m for t, m in seen if q <= 4 * t / total <= q + 1)
            for q in range(4)
        }
        result.add(
            f"{minutes:g} minutes at {rate_hz:g} Hz, {name}",
            before_mib=before,
            **quarters,
            table_mib=table.values.nbytes / 2**20,
            frames=len(table),
        )
        assert np.isfinite(table.values[:, 0]).any()
        del table


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "memory"])
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=5.0)
    arguments = parser.parse_args()
    models = arguments.root / "reference" / "openface" / "AU_predictors"
    paths = sorted((arguments.root / "data" / "talking").glob("mer_*.mp4"))[:CLIPS]
    if not models.is_dir() or not paths:
        sys.exit(f"expected reference/openface and data/talking in {arguments.root}; give --root")
    result = Result(
        f"openface-{arguments.what}", f"{CLIPS} film clips of {', '.join(_sizes(paths))} pixels"
    )
    if arguments.what == "speed":
        result.caveats = [
            "ms_per_frame: wall clock, decoding included unless said otherwise; realtime_factor: over the "
            "length of the clips, at their own 24 to 30 frames a second.",
        ]
        speed(result, paths, models)
        threads(result, paths[0], models)
    else:
        result.caveats = [
            "One clip shown again and again, its pictures held in memory (before_mib); peaks by quarter of "
            "the run. A table in memory is what grows: table_mib.",
        ]
        memory(result, paths[0], models, minutes=arguments.minutes, rate_hz=arguments.rate)
    result.write()
    for row in result.rows:
        print(row.name, {k: round(v.mean, 2) for k, v in row.metrics.items()})


def _sizes(paths: list[Path]) -> list[str]:
    frames = (next(open_recording(path).frames(rate_hz=1)).image.shape for path in paths)
    return [f"{shape[1]} x {shape[0]}" for shape in frames]


if __name__ == "__main__":
    main()
