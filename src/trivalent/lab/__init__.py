"""The research wing: data sets, networks, training, calibration, export. Needs the extra `train`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from trivalent.core.assets import cache_folder

if TYPE_CHECKING:
    from trivalent.lab.fusion.classifier import TrivalentClassifier

__all__ = ["TrivalentClassifier"]

# before torch is imported, which else leaves a folder of a guessable name in the shared temporary one
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "torch"))


def __getattr__(name: str) -> Any:
    # It pulls in torch and scikit-learn: only for those who use it.
    if name == "TrivalentClassifier":
        from trivalent.core.errors import MissingExtraError

        try:
            from trivalent.lab.fusion.classifier import TrivalentClassifier
        except ModuleNotFoundError as error:
            if str(error.name).startswith("trivalent"):
                raise
            raise MissingExtraError(str(error.name), "train") from error
        return TrivalentClassifier
    raise AttributeError(f"module 'trivalent.lab' has no attribute {name!r}")
