"""Trivalent: negative, neutral or positive, from the words, the voice and the face.

>>> from trivalent import Sentiment
>>> [s.label for s in Sentiment]
['negative', 'neutral', 'positive']
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trivalent.core import moved, offline
from trivalent.core.errors import TrivalentError
from trivalent.core.types import Modality, Sentiment
from trivalent.core.version import __version__

if TYPE_CHECKING:
    from trivalent.analyzer import Analyzer
    from trivalent.core.analysis import Analysis

moved.answer_old_names()
offline.be_quiet()  # before any of them is imported: this module comes first in every process of ours

__all__ = ["Analysis", "Analyzer", "Modality", "Sentiment", "TrivalentError", "__version__"]


def __getattr__(name: str) -> Any:
    # Analyzer pulls in onnxruntime and PyAV: only for those who use it.
    if name == "Analyzer":
        from trivalent.analyzer import Analyzer

        return Analyzer
    if name == "Analysis":
        from trivalent.core.analysis import Analysis

        return Analysis
    raise AttributeError(f"module 'trivalent' has no attribute {name!r}")
