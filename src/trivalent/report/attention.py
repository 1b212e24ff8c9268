"""What the heads of an attention network read: it tells nothing of what decided, and is shown apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trivalent.core.analysis import Analysis, UtteranceResult
from trivalent.core.types import Modality
from trivalent.report.wording import Wording


@dataclass(frozen=True)
class ChannelRead:
    """Share of a channel in what was read, the mean of the heads, and by head in words."""

    name: str
    share: float
    words: str
    heads: tuple[str, ...]


@dataclass(frozen=True)
class Attention:
    """A card of its own; `heads` are their names."""

    note: str
    channels: tuple[ChannelRead, ...]
    heads: tuple[str, ...]


def shares_read(u: UtteranceResult) -> dict[Modality, float]:
    """Mean of the heads by modality; empty where there was nothing to choose between."""
    if len(u.attention) < 2:
        return {}
    return {m: float(np.mean(u.attention[m])) for m in Modality if m in u.attention}


def attention_view(u: UtteranceResult, say: Wording) -> Attention | None:
    """Tell what was read of an utterance; None where `shares_read` is empty."""
    means = shares_read(u)
    if not means:
        return None
    count = max(len(u.attention[m]) for m in means)
    return Attention(
        say("result.attention_mean", count=count),
        tuple(
            ChannelRead(
                say.modality(m), mean, say.percent(mean), tuple(say.percent(p) for p in u.attention[m])
            )
            for m, mean in means.items()
        ),
        tuple(say("result.head", number=i + 1) for i in range(count)),
    )


def by_network(analysis: Analysis) -> bool | None:
    """Tell whether channels shared their say in a network; None where none had to share."""
    shared = [u for u in analysis.utterances if sum(e.weight > 0 for e in u.modalities.values()) > 1]
    return any(u.joint for u in shared) if shared else None
