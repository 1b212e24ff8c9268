"""The face: blendshapes, head pose, gaze and emotions of the largest face of each frame.

Four TFLite graphs run directly in LiteRT; nothing is downloaded and MediaPipe itself is
not needed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from trivalent.core.options import FACE_RATES_HZ, AnalyzerOptions
from trivalent.features.extractor import Inputs, Material, Need, choose_columns
from trivalent.features.face.columns import BLENDSHAPES, COLUMNS, EMOTIONS, LANDMARK_COLUMNS, NAME, VERSION

if TYPE_CHECKING:
    from trivalent.core.types import FeatureTable
    from trivalent.features.face.detector import Detector
    from trivalent.features.face.extractor import FaceExtractor
    from trivalent.features.face.observation import FaceObservation

LONGEST_SIDE_PX = 1280  # of a frame


@dataclass(frozen=True)
class FaceOptions:
    """Options of `Face`: frames looked at per second, 0.1 to 60; whether the 478 landmarks are appended."""

    landmarks: bool = field(default=False, metadata={"help": "also the 478 landmarks"})
    face_rate_hz: float = field(
        default=AnalyzerOptions.face_rate_hz, metadata={"help": "frames per second"}
    )


class Face:
    """The largest face, one row per sampled frame that shows one."""

    name = NAME
    version = VERSION
    columns = COLUMNS
    needs = frozenset({Need.PICTURES})
    graphs: Mapping[Inputs, tuple[str, ...]] = {Inputs.POOLED: COLUMNS}
    options = FaceOptions

    def __init__(self) -> None:
        # Graphs take longer to load than a short clip to look at; a thread's own, as they hold its inputs.
        self._loaded = threading.local()

    def extract(
        self,
        material: Material,
        options: FaceOptions | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> FeatureTable:
        """Look at the pictures; `meta["rate_hz"]` tells how many a second."""
        options = options or FaceOptions()
        FACE_RATES_HZ.check(options.face_rate_hz, named="a face rate in Hz")
        available = (*COLUMNS, *LANDMARK_COLUMNS) if options.landmarks else COLUMNS
        chosen = choose_columns(columns, available)
        pictures = material.pictures(rate_hz=options.face_rate_hz, max_side=LONGEST_SIDE_PX)
        with closing(pictures):  # the file too, should an error stop the extractor between two frames
            extractor = self._extractor(threads=material.threads, landmarks=options.landmarks)
            table = extractor.extract(pictures, on_face=material.on_face)
        table.meta["rate_hz"] = options.face_rate_hz
        return table.select(chosen)

    def _extractor(self, **settings: Any) -> FaceExtractor:
        from trivalent.features.face.extractor import FaceExtractor

        if getattr(self._loaded, "settings", None) != settings:
            self._loaded.extractor, self._loaded.settings = FaceExtractor(**settings), settings
        loaded: FaceExtractor = self._loaded.extractor
        return loaded


FACE = Face()

__all__ = [
    "BLENDSHAPES",
    "COLUMNS",
    "EMOTIONS",
    "FACE",
    "LANDMARK_COLUMNS",
    "LONGEST_SIDE_PX",
    "NAME",
    "VERSION",
    "Detector",
    "FaceExtractor",
    "FaceObservation",
    "FaceOptions",
]

_HOMES = {
    "Detector": "detector",
    "FaceExtractor": "extractor",
    "FaceObservation": "observation",
}


def __getattr__(name: str) -> Any:
    # The names above are needed to load any bundle; LiteRT is not.
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
