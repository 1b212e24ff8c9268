"""Recordings: any audio or video file becomes 16 kHz mono sound and timed RGB frames.

Decoding is PyAV (FFmpeg). Opening reads the file once: all sound is decoded, pictures are only
probed. Frames come from a second, streamed pass. Times of both are seconds from the start of
the earlier of the two tracks. What cannot be decoded is left out and told in `warnings`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from trivalent.core.errors import MediaError
from trivalent.core.messages import Message
from trivalent.core.options import AnalyzerOptions
from trivalent.media.probe import MAX_PIXELS, open_container, riff_share
from trivalent.media.sound import LONGEST_HOLE_S, SAMPLE_RATE, AudioBuilder, AudioTrack, check_length
from trivalent.media.sound_tracks import AMR_FRAME_S, SoundTrack, choose_track, is_pause, sound_tracks

__all__ = ["SAMPLE_RATE", "AudioTrack", "Frame", "Recording", "media_kind", "open_recording"]

Progress = Callable[[float], None]

MAX_DEMUX_ERRORS = 200  # in a row; a file that is damaged to its end must not loop for ever
# An index may list the same bytes again and again: a file is read this many times over, and then left.
MAX_READINGS = 4
# Hz. No speech is left below, and one sample for a second would fill the memory; no converter reaches
# beyond, and the filter down from there would.
RATES = range(2000, 768_001)
SMALLEST_PACKET = 8  # bytes that a packet is counted for, at least
# The announced length of these is a guess from the bit rate.
_GUESSED_LENGTH = {"mp3", "aac", "ac3", "eac3", "amr", "mpeg", "mpegts", "h264", "hevc", "dts"}


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture.

    Attributes
    ----------
    time_s : float
        Seconds from the start of the recording.
    image : array of uint8, shape (height, width, 3)
        RGB, upright (rotation applied), with square pixels.
    """

    time_s: float
    image: NDArray[np.uint8]


@dataclass(eq=False)
class Recording:
    """An opened recording.

    Attributes
    ----------
    kind : str
        "video" if it holds moving pictures, else "audio".
    duration_s : float
        Seconds that can be decoded, which may be fewer than announced.
    audio : AudioTrack or None
        None if there is no sound; `warnings` then says why.
    tracks : tuple of SoundTrack
        All sound tracks of the file.
    track : int, optional
        Number of the one that `audio` is.
    warnings : list of str
        One sentence each; `frames` may add to it.
    """

    name: str
    path: Path
    kind: str
    duration_s: float
    audio: AudioTrack | None
    warnings: list[str] = field(default_factory=list)
    origin_s: float = 0.0
    tracks: tuple[SoundTrack, ...] = ()
    track: int | None = None

    def frames(
        self,
        *,
        rate_hz: float = AnalyzerOptions.face_rate_hz,
        max_side: int | None = None,
        progress: Progress | None = None,
    ) -> Generator[Frame, None, None]:
        """Stream pictures, at most `rate_hz` a second, sampled by their timestamps.

        The first picture at or after each multiple of 1 / rate_hz is converted; no picture
        comes twice, so a slow or variable frame rate gives fewer. Memory stays flat.

        Parameters
        ----------
        rate_hz : float
            Pictures per second of recording.
        max_side : int or None
            Shrink so that the longer side has at most this many pixels.
        progress : callable or None
            Gets the fraction done, 0 to 1.

        Yields
        ------
        Frame
            In order of time; nothing for a recording without video.

        Raises
        ------
        MediaError
            `rate_hz` or `max_side` is not positive, or the file has gone.
        """
        if rate_hz <= 0 or (max_side is not None and max_side < 1):
            raise MediaError("media.frames", rate_hz=rate_hz, max_side=max_side)
        if self.kind == "video":
            yield from self._sample(rate_hz, max_side, progress)
        if progress is not None:
            progress(1.0)

    def _sample(self, rate_hz: float, max_side: int | None, progress: Progress | None) -> Iterator[Frame]:
        errors = _Errors()
        due, last_s = 0.0, -np.inf
        scaler = VideoReformatter()  # one for all: a frame's own would start threads for every frame
        with open_container(self.path) as container:
            stream = _video_stream(container)
            if stream is None:
                return
            stream.thread_type = "AUTO"
            step = 1.0 / float(stream.average_rate or 25)
            aspect = float(stream.sample_aspect_ratio or 1)
            for frame in _decode_video(container, stream, errors):
                time_s = _frame_time(frame, stream, self.origin_s)
                if time_s is None:
                    time_s = max(last_s, -step) + step
                last_s = time_s
                # 2 ms: Matroska rounds timestamps to milliseconds.
                if time_s < due - 0.002:
                    continue
                due = (np.floor((time_s + 0.002) * rate_hz) + 1) / rate_hz
                yield Frame(max(0.0, time_s), _to_rgb(frame, scaler, aspect=aspect, max_side=max_side))
                if progress is not None and self.duration_s > 0:
                    progress(min(1.0, time_s / self.duration_s))
        for message in errors.messages("video"):
            if message not in self.warnings:
                self.warnings.append(message)


