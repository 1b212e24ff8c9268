"""What is known about one face in one picture, and how it is measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trivalent.features.face.columns import COLUMNS, LANDMARK_COLUMNS
from trivalent.features.face.detector import Detection, Detector, FaceFinder, overlap
from trivalent.features.face.emotions import EmotionGraph
from trivalent.features.face.geometry import METADATA, CanonicalFace, gaze, pose_angles
from trivalent.features.face.graphs import Array32, TaskArchive
from trivalent.features.face.landmarks import (
    BlendshapeGraph,
    LandmarkGraph,
    Region,
    region_of_detection,
    region_of_points,
)

MIN_PRESENCE = 0.5  # of the landmark graph: below, there is no face in the region
MAX_FACES = 8  # that are verified and counted in one picture
SAME_FACE_IOU = 0.3  # two landmark boxes that overlap more are the same face


@dataclass(frozen=True, eq=False)
class LocatedFace:
    """Landmarks in pixels, shape (478, 3), and the probability that they are a face."""

    points: NDArray[np.float64]
    score: float

    @cached_property
    def box(self) -> NDArray[np.float64]:
        """Centre x, centre y, width and height in pixels, shape (4,)."""
        low, high = self.points[:, :2].min(axis=0), self.points[:, :2].max(axis=0)
        return np.concatenate([(low + high) / 2, high - low])

    @property
    def area(self) -> float:
        """Of the box, square pixels."""
        return float(self.box[2] * self.box[3])

    def covers(self, detection: Detection) -> bool:
        """Tell whether the centre of a detection lies well inside the box."""
        return bool((np.abs(detection.center - self.box[:2]) < self.box[2:] / 4).all())

    def same_as(self, other: LocatedFace) -> bool:
        """Tell whether two boxes are those of one face."""
        return bool(overlap(self.box[:2], self.box[2:], other.box[None])[0] > SAME_FACE_IOU)


@dataclass(frozen=True, eq=False)
class FaceObservation:
    """The analysed face of one picture.

    Attributes
    ----------
    blendshapes : array of float32, shape (52,)
        Activations in [0, 1] in the order of `BLENDSHAPES`.
    pose : array, shape (3,)
        Pitch, yaw, roll in degrees.
    gaze : array, shape (6,)
        See `geometry.gaze`.
    emotions : array of float32, shape (7,)
        Probabilities in the order of `EMOTIONS`.
    box : array, shape (4,)
        Centre x, centre y, width, height of the landmarks as fractions of the image.
    points : array, shape (478, 3)
        Landmarks in pixels.
    score : float
        Probability of the landmark graph that this is a face.
    faces : int
        Verified faces in the picture (in a video: at the last count).
    detector : Detector
        How the face was found.
    """

    blendshapes: Array32
    pose: NDArray[np.float64]
    gaze: NDArray[np.float64]
    emotions: Array32
    box: NDArray[np.float64]
    points: NDArray[np.float64]
    score: float
    faces: int
    detector: Detector

    def row(self, *, landmarks: bool = False) -> NDArray[np.float64]:
        """One row in the order of `COLUMNS`, with landmarks followed by `LANDMARK_COLUMNS`."""
        numbers = np.array([self.score, self.faces])
        parts = (self.blendshapes, self.pose, self.gaze, self.emotions, self.box, numbers)
        values = np.concatenate(parts, dtype=np.float64)
        return np.concatenate([values, self.points.ravel()]) if landmarks else values


class FaceReader:
    """All graphs together; holds no state between pictures."""

    def __init__(self, *, threads: int = 1) -> None:
        archive = TaskArchive()
        self.finder = FaceFinder(archive, threads=threads)
        self._landmarks = LandmarkGraph(archive, threads=threads)
        self._blendshapes = BlendshapeGraph(archive, threads=threads)
        self._emotions = EmotionGraph(threads=threads)
        self.canonical = CanonicalFace.from_bytes(archive.read(METADATA))

    def locate(self, image: NDArray[np.uint8], region: Region) -> LocatedFace | None:
        """Return the face in a region, or None where the landmarks are not plausible."""
        points, score = self._landmarks.locate(image, region)
        if score < MIN_PRESENCE or not np.isfinite(points).all():
            return None
        face = LocatedFace(points, score)
        height, width = image.shape[:2]
        inside = (face.box[:2] >= 0).all() and face.box[0] < width and face.box[1] < height
        return face if inside else None

    def search(self, image: NDArray[np.uint8], *, tiles: bool = True) -> tuple[list[LocatedFace], Detector]:
        """Return the verified faces of a picture, largest first, and who found the largest.

        Both graphs look at the whole image, because the first overlooks small faces
        beside a large one; tiles are searched only where neither finds a face that its
        landmarks confirm.
        """
        found: list[tuple[LocatedFace, Detector]] = []
        for stage, detections in self.finder.stages(image):
            if stage is Detector.TILES and (found or not tiles):
                break
            for detection in detections[: MAX_FACES - len(found)]:
                if not any(face.covers(detection) for face, _ in found):
                    face = self.locate(image, region_of_detection(detection))
                    if face is not None and not any(face.same_as(other) for other, _ in found):
                        found.append((face, stage))
        found.sort(key=lambda pair: -pair[0].area)
        return [face for face, _ in found], found[0][1] if found else Detector.TILES

    def refined(self, image: NDArray[np.uint8], face: LocatedFace) -> LocatedFace:
        """Locate once more from the landmarks' own region, as tracking does in a video."""
        return self.locate(image, region_of_points(face.points)) or face

    def measure(
        self, image: NDArray[np.uint8], face: LocatedFace, *, faces: int, detector: Detector
    ) -> FaceObservation:
        """Compute everything else about a located face."""
        height, width = image.shape[:2]
        return FaceObservation(
            blendshapes=self._blendshapes.activations(face.points),
            pose=pose_angles(self.canonical.rotation(face.points)),
            gaze=gaze(face.points),
            emotions=self._emotions.probabilities(image, face.points),
            box=face.box / np.array([width, height, width, height]),
            points=face.points,
            score=face.score,
            faces=faces,
            detector=detector,
        )


def row_columns(*, landmarks: bool) -> tuple[str, ...]:
    """Names of the entries of `FaceObservation.row`."""
    return COLUMNS + LANDMARK_COLUMNS if landmarks else COLUMNS
