"""Pitch and energy along a recording, for people to look at beside the verdicts."""

from __future__ import annotations

import math

import numpy as np

from trivalent.core.analysis import Track
from trivalent.core.types import FLOOR_DB, FeatureTable, FloatArray
from trivalent.media.sound import SAMPLE_RATE, AudioTrack

MAX_POINTS = 6000
MIN_STEP_S = 0.05


class TrackRecorder:
    """Keeps the pitch that the voice expert's columns hold, while the voice is read.

    Parameters
    ----------
    duration_s : float
        Length of the recording, above 0. It is cut in equal steps of at least `MIN_STEP_S`, at most
        `MAX_POINTS` of them, and each gets one value.
    """

    def __init__(self, duration_s: float) -> None:
        self._step_s = max(MIN_STEP_S, duration_s / MAX_POINTS)
        self._count = min(MAX_POINTS, math.ceil(duration_s / self._step_s - 1e-6))
        self._times: list[FloatArray] = []
        self._pitches: list[FloatArray] = []

    def consider(self, start_s: float, table: FeatureTable) -> None:
        """Take the COVAREP columns of an utterance that starts at `start_s`; a callback of the voice."""
        if not {"F0", "VUV"} <= set(table.columns):
            return
        pitch = table.column("F0")
        voiced = (table.column("VUV") > 0.5) & np.isfinite(pitch)
        self._times.append(start_s + table.times[voiced])
        self._pitches.append(pitch[voiced])

    def tracks(self, audio: AudioTrack | None) -> tuple[Track, ...]:
        """Return what there is: no track without a single value.

        Returns
        -------
        tuple of Track
            `F0` in Hz: median of the voiced frames of each step; NaN where there are none, and where
            no utterance was read.
            `energy` in dB: root mean square of each step relative to full scale, so that a sine of
            full amplitude has -3 dB, and at least `FLOOR_DB`; NaN beyond the end of the sound.
        """
        curves = {("F0", "Hz"): self._pitch()}
        if audio is not None:
            curves["energy", "dB"] = self._energy(audio)
        times_s = np.round((np.arange(self._count) + 0.5) * self._step_s, 4)
        return tuple(
            Track(name, unit, times_s, np.round(values, 1))
            for (name, unit), values in curves.items()
            if np.isfinite(values).any()
        )

    def _pitch(self) -> FloatArray:
        values = np.full(self._count, np.nan)
        if not self._times:
            return values
        times, pitches = np.concatenate(self._times), np.concatenate(self._pitches)
        steps = np.clip((times / self._step_s).astype(int), 0, self._count - 1)
        order = np.lexsort((pitches, steps))
        found, first, counts = np.unique(steps[order], return_index=True, return_counts=True)
        ranked = pitches[order]
        values[found] = (ranked[first + (counts - 1) // 2] + ranked[first + counts // 2]) / 2
        return values

    def _energy(self, audio: AudioTrack) -> FloatArray:
        values = np.full(self._count, np.nan)
        edges = np.round(np.arange(self._count + 1) * self._step_s * SAMPLE_RATE).astype(int)
        for i in range(self._count):  # step by step: hours of sound as float64 would fill the memory
            part = audio.samples[edges[i] : edges[i + 1]].astype(np.float64)
            if len(part):
                level = float(np.square(part).mean()) / 32768.0**2
                values[i] = max(FLOOR_DB, 10 * math.log10(level)) if level else FLOOR_DB
        return values
