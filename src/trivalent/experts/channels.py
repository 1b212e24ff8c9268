"""The channels by modality: a further one is a module like theirs and a line here."""

from __future__ import annotations

from trivalent.core.types import Modality
from trivalent.experts.audio import AUDIO
from trivalent.experts.channel import Channel
from trivalent.experts.face import FACE
from trivalent.experts.text import TEXT

CHANNELS: dict[Modality, Channel] = {channel.modality: channel for channel in (TEXT, AUDIO, FACE)}
