"""Pitch and loudness of the voice as curves over the recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trivalent.core.analysis import Analysis, Track
from trivalent.core.types import FLOOR_DB, FloatArray
from trivalent.report.wording import Wording, texts

HEIGHT = 40  # px
WIDTH = 1000.0  # of the view box, which is stretched to the window
POINTS = 600  # more than a window has use for
USUAL = (2, 98)  # percentiles: a few octave errors of the pitch are no range of a voice


@dataclass(frozen=True)
class Curve:
    """A curve with its name and usual range in words; `path` is in `WIDTH` x `HEIGHT`."""

    name: str
    range: str
    path: str


def curves(analysis: Analysis, length: float, say: Wording) -> list[Curve]:
    """Draw every track that has a value.

    Parameters
    ----------
    analysis : Analysis
    length : float
        Of the recording, in seconds.
    say : Wording
    """
    return [_curve(track, length, say) for track in analysis.tracks if np.isfinite(track.values).any()]


def _curve(track: Track, length: float, say: Wording) -> Curve:
    values = track.values
    heard = values[np.isfinite(values) & (values > FLOOR_DB)]  # silence would flatten the rest
    low, high = np.percentile(heard, USUAL) if len(heard) else (FLOOR_DB, 0.0)
    key = f"result.track_{track.name}"
    return Curve(
        say(key) if key in texts() else track.name,
        say("result.range", low=_whole(low), high=_whole(high), unit=track.unit),
        # pitch is heard in octaves, and decibels are a logarithm already
        _path(track, length, low=low, high=high, scale=np.log2 if track.unit == "Hz" else np.positive),
    )


def _path(track: Track, length: float, *, low: float, high: float, scale: np.ufunc) -> str:
    """Line through the middles of `POINTS` stretches, broken where there is no value."""
    x, y = stretches(track.times_s, track.values, length)
    bottom, span = scale(low), max(scale(high) - scale(low), 1e-9)
    heights = HEIGHT - 4 - (HEIGHT - 8) * (scale(np.clip(y, low, high)) - bottom) / span
    path, pen_down = [], False
    for at, height in zip(x, heights, strict=True):
        if np.isfinite(height):
            path.append(f"{'L' if pen_down else 'M'}{WIDTH * at / length:.1f} {height:.1f}")
            if not pen_down:
                path.append("h0.1")  # a single value stays visible as a dot
        pen_down = bool(np.isfinite(height))
    return "".join(path)


def stretches(times_s: FloatArray, values: FloatArray, length: float) -> tuple[FloatArray, FloatArray]:
    """Average a track over at most `POINTS` equal stretches; NaN where a stretch has no value.

    >>> stretches(np.array([0.1, 0.2, 1.9]), np.array([1.0, 3.0, np.nan]), 600.0)[1][:2]
    array([ 2., nan])
    """
    index = np.clip((times_s / length * POINTS).astype(int), 0, POINTS - 1)
    known = np.isfinite(values)
    counts = np.bincount(index[known], minlength=POINTS)
    sums = np.bincount(index[known], weights=values[known], minlength=POINTS)
    means = np.divide(sums, counts, out=np.full(POINTS, np.nan), where=counts > 0)
    sampled = np.bincount(index, minlength=POINTS) > 0  # a stretch without samples is no gap
    centres = (np.arange(POINTS) + 0.5) * length / POINTS
    return centres[sampled], means[sampled]


def _whole(value: float) -> str:
    return f"{value:.0f}".replace("-", "−")
