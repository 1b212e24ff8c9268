"""The face: blendshapes, head pose, gaze and emotions of the largest face of each frame.

Four TFLite graphs run directly in LiteRT; nothing is downloaded and MediaPipe itself is
not needed.
"""

from trivalent.features.face.columns import BLENDSHAPES, COLUMNS, EMOTIONS, LANDMARK_COLUMNS, NAME, VERSION
from trivalent.features.face.detector import Detector
from trivalent.features.face.extractor import FaceExtractor, TimedImage
from trivalent.features.face.observation import FaceObservation

__all__ = [
    "BLENDSHAPES",
    "COLUMNS",
    "EMOTIONS",
    "LANDMARK_COLUMNS",
    "NAME",
    "VERSION",
    "Detector",
    "FaceExtractor",
    "FaceObservation",
    "TimedImage",
]
