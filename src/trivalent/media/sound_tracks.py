"""The sound tracks of a file: languages of a film, or game and microphone of a screen recorder."""

from __future__ import annotations

from dataclasses import dataclass

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from trivalent.core.errors import MediaError

# Adaptive multi-rate speech: frames that say "silence, about so loud" or "nothing", and no sound
# (3GPP TS 26.101, 26.201). FFmpeg's decoders take them for damage.
_PAUSES = {"amrnb": range(8, 16), "amrwb": range(9, 16)}
AMR_FRAME_S = 0.02


@dataclass(frozen=True)
class SoundTrack:
    """A sound track as the header of its file tells it.

    Attributes
    ----------
    number : int
        From 1 on, among the sound tracks.
    codec : str
    channels : int
    rate : int
        Hz.
    language : str
        As the file has it, mostly three letters; empty if it tells none.
    title : str
    """

    number: int
    codec: str
    channels: int
    rate: int
    language: str = ""
    title: str = ""


def sound_tracks(container: InputContainer) -> tuple[SoundTrack, ...]:
    """Describe the sound tracks of a file."""
    return tuple(_described(number, stream) for number, stream in enumerate(container.streams.audio, 1))


def _described(number: int, stream: AudioStream) -> SoundTrack:
    context, told = stream.codec_context, stream.metadata
    language = told.get("language", "")
    return SoundTrack(
        number,
        "unknown" if context is None else context.name,
        0 if context is None else context.channels,
        0 if context is None else context.sample_rate or 0,
        "" if language == "und" else language,
        told.get("title") or told.get("name", ""),
    )


def choose_track(container: InputContainer, number: int | None, *, name: str) -> AudioStream | None:
    """Return a sound track by its number, or the one that players take; None without sound.

    Raises
    ------
    MediaError
        There is no track of that number.
    """
    tracks = container.streams.audio
    if number is not None:
        if not 1 <= number <= len(tracks):
            raise MediaError("media.no_track", count=len(tracks), name=name, number=number)
        return tracks[number - 1]
    best = container.streams.best("audio")
    return best if isinstance(best, AudioStream) else None


def is_pause(packet: av.Packet) -> bool:
    """Tell whether a packet says that the recorder left a pause out."""
    context = packet.stream.codec_context
    frames = _PAUSES.get("" if context is None else context.name)
    return frames is not None and packet.size > 0 and (bytes(packet)[0] >> 3) & 15 in frames


__all__ = ["AMR_FRAME_S", "SoundTrack", "choose_track", "is_pause", "sound_tracks"]
