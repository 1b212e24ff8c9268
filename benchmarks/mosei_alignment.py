"""Measure time and memory of aligning and pooling a full-scale CMU-MOSEI, for both protocols.

Usage: trivalent data synthesize mosei -o DIR && python benchmarks/mosei_alignment.py --root DIR

Each measurement runs in a fresh process without any cache, over the first N videos of the
table; writes results/mosei-alignment.{json,md}. Feature values are synthetic: this says nothing
about accuracy.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from results_file import Result

VIDEOS = (400, 800, 1600, 3293)
KINDS = ("segment", "sdk-subset", "words")


def measure(root: Path, kind: str, videos: int) -> dict[str, float]:
    """Pool (or align to words) the samples of the first videos in this process."""
    from trivalent.lab.datasets import cmu, mosei, words

    segments = mosei.read_segments(root)
    names = list(dict.fromkeys(segments.video.tolist()))[:videos]
    used = np.isin(segments.video, names)
    some = mosei.Segments(**{k: v[used] for k, v in vars(segments).items()})
    samples = mosei.samples_of(some, "segment" if kind == "words" else kind)
    start, cpu = time.perf_counter(), time.process_time()
    columns, rows = 0, len(samples.ids)
    for track, path in cmu.official_tracks(root / mosei.FOLDER, mosei.TRACKS).items():
        if kind == "words":
            aligned = words.align_words(root / mosei.FOLDER / mosei.WORDS, {track: path}, samples.spans)
            rows = sum(len(sample.words) for sample in aligned)
        else:
            columns += cmu.pool_track(path, track, samples.spans)[0].values.shape[1]
    return {
        "videos": videos,
        "samples": len(samples.ids),
        "rows_out": rows,
        "wall_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_fresh_process(root: Path, kind: str, videos: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, __file__, "--root", str(root), "--one", f"{kind}:{videos}"]
        environment = os.environ | {"TRIVALENT_CACHE": cache}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="made by `trivalent data synthesize`")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        kind, videos = arguments.one.split(":")
        print(json.dumps(measure(arguments.root, kind, int(videos))))
        return
    result = Result("mosei-alignment", "CMU-MOSEI segment table; feature values drawn at random (seed 0)")
    for kind in KINDS:
        for videos in VIDEOS:
            found = in_fresh_process(arguments.root, kind, videos)
            print(kind, found, file=sys.stderr)
            per_hundred = 100 * found["wall_s"] / found["videos"]
            result.add(f"{kind}, {videos:,} videos", **found, wall_s_per_100_videos=per_hundred)
    size = sum(p.stat().st_size for p in (arguments.root / "cmu_mosei").glob("*.csd")) / 2**30
    result.caveats = [
        f"The files hold {size:.1f} GiB at the official frame rates (COVAREP 100 Hz, OpenFace 30 Hz, a "
        "word vector every .3 s): 300 + 74 + 713 columns.",
        "Feature values are synthetic (marked so in the files); segments, scores and folds are real.",
        "Wall time includes reading from disk; other work was running on the machine's two cores.",
        "`words` aligns all three tracks to every word of every segment (rows_out words), one video in "
        "memory at a time.",
    ]
    result.write()


if __name__ == "__main__":
    main()
