"""COVAREP-74: the acoustic columns of CMU-MOSI and CMU-MOSEI, from any recording.

Offline, NumPy and SciPy only; one readable module per idea.
"""

from typing import TYPE_CHECKING, Any

from trivalent.features.covarep.columns import COLUMNS, NAME, VERSION

if TYPE_CHECKING:
    from trivalent.features.covarep.extractor import covarep

__all__ = ["COLUMNS", "NAME", "VERSION", "covarep"]


def __getattr__(name: str) -> Any:
    # The names above are needed to load any bundle; SciPy's second of import is not.
    if name == "covarep":
        from trivalent.features.covarep.extractor import covarep

        return covarep
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
