"""Where someone speaks: Silero voice activity in blocks, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivalent.media.sound import SAMPLE_RATE, AudioTrack

Span = tuple[float, float]

BLOCK_S = 60.0
LEAD_S = 3.0  # the detector listens this long before a block, as its state starts empty
MIN_SILENCE_S = 0.3
MIN_SPEECH_S = 0.1
PAD_S = 0.3  # Silero cuts weak consonants at both ends
PACK_S = 29.0  # Whisper hears 30 s at a time


def find_speech(audio: AudioTrack, *, progress: Callable[[float], None] | None = None) -> list[Span]:
    """Find the stretches of speech.

    Parameters
    ----------
    audio : AudioTrack
    progress : callable or None
        Gets the fraction done, 0 to 1.

    Returns
    -------
    list of (float, float)
        Start and end in seconds, in order, not overlapping, at least 0.1 s long.
    """
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(min_silence_duration_ms=round(1000 * MIN_SILENCE_S), speech_pad_ms=0)
    spans: list[Span] = []
    for start_s in np.arange(0.0, audio.duration_s, BLOCK_S):
        lead_s = max(0.0, float(start_s) - LEAD_S)
        block = audio.read(lead_s, float(start_s) + BLOCK_S)
        for found in get_speech_timestamps(block, options):
            low_s = max(lead_s + found["start"] / SAMPLE_RATE, float(start_s))
            high_s = lead_s + found["end"] / SAMPLE_RATE
            if high_s > low_s:
                spans.append((low_s, high_s))
        if progress is not None:
            progress(min(1.0, (float(start_s) + BLOCK_S) / audio.duration_s))
    return [span for span in merge(spans, gap_s=MIN_SILENCE_S) if span[1] - span[0] >= MIN_SPEECH_S]


def merge(
    spans: Sequence[Span], *, gap_s: float = 0.0, pad_s: float = 0.0, end_s: float = np.inf
) -> list[Span]:
    """Pad spans, then join those less than `gap_s` apart.

    >>> merge([(1.0, 2.0), (2.2, 3.0), (5.0, 6.0)], gap_s=0.3)
    [(1.0, 3.0), (5.0, 6.0)]
    """
    merged: list[Span] = []
    for low, high in spans:
        low, high = max(0.0, low - pad_s) if pad_s else low, min(high + pad_s, end_s)
        if merged and (low - merged[-1][1] < gap_s or low <= merged[-1][1]):
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


@dataclass(frozen=True)
class Pack:
    """Stretches of speech that one pass of Whisper hears, silence between them left out."""

    spans: tuple[Span, ...]

    @property
    def duration_s(self) -> float:
        """Seconds of sound."""
        return sum(high - low for low, high in self.spans)

    def read(self, audio: AudioTrack) -> NDArray[np.float32]:
        """Join the sound of the stretches, float32 (n,)."""
        return np.concatenate([audio.read(low, high) for low, high in self.spans])

    def restore(self, start_s: float, end_s: float) -> Span:
        """Turn times within the pack into times of the recording, within one stretch.

        >>> Pack(((10.0, 12.0), (20.0, 21.0))).restore(2.1, 2.5)
        (20.1, 20.5)
        """
        middle, offset_s = (start_s + end_s) / 2, 0.0
        for i, (low, high) in enumerate(self.spans):
            if middle < offset_s + high - low or i == len(self.spans) - 1:
                break
            offset_s += high - low
        first = min(max(low + start_s - offset_s, low), high)
        last = min(max(low + end_s - offset_s, first), high)
        return round(float(first), 3), round(float(last), 3)  # Whisper gives NumPy scalars


def pack_speech(audio: AudioTrack, spans: Sequence[Span], *, pack_s: float = PACK_S) -> list[Pack]:
    """Gather padded speech into packs of at most `pack_s` seconds."""
    padded = merge(spans, gap_s=0.3, pad_s=PAD_S, end_s=audio.duration_s)
    packs: list[list[Span]] = []
    filled_s = np.inf
    for span in (part for whole in padded for part in _fit(audio, whole, pack_s)):
        length_s = span[1] - span[0]
        if filled_s + length_s > pack_s:
            packs.append([])
            filled_s = 0.0
        packs[-1].append(span)
        filled_s += length_s
    return [Pack(tuple(spans)) for spans in packs]


def _fit(audio: AudioTrack, span: Span, pack_s: float) -> list[Span]:
    """Cut a longer stretch at the quietest tenth of a second in the last third of each part."""
    parts, (low, high) = [], span
    while high - low > pack_s:
        search_s = low + pack_s * 2 / 3
        sound = audio.read(search_s, low + pack_s)
        size = SAMPLE_RATE // 10
        energy = np.square(sound[: len(sound) // size * size]).reshape(-1, size).mean(axis=1)
        cut_s = search_s + (int(energy.argmin()) + 0.5) * 0.1 if len(energy) else low + pack_s
        parts.append((low, cut_s))
        low = cut_s
    return [*parts, (low, high)]
