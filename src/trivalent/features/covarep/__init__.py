"""COVAREP-74: the acoustic columns of CMU-MOSI and CMU-MOSEI, from any recording.

Offline, NumPy and SciPy only; one readable module per idea.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trivalent.features.covarep.columns import COLUMNS, NAME, VERSION
from trivalent.features.covarep.options import CovarepOptions
from trivalent.features.extractor import Inputs, Material, Need, choose_columns

if TYPE_CHECKING:
    from trivalent.core.types import FeatureTable
    from trivalent.features.covarep.extractor import covarep


class Covarep:
    """The voice, one row per 10 ms; see `covarep`."""

    name = NAME
    version = VERSION
    columns = COLUMNS
    needs = frozenset({Need.SOUND})
    graphs: Mapping[Inputs, tuple[str, ...]] = {Inputs.POOLED: COLUMNS, Inputs.FRAMES: COLUMNS}
    options = CovarepOptions

    def extract(
        self,
        material: Material,
        options: CovarepOptions | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> FeatureTable:
        """Compute COVAREP columns of the sound."""
        chosen = choose_columns(columns, COLUMNS)
        # Not at the top: what is above is needed to load any bundle, SciPy's second of import is not.
        from trivalent.features.covarep.extractor import covarep
        from trivalent.features.covarep.framing import FS

        return covarep(material.sound(), FS, columns=chosen, **vars(options or CovarepOptions()))


COVAREP = Covarep()

__all__ = ["COLUMNS", "COVAREP", "NAME", "VERSION", "CovarepOptions", "covarep"]


def __getattr__(name: str) -> Any:
    if name == "covarep":
        from trivalent.features.covarep.extractor import covarep

        return covarep
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
