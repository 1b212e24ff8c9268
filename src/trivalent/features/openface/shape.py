"""The pose and the shape of a face: the shape model fitted to 68 points of a picture.

A weak perspective camera, fitted by Gauss-Newton with a prior on the shape (J. M. Saragih, S. Lucey,
J. F. Cohn, "Deformable Model Fitting by Regularized Landmark Mean-Shift", IJCV 2011).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trivalent.features.openface.models import ShapeModel

PROJECTION = 25.0  # weight of the prior when points are drawn to the model
FEATURES = 1.0  # ... and when the shape itself is what we want to know
_STEP = 0.75  # of each step that is made
_GAIN = 0.999  # a step that leaves more of the error than this has failed
_FAILURES, _STEPS = 3, 1000


@dataclass(frozen=True, eq=False)
class Fit:
    """Where the model lies in a picture: `scale * rotation[:2] @ shape + translation`.

    Attributes
    ----------
    model : ShapeModel
    scale : float
        Pixels per millimetre.
    rotation : array of float64, shape (3, 3)
        From the axes of the model to those of the camera.
    translation : array of float64, shape (2,)
        Pixels.
    parameters : array of float64, shape (34,)
        Of the shape.
    """

    model: ShapeModel
    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    parameters: NDArray[np.float64]

    @cached_property
    def deviation(self) -> NDArray[np.float64]:
        """The shape without the mean shape, mm, shape (68, 3)."""
        return self.model.components @ self.parameters

    @property
    def shape(self) -> NDArray[np.float64]:
        """The face in its own axes, mm, shape (68, 3)."""
        return self.model.mean + self.deviation

    @property
    def points(self) -> NDArray[np.float64]:
        """The face in the picture, pixels, shape (68, 2)."""
        return self.scale * self.shape @ self.rotation[:2].T + self.translation

    @property
    def angles(self) -> NDArray[np.float64]:
        """Rotation about x, y and z in radians, shape (3,)."""
        return angles_of(self.rotation)


def fit_shape(model: ShapeModel, points: NDArray[np.float64], *, prior: float) -> Fit:
    """Fit the model to points of a picture.

    Parameters
    ----------
    model : ShapeModel
    points : array of float64, shape (68, 2)
        Pixels.
    prior : float
        Weight of the prior: `PROJECTION` or `FEATURES`.
    """
    fit = _start(model, points)
    stiffness = np.concatenate([np.zeros(6), prior / model.variances])
    error, failures = np.inf, 0
    for _ in range(_STEPS):
        shape = fit.shape
        residuals = points - (fit.scale * shape @ fit.rotation[:2].T + fit.translation)
        if error == np.inf:
            error = float(np.linalg.norm(residuals))
        jacobian = _jacobian(fit, shape)
        gradient = jacobian.T @ residuals.T.ravel()
        gradient[6:] -= stiffness[6:] * fit.parameters
        hessian = jacobian.T @ jacobian
        hessian[np.diag_indices_from(hessian)] += stiffness
        fit = _moved(fit, _STEP * np.asarray(np.linalg.solve(hessian, gradient), np.float64))
        # The parameters of the shape are those before the step, as OpenFace does.
        seen = fit.scale * shape @ fit.rotation[:2].T + fit.translation
        last, error = error, float(np.linalg.norm(points - seen))
        failures += _GAIN * last < error
        if failures == _FAILURES:
            break
    return fit


def rotation_of(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrix, shape (3, 3), about x, y and z in radians: Rx Ry Rz.

    >>> bool(np.allclose(angles_of(rotation_of(np.array([0.1, -0.2, 0.3]))), [0.1, -0.2, 0.3]))
    True
    """
    (s1, s2, s3), (c1, c2, c3) = np.sin(angles), np.cos(angles)
    return np.array(
        [
            [c2 * c3, -c2 * s3, s2],
            [c1 * s3 + c3 * s1 * s2, c1 * c3 - s1 * s2 * s3, -c2 * s1],
            [s1 * s3 - c1 * c3 * s2, c3 * s1 + c1 * s2 * s3, c1 * c2],
        ]
    )


def angles_of(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation about x, y and z in radians, shape (3,), of a matrix; the inverse of `rotation_of`."""
    q0 = np.sqrt(max(1e-12, 1 + np.trace(rotation))) / 2
    skew = rotation - rotation.T
    q1, q2, q3 = np.array([skew[2, 1], skew[0, 2], skew[1, 0]]) / (4 * q0)
    return np.array(
        [
            np.arctan2(2 * (q0 * q1 - q2 * q3), q0**2 - q1**2 - q2**2 + q3**2),
            np.arcsin(np.clip(2 * (q0 * q2 + q1 * q3), -1, 1)),
            np.arctan2(2 * (q0 * q3 - q1 * q2), q0**2 + q1**2 - q2**2 - q3**2),
        ]
    )


def _start(model: ShapeModel, points: NDArray[np.float64]) -> Fit:
    """Begin with the mean shape from the front, as large as the box of the points and in its middle."""
    low, high = points.min(axis=0), points.max(axis=0)
    scale = float(((high - low) / np.ptp(model.mean[:, :2], axis=0)).mean())
    return Fit(model, scale, np.eye(3), (low + high) / 2, np.zeros(len(model.variances)))


def _jacobian(fit: Fit, shape: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change of x, then y of the points with scale, rotation, translation and shape, shape (136, 40)."""
    count = len(shape)
    jacobian = np.zeros((2, count, 6 + len(fit.parameters)))
    x, y, z = shape.T
    for axis, (r1, r2, r3) in enumerate(fit.rotation[:2]):
        rows = jacobian[axis]
        rows[:, 0] = shape @ fit.rotation[axis]
        rows[:, 1] = fit.scale * (y * r3 - z * r2)
        rows[:, 2] = -fit.scale * (x * r3 - z * r1)
        rows[:, 3] = fit.scale * (x * r2 - y * r1)
        rows[:, 4 + axis] = 1
        rows[:, 6:] = fit.scale * np.tensordot(fit.rotation[axis], fit.model.components, (0, 1))
    return jacobian.reshape(2 * count, -1)


def _moved(fit: Fit, step: NDArray[np.float64]) -> Fit:
    w1, w2, w3 = step[1:4]
    u, _, vt = np.linalg.svd(np.array([[1, -w3, w2], [w3, 1, -w1], [-w2, w1, 1]]))
    turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return Fit(
        fit.model,
        fit.scale + step[0],
        fit.rotation @ turn,
        fit.translation + step[4:6],
        fit.parameters + step[6:],
    )


__all__ = ["FEATURES", "PROJECTION", "Fit", "angles_of", "fit_shape", "rotation_of"]