def open_recording(
    path: str | Path, *, audio_track: int | None = None, progress: Progress | None = None
) -> Recording:
    """Open a recording, decode the sound of one track and probe its pictures.

    Of two channels that cancel each other (one has the wrong sign) the louder one is taken alone.

    Parameters
    ----------
    path : str or Path
        Any audio or video file that FFmpeg reads, whatever its extension.
    audio_track : int, optional
        Number of the sound track, from 1 on; by default the one that players take.
    progress : callable or None
        Gets the fraction done, 0 to 1.

    Raises
    ------
    MediaError
        Not a recording, or nothing in it can be decoded; or there is no such track.
    """
    path = Path(path)
    scan = _scanned(path, audio_track, progress=progress)
    if (channel := scan.builder.stronger) is not None:
        scan = _scanned(path, audio_track, channel=channel, progress=progress)
    if scan.track is None and not scan.has_video:
        raise MediaError("media.nothing", name=path.name)
    if progress is not None:
        progress(1.0)
    kind = "video" if scan.has_video else "audio"
    return Recording(
        path.name,
        path,
        kind,
        scan.duration_s,
        scan.track,
        scan.warnings(),
        scan.origin_s,
        scan.tracks,
        scan.number,
    )


def _scanned(
    path: Path, number: int | None, *, channel: int | None = None, progress: Progress | None
) -> _Scan:
    with open_container(path) as container:
        audio = choose_track(container, number, name=path.name)
        scan = _Scan(container, _video_stream(container), audio, channel=channel)
        scan.run(progress)
    return scan


def media_kind(path: str | Path) -> str | None:
    """Return "video" or "audio" as the header says, None for a file that is no recording."""
    try:
        with open_container(Path(path)) as container:
            if _video_stream(container) is not None:
                return "video"
            return "audio" if container.streams.audio else None
    except MediaError:
        return None


@dataclass
class _Errors:
    """Count of what could not be read in one pass."""

    packets: int = 0
    demux: int = 0

    def messages(self, what: str) -> list[str]:
        if not self.packets and not self.demux:
            return []
        return [
            Message(
                "media.damaged_packets",
                count=self.packets + self.demux,
                track=Message(f"media.track_{what}"),
            )
        ]


