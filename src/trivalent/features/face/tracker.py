"""Following the largest face through a video."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trivalent.features.face.detector import Detector
from trivalent.features.face.landmarks import region_of_points
from trivalent.features.face.observation import FaceObservation, FaceReader, LocatedFace
from trivalent.features.face.pixels import averaged, grey

RECOUNT_S = 1.0  # a new look at the whole frame at least this often
LARGER = 1.2  # another face takes over when its area is this many times that of the tracked one
THUMBNAIL = (32, 32)
SCENE_CHANGE = 30.0  # mean absolute difference of grey thumbnails, of 255


@dataclass
class FaceTracker:
    """State of one recording: which face, since when, and how scenes change.

    The region of the next frame comes from the landmarks of this one. The whole frame is
    searched when the face is lost, when the scene changes and once in `RECOUNT_S`. `person` counts the
    faces that were followed: one that comes back elsewhere, or after a change of the scene, may be
    somebody else and counts anew.
    """

    reader: FaceReader
    face: LocatedFace | None = None
    faces: int = 0
    faces_max: int = 0
    person: int = 0
    used: dict[str, int] = field(default_factory=lambda: {str(d): 0 for d in Detector})
    _searched_s: float = -np.inf
    _tiled_s: float = -np.inf
    _thumbnail: NDArray[np.float32] | None = None
    _last: LocatedFace | None = None  # of `person`, where it was seen last

    def step(self, time_s: float, image: NDArray[np.uint8]) -> FaceObservation | None:
        """Analyse the next frame; None where it shows no face."""
        if self._scene_changed(image):
            self.face = self._last = None
        detector = Detector.TRACK
        if self.face is not None:
            self.face = self.reader.locate(image, region_of_points(self.face.points))
        if self.face is None:
            detector = self._acquire(time_s, image)
        elif not 0 <= time_s - self._searched_s < RECOUNT_S:
            detector = self._recount(time_s, image)
        if self.face is None:
            return None
        if detector is not Detector.TRACK and (self._last is None or not self.face.same_as(self._last)):
            self.person += 1
        self._last = self.face
        self.used[detector] += 1
        return self.reader.measure(image, self.face, faces=self.faces, detector=detector)

    def _acquire(self, time_s: float, image: NDArray[np.uint8]) -> Detector:
        """Search the whole frame, in tiles at most once in `RECOUNT_S` because they are slow."""
        tiles = not 0 <= time_s - self._tiled_s < RECOUNT_S
        found, stage = self.reader.search(image, tiles=tiles)
        if tiles and stage is Detector.TILES:
            self._tiled_s = time_s
        self._count(time_s, found)
        self.face = self.reader.refined(image, found[0]) if found else None
        return stage

    def _recount(self, time_s: float, image: NDArray[np.uint8]) -> Detector:
        """Count the faces and hand over to one that has become clearly larger."""
        assert self.face is not None  # noqa: S101  (for the type checker; the caller has looked)
        found, stage = self.reader.search(image, tiles=False)
        others = [face for face in found if not face.same_as(self.face)]
        self._count(time_s, [self.face, *others])
        if others and others[0].area > LARGER * self.face.area:
            self.face = self.reader.refined(image, others[0])
            return stage
        return Detector.TRACK

    def _count(self, time_s: float, found: list[LocatedFace]) -> None:
        self._searched_s = time_s
        self.faces = len(found)
        self.faces_max = max(self.faces_max, self.faces)

    def _scene_changed(self, image: NDArray[np.uint8]) -> bool:
        thumbnail = grey(averaged(image, THUMBNAIL)).astype(np.float32)
        last, self._thumbnail = self._thumbnail, thumbnail
        return last is not None and float(np.abs(thumbnail - last).mean()) > SCENE_CHANGE
