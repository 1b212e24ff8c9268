"""Sound as 16 kHz mono samples on the clock of the recording.

The decoder of `media` feeds frames to an `AudioBuilder`, which resamples them and keeps them
where their timestamps say: a hole in the timestamps becomes silence, never a shift.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import MediaError

SAMPLE_RATE = 16_000

# Timestamps of Matroska and FLV are rounded to 1 ms and codecs prime with up to 50 ms, so
# smaller differences are no hole.
JUMP_S = 0.05
# A damaged timestamp must not fill the memory with silence: 2 h of it take 220 MiB.
LONGEST_HOLE_S = 7200.0
LONGEST_HOLE_BLIND_S = 600.0  # when the file does not announce its length
# A few kilobytes may unpack to weeks of silence: 12 h take 1.4 GB.
LONGEST_S = 12 * 3600.0
# Power of the mean of two channels over that of the channels: 1 for equal ones, 0.5 for independent ones.
OPPOSED = 0.05


def check_length(seconds: float) -> None:
    """Raise `MediaError` if a recording is too long to be held."""
    if seconds > LONGEST_S:
        raise MediaError("media.long", longest_s=LONGEST_S / 3600)


@dataclass(frozen=True, eq=False)
class AudioTrack:
    """Mono sound at 16 kHz; sample 0 is the start of the recording.

    Attributes
    ----------
    samples : array of int16, shape (n,)
        Half the size of float32: three hours take 330 MiB.
    """

    samples: NDArray[np.int16]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE

    def read(self, start_s: float = 0.0, end_s: float | None = None) -> NDArray[np.float32]:
        """Copy a stretch as floating point; what lies outside the track is left out.

        Parameters
        ----------
        start_s, end_s : float
            Seconds from the start of the recording; None is the end of the track.

        Returns
        -------
        array of float32, shape (n,)
            Values in [-1, 1).

        Examples
        --------
        >>> track = AudioTrack(np.full(32000, 16384, dtype=np.int16))
        >>> track.read(0.5, 1.0).shape, float(track.read(1.9, 9.0)[0])
        ((8000,), 0.5)
        """
        first = max(0, round(start_s * SAMPLE_RATE))
        last = len(self.samples) if end_s is None else max(first, round(end_s * SAMPLE_RATE))
        return self.samples[first:last].astype(np.float32) / np.float32(32768)


class AudioBuilder:
    """Collect decoded frames into one `AudioTrack`.

    Parameters
    ----------
    limit_s : float or None
        Announced length of the recording: a timestamp far beyond it is not believed.
    channel : int, optional
        Take this one alone, from 0 on, instead of the mean of all.
    """

    def __init__(self, limit_s: float | None = None, *, channel: int | None = None) -> None:
        self._buffer = bytearray()  # grows in place: no second copy at the end
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None
        self._fed_s = 0.0  # where the next frame belongs when there is no hole
        self._limit_s = limit_s
        self._channel = channel
        self._powers = np.zeros(3)  # left, right, and the mean of both
        self._pending: tuple[av.AudioFrame, float] | None = None  # after a jump, until confirmed
        self.holes_s = 0.0
        self.disbelieved = 0

    @property
    def duration_s(self) -> float:
        """Seconds collected so far, without what the resampler still holds."""
        return len(self._buffer) / 2 / SAMPLE_RATE

    def add(self, frame: av.AudioFrame, time_s: float | None) -> None:
        """Resample one frame and append it where its time says.

        Parameters
        ----------
        frame : av.AudioFrame
        time_s : float or None
            Start of the frame on the recording's clock; None follows the last frame.
        """
        if self._pending is not None:
            held, held_s = self._pending
            self._pending = None
            # One damaged timestamp is followed by one that steps back: then there is no hole.
            if time_s is not None and time_s >= held_s + held.samples / held.sample_rate - JUMP_S:
                self._leave_hole(held_s)
            else:
                self.disbelieved += 1
            self._feed(held)
        jump = 0.0 if time_s is None else time_s - self._fed_s
        if time_s is not None and jump > 0 and not self._fed_s:
            self._leave_hole(time_s)
        elif time_s is not None and jump > JUMP_S:
            self._pending = (frame, time_s)
            return
        elif jump < -JUMP_S:  # appended: dropping it would lose words
            self.disbelieved += 1
        self._feed(frame)

    @property
    def stronger(self) -> int | None:
        """The louder one of two channels that cancel each other; None where they do not."""
        left, right, mean = self._powers
        return int(right > left) if mean < OPPOSED * (left + right) / 2 else None

    def _compare(self, frame: av.AudioFrame) -> None:
        """Measure how much of two channels is left in their mean."""
        values = frame.to_ndarray().astype(np.float32)
        pair = values if frame.format.is_planar else values.reshape(-1, 2).T
        self._powers += frame.samples * np.var([*pair, pair.mean(axis=0)], axis=1)

    def _feed(self, frame: av.AudioFrame) -> None:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:  # also in the middle of a broadcast: stereo to 5.1 and back
            self._drain()
            self._kind = kind
        if self._resampler is None:
            mixed = self._channel is None
            self._resampler = av.AudioResampler(
                format="s16" if mixed else "s16p",
                layout="mono" if mixed else frame.layout.name,
                rate=SAMPLE_RATE,
            )
        if frame.layout.nb_channels == 2:
            self._compare(frame)
        length_s = frame.samples / frame.sample_rate
        check_length(self._fed_s + length_s)
        frame.pts = None  # the place is kept here, not in the filter graph
        for out in self._resampler.resample(frame):
            self._append(out)
        self._fed_s += length_s

    def finish(self) -> AudioTrack:
        """Return what was collected."""
        with suppress(av.error.FFmpegError):  # at most one frame cannot be converted
            if self._pending is not None:
                self._feed(self._pending[0])
            self._drain()
        samples = np.frombuffer(self._buffer, dtype=np.int16)
        samples.flags.writeable = False
        return AudioTrack(samples)

    def _append(self, frame: av.AudioFrame) -> None:
        # The plane may be longer than its samples; a view of it is cheaper than an array.
        plane = 0 if self._channel is None else min(self._channel, len(frame.planes) - 1)
        self._buffer += memoryview(frame.planes[plane])[: 2 * frame.samples]

    def _leave_hole(self, target_s: float) -> None:
        """Fill with silence up to `target_s`, if that can be true."""
        hole_s = target_s - self._fed_s
        if self._limit_s is None:
            believed = hole_s <= LONGEST_HOLE_BLIND_S
        else:
            believed = hole_s <= LONGEST_HOLE_S and target_s <= min(self._limit_s + 10.0, LONGEST_S)
        if not believed:
            self.disbelieved += 1
            return
        self._drain()
        missing = round(target_s * SAMPLE_RATE) - len(self._buffer) // 2
        self._buffer += bytes(2 * max(0, missing))
        self.holes_s += hole_s if self._fed_s else 0.0  # a late start is no hole
        self._fed_s = target_s

    def _drain(self) -> None:
        if self._resampler is not None:
            for out in self._resampler.resample(None):
                self._append(out)
        self._resampler = None
