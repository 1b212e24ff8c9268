"""From a network's logits to calibrated probabilities: a scale and a bias per class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trivalent.bundle.files import MALFORMED, cut
from trivalent.bundle.fusion import softmax
from trivalent.core.errors import BundleError
from trivalent.core.types import LABELS, FloatArray


@dataclass(frozen=True, eq=False)
class VectorScaling:
    """Calibrated logits are scale * logits + bias, per class; `bias` sums to 0.

    A temperature T is a scale of 1 / T.
    """

    scale: FloatArray
    bias: FloatArray

    def logits(self, logits: FloatArray) -> FloatArray:
        """Scale logits of shape (n, classes)."""
        return np.asarray(logits, float) * self.scale + self.bias

    def probabilities(self, logits: FloatArray) -> FloatArray:
        """Calibrated probabilities, shape (n, classes)."""
        return softmax(self.logits(logits))

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json."""
        return {"scale": self.scale.tolist(), "bias": self.bias.tolist()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, where: str) -> VectorScaling:
        """Invert `to_dict`.

        Raises
        ------
        BundleError
            A key is absent or a value is impossible.
        """
        try:
            scale, bias = (np.array(content[key], float) for key in ("scale", "bias"))
        except MALFORMED as error:
            raise BundleError("bundle.calibration", where=where, given=cut(error)) from error
        sizes = scale.shape == bias.shape == (len(LABELS),)
        if not (sizes and np.isfinite(scale).all() and np.isfinite(bias).all() and (scale > 0).all()):
            raise BundleError("bundle.scaling", where=where)
        return cls(scale, bias)
