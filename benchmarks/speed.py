"""Speed of the bundles: a text, a cold start, a minute of video and of sound by stage.

Usage: python benchmarks/speed.py [--root DIR]; writes results/speed.*
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from results_file import Result
from trivalent import Analyzer
from trivalent.core.assets import DATA
from trivalent.core.types import Modality, Status
from trivalent.media.recording import SAMPLE_RATE, open_recording

SAMPLE = DATA / "samples" / "sample.mp4"
TEXT = "I was not sure about it at first, but I really like how this turned out in the end."


def text_latency(result: Result, bundle: str) -> None:
    """Median of 200 warm calls on one thread, from the text to the verdict."""
    analyzer = Analyzer(bundle, threads=1, modalities=["text"])
    spent = []
    for _ in range(210):
        start = time.perf_counter()
        analyzer.analyze_text(TEXT)
        spent.append(time.perf_counter() - start)
    result.add(f"text, warm, one thread, {bundle}", median_ms=statistics.median(spent[10:]) * 1e3)


def cold_start(result: Result) -> None:
    """Median of 7 fresh processes of `trivalent analyze --text`."""
    command = [sys.executable, "-m", "trivalent.cli.main", "analyze", "--text", TEXT, "--json"]
    spent = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        spent.append(time.perf_counter() - start)
    result.add("cold start of analyze --text", median_s=statistics.median(spent))


def looped_sample(path: Path, seconds: float) -> None:
    """Repeat the sample without decoding, by copying its packets."""
    with av.open(str(path), "w") as out:
        streams, shift = None, 0.0
        while shift < seconds:
            with av.open(str(SAMPLE)) as source:
                streams = streams or {s.index: out.add_stream_from_template(s) for s in source.streams}
                # A margin over the announced length keeps the time stamps of the copies in order.
                length = source.duration / 1e6 + 0.2
                for packet in source.demux():
                    if packet.dts is None:
                        continue
                    offset = round(shift / packet.time_base)
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = streams[packet.stream.index]
                    out.mux(packet)
            shift += length


def video(result: Result) -> None:
    """Analyse a minute of talking face with the models already loaded."""
    analyzer = Analyzer(threads=2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minute.mkv"
        looped_sample(path, 60.0)
        analyzer.analyze(path)
        runs = [analyzer.analyze(path) for _ in range(3)]
    best = sorted(runs, key=lambda a: a.timing.total_s)[1]
    timing = {k: v for k, v in best.to_dict()["timing"].items() if v is not None}
    scored = sum(u.modalities[Modality.TEXT].status is Status.OK for u in best.utterances)
    result.caveats.append(
        f"{scored} of {len(best.utterances)} utterances of the looped clip had their words scored: a "
        "sentence repeated two dozen times is taken for a loop of the recogniser. "
        "Scoring adds some ms an utterance."
    )
    result.add(f"video of {best.source.duration_s:.0f} s, two threads, warm", **timing)


def sound(result: Result, root: Path) -> None:
    """Analyse a minute of speech of many people with the models already loaded."""
    analyzer = Analyzer(threads=2)
    takes = sorted((root / "ravdess" / "speech").glob("*.flac"))[::60]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minute.wav"
        joined(takes, path, seconds=60.0)
        analyzer.analyze(path)
        runs = [analyzer.analyze(path) for _ in range(3)]
    middle = sorted(runs, key=lambda a: a.timing.total_s)[1]
    timing = {k: v for k, v in middle.to_dict()["timing"].items() if v is not None}
    result.add(f"sound of {middle.source.duration_s:.0f} s, two threads, warm", **timing)


def joined(takes: Sequence[Path], path: Path, *, seconds: float) -> None:
    """Write takes one after the other as a WAV of 16 kHz, until it is long enough."""
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * SAMPLE_RATE:
        audio = open_recording(takes[len(parts) % len(takes)]).audio
        assert audio is not None
        parts.append(audio.samples)
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        out.writeframes(np.concatenate(parts).tobytes())


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=os.environ.get("TRIVALENT_DATA"))
    root = parser.parse_args().root
    result = Result("speed", "the bundled sample, looped to a minute; takes of RAVDESS; one sentence")
    for bundle in ("default", "fast"):
        text_latency(result, bundle)
    cold_start(result)
    video(result)
    if root is None:
        raise SystemExit("expected the data for the minute of sound; name its folder with --root")
    sound(result, Path(root))
    result.caveats.append("Medians; wall-clock time.")
    result.write()


if __name__ == "__main__":
    main()
