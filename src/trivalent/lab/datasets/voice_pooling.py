"""Statistics of the voice for networks that take one vector of features for each sample."""

from __future__ import annotations

_FIVE = ("mean", "std", "p10", "p90", "dabs")
# Nothing here depends on the gain of the recording: MCEP_0, the level, only by its changes.
VOICE_POOLING: tuple[str, ...] = (
    *(f"F0.semitone_{statistic}_voiced" for statistic in _FIVE),
    *("VUV.mean", "VUV.rate", "MCEP_0.std_voiced", "MCEP_0.dabs_voiced"),
    *(f"peakSlope.{statistic}_voiced" for statistic in _FIVE),
    *(f"MCEP_{i}.{statistic}_voiced" for i in range(1, 13) for statistic in _FIVE),
)