class _Scan:
    """The first pass over a file: all sound decoded, pictures timed, one picture decoded."""

    def __init__(
        self,
        container: InputContainer,
        video: VideoStream | None,
        audio: AudioStream | None,
        *,
        channel: int | None = None,
    ) -> None:
        self.container, self.video, self.audio, self.channel = container, video, audio, channel
        self.tracks = sound_tracks(container)
        self.number = (
            None if audio is None else [s.index for s in container.streams.audio].index(audio.index) + 1
        )
        self.announced_s = _announced_s(container)
        starts = [
            float(s.start_time * s.time_base)
            for s in (video, audio)
            if s is not None and s.start_time is not None and s.time_base is not None
        ]
        self.origin_s = min(starts, default=0.0)
        self.has_video = False
        self.video_end_s = 0.0
        self.other_end_s = 0.0  # of subtitles, further sound tracks: what is not used
        self.pauses = 0
        self.track: AudioTrack | None = None
        self.audio_errors, self.video_errors = _Errors(), _Errors()
        self.builder = AudioBuilder(self.announced_s, channel=channel)

    def run(self, progress: Progress | None) -> None:
        used = self.video is not None or self.audio is not None
        next_tell = 0.0
        # All are read: how far the file reaches, a track that is not used may tell.
        for packet in _packets(self.container, self.container.streams, self.audio_errors) if used else ():
            if packet.stream is self.audio:
                self._sound(packet)
            elif packet.stream is self.video:
                self._picture(packet)
            elif packet.pts is not None and packet.time_base is not None:
                end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self.other_end_s = max(self.other_end_s, end_s - self.origin_s)
                continue
            done_s = max(self.builder.duration_s, self.video_end_s)
            if progress is not None and done_s >= next_tell:
                progress(min(1.0, done_s / self.announced_s) if self.announced_s else 0.0)
                next_tell = done_s + 1.0
        track = self.builder.finish()
        self.track = track if len(track.samples) else None

    @property
    def duration_s(self) -> float:
        sound_s = self.track.duration_s if self.track is not None else 0.0
        return max(sound_s, self.video_end_s if self.has_video else 0.0)

    def _sound(self, packet: av.Packet) -> None:
        try:
            for frame in packet.decode():
                if not isinstance(frame, av.AudioFrame) or not frame.samples:
                    continue
                if frame.sample_rate not in RATES:
                    self.audio_errors.packets += 1
                else:
                    time_s = None if frame.time is None else frame.time - self.origin_s
                    self.builder.add(frame, time_s)
        except av.error.FFmpegError:
            paused = is_pause(packet)
            self.pauses += paused
            self.audio_errors.packets += not paused

    def _picture(self, packet: av.Packet) -> None:
        if not self.has_video:  # decode until the first picture shows that there is one
            try:
                self.has_video = bool(packet.decode())
            except av.error.FFmpegError:
                self.video_errors.packets += 1
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or packet.time_base is None or self.video is None:
            return
        length_s = float((packet.duration or 0) * packet.time_base)
        if not length_s and self.video.average_rate:
            length_s = 1.0 / float(self.video.average_rate)
        end_s = float(stamp * packet.time_base) - self.origin_s + length_s
        told = self.announced_s is None or end_s < self.announced_s + 10.0
        if told and end_s < self.video_end_s + LONGEST_HOLE_S:
            check_length(end_s)
            self.video_end_s = max(self.video_end_s, end_s)

    def warnings(self) -> list[str]:
        messages: list[str] = []
        if self.track is None and self.audio is None:
            messages.append(Message("media.no_sound"))
        elif self.track is None:
            messages.append(Message("media.empty_sound"))
        if self.video is not None and not self.has_video:
            messages.append(Message("media.empty_video"))
        messages += self.audio_errors.messages("sound")
        paused_s = self.pauses * AMR_FRAME_S
        if paused_s:
            messages.append(Message("media.pauses", seconds=paused_s))
        if self.builder.holes_s - paused_s > 0.5:
            messages.append(Message("media.holes", seconds=self.builder.holes_s - paused_s))
        if self.channel is not None:
            messages.append(Message("media.opposed", channel=self.channel + 1))
        if self.builder.disbelieved:
            messages.append(Message("media.timestamps"))
        return messages + self._shortfall()

    def _shortfall(self) -> list[str]:
        announced = self.announced_s
        if announced is None or self.container.format.name in _GUESSED_LENGTH - {"mp3"}:
            return []
        announced /= riff_share(self.container.name)
        share = 0.2 if self.container.format.name in _GUESSED_LENGTH else 0.02
        # Matroska counts the announced length from time 0, not from the first timestamp.
        reached_s = max(self.duration_s, self.other_end_s)
        if announced - reached_s - max(0.0, self.origin_s) <= max(0.5, share * announced):
            return []
        return [Message("media.cut_short", decoded_s=self.duration_s, announced_s=announced)]


