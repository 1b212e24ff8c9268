"""Pitch and loudness of the voice as lines under the timeline."""

from __future__ import annotations

import numpy as np

from trivalent.core.analysis import Analysis, Track
from trivalent.core.types import FloatArray
from trivalent.experts.tracks import FLOOR_DB
from trivalent.web.i18n import t

HEIGHT = 40  # px
POINTS = 600  # more than a window has use for
WIDTH = 1000.0  # of the view box, stretched to the window


def track_rows(analysis: Analysis, length: float) -> list[tuple[str, str, str]]:
    """Name, range and drawing of every track that has a value."""
    rows = []
    for track in analysis.tracks:
        values = np.asarray(track.values, float)
        if not np.isfinite(values).any():
            continue
        heard = values[np.isfinite(values) & (values > FLOOR_DB)]  # silence would flatten the rest
        low, high = np.percentile(heard, (2, 98)) if len(heard) else (FLOOR_DB, 0.0)
        note = t("result.range", low=_number(low), high=_number(high), unit=track.unit)
        rows.append((t(f"result.track_{track.name}"), note, _line(track, length, low=low, high=high)))
    return rows


def _line(track: Track, length: float, *, low: float, high: float) -> str:
    x, y = bins(np.asarray(track.times_s, float), np.asarray(track.values, float), length)
    span = max(high - low, 1e-9)
    heights = HEIGHT - 4 - (HEIGHT - 8) * np.clip((y - low) / span, 0.0, 1.0)
    path, pen_down = [], False
    for at, height in zip(x, heights, strict=True):
        if not np.isfinite(height):
            pen_down = False  # unvoiced: no pitch, so no line
            continue
        path.append(f"{'L' if pen_down else 'M'}{WIDTH * at / length:.1f} {height:.1f}")
        if not pen_down:
            path.append("h0.1")  # a single value stays visible as a dot
        pen_down = True
    return (
        f'<svg class="tv-line" height="{HEIGHT}" viewBox="0 0 {WIDTH:.0f} {HEIGHT}" '
        f'preserveAspectRatio="none" aria-hidden="true"><path d="{"".join(path)}"/></svg>'
    )


def _number(value: float) -> str:
    return f"{value:.0f}".replace("-", "−")


def bins(times_s: FloatArray, values: FloatArray, length: float) -> tuple[FloatArray, FloatArray]:
    """Average a track over at most `POINTS` equal stretches; NaN where a stretch has no value.

    >>> bins(np.array([0.1, 0.2, 1.9]), np.array([1.0, 3.0, np.nan]), 600.0)[1][:2]
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
