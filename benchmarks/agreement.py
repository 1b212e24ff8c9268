"""How two tracks of one quantity agree: over frames, within videos, between videos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from results_file import Value
from trivalent.lab.measure.metrics import bootstrap_interval, macro_f1

Array = NDArray[np.float64]
LEAST_FRAMES, LEAST_SHARE = 100, 0.01  # of a presence, for its agreement to say something
LEAST_VIDEOS = 10


def correlation(a: Array, b: Array) -> float:
    """Pearson's r; 0 where a track is constant."""
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 2 and np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


def concordance(a: Array, b: Array) -> float:
    """Concordance correlation (Lin, Biometrics 1989): r, less what scale and level differ."""
    power = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return float(2 * np.mean((a - a.mean()) * (b - b.mean())) / power) if power > 0 else 0.0


def by_video(values: Array, videos: NDArray[np.str_]) -> tuple[Array, Array]:
    """Return the mean of each video, and every frame less the mean of its own."""
    _, place = np.unique(videos, return_inverse=True)
    means = np.bincount(place, values) / np.bincount(place)
    return means, values - means[place]


def of_intensities(
    ours: Array, theirs: Array, videos: NDArray[np.str_], *, interval: bool = False
) -> dict[str, Value | float]:
    """Compare intensities; the interval is over videos."""
    r: Value | float = correlation(ours, theirs)
    if interval:
        low, high = bootstrap_interval(
            lambda a, b: correlation(a.astype(np.float64), b),
            ours,
            probabilities=theirs,
            groups=videos,
            rounds=500,
        )
        r = Value(correlation(ours, theirs), low, high)
    (a, within_a), (b, within_b) = by_video(ours, videos), by_video(theirs, videos)
    found = {"r": r, "ccc": concordance(ours, theirs), "r_within": correlation(within_a, within_b)}
    if len(a) > LEAST_VIDEOS:
        found["r_videos"] = correlation(a, b)
    return found


def of_presences(ours: Array, theirs: Array) -> dict[str, float]:
    """Compare presences; nothing where nearly all frames have one of them."""
    present = theirs == 1
    if present.sum() < LEAST_FRAMES or not LEAST_SHARE < present.mean() < 1 - LEAST_SHARE:
        return {}
    said = (ours == 1).astype(np.int64)
    return {
        "agreement": float((said == present).mean()),
        "macro_f1": macro_f1(present.astype(np.int64), said),
    }
