"""From the scores of the linear models to intensities and presences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STRONGEST = 5.0
_SMOOTHED_R, _SMOOTHED_C = 3, 7  # frames
_LOW, _HIGH, _BINS = -3.0, 5.0, 200
_REST_SHARE, _REST_AFTER = 0.1, 10


def intensities(scores: NDArray[np.float64], cutoffs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring a recording's intensities to their level and smooth them.

    Parameters
    ----------
    scores : array, shape (frames, units)
        NaN where the face was not seen; such a frame counts as 0 for its neighbours, as in OpenFace.
    cutoffs : array, shape (units,)
        Share of the frames in which a unit is at rest; NaN: its level is not moved.

    Returns
    -------
    array, shape (frames, units)
        0 to 5.
    """
    seen = ~np.isnan(scores[:, 0])
    levelled = np.zeros_like(scores)
    if seen.any():
        ordered = np.sort(scores[seen], axis=0)
        moved = ~np.isnan(cutoffs)
        rest = np.zeros(len(cutoffs))
        rest[moved] = ordered[(len(ordered) * cutoffs[moved]).astype(int), np.nonzero(moved)[0]]
        levelled[seen] = np.clip(scores[seen] - rest, 0, STRONGEST)
    return _smoothed(levelled, _SMOOTHED_R)


def classified(scores: NDArray[np.float64], classes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tell where a unit is present, 0 or 1, in each frame by itself; as `presences`, without smoothing."""
    present = np.where(scores > 0, classes[:, 1], classes[:, 0])
    present[np.isnan(scores)] = 0
    return present


def presences(scores: NDArray[np.float64], classes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tell where a unit is present, 0 or 1, in most of seven frames.

    Parameters
    ----------
    scores : array, shape (frames, units)
        NaN where the face was not seen, which counts as absent.
    classes : array, shape (units, 2)
        Presence for a score up to 0, and above.
    """
    most = _smoothed(classified(scores, classes), _SMOOTHED_C)
    half = _SMOOTHED_C // 2
    if len(most) > 2 * half:
        most[half:-half] = most[half:-half] >= 0.5
    return most


class RunningLevels:
    """The level of each unit at rest, from the frames so far: a low percentile of its scores."""

    def __init__(self, cutoffs: NDArray[np.float64]) -> None:
        self._moved = ~np.isnan(cutoffs)
        self._counts = np.zeros((len(cutoffs), _BINS), np.int64)

    def after(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count the scores of a frame and return the levels, shape (units,)."""
        width = (_HIGH - _LOW) / _BINS
        places = np.clip((scores - _LOW) / width, 0, _BINS - 1).astype(int)
        self._counts[np.arange(len(places)), places] += 1
        total = self._counts[0].sum()
        if total < _REST_AFTER:
            return np.zeros(len(places))
        low = (self._counts.cumsum(axis=1) >= _REST_SHARE * total).argmax(axis=1)
        return np.where(self._moved, _LOW + (low + 0.5) * width, 0.0)


def _smoothed(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean of `width` frames around each; those at the ends stay as they are."""
    half = width // 2
    smooth = values.copy()
    if len(values) >= width:
        windows = np.lib.stride_tricks.sliding_window_view(values, width, axis=0)
        smooth[half:-half] = windows.mean(axis=-1)
    return smooth


__all__ = ["STRONGEST", "RunningLevels", "classified", "intensities", "presences"]