def _announced_s(container: InputContainer) -> float | None:
    length = container.duration
    return length / av.time_base if length is not None and length > 0 else None


def _video_stream(container: InputContainer) -> VideoStream | None:
    """Return the track with moving pictures; a cover picture in a sound file is none."""
    attached = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    moving = [s for s in container.streams.video if not s.disposition & attached]
    best = container.streams.best("video")
    stream = best if best in moving else (moving[0] if moving else None)
    if stream is not None and stream.codec_context is not None:
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def _packets(container: InputContainer, streams: Iterable[Stream], errors: _Errors) -> Iterator[av.Packet]:
    """Demux to the end; after damage, go on with the next packet that can be read."""
    in_a_row, left = 0, MAX_READINGS * container.size + 2**20
    while in_a_row < MAX_DEMUX_ERRORS:
        try:
            for packet in container.demux(*streams):
                in_a_row = 0
                left -= max(packet.size, SMALLEST_PACKET)
                if left < 0:
                    errors.demux += 1
                    return
                yield packet
            return
        except (av.error.EOFError, IndexError):
            # IndexError: a track began in mid-file; at the end PyAV flushes what it does not know (its
            # issue 692)
            return
        except av.error.FFmpegError:
            errors.demux += 1
            in_a_row += 1


def _decode_video(
    container: InputContainer, stream: VideoStream, errors: _Errors
) -> Iterator[av.VideoFrame]:
    for packet in _packets(container, [stream], errors):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            errors.packets += 1
            continue
        yield from (f for f in frames if isinstance(f, av.VideoFrame))


def _frame_time(frame: av.VideoFrame, stream: VideoStream, origin_s: float) -> float | None:
    stamp = frame.pts if frame.pts is not None else frame.dts
    base = frame.time_base or stream.time_base
    return None if stamp is None or base is None else float(stamp * base) - origin_s


def _to_rgb(
    frame: av.VideoFrame, scaler: VideoReformatter, *, aspect: float, max_side: int | None
) -> NDArray[np.uint8]:
    """Convert, square the pixels, shrink and turn upright; the scaler does the first three."""
    width, height = frame.width, frame.height
    if 0.25 < aspect < 4:
        width = max(1, round(width * aspect))
    if max_side is not None and max(width, height) > max_side:
        shrink = max_side / max(width, height)
        width, height = max(1, round(width * shrink)), max(1, round(height * shrink))
    scaled = scaler.reformat(frame, width, height, "rgb24", interpolation="AREA")
    image = np.asarray(scaled.to_ndarray(), dtype=np.uint8)
    return _upright(image, _display_matrix(frame))


def _display_matrix(frame: av.VideoFrame) -> NDArray[np.int32] | None:
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None or data.buffer_size < 36:
        return None
    return np.frombuffer(bytes(data)[:36], dtype=np.int32).reshape(3, 3)


def _upright(image: NDArray[np.uint8], matrix: NDArray[np.int32] | None) -> NDArray[np.uint8]:
    """Apply the quarter turns and flips of a display matrix: (x, y) -> (a x + c y, b x + d y)."""
    if matrix is None:
        return image
    (a, b), (c, d) = (int(v) for v in matrix[0, :2]), (int(v) for v in matrix[1, :2])
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(1, 0, 2), c, b
    image = image[:, ::-1] if a < 0 else image
    image = image[::-1] if d < 0 else image
    return np.ascontiguousarray(image)
