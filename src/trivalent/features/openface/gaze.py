"""Where the eyes look, columns `gaze_*`: from the centre of an eyeball to where the iris is seen on it.

E. Wood et al., "Rendering of Eyes for Eye-Shape Registration and Gaze Estimation", ICCV 2015.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CORNERS = ((36, 39), (42, 45))  # of the subject's right eye, of the left one
_BEHIND_MM = np.array([0.0, -3.5, 7.0])  # centre of the eyeball from the middle of the corners, in the head
_RADIUS_MM = 12.0  # of the eyeball
_MISSED = np.array([0.0, 0.0, -1.0])  # OpenFace's point of the eyeball where the ray passes beside it


def gaze(
    irises: NDArray[np.float64], landmarks: NDArray[np.float64], rotation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Directions of both eyes and the angles of their mean: `gaze_0_x` to `gaze_angle_y`, shape (8,).

    Parameters
    ----------
    irises : array of float64, shape (2, 3)
        Any point on the ray from the camera through the centre of each iris; the right eye of the subject
        first.
    landmarks : array of float64, shape (68, 3)
        Before the camera, mm.
    rotation : array of float64, shape (3, 3)
        Of the head.

    Returns
    -------
    array
        Two unit vectors (x to the image's right, y down, z away from the camera), then two angles in
        radians: positive to the image's right, and down.
    """
    eyes = np.array([_direction(*eye, rotation @ _BEHIND_MM) for eye in _pairs(irises, landmarks)])
    x, y, z = eyes.mean(axis=0)
    return np.concatenate([eyes.ravel(), [np.arctan2(x, -z), np.arctan2(y, -z)]])


def _pairs(
    irises: NDArray[np.float64], landmarks: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Each iris and the middle between the corners of its eye."""
    middles = (landmarks[[a, b]].mean(axis=0) for a, b in _CORNERS)
    return list(zip(irises, middles, strict=True))


def _direction(
    iris: NDArray[np.float64], middle: NDArray[np.float64], behind: NDArray[np.float64]
) -> NDArray[np.float64]:
    centre = middle + behind
    ray = iris / np.linalg.norm(iris)
    along = float(ray @ centre)
    inside = along**2 - float(centre @ centre) + _RADIUS_MM**2
    point = _MISSED if inside < 0 else (along - np.sqrt(inside)) * ray
    direction = point - centre
    return np.asarray(direction / np.linalg.norm(direction))


__all__ = ["gaze"]
