"""The face: blendshapes, head pose, gaze and emotions of the largest face of each frame.

Four TFLite graphs run directly in LiteRT; nothing is downloaded and MediaPipe itself is
not needed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trivalent.features.face.columns import BLENDSHAPES, COLUMNS, EMOTIONS, LANDMARK_COLUMNS, NAME, VERSION

if TYPE_CHECKING:
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

_HOMES = {
    "Detector": "detector",
    "FaceExtractor": "extractor",
    "TimedImage": "extractor",
    "FaceObservation": "observation",
}


def __getattr__(name: str) -> Any:
    # The names above are needed to load any bundle; LiteRT is not.
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
