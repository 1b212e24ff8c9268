"""Small recordings made with PyAV: a square that moves over grey, and a tone of 440 Hz.

The square is red and starts at the upper left; the picture's right edge is blue, so that a
turn or a flip shows.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SECONDS = 2.0
RATE = 25
WIDTH, HEIGHT = 160, 96

# suffix -> (video codec, audio codec, sample rate)
VIDEO_FORMATS = {
    "mp4": ("libx264", "aac", 44100),
    "mov": ("mpeg4", "pcm_s16le", 48000),
    "mkv": ("libx264", "libopus", 48000),
    "webm": ("libvpx", "libopus", 48000),
    "avi": ("mpeg4", "libmp3lame", 44100),
    "flv": ("flv", "libmp3lame", 44100),
    "ts": ("libx264", "aac", 48000),
}
AUDIO_FORMATS = {
    "wav": ("pcm_s16le", 16000),
    "mp3": ("libmp3lame", 44100),
    "flac": ("flac", 22050),
    "ogg": ("libopus", 48000),
    "opus": ("libopus", 48000),
    "m4a": ("aac", 44100),
}


def picture(time_s: float, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Draw the scene, uint8 (height, width, 3): the square's left edge is at 20 px/s."""
    image = np.full((height, width, 3), 128, dtype=np.uint8)
    image[:, -16:] = (0, 0, 255)
    left = int(20 * time_s) % (width - 48)
    image[:24, left : left + 24] = (255, 0, 0)
    return image


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    """Return a sine of amplitude 0.5, float32 (n,)."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_media(
    path: Path,
    *,
    video: str | None = "libx264",
    audio: str | None = "aac",
    rate: int = 44100,
    seconds: float = SECONDS,
    channels: int = 2,
    frame_times: list[float] | None = None,
    audio_start_s: float = 0.0,
    video_start_s: float = 0.0,
    hole: tuple[float, float] | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    format: str | None = None,
) -> Path:
    """Write one recording; `hole` (s, s) leaves out the sound between, keeping the times."""
    with av.open(str(path), "w", format=format, options=options or {}) as out:
        video_stream = audio_stream = None
        if video:
            video_stream = out.add_stream(video, rate=RATE)
            video_stream.width, video_stream.height, video_stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            video_stream.codec_context.time_base = Fraction(1, 1000) if frame_times else Fraction(1, RATE)
            if aspect:
                video_stream.codec_context.sample_aspect_ratio = aspect
            if rotation:
                video_stream.set_display_rotation(rotation)
        if audio:
            audio_stream = out.add_stream(audio, rate=rate, layout="stereo" if channels == 2 else "mono")
        packets = []
        if video_stream is not None:
            times = frame_times or [i / RATE for i in range(round(seconds * RATE))]
            packets += _encode_video(video_stream, times, video_start_s)
        if audio_stream is not None:
            packets += _encode_audio(audio_stream, seconds, rate, channels, audio_start_s, hole)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            out.mux(packet)
    return path


def _encode_video(stream, times: list[float], start_s: float) -> list:
    packets, base = [], stream.codec_context.time_base
    for time_s in times:
        frame = av.VideoFrame.from_ndarray(picture(time_s), format="rgb24")
        frame.pts, frame.time_base = round((time_s + start_s) / base), base
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _encode_audio(stream, seconds, rate, channels, start_s, hole) -> list:
    samples = tone(seconds, rate)
    packets, resampler = (
        [],
        av.AudioResampler(
            format=stream.codec_context.format, layout=stream.codec_context.layout, rate=rate, frame_size=0
        ),
    )
    block = stream.codec_context.frame_size or 1024
    for first in range(0, len(samples), block):
        if hole and hole[0] <= first / rate < hole[1]:
            continue
        part = samples[first : first + block]
        frame = av.AudioFrame.from_ndarray(part[None], format="flt", layout="mono")
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = first + round(start_s * rate)
        for converted in resampler.resample(frame):
            converted.pts, converted.time_base = frame.pts, Fraction(1, rate)
            packets += stream.encode(converted)
    return packets + stream.encode(None)


def write_format(folder: Path, suffix: str) -> Path:
    """Write the standard two seconds in one of the supported formats."""
    path = folder / f"sample.{suffix}"
    if suffix in VIDEO_FORMATS:
        video, audio, rate = VIDEO_FORMATS[suffix]
        return write_media(path, video=video, audio=audio, rate=rate)
    audio, rate = AUDIO_FORMATS[suffix]
    return write_media(path, video=None, audio=audio, rate=rate, channels=1)


def write_picture(path: Path, codec: str = "png", container: str = "image2") -> Path:
    """Write a still picture as its own file, whatever the suffix."""
    with av.open(str(path), "w", format=container, options={"update": "1"}) as out:
        stream = out.add_stream(codec, rate=1)
        stream.width, stream.height = 64, 64
        stream.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj420p", "gif": "rgb8"}[codec]
        frame = av.VideoFrame.from_ndarray(picture(0, 64, 64), format="rgb24")
        for packet in stream.encode(frame.reformat(format=stream.pix_fmt)) + stream.encode(None):
            out.mux(packet)
    return path


def write_cover_art(path: Path) -> Path:
    """Write sound with an attached cover picture (mp3 or m4a)."""
    codec = "libmp3lame" if path.suffix == ".mp3" else "aac"
    cover = path.with_suffix(".png")
    write_picture(cover)
    with av.open(str(path), "w", format=None if path.suffix == ".mp3" else "mp4") as out:
        audio = out.add_stream(codec, rate=44100, layout="stereo")
        picture_stream = out.add_stream("png", rate=1)
        picture_stream.width, picture_stream.height, picture_stream.pix_fmt = 64, 64, "rgb24"
        picture_stream.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(cover.read_bytes())
        packet.stream, packet.pts, packet.dts, packet.time_base = picture_stream, 0, 0, Fraction(1, 90000)
        packet.is_keyframe = True
        out.start_encoding()
        out.mux(packet)
        for sound in _encode_audio(audio, SECONDS, 44100, 2, 0.0, None):
            out.mux(sound)
    return path
