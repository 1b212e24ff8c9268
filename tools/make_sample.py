"""Make the bundled sample from four CREMA-D clips (ODbL 1.0 / DbCL 1.0, attributed in NOTICE).

Usage: python tools/make_sample.py CREMA_FOLDER src/trivalent/data/samples/sample.mp4

One actor says "Don't forget a jacket" happily, neutrally, angrily and sadly.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CLIPS = ("1001_DFA_HAP_XX.flv", "1001_DFA_NEU_XX.flv", "1001_DFA_ANG_XX.flv", "1001_DFA_SAD_XX.flv")
RATE = 25
SAMPLE_RATE = 16_000
PAUSE_S = 0.6  # between the clips: the last picture stands, the sound is silent


def pictures(path: Path) -> list[np.ndarray]:
    """Decode a clip at `RATE` pictures per second: the last one shown at each instant."""
    with av.open(str(path)) as container:
        frames = [(f.time, f.to_ndarray(format="yuv420p")) for f in container.decode(video=0)]
    times = np.array([t for t, _ in frames]) - frames[0][0]
    grid = np.arange(0, times[-1], 1 / RATE)
    return [frames[i][1] for i in np.searchsorted(times, grid, side="right") - 1]


def sound(path: Path) -> np.ndarray:
    """Decode a clip to int16 mono at `SAMPLE_RATE`."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(path)) as container:
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([f.to_ndarray()[0] for f in frames])


def main(folder: Path, target: Path) -> None:
    """Join the clips and encode them."""
    video: list[np.ndarray] = []
    audio: list[np.ndarray] = []
    for name in CLIPS:
        shown, heard = pictures(folder / name), sound(folder / name)
        seconds = max(len(shown) / RATE, len(heard) / SAMPLE_RATE) + PAUSE_S
        video += shown + [shown[-1]] * (round(seconds * RATE) - len(shown))
        audio.append(np.pad(heard, (0, round(round(seconds * RATE) / RATE * SAMPLE_RATE) - len(heard))))
    height, width = video[0].shape[0] * 2 // 3, video[0].shape[1]
    with av.open(str(target), "w", options={"movflags": "+faststart"}) as out:
        v = out.add_stream("libx264", rate=RATE, options={"crf": "24", "preset": "slow"})
        v.width, v.height, v.pix_fmt = width, height, "yuv420p"
        a = out.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        a.bit_rate = 64_000
        for i, picture in enumerate(video):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, RATE)
            out.mux(v.encode(frame))
        out.mux(v.encode(None))
        samples = np.concatenate(audio)
        for start in range(0, len(samples), 1024):
            block = av.AudioFrame.from_ndarray(
                samples[None, start : start + 1024], format="s16", layout="mono"
            )
            block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
            out.mux(a.encode(block))
        out.mux(a.encode(None))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
