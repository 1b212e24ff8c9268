"""The columns of one face in one picture, but for its action units: `gaze_0_x` to `p_33`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trivalent.features.openface.columns import COLUMNS
from trivalent.features.openface.eyes import CENTRES, EYE, eye_landmarks
from trivalent.features.openface.gaze import gaze
from trivalent.features.openface.landmarks import POINTS_68
from trivalent.features.openface.placed import PlacedFace
from trivalent.features.openface.pose import Camera, head_pose, landmarks_3d

FACE_COLUMNS: tuple[str, ...] = COLUMNS[COLUMNS.index("gaze_0_x") : COLUMNS.index("p_33") + 1]
_EYES = (slice(36, 42), slice(42, 48))  # of the 68 points


def face_columns(points: NDArray[np.float64], face: PlacedFace, camera: Camera) -> NDArray[np.float64]:
    """One row in the order of `FACE_COLUMNS`.

    Parameters
    ----------
    points : array of float64, shape (478, 3)
        Landmarks, pixels.
    face : PlacedFace
        `PlacedFace.from_fit` or, without model files, `PlacedFace.from_mesh`.
    camera : Camera

    Returns
    -------
    array of float64, shape (674,)
        Units: `columns.unit`. NaN: pupils, and the parameters of a shape model that there is not.
    """
    space = landmarks_3d(face, camera)
    pose = head_pose(face, camera)
    irises = camera.lift(points[CENTRES, :2], np.ones(2))
    eyes = eye_landmarks(points)
    eyes_3d = camera.lift(eyes[:, :2], _depth_of_eyes(eyes[:, 2], points, face, space))
    return np.concatenate(
        [
            gaze(irises, space, pose.rotation),
            eyes[:, :2].T.ravel(),
            eyes_3d.T.ravel(),
            pose.columns,
            face.points.T.ravel(),
            space.T.ravel(),
            face.parameters,
        ]
    )


def _depth_of_eyes(
    depth: NDArray[np.float64],
    points: NDArray[np.float64],
    face: PlacedFace,
    space: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Millimetres from the camera, shape (56,), of depths in pixels about those of the lids."""
    far = np.empty(len(depth))
    for eye, lids in enumerate(_EYES):
        own = slice(eye * EYE, (eye + 1) * EYE)
        level = points[POINTS_68[lids], 2].mean()
        far[own] = space[lids, 2].mean() + (depth[own] - level) / face.scale
    return far


__all__ = ["FACE_COLUMNS", "face_columns"]
