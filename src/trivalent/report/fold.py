"""Which utterances a report shows with their evidence, which in one line, and which it only counts.

A page that grows with its input would take a browser, or the server that makes it, down. The beginning,
the end and the most telling utterances come first; the rest is in one line each as long as there is
room, and then counted. Everything is in the JSON and the CSV.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from trivalent.core.analysis import UtteranceResult

FULL_BYTES, LINE_BYTES = 1_200_000, 700_000
FIRST, LAST = 100, 50  # shown before the most telling ones
LONGEST = 1500  # characters of one utterance
Draw = Callable[[UtteranceResult], Markup]


@dataclass(frozen=True)
class Fold:
    """Pieces of HTML in the order of the utterances, and how many are shown in which way.

    Attributes
    ----------
    pieces : tuple of Markup
    full, lines, counted : int
        Utterances with their evidence, in one line, and only counted.
    anchors : frozenset of int
        Indices of the utterances that a link can lead to.
    """

    pieces: tuple[Markup, ...]
    full: int
    lines: int
    counted: int
    anchors: frozenset[int]


def fold(
    utterances: Sequence[UtteranceResult],
    *,
    full: Draw,
    line: Draw,
    gap: Callable[[Sequence[UtteranceResult]], Markup],
) -> Fold:
    """Draw as much as there is room for.

    Parameters
    ----------
    utterances : sequence of UtteranceResult
    full, line : callable
        Draw one utterance with its evidence, or in one line.
    gap : callable
        Draw what stands for utterances in a row that are only counted.
    """
    shown = _drawn(utterances, _by_weight(utterances), draw=full, room=FULL_BYTES)
    rest = [i for i in range(len(utterances)) if i not in shown]
    lines = _drawn(utterances, rest, draw=line, room=LINE_BYTES)
    drawn = shown | lines
    pieces: list[Markup] = []
    for known, run in groupby(range(len(utterances)), lambda i: i in drawn):
        positions = list(run)
        pieces += [drawn[i] for i in positions] if known else [gap([utterances[i] for i in positions])]
    anchors = frozenset(utterances[i].index for i in drawn)
    return Fold(tuple(pieces), len(shown), len(lines), len(utterances) - len(drawn), anchors)


def _by_weight(utterances: Sequence[UtteranceResult]) -> list[int]:
    """Positions: the beginning, the end, then the most clearly negative or positive ones."""
    ends = [*range(FIRST), *range(len(utterances) - LAST, len(utterances))]

    def telling(i: int) -> float:
        negative, _, positive = utterances[i].verdict.probabilities
        return -float(max(negative, positive))

    ranked = sorted(range(len(utterances)), key=telling)
    return list(dict.fromkeys(i for i in (*ends, *ranked) if 0 <= i < len(utterances)))


def _drawn(
    utterances: Sequence[UtteranceResult], positions: Iterable[int], *, draw: Draw, room: int
) -> dict[int, Markup]:
    """Draw in this order until the room is used up."""
    drawn: dict[int, Markup] = {}
    for i in positions:
        piece = draw(utterances[i])
        room -= len(piece.encode("utf-8", "replace"))
        if room < 0:
            break
        drawn[i] = piece
    return drawn
