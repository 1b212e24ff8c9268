"""The face extractor: frames in, a table of named columns out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import FeatureError
from trivalent.core.messages import Message
from trivalent.core.types import FeatureTable
from trivalent.features.extractor import OnFace, TimedImage
from trivalent.features.face.columns import NAME, VERSION
from trivalent.features.face.observation import FaceObservation, FaceReader, row_columns
from trivalent.features.face.tracker import FaceTracker

MIN_SIDE_PX = 16  # of an image


class FaceExtractor:
    """Blendshapes, pose, gaze and emotions of the largest face.

    Parameters
    ----------
    threads : int
        Threads of each graph.
    landmarks : bool
        Append the 478 landmarks, 1,434 columns in pixels of the frame.

    Raises
    ------
    FeatureError
        `threads` is below one.
    AssetError
        A model file is absent or damaged.
    """

    def __init__(self, *, threads: int = 1, landmarks: bool = False) -> None:
        if threads < 1:
            raise FeatureError("face.threads", threads=threads)
        self.columns = row_columns(landmarks=landmarks)
        self._landmarks = landmarks
        self._reader = FaceReader(threads=threads)

    def extract(self, frames: Iterable[TimedImage], *, on_face: OnFace | None = None) -> FeatureTable:
        """Analyse the frames of one recording in the order of time.

        Parameters
        ----------
        frames : iterable of frames
            Each with `time_s` (s) and `image` (uint8, shape (h, w, 3), RGB).
        on_face : callable
            Called with time, image and observation of every frame that shows a face.

        Returns
        -------
        FeatureTable
            One row for each frame with a face. `meta` holds `frames_sampled`,
            `frames_with_face`, `faces_max`, `detectors` (frames by how the face was found)
            and `warnings`.

        Raises
        ------
        FeatureError
            An image is not uint8 RGB.
        """
        tracker = FaceTracker(self._reader)
        times: list[float] = []
        rows: list[NDArray[np.float64]] = []
        sampled = 0
        for frame in frames:
            image = validated(frame.image)
            sampled += 1
            seen = tracker.step(frame.time_s, image)
            if seen is None:
                continue
            times.append(frame.time_s)
            rows.append(seen.row(landmarks=self._landmarks))
            if on_face is not None:
                on_face(frame.time_s, image, seen)
        meta = _meta(tracker, sampled=sampled, with_face=len(rows), landmarks=self._landmarks)
        if not rows:
            reason = Message("reason.no_face_one" if sampled == 1 else "reason.no_face", count=sampled)
            return FeatureTable.absent(NAME, VERSION, columns=self.columns, reason=reason, meta=meta)
        return FeatureTable(NAME, VERSION, self.columns, np.array(times), np.stack(rows), meta=meta)

    def observe(self, image: NDArray[np.uint8]) -> FaceObservation | None:
        """Analyse the largest face of a single picture; None where there is no face.

        Parameters
        ----------
        image : array of uint8, shape (h, w, 3)
            RGB.

        Raises
        ------
        FeatureError
            The image is not uint8 RGB.
        """
        image = validated(image)
        found, stage = self._reader.search(image)
        if not found:
            return None
        face = self._reader.refined(image, found[0])
        return self._reader.measure(image, face, faces=len(found), detector=stage)


def validated(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image if it is uint8 RGB of a usable size, else raise `FeatureError`."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        got = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise FeatureError("face.uint8", got=got)
    if image.ndim != 3 or image.shape[2] != 3:
        raise FeatureError("face.rgb", shape=image.shape)
    if min(image.shape[:2]) < MIN_SIDE_PX:
        raise FeatureError(
            "face.small_image", min_side_px=MIN_SIDE_PX, shape=image.shape[1], shape2=image.shape[0]
        )
    return image


def _meta(tracker: FaceTracker, *, sampled: int, with_face: int, landmarks: bool) -> dict[str, Any]:
    warnings = []
    if tracker.faces_max > 1:
        warnings.append(Message("reason.many_faces", count=tracker.faces_max))
    return {
        "landmarks": landmarks,
        "frames_sampled": sampled,
        "frames_with_face": with_face,
        "faces_max": tracker.faces_max,
        "detectors": {name: n for name, n in tracker.used.items() if n},
        "warnings": warnings,
    }
