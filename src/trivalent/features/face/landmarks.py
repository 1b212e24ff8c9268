"""Square regions around faces, the 478 landmarks inside them, and their 52 blendshapes.

Sources: Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on
Mobile GPUs", CVPR Workshop on Computer Vision for AR and VR 2019; Grishchenko et al.,
"Blendshapes GHUM", 2023 (arXiv:2309.05782); MediaPipe's face_landmarker model cards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivalent.features.face.columns import LANDMARK_COUNT
from trivalent.features.face.detector import Detection
from trivalent.features.face.graphs import Array32, Graph, TaskArchive, sigmoid
from trivalent.features.face.pixels import warped

DETECTION_SCALE = 1.5  # region of the landmark graph over the box of a detector
TRACKING_SCALE = 1.5  # ... and over the box of landmarks
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263  # of the subject: the image's left comes first

# Landmarks that the blendshape graph reads, in its order (MediaPipe's
# face_blendshapes_graph.cc, kLandmarksSubsetIdxs).
# fmt: off
BLENDSHAPE_LANDMARKS = np.array([
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67,
    70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146,
    148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181,
    185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293,
    295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361,
    362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398,
    400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
])
# fmt: on


@dataclass(frozen=True, eq=False)
class Region:
    """A turned square in an image: centre (2,) and side in pixels, angle in radians."""

    center: NDArray[np.float64]
    side: float
    angle: float

    def from_crop(self, size: int) -> NDArray[np.float64]:
        """Affine map, shape (2, 3), from a `size` x `size` upright crop to image pixels."""
        scale = size / self.side
        c, s = np.cos(self.angle) * scale, np.sin(self.angle) * scale
        x, y = size / 2 - np.array([[c, s], [-s, c]]) @ self.center
        shrink = 1 / (c * c + s * s)
        c, s = c * shrink, s * shrink
        return np.array([[c, -s, -c * x + s * y], [s, c, -s * x - c * y]])

    def crop(self, image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """Cut the region out; pixels outside the image repeat its border."""
        return warped(image, self.from_crop(size), size)


def region_of_detection(detection: Detection) -> Region:
    """Square around a detector's box, turned so that the eyes lie level."""
    right, left = detection.eyes
    angle = float(np.arctan2(*(left - right)[::-1]))
    return Region(detection.center, float(detection.size.max()) * DETECTION_SCALE, angle)


def region_of_points(points: NDArray[np.float64], *, scale: float = TRACKING_SCALE) -> Region:
    """Square around landmarks, turned so that the outer corners of the eyes lie level.

    Parameters
    ----------
    points : array, shape (478, 3)
        Pixels of the image.
    scale : float
        Side over the longer side of the turned bounding box.
    """
    flat = points[:, :2]
    angle = float(np.arctan2(*(flat[LEFT_EYE_OUTER] - flat[RIGHT_EYE_OUTER])[::-1]))
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, s], [-s, c]])
    middle = (flat.min(axis=0) + flat.max(axis=0)) / 2
    upright = (flat - middle) @ turn.T
    low, high = upright.min(axis=0), upright.max(axis=0)
    center = (low + high) / 2 @ turn + middle
    return Region(center, float((high - low).max()) * scale, angle)


class LandmarkGraph:
    """Landmarks of the face in a region (graph `face_landmarks_detector.tflite`)."""

    POINTS, PRESENCE = "Identity", "Identity_1"

    def __init__(self, archive: TaskArchive, *, threads: int = 1) -> None:
        self._graph = Graph(archive.read("face_landmarks_detector.tflite"), threads=threads)
        self._size = self._graph.input_shape[1]

    def locate(self, image: NDArray[np.uint8], region: Region) -> tuple[NDArray[np.float64], float]:
        """Return landmarks in pixels, shape (478, 3), and the probability of a face.

        z grows away from the camera and has the scale of x and y; its origin is the
        middle of the head.
        """
        pixels = region.crop(image, self._size).astype(np.float32) / 255.0
        raw, presence = self._graph.run(pixels, self.POINTS, self.PRESENCE)
        local = raw.reshape(LANDMARK_COUNT, 3).astype(np.float64)
        back = region.from_crop(self._size)
        flat = local[:, :2] @ back[:, :2].T + back[:, 2]
        depth = local[:, 2:] * (region.side / self._size)
        return np.hstack([flat, depth]), float(sigmoid(presence).item())


class BlendshapeGraph:
    """Activations of 52 facial movements from landmarks (graph `face_blendshapes.tflite`)."""

    OUTPUT = "StatefulPartitionedCall:0"

    def __init__(self, archive: TaskArchive, *, threads: int = 1) -> None:
        self._graph = Graph(archive.read("face_blendshapes.tflite"), threads=threads)

    def activations(self, points: NDArray[np.float64]) -> Array32:
        """Return activations in [0, 1], shape (52,), of landmarks in pixels, shape (478, 3).

        The graph normalises position, size and roll itself.
        """
        (values,) = self._graph.run(points[BLENDSHAPE_LANDMARKS, :2].astype(np.float32), self.OUTPUT)
        return values
