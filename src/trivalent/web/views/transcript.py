"""What was said, a page at a time."""

from __future__ import annotations

from dataclasses import replace

from trivalent.core.analysis import Analysis
from trivalent.report.renderer import Renderer

PAGE = 100  # utterances that are written out at a time


def transcript(analysis: Analysis, draw: Renderer, *, page: int = 0, explained: bool = False) -> str:
    """Draw one page of the utterances, with filters above.

    Parameters
    ----------
    explained : bool
        Whether it can be told what each word changed.
    """
    shown = analysis.utterances[page * PAGE : (page + 1) * PAGE]
    one = draw.utterances(analysis, explained=explained)
    return draw.transcript(replace(analysis, utterances=shown), [one.full(u) for u in shown])


def pages(analysis: Analysis) -> int:
    """How many pages the transcript has."""
    return max(1, -(-len(analysis.utterances) // PAGE))


def page_of(analysis: Analysis, index: int) -> int:
    """Page on which an utterance stands."""
    places = [u.index for u in analysis.utterances]
    return places.index(index) // PAGE if index in places else 0
