"""A face where it lies in a picture, by the shape model or by the mesh of our own landmarks.

Both are a shape in millimetres under a weak perspective camera. What follows from it (pose, gaze, points in
space) does not ask which of the two it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivalent.features.face.geometry import CanonicalFace
from trivalent.features.openface.landmarks import POINTS_68
from trivalent.features.openface.shape import Fit

_MM_PER_CM = 10.0
_FLIP = np.array([1.0, -1.0, -1.0])  # y up and z to the camera: the axes of the canonical face


@dataclass(frozen=True, eq=False)
class PlacedFace:
    """68 points of a face: `scale * rotation @ shape` about a place in the picture.

    Axes: x to the image's right, y down, z away from the camera.

    Attributes
    ----------
    points : array of float64, shape (68, 2)
        Pixels.
    shape : array of float64, shape (68, 3)
        The face in its own axes, millimetres.
    scale : float
        Pixels per millimetre.
    rotation : array of float64, shape (3, 3)
        From the axes of the face to those of the camera.
    translation : array of float64, shape (2,)
        Where the origin of the shape is seen, pixels.
    parameters : array of float64, shape (40,)
        Of the shape model, as in the columns `p_scale` to `p_33`; NaN where there was none.
    """

    points: NDArray[np.float64]
    shape: NDArray[np.float64]
    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    parameters: NDArray[np.float64]

    @classmethod
    def from_fit(cls, fit: Fit) -> PlacedFace:
        """Take the shape model as it was fitted (`PROJECTION` is the prior to fit with)."""
        parameters = np.concatenate([[fit.scale], fit.angles, fit.translation, fit.parameters])
        return cls(fit.points, fit.shape, fit.scale, fit.rotation, fit.translation, parameters)

    @classmethod
    def from_mesh(cls, points: NDArray[np.float64], canonical: CanonicalFace) -> PlacedFace:
        """Take the landmarks as they are, without a model file.

        Their depth is that of the landmark graph, their size in millimetres that of the canonical face: an
        average head. The origin is the mean of the 68 points, as in the shape model.

        Parameters
        ----------
        points : array of float64, shape (478, 3)
            Pixels.
        canonical : CanonicalFace
        """
        rotation = canonical.rotation(points) * _FLIP * _FLIP[:, None]
        face = points[POINTS_68]
        middle = face.mean(axis=0)
        scale = _pixels_per_mm(points, canonical, rotation)
        shape = (face - middle) @ rotation / scale
        parameters = np.full(6 + 34, np.nan)
        return cls(face[:, :2], shape, scale, rotation, middle[:2], parameters)


def _pixels_per_mm(
    points: NDArray[np.float64], canonical: CanonicalFace, rotation: NDArray[np.float64]
) -> float:
    """Scale at which the turned canonical face lies nearest to the landmarks (least squares)."""
    seen, weights = points[canonical.index], canonical.weights
    seen = seen - (seen * weights).sum(axis=0)
    model = _MM_PER_CM * canonical.points * _FLIP
    model = (model - (model * weights).sum(axis=0)) @ rotation.T
    return float((weights * seen * model).sum() / (weights * model**2).sum())


__all__ = ["PlacedFace"]
