"""COVAREP-74: the acoustic columns of CMU-MOSI and CMU-MOSEI, from any recording.

Offline, NumPy and SciPy only; one readable module per idea.
"""

from trivalent.features.covarep.columns import COLUMNS
from trivalent.features.covarep.extractor import AVAILABLE, NAME, VERSION, covarep

__all__ = ["AVAILABLE", "COLUMNS", "NAME", "VERSION", "covarep"]
